"""Nouns everyone shares: bars, orders, models, options, errors, time. Imports no other stage.

Names are imported on first use: a command's `--help` needs neither numpy nor pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crypto_bot.core.bars import OHLCV, Bar, Bars, symbol_slug
    from crypto_bot.core.funding import FundingRates
    from crypto_bot.core.models import ModelCard, Predictor
    from crypto_bot.core.options import Options
    from crypto_bot.core.orders import (
        TRADE,
        ExitReason,
        Fill,
        Order,
        OrderType,
        Position,
        Side,
        Signals,
    )

__all__ = [
    "OHLCV",
    "TRADE",
    "Bar",
    "Bars",
    "ExitReason",
    "Fill",
    "FundingRates",
    "ModelCard",
    "Options",
    "Order",
    "OrderType",
    "Position",
    "Predictor",
    "Side",
    "Signals",
    "symbol_slug",
]

_HOMES = {
    "OHLCV": "bars",
    "Bar": "bars",
    "Bars": "bars",
    "symbol_slug": "bars",
    "FundingRates": "funding",
    "ModelCard": "models",
    "Predictor": "models",
    "Options": "options",
    "TRADE": "orders",
    "ExitReason": "orders",
    "Fill": "orders",
    "Order": "orders",
    "OrderType": "orders",
    "Position": "orders",
    "Side": "orders",
    "Signals": "orders",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
