"""Turning points: peaks and valleys, from the bar at which they can be known."""

from __future__ import annotations

import numpy as np
from numba import njit
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import PerBar
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy


class PeaksValleysParameters(StrategyParameters):
    """Parameters of `peaks_valleys`."""

    before_bars: int = Field(
        default=12,
        ge=1,
        le=200,
        description="bars before a peak or valley that it tops or undercuts",
    )
    confirm_bars: int = Field(
        default=3, ge=1, le=50, description="bars after it that must confirm it"
    )
    minimum_swing_frac: float = Field(
        default=0.003, ge=0, le=0.2, description="size of the swing before it, fraction of price"
    )

    def features(self) -> tuple[str, ...]:
        """None: it reads highs and lows."""
        return ()

    def lookback_bars(self) -> int:
        """From the first bar before the turn to the bar that confirms it."""
        return self.before_bars + 1 + self.confirm_bars


@strategy(
    "peaks_valleys",
    parameters=PeaksValleysParameters,
    regime=("sideways", "mean-reverting"),
    signal_exit="opposite",
    prices=("high", "low", "close"),
)
def peaks_valleys(columns: Columns, parameters: PeaksValleysParameters) -> Signals:
    """Long once a valley is confirmed, short once a peak is.

    A valley is a bar whose low is below every low of the `before_bars` before it and the
    `confirm_bars` after it, following a fall of at least `minimum_swing_frac` from the highest
    high of those before. It is known, and traded, only `confirm_bars` later. A peak mirrors it. The
    position is kept until the opposite turn. Score: share of the swing that the close has not made
    up yet.

    Data: highs, lows, closes.

    Mended: peaks and valleys marked on a whole chart use the bars after them; here the signal
    comes when those bars have closed.
    """
    p = parameters
    prices = (columns["high"], columns["low"], columns["close"])
    return Signals(*_turns(*prices, p.before_bars, p.confirm_bars, p.minimum_swing_frac))


@njit(cache=True, nogil=True)
def _is_turn(price: PerBar, sign: float, turn: int, before_bars: int, after_bars: int) -> bool:
    """Whether sign * price is lower at `turn` than at each of its neighbours."""
    lowest = sign * price[turn]
    for k in range(1, after_bars + 1):
        if not sign * price[turn + k] > lowest:
            return False
    k = 1
    while k <= before_bars and sign * price[turn - k] > lowest:
        k += 1
    return k > before_bars


@njit(cache=True, nogil=True)
def _share_left(made_up: float, swing: float) -> float:
    return min(max(1.0 - made_up / swing, 0.0), 1.0) if swing > 0.0 else 0.0


@njit(cache=True, nogil=True)
def _turns(  # type: ignore[no-untyped-def]
    high: PerBar,
    low: PerBar,
    close: PerBar,
    before_bars: int,
    confirm_bars: int,
    swing_frac: float,
):
    direction = np.zeros(len(close), np.int8)
    score = np.zeros(len(close))
    for i in range(before_bars + confirm_bars, len(close)):
        turn = i - confirm_bars
        if low[turn] < low[turn + 1] and _is_turn(low, 1.0, turn, before_bars, confirm_bars):
            swing = high[turn - before_bars : turn].max() - low[turn]
            if swing >= swing_frac * low[turn]:
                direction[i] = 1
                score[i] = _share_left(close[i] - low[turn], swing)
        # One bar can be both, an outside bar: then neither is a turn.
        if high[turn] > high[turn + 1] and _is_turn(high, -1.0, turn, before_bars, confirm_bars):
            swing = high[turn] - low[turn - before_bars : turn].min()
            if swing >= swing_frac * high[turn]:
                is_both = direction[i] == 1
                direction[i] = 0 if is_both else -1
                score[i] = 0.0 if is_both else _share_left(high[turn] - close[i], swing)
    return direction, score
