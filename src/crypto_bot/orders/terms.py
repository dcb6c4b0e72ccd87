"""The terms an order may be asked for with, and what is refused at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np

from crypto_bot.core.errors import ConfigError, nearest


class OrderTerms(TypedDict, total=False):
    """What `buy`, `sell` and `reverse` take besides a quantity."""

    quote: float
    fraction: float
    limit: float
    stop: float
    trailing_frac: float
    trailing_atr: float
    trailing_distance: float
    stop_loss: float
    stop_loss_frac: float
    stop_loss_atr: float
    take_profit: float
    take_profit_frac: float
    take_profit_atr: float
    good_till_bars: int
    good_till_ns: int
    reduce_only: bool
    tag: str


class Changes(TypedDict, total=False):
    """What `replace` may change."""

    quantity: float
    limit: float
    stop: float
    trailing_frac: float
    trailing_atr: float
    trailing_distance: float
    good_till_bars: int
    good_till_ns: int


TERMS = frozenset(OrderTerms.__annotations__)
CHANGES = frozenset(Changes.__annotations__)
_WORDS = frozenset({"reduce_only", "tag"})
WHOLE = frozenset({"good_till_bars", "good_till_ns"})
_BELOW_1 = frozenset({"stop_loss_frac", "trailing_frac"})
_NUMBERS = (int, float, np.integer, np.floating)
TRAILS = ("trailing_frac", "trailing_atr", "trailing_distance")
STOPS = ("stop_loss_frac", "stop_loss_atr", "stop_loss")
TARGETS = ("take_profit_frac", "take_profit_atr", "take_profit")
PROTECTS = frozenset((*STOPS, *TRAILS, *TARGETS))


def check_terms(quantity: float | None, terms: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raise ConfigError for the first fault in what an order was asked with."""
    sizes = 0
    if quantity is not None:
        sizes = 1
        _check_number("quantity", quantity)
    for name, value in terms.items():
        if name not in known:
            raise ConfigError(f"{name} is not a term of an order{nearest(name, known)}")
        if name in _WORDS:
            _check_word(name, value)
            continue
        _check_number(name, value)
        sizes += name in ("quote", "fraction", "quantity")
    if sizes > 1:
        raise ConfigError("an order must have one of quantity, quote and fraction, had more")


def check_sides(side: int, close: float, terms: Mapping[str, Any]) -> None:
    """Raise ConfigError for a protecting price that the entry is on the wrong side of.

    The entry is expected at its limit, else its stop, else this close.
    """
    entry = terms.get("limit", terms.get("stop", close))
    verb = "buy" if side > 0 else "sell"
    for name, away in (("stop_loss", -side), ("take_profit", side)):
        price = terms.get(name)
        if price is not None and (price - entry) * away <= 0.0:
            where = "above" if away > 0 else "below"
            raise ConfigError(
                f"{name} must be {where} the entry of a {verb} ({entry:g}), was {price}; "
                f"give {name}_frac to hang it on the real fill"
            )


def _check_word(name: str, value: Any) -> None:
    if name == "tag" and not isinstance(value, str):
        raise ConfigError(f"tag must be a text, was {value!r}")
    if name == "reduce_only" and not isinstance(value, (bool, np.bool_)):
        raise ConfigError(f"reduce_only must be True or False, was {value!r}")


def _check_number(name: str, value: Any) -> None:
    if name in WHOLE and (isinstance(value, bool) or not isinstance(value, (int, np.integer))):
        raise ConfigError(f"{name} must be a whole number, was {value!r}")
    if not isinstance(value, _NUMBERS) or isinstance(value, bool) or not 0 < value < math.inf:
        raise ConfigError(f"{name} must be a finite number > 0, was {value!r}")
    if name == "fraction" and value > 1:
        raise ConfigError(f"fraction must be <= 1, was {value!r}")
    if name in _BELOW_1 and value >= 1:
        raise ConfigError(f"{name} must be < 1, was {value!r}")
