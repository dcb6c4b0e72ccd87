"""`Section`: one part of the configuration file."""

from __future__ import annotations

from typing import Any, ClassVar, Self, TypeVar

from crypto_bot.core.options import Options

Target = TypeVar("Target", bound=Options)


class Section(Options):
    """Options that a file may hold; a section that mirrors a stage's options turns into them.

    `elsewhere` names the keys that are read from the section itself and are no options of the stage.
    """

    elsewhere: ClassVar[frozenset[str]] = frozenset()

    def of(self, options: type[Target], **more: Any) -> Target:
        """The stage's own options with this section's values, and `more` that only a run knows.

        >>> from crypto_bot.engine.options import CostOptions
        >>> Section().of(CostOptions, slippage_frac=0.002).slippage_frac
        0.002
        """
        return options(**{**self.model_dump(exclude=set(self.elsewhere)), **more})

    def replace(self, **changes: Any) -> Self:
        """A checked copy with some fields changed; what was not given stays not given."""
        return type(self)(**{**self.model_dump(exclude_unset=True), **changes})
