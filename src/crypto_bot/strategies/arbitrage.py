"""Two prices that belong together: trade this one where they part, until they meet."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numba import njit
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import PerBar
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy
from crypto_bot.strategies.moments import BLOCK, window_moments
from crypto_bot.strategies.needs import OTHER_VENUE, SECOND_ASSET, Need


class StatArbBotParameters(StrategyParameters):
    """Parameters of `stat_arb_bot`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (("exit_z", "entry_z"),)
    data_choices: ClassVar[tuple[str, ...]] = ("mode",)

    mode: Literal["pair", "single"] = Field(
        default="pair", description="'single': the price's own z-score, no second asset"
    )
    window: int = Field(default=20, ge=5, le=200, description="window of z and correlation, bars")
    entry_z: float = Field(default=2.0, ge=0.5, le=5, description="z to enter at, either way")
    exit_z: float = Field(default=0.0, ge=-2, le=2, description="z at which the prices have met")
    spread: Literal["ratio", "hedge"] = Field(
        default="ratio", description="pair: logarithm of the price ratio, or of a fitted hedge"
    )
    correlation_min: float = Field(
        default=0.8, ge=-1, le=0.99, description="pair: correlation of returns must exceed"
    )
    hold_bars: int = Field(default=48, ge=1, le=500, description="bars the side is wanted, at most")

    def features(self) -> tuple[str, ...]:
        """The price's z-score if it is traded alone; a pair reads closes."""
        return (f"zscore_{self.window}",) if self.mode == "single" else ()

    def needs(self) -> tuple[Need, ...]:
        """The second asset's prices, for a pair."""
        return (SECOND_ASSET,) if self.mode == "pair" else ()

    def lookback_bars(self) -> int:
        """The window with the return before it, and the longest time a side can be wanted."""
        return self.hold_bars + (self.window if self.mode == "pair" else 0)


@strategy(
    "stat_arb_bot",
    parameters=StatArbBotParameters,
    regime=("mean-reverting",),
    signal_exit="flat",
    prices=("close",),
)
def stat_arb_bot(columns: Columns, parameters: StatArbBotParameters) -> Signals:
    """Trade this asset against its spread to a correlated one until the two meet again.

    mode='pair': the spread is log(close) - b log(other_close) with b = 1 ('ratio') or the least
    squares slope over the window ('hedge'); z is its distance from the window's mean in standard
    deviations. Long where z is at most -`entry_z`, short where it is at least `entry_z`, if the
    one-bar log returns of both correlate by more than `correlation_min` over the window. Wanted
    until z passes `exit_z`, the correlation is lost, or `hold_bars` are over. mode='single': the
    same with the z-score of the close, without correlation. Score: z over twice `entry_z`, at most
    1.

    Data: closes; mode='pair' needs the second asset's prices at the same closes. This asset's side
    only: run the strategy on the other asset too, roles swapped, to trade both legs.

    Mended: the original subtracted one price from the other, so the dearer asset was the spread;
    logarithms have no scale. It fell back to a single asset by itself where the second was missing;
    here that must be asked for.
    """
    p = parameters
    limits = (p.entry_z, p.exit_z, p.hold_bars)
    if p.mode == "single":
        (name,) = p.features()
        return Signals(*_until_met(columns[name], *limits))
    is_hedged = p.spread == "hedge"
    x, y = _logarithm(columns["close"]), _logarithm(columns["other_close"])
    z = _spread_z(x, y, p.window, is_hedged, p.correlation_min)
    return Signals(*_until_met(z, *limits))


def _logarithm(price: PerBar) -> PerBar:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(price)


@njit(cache=True, nogil=True)
def _spread_z(  # type: ignore[no-untyped-def]
    x: PerBar, y: PerBar, window: int, is_hedged: bool, correlation_min: float
):
    """z of the spread, NaN where undefined or where the correlation is not above its minimum."""
    z = np.full(len(x), np.nan)
    for start in range(window, len(x), BLOCK):
        stop = min(start + BLOCK, len(x))
        part_x, part_y = x[start - window : stop], y[start - window : stop]
        levels = window_moments(part_x, part_y, window)
        moves = window_moments(part_x[1:] - part_x[:-1], part_y[1:] - part_y[:-1], window)
        for i in range(start, stop):
            j = i - start + window
            xx, yy, xy = levels[2, j], levels[3, j], levels[4, j]
            both = moves[2, j - 1] * moves[3, j - 1]
            if not (both > 0.0 and moves[4, j - 1] > correlation_min * np.sqrt(both) and yy > 0.0):
                continue
            slope = xy / yy if is_hedged else 1.0
            square = xx - 2.0 * slope * xy + slope * slope * yy
            if square > 1e-12 * (xx + slope * slope * yy):
                apart = x[i] - levels[0, j] - slope * (y[i] - levels[1, j])
                z[i] = apart / np.sqrt(square / window)
    return z


@njit(cache=True, nogil=True)
def _until_met(z: PerBar, entry_z: float, exit_z: float, hold_bars: int):  # type: ignore[no-untyped-def]
    direction = np.zeros(len(z), np.int8)
    score = np.zeros(len(z))
    side, left = 0, 0
    for i in range(len(z)):
        left -= 1
        if z[i] != z[i]:
            left = 0
            continue
        if abs(z[i]) >= entry_z:
            side, left = (-1 if z[i] > 0.0 else 1), hold_bars
        elif left > 0 and -side * z[i] <= exit_z:
            left = 0
        if left > 0:
            direction[i] = side
            score[i] = min(0.5 * abs(z[i]) / entry_z, 1.0)
    return direction, score


class CrossChainArbBotParameters(StrategyParameters):
    """Parameters of `cross_chain_arb_bot`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (("exit_frac", "spread_frac"),)

    spread_frac: float = Field(
        default=0.005, ge=0.0005, le=0.2, description="spread beyond the costs, fraction, above"
    )
    cost_frac: float = Field(
        default=0.002, ge=0, le=0.05, description="costs on both venues, fraction of price"
    )
    broken_frac: float = Field(
        default=0.1, ge=0.01, le=1, description="a spread of this much is a wrong price, fraction"
    )
    exit_frac: float = Field(
        default=0.0002, ge=0, le=0.1, description="spread at which the prices have met, fraction"
    )
    stale_bars: int = Field(
        default=12, ge=2, le=500, description="other price unchanged for this many bars is stale"
    )
    hold_bars: int = Field(default=48, ge=1, le=500, description="bars the side is wanted, at most")

    def features(self) -> tuple[str, ...]:
        """None: it reads the two prices."""
        return ()

    def needs(self) -> tuple[Need, ...]:
        """The price on the other venue or chain."""
        return (OTHER_VENUE,)

    def lookback_bars(self) -> int:
        """The longest time a side can be wanted, and how long a stale price has stood still."""
        return self.hold_bars + self.stale_bars - 1


@strategy(
    "cross_chain_arb_bot",
    parameters=CrossChainArbBotParameters,
    regime=("sideways", "volatile"),
    signal_exit="flat",
    prices=("close",),
)
def cross_chain_arb_bot(columns: Columns, parameters: CrossChainArbBotParameters) -> Signals:
    """Trade this venue towards the price of the same asset on another venue or chain.

    The spread is close / other_venue_close - 1. Long where this venue is cheaper by more than
    `spread_frac` + `cost_frac`, short where it is dearer, unless the spread reaches `broken_frac`
    (a wrong price) or the other price has been the same for `stale_bars` bars. Wanted until the
    spread is within `exit_frac` or on the other side, or `hold_bars` are over. Score: the spread
    beyond the costs over twice `spread_frac`, at most 1.

    Data: closes; the price on the other venue or chain at the same closes.

    Mended: the original compared a gross spread with its threshold, so fees ate what it found, and
    took the last price of the chain however old. This venue's side only; the other leg is another
    account's.
    """
    p = parameters
    close, other = columns["close"], columns["other_venue_close"]
    limits = (p.spread_frac, p.cost_frac, p.broken_frac, p.exit_frac, p.stale_bars, p.hold_bars)
    return Signals(*_venues(close, other, *limits))


@njit(cache=True, nogil=True)
def _venues(  # type: ignore[no-untyped-def]
    close: PerBar,
    other: PerBar,
    spread_frac: float,
    cost_frac: float,
    broken_frac: float,
    exit_frac: float,
    stale_bars: int,
    hold_bars: int,
):
    direction = np.zeros(len(close), np.int8)
    score = np.zeros(len(close))
    side, left, same = 0, 0, 0
    for i in range(len(close)):
        left -= 1
        same = same + 1 if i > 0 and other[i] == other[i - 1] else 1
        if not 0.0 < other[i] < np.inf or same >= stale_bars:
            left = 0
            continue
        spread = close[i] / other[i] - 1.0
        size = abs(spread)
        if size >= broken_frac:
            left = 0
        elif size > spread_frac + cost_frac:
            side, left = (-1 if spread > 0.0 else 1), hold_bars
        elif left > 0 and -side * spread <= exit_frac:
            left = 0
        if left > 0:
            direction[i] = side
            score[i] = min(max(size - cost_frac, 0.0) / (2.0 * spread_frac), 1.0)
    return direction, score
