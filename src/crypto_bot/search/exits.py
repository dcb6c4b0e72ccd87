"""Exits that are searched: which of them are used, and how far away they are."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from pydantic import Field

from crypto_bot.core.errors import ConfigError, nearest
from crypto_bot.core.options import Options
from crypto_bot.engine import ExitOptions

if TYPE_CHECKING:
    from crypto_bot.search.space import Draw

EXIT_NAMES = {
    "stop": "stop_loss_frac",
    "target": "take_profit_frac",
    "trailing": "trailing_stop_frac",
    "holding": "max_holding_bars",
}
"""What a person calls an exit -> its field in `ExitOptions`."""
_DIGITS = 4


class ExitSpace(Options):
    """Which exits a search may use, and between which distances; None: as `base` has it.

    An exit with a range is used or not, and has a distance only where it is used.
    """

    base: ExitOptions = Field(default=ExitOptions(), description="everything that is not searched")
    stop: tuple[float, float] | None = Field(
        default=None, description="stop distance, fraction of the fill price"
    )
    target: tuple[float, float] | None = Field(
        default=None, description="target distance, fraction of the fill price"
    )
    trailing: tuple[float, float] | None = Field(
        default=None, description="trailing distance, fraction of the best price"
    )
    holding: tuple[int, int] | None = Field(
        default=None, description="longest holding time, closes"
    )
    levels: int = Field(default=3, ge=1, le=100, description="distances of each exit in a grid")

    def model_post_init(self, context: Any) -> None:
        """Check the ranges; raises ConfigError naming the exit."""
        del context
        for name, (low, high) in self.ranges().items():
            if low > high:
                raise ConfigError(f"exits.{name} must rise from low to high, was {low}..{high}")
            for value in (low, high):
                self.base.replace(**{EXIT_NAMES[name]: value})

    def ranges(self) -> dict[str, tuple[float, float]]:
        """The exits that are searched, in a fixed order, each with its range."""
        named = {name: getattr(self, name) for name in EXIT_NAMES}
        return {name: span for name, span in named.items() if span is not None}

    def describe(self) -> dict[str, Any]:
        """JSON-ready."""
        return self.model_dump(mode="json")

    def draw(self, draw: Draw) -> ExitOptions:
        """Exits: each in use or not; a distance is drawn only for one in use."""
        chosen: dict[str, Any] = {}
        for name, (low, high) in self.ranges().items():
            if not draw.choice(f"{name} used", (False, True)):
                chosen[EXIT_NAMES[name]] = None
            elif name == "holding":
                chosen[EXIT_NAMES[name]] = draw.integer(name, int(low), int(high), True)
            else:
                value = draw.number(name, low, high, True)
                chosen[EXIT_NAMES[name]] = _short(value, low, high)
        return self.base.replace(**chosen)

    def grid_size(self) -> int:
        """How many different exits `grid` gives."""
        return math.prod(len(self._levels(name)) for name in self.ranges())

    def grid(self) -> list[ExitOptions]:
        """Every combination of none and `levels` distances of each exit, spaced by ratio."""
        names = list(self.ranges())
        combinations = itertools.product(*(self._levels(name) for name in names))
        fields = [EXIT_NAMES[name] for name in names]
        return [self.base.replace(**dict(zip(fields, c, strict=True))) for c in combinations]

    def _levels(self, name: str) -> list[Any]:
        low, high = self.ranges()[name]
        shares = [0.5] if self.levels == 1 else [i / (self.levels - 1) for i in range(self.levels)]
        values = (_short(low * (high / low) ** share, low, high) for share in shares)
        rounded = (round(value) if name == "holding" else value for value in values)
        return [None, *dict.fromkeys(rounded)]


def exit_space(names: str | list[str] | tuple[str, ...], base: ExitOptions) -> ExitSpace:
    """The usual ranges of the exits named, such as ("stop", "target"); "none" searches none.

    >>> sorted(exit_space(["stop", "holding"], ExitOptions()).ranges())
    ['holding', 'stop']
    """
    chosen = [names] if isinstance(names, str) else list(names)
    for name in chosen:
        if name not in {*_USUAL, "none"}:
            raise ConfigError(
                f"exits must be among none, {', '.join(_USUAL)}, was {name!r}"
                f"{nearest(name, [*_USUAL, 'none'])}"
            )
    if "none" in chosen and len(chosen) > 1:
        raise ConfigError(f"exits must be none or names of exits, was {' '.join(chosen)}")
    return ExitSpace(base=base, **{name: _USUAL[name] for name in chosen if name != "none"})


def changed_exits(exits: ExitOptions) -> dict[str, Any]:
    """The exits that differ from their defaults, JSON-ready."""
    return exits.model_dump(mode="json", exclude_defaults=True)


_USUAL: dict[str, Any] = {
    "stop": (0.003, 0.1),
    "target": (0.005, 0.2),
    "trailing": (0.005, 0.1),
    "holding": (4, 512),
}


def _short(value: float, low: float, high: float) -> float:
    short = float(f"{value:.{_DIGITS}g}")
    return short if low <= short <= high else min(max(value, low), high)
