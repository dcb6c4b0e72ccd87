"""Families that set a level of price beside the close: no unit, the same for a pair at any price.

Each is made of the family of that level: `close_to_X` is close / X - 1, `X_frac` is X / close.
"""

from __future__ import annotations

from collections.abc import Callable

from crypto_bot.features import nodes as n
from crypto_bot.features.families import Family
from crypto_bot.features.nodes import Node
from crypto_bot.features.price_families import PRICE_FAMILIES

_LEVELS = (
    *("donchian_high_{}", "donchian_low_{}", "keltner_upper_{}", "keltner_lower_{}"),
    *("linreg_{}", "gma_{}"),
)
"""Prices: where the close lies beside them."""
_SPANS = (
    *("macd_line_{}_{}", "macd_signal_{}_{}_{}", "macd_hist_{}_{}_{}"),
    *("linreg_slope_{}", "linreg_deviation_{}", "atr_sma_{}_{}", "true_range_{}"),
)
"""Differences of prices: their size beside the close."""


def _named(family: Family) -> str:
    """The member's name, its windows still to be filled in."""
    return family.template.format(*(f"{{{k}}}" for k in range(len(family.windows))))


def _close_to(family: Family) -> Family:
    def build(*windows: int) -> Node:
        return n.change("close", family.build(*windows))

    return _beside(family, f"close_to_{family.template}", f"close / {_named(family)} - 1", build)


def _share(family: Family) -> Family:
    def build(*windows: int) -> Node:
        return n.ratio(family.build(*windows), "close")

    head, _, windows = family.template.partition("_{}")
    return _beside(family, f"{head}_frac_{{}}{windows}", f"{_named(family)} / close", build)


def _beside(family: Family, template: str, definition: str, build: Callable[..., Node]) -> Family:
    return Family(template, definition, family.windows, build, family.narrowest, family.is_rising)


_BY_TEMPLATE = {family.template: family for family in PRICE_FAMILIES}

SCALE_FAMILIES: tuple[Family, ...] = (
    *(_close_to(_BY_TEMPLATE[template]) for template in _LEVELS),
    *(_share(_BY_TEMPLATE[template]) for template in _SPANS),
    Family("close_to_pivot", "close / pivot - 1", (), lambda: n.change("close", n.TYPICAL)),
)
