"""Further bots of the originals that need an order book or the prices of another venue."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import PerBar
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy, whole_score
from crypto_bot.strategies.needs import IMPLIED_PRICE, ORDER_BOOK, OTHER_VENUE, Need
from crypto_bot.strategies.sliding import window_mean


class MarketMakingBotParameters(StrategyParameters):
    """Parameters of `market_making_bot`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (("spread_min_frac", "spread_max_frac"),)

    spread_min_frac: float = Field(
        default=0.0004, ge=0, le=0.02, description="the spread must pay for two maker fees"
    )
    spread_max_frac: float = Field(
        default=0.005, ge=0.0001, le=0.1, description="a wider spread is an empty book"
    )
    imbalance_bars: int = Field(
        default=3, ge=1, le=50, description="window of the book's mean imbalance, bars"
    )
    imbalance_min: float = Field(
        default=0.2, ge=0, le=1, description="mean imbalance, -1 to 1, that a quote leans on"
    )
    noise_bars: int = Field(default=20, ge=5, le=200, description="window of the noise, bars")
    noise_max: float = Field(
        default=20.0, ge=0.5, le=200, description="noise of one bar, in spreads, at most"
    )

    def features(self) -> tuple[str, ...]:
        """The noise of one bar."""
        return (f"return_std_{self.noise_bars}",)

    def needs(self) -> tuple[Need, ...]:
        """Best prices and sizes at every close."""
        return (ORDER_BOOK,)

    def lookback_bars(self) -> int:
        """The books behind one mean imbalance."""
        return self.imbalance_bars


@strategy(
    "market_making_bot",
    parameters=MarketMakingBotParameters,
    regime=("sideways",),
    signal_exit="flat",
)
def market_making_bot(columns: Columns, parameters: MarketMakingBotParameters) -> Signals:
    """Quote the side that the order book leans to, where the spread pays and the market is quiet.

    The spread must be at least `spread_min_frac` and at most `spread_max_frac` of the middle price
    and the noise of one bar at most `noise_max` spreads, else whoever takes the quote knows more.
    The imbalance (bid size less ask size over both) averaged over `imbalance_bars` then decides:
    above `imbalance_min` a bid, below its negative an ask. Score: size of the mean imbalance. A
    quote in the true sense, a limit order on both sides, is an `on_bar` strategy; this says which
    side to stand on.

    Data: an order book at each close: columns best_bid, best_ask, bid_size, ask_size; closes.

    Mended: the original made up a book round the last price where it had none; this one refuses.
    """
    p = parameters
    noise = columns[p.features()[0]]
    bid, ask, bids, asks = (columns[name] for name in ORDER_BOOK.columns)
    both = bids + asks
    imbalance = np.divide(bids - asks, both, out=np.zeros(len(both)), where=both != 0.0)
    lean = window_mean(imbalance, p.imbalance_bars)
    middle = 0.5 * (bid + ask)
    spread = np.divide(ask - bid, middle, out=np.full(len(bid), np.nan), where=middle > 0.0)
    is_paid = (spread >= p.spread_min_frac) & (spread <= p.spread_max_frac)
    is_open = is_paid & (noise <= p.noise_max * spread)
    bid_side, ask_side = is_open & (lean > p.imbalance_min), is_open & (lean < -p.imbalance_min)
    direction = np.subtract(bid_side, ask_side, dtype=np.int8)
    size = np.where(direction != 0, np.abs(lean), 0.0)
    return Signals(direction, np.minimum(size, 1.0))


class ArbitrageEngineParameters(StrategyParameters):
    """Parameters of `arbitrage_engine`."""

    data_choices: ClassVar[tuple[str, ...]] = ("kind",)

    kind: Literal["cross_exchange", "latency", "triangular"] = Field(
        default="cross_exchange", description="what is compared: a venue, its move, or two pairs"
    )
    cost_frac: float = Field(
        default=0.002,
        ge=0,
        le=0.05,
        description="fees and slippage of both legs, fraction of price",
    )
    margin_frac: float = Field(
        default=0.001, ge=0, le=0.05, description="gap beyond the costs to enter at"
    )
    confirm_bars: int = Field(
        default=2, ge=1, le=50, description="bars in a row that the gap must have lasted"
    )

    def features(self) -> tuple[str, ...]:
        """None: it compares prices."""
        return ()

    def needs(self) -> tuple[Need, ...]:
        """The price it compares with."""
        return (IMPLIED_PRICE,) if self.kind == "triangular" else (OTHER_VENUE,)

    def lookback_bars(self) -> int:
        """The bars a gap lasts, and one before for a move."""
        return self.confirm_bars + 1


@strategy(
    "arbitrage_engine",
    parameters=ArbitrageEngineParameters,
    regime=("sideways", "volatile"),
    signal_exit="flat",
    prices=("close",),
)
def arbitrage_engine(columns: Columns, parameters: ArbitrageEngineParameters) -> Signals:
    """Buy here what is dearer elsewhere and sell what is cheaper, once costs of both legs are paid.

    'cross_exchange' compares the close with another venue's, 'triangular' with the price that two
    other pairs imply (`triangular_price`), 'latency' the last bar's move with the other venue's.
    The gap must exceed `cost_frac` + `margin_frac` for `confirm_bars` in a row, on one side. It is
    the leg on this venue: a gap may also close by the other price moving. Score: the gap over twice
    the least one, at most 1.

    Data: column other_venue_close, or implied_close for 'triangular'; closes.

    Mended: the original compared tickers fetched one after the other, so the gap was often the time
    between; here both prices are those known at the same close, and costs are taken off first.
    """
    p, close = parameters, columns["close"]
    (name,) = p.needs()[0].columns
    other = columns[name]
    gap = _moves_ahead(other, close) if p.kind == "latency" else other / close - 1.0
    least = p.cost_frac + p.margin_frac
    signs = np.subtract(gap > least, gap < -least, dtype=np.float64)
    lasting = window_mean(signs, p.confirm_bars)
    whole = 1.0 - 0.5 / p.confirm_bars
    direction = np.subtract(lasting > whole, lasting < -whole, dtype=np.int8)
    direction[np.isnan(gap)] = 0
    if least == 0.0:
        return whole_score(direction)
    size = np.where(direction != 0, np.abs(gap) / (2.0 * least), 0.0)
    return Signals(direction, np.minimum(size, 1.0))


def _moves_ahead(other: PerBar, close: PerBar) -> PerBar:
    """How much further the other price moved in the last bar; NaN at the first."""
    ahead = np.full(len(close), np.nan)
    before = other[:-1]
    np.divide(other[1:], before, out=ahead[1:], where=before > 0.0)
    ahead[1:] -= close[1:] / close[:-1]
    return ahead


def triangular_price(first: PerBar, second: PerBar) -> PerBar:
    """The price that two other pairs imply: A/C from A/B and B/C; column `implied_close`.

    >>> triangular_price(np.array([0.05]), np.array([60_000.0])).tolist()
    [3000.0]
    """
    implied: PerBar = first * second
    return implied
