"""Where an order acts: the price it waits for, and from which side the market comes to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

from crypto_bot.orders.records import OrderKind

_LIMIT = int(OrderKind.LIMIT)
_STOP_LIMIT = int(OrderKind.STOP_LIMIT)
_TRAILING = int(OrderKind.TRAILING)

Rows: TypeAlias = npt.NDArray[Any]
"""ACCOUNT, ORDER or ORDER_FILL (rows,)"""
Row: TypeAlias = Any
"""One row of them, a view"""

Table: TypeAlias = npt.NDArray[np.float64]
Places: TypeAlias = npt.NDArray[np.int64]

_COMPILED_ONLY: dict[str, Any] = {
    "nogil": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
_Function = TypeVar("_Function", bound=Callable[..., Any])


def inner_njit(function: _Function) -> _Function:
    """Compile what compiled code alone calls: a door for Python would cost half the compiling."""
    compiled: _Function = njit(**_COMPILED_ONLY)(function)
    return compiled


@inner_njit
def acts_as_stop(order: Row) -> bool:
    """Whether it waits for a worse price (stop, trailing, untriggered stop-limit), not a better."""
    is_limit = order.kind == _LIMIT or (order.kind == _STOP_LIMIT and order.is_triggered)
    return not is_limit


@inner_njit
def level_of(order: Row) -> float:
    """The price a resting order waits for."""
    level: float = order.stop_price
    if not acts_as_stop(order):
        level = order.limit_price
    elif order.kind == _TRAILING and order.trail_frac > 0.0:
        level = order.best_price * (1.0 + order.side * order.trail_frac)
    elif order.kind == _TRAILING:
        level = order.best_price + order.side * order.trail_distance
    return level


@inner_njit
def way_of(order: Row) -> int:
    """-1 where a falling price reaches its level (buy limit, sell stop), +1 where a rising does."""
    side: int = order.side
    return side if acts_as_stop(order) else -side


@inner_njit
def is_beyond(price: float, level: float, way: int) -> bool:
    """Whether a price moving this way has reached the level."""
    return (price - level) * way >= 0.0


@inner_njit
def must_be_passed(level: float, way: int, since: float, open_: float, close: float) -> bool:
    """Whether a level the bar touched was surely touched after the price `since` was first traded.

    Moving from the open to `since` against the level's side comes before anything beyond
    `since`; else only a close beyond the level proves it.
    """
    return (since - open_) * way >= 0.0 or is_beyond(close, level, way)
