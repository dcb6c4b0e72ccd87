"""A family of features: one definition in words, one way to build it, any windows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from crypto_bot.core.errors import ConfigError
from crypto_bot.features.nodes import Node

WIDEST = 100_000
"""The largest window a name may ask for."""


@dataclass(frozen=True)
class Family:
    """Features of one definition and any windows; `template` is such as 'sma_{}'.

    `is_rising`: the second window must be longer than the first.
    """

    template: str
    definition: str
    windows: tuple[int, ...]
    build: Callable[..., Node]
    narrowest: int = 1
    is_rising: bool = True
    widest: int = WIDEST

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the family's names, one group a window."""
        return re.compile(self.template.replace("{}", "([1-9][0-9]*)"))

    @property
    def example(self) -> str:
        """The member with the usual windows."""
        return self.template.format(*self.windows)

    def node(self, windows: tuple[int, ...]) -> Node:
        """The computation for these windows; ConfigError if one is out of range."""
        name = self.template.format(*windows)
        for window in windows:
            if not self.narrowest <= window <= self.widest:
                raise ConfigError(
                    f"windows of {name} must be {self.narrowest} to {self.widest} bars, "
                    f"was {window}"
                )
        if self.is_rising and len(windows) > 1 and windows[0] >= windows[1]:
            raise ConfigError(
                f"windows of {name} must be fast then slow, was {windows[0]} before {windows[1]}"
            )
        return self.build(*windows)


class Member(NamedTuple):
    """One feature of a family: its computation and its definition in words."""

    node: Node
    definition: str


def member(name: str, families: Sequence[Family]) -> Member | None:
    """The feature of this name, None if no family has it; ConfigError for a window out of range."""
    for family in families:
        match = family.pattern.fullmatch(name)
        if match is not None:
            windows = tuple(map(int, match.groups()))
            return Member(family.node(windows), family.definition.format(*windows))
    return None
