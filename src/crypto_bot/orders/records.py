"""What compiled code (`njit`) reads and writes: an order, an account, a fill, as rows of arrays."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from crypto_bot.engine.ledger import FILL


class OrderKind(IntEnum):
    """How an order waits for its price. LIQUIDATION is the venue's, never asked for."""

    MARKET = 0
    LIMIT = 1
    STOP = 2
    STOP_LIMIT = 3
    TRAILING = 4
    LIQUIDATION = 5


class OrderStatus(IntEnum):
    """Where an order is; WAITING for the entry it protects, the last four are final."""

    WAITING = 0
    WORKING = 1
    FILLED = 2
    CANCELLED = 3
    EXPIRED = 4
    REJECTED = 5


class SizeBy(IntEnum):
    """What `size` of an order means; the quantity is settled at the fill."""

    QUANTITY = 0
    """base currency"""
    QUOTE = 1
    """notional, quote currency"""
    FRACTION = 2
    """share of what leverage x equity affords"""
    RULE = 3
    """by the account's `SizingOptions`"""
    HELD = 4
    """share of what is held: closes"""


class Why(IntEnum):
    """Why an order ended without all of it being filled."""

    NOTHING = 0
    BY_STRATEGY = 1
    OTHER_FILLED = 2
    POSITION_CLOSED = 3
    ENTRY_ENDED = 4
    TIME_IS_UP = 5
    INSUFFICIENT_EQUITY = 6
    BELOW_MINIMUM_QUANTITY = 7
    BELOW_MINIMUM_NOTIONAL = 8
    SHORT_NOT_ALLOWED = 9
    NOTHING_TO_REDUCE = 10
    RUINED = 11
    LIQUIDATED = 12
    NOT_KNOWN_YET = 13


WORDS = {
    Why.NOTHING: "",
    Why.BY_STRATEGY: "cancelled by the strategy",
    Why.OTHER_FILLED: "the other order of its pair was filled",
    Why.POSITION_CLOSED: "the position it protects is closed",
    Why.ENTRY_ENDED: "its entry was not filled",
    Why.TIME_IS_UP: "its time was up",
    Why.INSUFFICIENT_EQUITY: "insufficient equity or margin",
    Why.BELOW_MINIMUM_QUANTITY: "below the minimum quantity",
    Why.BELOW_MINIMUM_NOTIONAL: "below the minimum notional",
    Why.SHORT_NOT_ALLOWED: "short not allowed",
    Why.NOTHING_TO_REDUCE: "nothing to reduce",
    Why.RUINED: "the account is ruined",
    Why.LIQUIDATED: "the account was liquidated",
    Why.NOT_KNOWN_YET: "ATR, volatility or volume not known yet",
}
"""`Why` in a person's words."""

NEVER_BAR = 2**62
NEVER_NS = 2**62
"""An order without an end."""

FRACTION_AWAY, DISTANCE_AWAY = 1, 2
"""How a protective order's level follows from the fill of its entry; 0: its price is given."""

ORDER = np.dtype(
    [
        ("order_id", np.int64),
        ("kind", np.int8),  # OrderKind
        ("side", np.int8),  # +1 buys, -1 sells, 0: whatever closes
        ("status", np.int8),  # OrderStatus
        ("why", np.int8),  # Why
        ("exit_reason", np.int8),  # ExitReason where it closes
        ("size_by", np.int8),  # SizeBy
        ("hang_by", np.int8),  # FRACTION_AWAY, DISTANCE_AWAY or 0
        ("reduce_only", np.bool_),
        ("is_triggered", np.bool_),  # of a stop-limit: it is a limit now
        ("size", np.float64),
        ("limit_price", np.float64),  # NaN: none
        ("stop_price", np.float64),  # NaN: none
        ("trail_frac", np.float64),  # NaN: none
        ("trail_distance", np.float64),  # quote; NaN: none
        ("best_price", np.float64),  # what a trailing stop hangs on
        ("hang", np.float64),  # fraction or quote from the entry's fill
        ("entry_id", np.int64),  # order it protects, -1: none
        ("pair_id", np.int64),  # orders with the same are one-cancels-other, -1: none
        ("created_bar", np.int64),  # the close of this bar
        ("good_till_bar", np.int64),  # last bar it may be filled in
        ("good_till_ns", np.int64),  # bars that close later cannot fill it
        ("active_bar", np.int64),  # first bar it could be filled in, -1: none yet
        ("active_part", np.int64),  # finer bar in which it became active inside that bar
        ("active_price", np.float64),  # price at that moment; NaN: since the bar's open or before
        ("ended_bar", np.int64),  # -1 while waiting or working
        ("quantity", np.float64),  # base, filled
        ("price", np.float64),  # of the fill, NaN: none
        ("fee", np.float64),
    ]
)
"""One order, from its creation to its end."""

ORDER_FILL = np.dtype([*((name, FILL[name]) for name in FILL.names or ()), ("order_id", np.int64)])
"""`engine.FILL` and the order that was filled. An order that closes and reverses fills twice."""

ACCOUNT = np.dtype(
    [
        ("cash", np.float64),
        ("quantity", np.float64),  # base, signed
        ("entry_price", np.float64),  # average
        ("entry_bar", np.int64),
        ("is_ruined", np.bool_),
        ("bar", np.int64),  # the last one matched
        ("orders", np.int64),  # rows in use
        ("open_orders", np.int64),  # waiting and working
        ("fills", np.int64),
        ("refused", np.int64),  # orders rejected
        ("ambiguous_exits", np.int64),
        ("resolved_exits", np.int64),
        ("equity", np.float64),
        ("realised", np.float64),  # before fees and financing
        ("fees", np.float64),
        ("financing", np.float64),
        ("owed", np.float64),  # financing since it was last told with an exit
        ("last_entry_bar", np.int64),
        ("last_entry_market", np.float64),  # market price at the last fill that opened
        ("trip_largest", np.float64),
        ("trip_realised", np.float64),
        ("trip_fees", np.float64),
        ("trip_financing", np.float64),
        ("trades", np.int64),  # closed; with the three below what half-Kelly sizing remembers
        ("wins", np.int64),
        ("win_sum", np.float64),
        ("loss_sum", np.float64),
    ]
)
"""One symbol's account; arrays of one row, changed in place by the step."""

MARKET_COLUMNS = (
    "open",
    "high",
    "low",
    "close",
    "funding_due",
    "borrow_due",
    "atr",
    "volatility",
    "mean_volume",
)
OPEN, HIGH, LOW, CLOSE, FUNDING, BORROW, ATR, VOLATILITY, VOLUME = range(len(MARKET_COLUMNS))
"""Columns of the market table, float64 (bars, 9): the candle, and `engine.rules.Conditions`."""

EQUITY, POSITION, CASH, FINANCING = range(4)
"""Rows of the curve, float64 (4, bars): at each close; financing is the sum so far."""


def new_account(cash: float) -> np.ndarray:
    """A flat account before its first bar: ACCOUNT (1,)."""
    account = np.zeros(1, ACCOUNT)
    account["cash"] = account["equity"] = cash
    account["bar"] = account["entry_bar"] = account["last_entry_bar"] = -1
    return account
