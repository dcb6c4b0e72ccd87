"""Which strategies exist, found by looking into this package."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any

from crypto_bot.core.errors import ConfigError, nearest
from crypto_bot.strategies.base import Definition, Strategy, enrolled


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
    """Names of all strategies, sorted; `get_strategy(name).needs` says what must be given to one."""
    return tuple(sorted(definitions()))


def definition(name: str) -> Definition:
    """The strategy's declaration; raises ConfigError for an unknown name."""
    found = definitions().get(name)
    if found is not None:
        return found
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
