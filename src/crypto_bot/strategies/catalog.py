"""Which strategies exist, found by looking into this package, and which names are still to come."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any

from crypto_bot.core.errors import ConfigError, nearest
from crypto_bot.strategies.base import Definition, Strategy, enrolled

_NAMED_BY_THE_GUIDES = {
    "grid_bot": "levels round the VWAP",
    "sniper_bot": "new listings",
    "micro_scalp_bot": "one-minute scalps",
    "bounce_scalper": "reversal candles",
    "flash_crash_bot": "one-bar crashes",
    "lstm_bot": "a sequence model",
    "hft_engine": "order-book snapshots",
    "stat_arb_bot": "two correlated symbols",
    "range_arb_bot": "a kernel price",
    "cross_chain_arb_bot": "prices of a second chain",
    "dex_scalper": "gas prices",
    "maker_spread": "an order book",
}
"""Spec name -> what it trades on. Until one exists here it is refused, never answered with zeros."""


@cache
def _import_families() -> None:
    package = importlib.import_module("crypto_bot.strategies")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def definitions() -> Mapping[str, Definition]:
    """Every strategy of this package, and those that a user's own modules enrolled."""
    _import_families()
    return enrolled()


def list_strategies() -> tuple[str, ...]:
    """Names of all strategies that can be run, sorted."""
    return tuple(sorted(definitions()))


def strategies_not_available() -> dict[str, str]:
    """Names the guides know that do not exist here yet, and what each trades on."""
    existing = definitions()
    return {name: on for name, on in _NAMED_BY_THE_GUIDES.items() if name not in existing}


def definition(name: str) -> Definition:
    """The strategy's declaration; raises ConfigError for a name that cannot be run."""
    found = definitions().get(name)
    if found is not None:
        return found
    missing = strategies_not_available()
    if name in missing:
        raise ConfigError(
            f"strategy must be one of {', '.join(list_strategies())}, was {name!r}, which is not "
            f"available yet ({missing[name]})"
        )
    raise ConfigError(
        f"strategy must be one of {', '.join(list_strategies())}, was {name!r}"
        f"{nearest(name, list_strategies())}"
    )


def get_strategy(name: str, **parameters: Any) -> Strategy:
    """The strategy of this name, with some parameters changed from their defaults.

    Raises
    ------
    ConfigError    for an unknown name, an unknown parameter or a value out of its range

    >>> get_strategy("sma_cross", fast=5).features()
    ('sma_5', 'sma_30')
    >>> get_strategy("sma_cross", fast=50)
    Traceback (most recent call last):
        ...
    crypto_bot.core.errors.ConfigError: sma_cross.fast must be below slow (30), was 50
    """
    return definition(name).bind(parameters)
