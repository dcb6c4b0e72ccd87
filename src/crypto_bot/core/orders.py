"""What was asked, what was filled, what a round trip earned: shared by backtest, paper and live."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple

import numpy as np

from crypto_bot.core.arrays import PerBar, PerBarDirection


class Signals(NamedTuple):
    """A strategy's intent at the close of every bar.

    direction : int8 (bars,) in {-1, 0, +1}
    score : float64 (bars,) in 0..1, strength of the intent; 0 where direction is 0
    """

    direction: PerBarDirection
    score: PerBar


class ExitReason(IntEnum):
    """Why a position was closed; OPEN means it still was at the end of the data."""

    OPEN = 0
    SIGNAL = 1
    REVERSE = 2
    STOP = 3
    TRAILING = 4
    TARGET = 5
    TIME = 6
    LIQUIDATION = 7


TRADE = np.dtype(
    [
        ("entry_bar", np.int64),
        ("exit_bar", np.int64),  # -1 while open
        ("entry_time", np.int64),  # ns; open of the entry bar
        ("exit_time", np.int64),  # ns; open of the bar when filled at the open, else its close
        ("direction", np.int8),
        ("quantity", np.float64),  # base currency, > 0
        ("entry_price", np.float64),  # after slippage
        ("exit_price", np.float64),  # after slippage; last close while open
        ("fees_quote", np.float64),
        ("financing_quote", np.float64),  # funding and borrowing paid while held
        ("pnl_quote", np.float64),  # after fees and financing
        ("return_frac", np.float64),  # pnl / (quantity * entry_price)
        ("exit_reason", np.int8),
    ]
)
"""One round trip. Backtest and paper session write the same record."""


class Side(StrEnum):
    """Which way an order trades."""

    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    """How an order waits for its price."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"


@dataclass(frozen=True)
class Order:
    """An instruction to a broker. `client_id` is in the journal before it leaves."""

    client_id: str
    symbol: str
    side: Side
    type: OrderType
    quantity: float
    created_at_ns: int
    price: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Fill:
    """What a broker really did with an order."""

    client_id: str
    symbol: str
    side: Side
    quantity: float
    price: float
    fee_quote: float
    filled_at_ns: int
    reason: str = ""


@dataclass(frozen=True)
class Position:
    """What is held: signed quantity in base currency, average entry price in quote currency."""

    symbol: str
    quantity: float
    entry_price: float
