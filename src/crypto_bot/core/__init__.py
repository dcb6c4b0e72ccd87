"""Nouns everyone shares: bars, orders, models, options, errors, time. Imports no other stage."""

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
