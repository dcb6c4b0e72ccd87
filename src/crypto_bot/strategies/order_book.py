"""Strategies on the order book: what waits at the best bid and ask when a bar closes.

The micro price weighs bid and ask by the size on the other side: it lies nearer to the side that is
about to be used up.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import PerBar
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy
from crypto_bot.strategies.needs import BOOK_AGE, ORDER_BOOK, Need, needed_columns


class HftEngineParameters(StrategyParameters):
    """Parameters of `hft_engine`."""

    ttl_seconds: float = Field(
        default=1.0, ge=0.05, le=60, description="a book older than this counts for nothing, s"
    )
    imbalance_min: float = Field(
        default=0.2, ge=0, le=0.99, description="lean of the book, -1..1, at least"
    )
    momentum_bars: int = Field(
        default=1, ge=1, le=50, description="bars over which the micro price moved"
    )
    momentum_min_bp: float = Field(
        default=1.0, ge=0, le=200, description="move of the micro price, basis points, at least"
    )

    def features(self) -> tuple[str, ...]:
        """None: it reads the order book."""
        return ()

    def needs(self) -> tuple[Need, ...]:
        """Best bid and ask with sizes, and how old they are."""
        return (ORDER_BOOK, BOOK_AGE)

    def lookback_bars(self) -> int:
        """The move of the micro price."""
        return self.momentum_bars + 1


@strategy(
    "hft_engine",
    parameters=HftEngineParameters,
    regime=("volatile",),
    signal_exit="flat",
)
def hft_engine(columns: Columns, parameters: HftEngineParameters) -> Signals:
    """Go with a fresh order book that leans the way its micro price moved.

    Long where the book leans to the bid by at least `imbalance_min` (bid less ask size, over both)
    and the micro price rose by at least `momentum_min_bp` in `momentum_bars`; short mirrors it.
    Both books must be at most `ttl_seconds` old, with sizes above 0 and the bid below the ask; else
    there is no intent, and the position is left. Score: mean of the lean and of the move over four
    times its limit (1 at most), less half of that at the end of the time to live.

    Data: an order book and its age at the close of each bar.

    Mended: the original's function of bars was a stub that answered 0. Its dispatcher handed out
    snapshots by a priority per symbol within 1 s: the priority is the score, by which symbols are
    ranked, and the second is `ttl_seconds`.
    """
    p = parameters
    bid, ask, bid_size, ask_size, age = (columns[name] for name in needed_columns(p.needs()))
    limits = (p.ttl_seconds, p.imbalance_min, p.momentum_bars, p.momentum_min_bp)
    return Signals(*_fresh_lean(bid, ask, bid_size, ask_size, age, *limits))


@njit(cache=True, nogil=True)
def _fresh_micro(  # type: ignore[no-untyped-def]
    bid: float, ask: float, bid_size: float, ask_size: float, age: float, ttl_seconds: float
):
    """The micro price of a usable book, else NaN."""
    is_fresh = 0.0 <= age <= ttl_seconds
    if not (is_fresh and 0.0 < bid < ask < np.inf and 0.0 < bid_size + ask_size < np.inf):
        return np.nan
    if bid_size < 0.0 or ask_size < 0.0:
        return np.nan
    return (bid * ask_size + ask * bid_size) / (bid_size + ask_size)


@njit(cache=True, nogil=True)
def _fresh_lean(  # type: ignore[no-untyped-def]
    bid: PerBar,
    ask: PerBar,
    bid_size: PerBar,
    ask_size: PerBar,
    age: PerBar,
    ttl_seconds: float,
    imbalance_min: float,
    momentum_bars: int,
    momentum_min_bp: float,
):
    direction = np.zeros(len(bid), np.int8)
    score = np.zeros(len(bid))
    micro = np.full(len(bid), np.nan)
    for i in range(len(bid)):
        micro[i] = _fresh_micro(bid[i], ask[i], bid_size[i], ask_size[i], age[i], ttl_seconds)
        if i < momentum_bars or np.isnan(micro[i]) or np.isnan(micro[i - momentum_bars]):
            continue
        move_bp = 1e4 * (micro[i] / micro[i - momentum_bars] - 1.0)
        lean = (bid_size[i] - ask_size[i]) / (bid_size[i] + ask_size[i])
        if move_bp * lean <= 0.0 or abs(lean) < imbalance_min or abs(move_bp) < momentum_min_bp:
            continue
        pace = min(abs(move_bp) / (4.0 * momentum_min_bp), 1.0) if momentum_min_bp > 0.0 else 1.0
        direction[i] = 1 if lean > 0.0 else -1
        score[i] = 0.5 * (abs(lean) + pace) * (1.0 - 0.5 * age[i] / ttl_seconds)
    return direction, score


class MakerSpreadParameters(StrategyParameters):
    """Parameters of `maker_spread`."""

    spread_max_bp: float = Field(
        default=10.0, ge=0.5, le=200, description="ask over bid, basis points, at most"
    )
    maker_fee_bp: float = Field(
        default=2.0, ge=-2, le=50, description="fee of a resting order, basis points"
    )
    margin_bp: float = Field(
        default=1.0, ge=0, le=50, description="edge beyond the fee, basis points, above"
    )
    imbalance_min: float = Field(
        default=0.1, ge=0, le=0.99, description="lean of the book, -1..1, at least"
    )

    def features(self) -> tuple[str, ...]:
        """None: it reads the order book."""
        return ()

    def needs(self) -> tuple[Need, ...]:
        """Best bid and ask with sizes."""
        return (ORDER_BOOK,)


@strategy(
    "maker_spread",
    parameters=MakerSpreadParameters,
    regime=("sideways",),
    signal_exit="flat",
)
def maker_spread(columns: Columns, parameters: MakerSpreadParameters) -> Signals:
    """Quote the side of a narrow book whose micro price pays the maker's fee and a margin.

    A bid at the best bid earns the micro price less that bid, an ask at the best ask that ask less
    the micro price, in basis points of the middle. Long where the spread is at most
    `spread_max_bp`, the book leans to the bid by at least `imbalance_min` and a bid earns more than
    `maker_fee_bp` + `margin_bp`; short mirrors it. Score: what is earned beyond the fee, over the
    spread.

    Data: an order book at the close of each bar.

    Mended: the original quoted into a book that had none. A signal says which side to quote; whether
    a resting order at that price fills is decided by the engine, which by default trades at the
    next open, as a taker.
    """
    p = parameters
    bid, ask, bid_size, ask_size = (columns[name] for name in needed_columns(p.needs()))
    limits = (p.spread_max_bp, p.maker_fee_bp, p.margin_bp, p.imbalance_min)
    return Signals(*_quotes(bid, ask, bid_size, ask_size, *limits))


@njit(cache=True, nogil=True)
def _quotes(  # type: ignore[no-untyped-def]
    bid: PerBar,
    ask: PerBar,
    bid_size: PerBar,
    ask_size: PerBar,
    spread_max_bp: float,
    maker_fee_bp: float,
    margin_bp: float,
    imbalance_min: float,
):
    direction = np.zeros(len(bid), np.int8)
    score = np.zeros(len(bid))
    for i in range(len(bid)):
        micro = _fresh_micro(bid[i], ask[i], bid_size[i], ask_size[i], 0.0, 1.0)
        if np.isnan(micro):
            continue
        scale = 2e4 / (bid[i] + ask[i])
        spread_bp = scale * (ask[i] - bid[i])
        lean = (bid_size[i] - ask_size[i]) / (bid_size[i] + ask_size[i])
        side = 1 if lean > 0.0 else -1
        earned_bp = scale * (micro - bid[i] if side > 0 else ask[i] - micro)
        if spread_bp > spread_max_bp or lean == 0.0 or abs(lean) < imbalance_min:
            continue
        if earned_bp > maker_fee_bp + margin_bp:
            direction[i] = side
            score[i] = min((earned_bp - maker_fee_bp) / spread_bp, 1.0)
    return direction, score
