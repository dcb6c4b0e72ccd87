"""Strategies that look at two timeframes: longer bars set the frame, the bars traded set the moment.

A feature `name@timeframe` is that of the last longer bar that had closed, never of the one under
way: the guide's recipe saw a day's closing price at half past nine that morning.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import numpy as np
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy, whole_score
from crypto_bot.strategies.holding import held

LongerTimeframe: TypeAlias = Literal["1h", "4h", "1d", "1w"]


class TwoTimeframes(StrategyParameters):
    """Parameters of a strategy with longer bars beside its own."""

    data_choices: ClassVar[tuple[str, ...]] = ("timeframe",)

    timeframe: LongerTimeframe = Field(
        default="1d", description="longer bars, a whole multiple of those traded"
    )


class DailyTrendRsiParameters(TwoTimeframes):
    """Parameters of `daily_trend_rsi`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (("oversold", "overbought"),)

    trend_bars: int = Field(
        default=10, ge=2, le=200, description="average that tells the trend, longer bars"
    )
    window: int = Field(default=14, ge=2, le=100, description="window of the RSI, bars")
    oversold: float = Field(default=30.0, ge=5, le=50, description="long below this RSI")
    overbought: float = Field(default=70.0, ge=50, le=95, description="short above this RSI")
    hold_bars: int = Field(
        default=288, ge=1, le=1000, description="bars the side is wanted, at most"
    )

    def features(self) -> tuple[str, ...]:
        """The longer bars' close and average, and the RSI."""
        longer = self.timeframe
        return (f"close@{longer}", f"sma_{self.trend_bars}@{longer}", f"rsi_{self.window}")

    def lookback_bars(self) -> int:
        """The longest time a side can be wanted."""
        return self.hold_bars


@strategy(
    "daily_trend_rsi",
    parameters=DailyTrendRsiParameters,
    regime=("trending",),
    signal_exit="flat",
)
def daily_trend_rsi(columns: Columns, parameters: DailyTrendRsiParameters) -> Signals:
    """Buy an oversold RSI in a daily trend up, sell an overbought one in a trend down.

    The trend is up where the last closed day ended above its average, down where below. A side is
    wanted until the RSI reaches the other limit, the trend turns or `hold_bars` are over. Score is
    1.

    Data: closes, enough bars for `trend_bars` closed longer ones.

    Mended: the guide's daily feed was stamped with midnight, so bars of the day read its close;
    here a day counts once it has closed.
    """
    p = parameters
    close, average, rsi = (columns[name] for name in p.features())
    is_up, is_down = close > average, close < average
    buy, sell = is_up & (rsi < p.oversold), is_down & (rsi > p.overbought)
    sold, bought = ~is_up | (rsi >= p.overbought), ~is_down | (rsi <= p.oversold)
    is_known = ~np.isnan(close + average + rsi)
    trigger = np.subtract(buy, sell, dtype=np.int8)
    return whole_score(held(trigger, sold, bought, is_known, p.hold_bars))


class DailyPivotParameters(TwoTimeframes):
    """Parameters of `daily_pivot`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (("band_frac", "broken_frac"),)

    band_frac: float = Field(
        default=0.01, ge=0.001, le=0.2, description="support and resistance, from the pivot"
    )
    broken_frac: float = Field(
        default=0.03, ge=0.002, le=0.5, description="beyond this from the pivot they are broken"
    )
    hold_bars: int = Field(default=96, ge=1, le=500, description="bars the side is wanted, at most")

    def features(self) -> tuple[str, ...]:
        """The longer bar's high, low and close."""
        return tuple(f"{name}@{self.timeframe}" for name in ("high", "low", "close"))

    def lookback_bars(self) -> int:
        """The longest time a side can be wanted."""
        return self.hold_bars


@strategy(
    "daily_pivot",
    parameters=DailyPivotParameters,
    regime=("sideways", "mean-reverting"),
    signal_exit="flat",
    prices=("close",),
)
def daily_pivot(columns: Columns, parameters: DailyPivotParameters) -> Signals:
    """Buy at the support under yesterday's pivot, sell at the resistance over it.

    The pivot is (high + low + close) / 3 of the last closed day; support and resistance are
    `band_frac` below and above it. A close at the support or under it is a long, wanted until the
    pivot is reached, a close falls further than `broken_frac` or `hold_bars` are over; short mirrors
    it. Score: the way from the pivot over `broken_frac`.

    Data: closes, one closed longer bar.

    Mended: the guide's pivot was that of the day under way, whose high and low were still to come.
    """
    p, close = parameters, columns["close"]
    high, low, last = (columns[name] for name in p.features())
    pivot = (high + low + last) / 3.0
    away = close / pivot - 1.0
    is_broken = np.abs(away) > p.broken_frac
    buy, sell = ~is_broken & (away <= -p.band_frac), ~is_broken & (away >= p.band_frac)
    trigger = np.subtract(buy, sell, dtype=np.int8)
    over, under = is_broken | (away >= 0.0), is_broken | (away <= 0.0)
    direction = held(trigger, over, under, ~np.isnan(pivot), p.hold_bars)
    size = np.where(direction != 0, np.abs(away) / p.broken_frac, 0.0)
    return Signals(direction, np.minimum(size, 1.0))


class ConfluenceParameters(TwoTimeframes):
    """Parameters of `confluence`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (
        ("fast", "slow"),
        ("longer_fast", "longer_slow"),
    )

    longer_fast: int = Field(default=10, ge=2, le=100, description="fast average, longer bars")
    longer_slow: int = Field(default=30, ge=3, le=200, description="slow average, longer bars")
    fast: int = Field(default=10, ge=2, le=200, description="fast average, bars")
    slow: int = Field(default=30, ge=3, le=400, description="slow average, bars")
    window: int = Field(default=14, ge=2, le=100, description="window of the RSI, bars")
    rsi_middle: float = Field(
        default=50.0, ge=30, le=70, description="longs need a higher RSI, shorts a lower one"
    )

    def features(self) -> tuple[str, ...]:
        """Two averages of each timeframe, and the RSI."""
        longer = self.timeframe
        return (
            f"sma_{self.longer_fast}@{longer}",
            f"sma_{self.longer_slow}@{longer}",
            f"sma_{self.fast}",
            f"sma_{self.slow}",
            f"rsi_{self.window}",
        )


@strategy(
    "confluence",
    parameters=ConfluenceParameters,
    regime=("trending",),
    signal_exit="flat",
)
def confluence(columns: Columns, parameters: ConfluenceParameters) -> Signals:
    """Go with a trend that both timeframes and the RSI agree on.

    Long where the fast average is above the slow one among the longer bars and among those traded,
    and the RSI is above `rsi_middle`; short where all three are the other way. Nothing otherwise.
    Score: the RSI's way from `rsi_middle` to its end, 30 points being 1.

    Data: closes, enough bars for `longer_slow` closed longer ones.

    Mended: the guide compared whole lines of two feeds of different length, which compares bars of
    different times; here every value is the one known at this bar's close.
    """
    p = parameters
    longer_fast, longer_slow, fast, slow, rsi = (columns[name] for name in p.features())
    lean = rsi - p.rsi_middle
    up = (longer_fast > longer_slow) & (fast > slow) & (lean > 0.0)
    down = (longer_fast < longer_slow) & (fast < slow) & (lean < 0.0)
    direction = np.subtract(up, down, dtype=np.int8)
    size = np.where(direction != 0, np.abs(lean) / 30.0, 0.0)
    return Signals(direction, np.minimum(size, 1.0))


class AdaptiveStopParameters(TwoTimeframes):
    """Parameters of `adaptive_stop`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (
        ("fast", "slow"),
        ("tight_atr", "stop_atr"),
        ("longer_range", "longer_usual"),
    )

    fast: int = Field(default=10, ge=2, le=200, description="fast average, bars")
    slow: int = Field(default=30, ge=3, le=400, description="slow average, bars")
    atr_bars: int = Field(default=14, ge=3, le=50, description="window of the ATR, bars")
    best_bars: int = Field(
        default=20, ge=2, le=200, description="the stop hangs on the best price of these, bars"
    )
    stop_atr: float = Field(default=3.0, ge=0.5, le=10, description="distance of the stop, ATR")
    tight_atr: float = Field(
        default=1.5, ge=0.25, le=9, description="its distance while longer bars are wild, ATR"
    )
    longer_range: int = Field(default=5, ge=2, le=50, description="mean true range, longer bars")
    longer_usual: int = Field(default=20, ge=3, le=200, description="its usual size, longer bars")
    wild_ratio: float = Field(
        default=1.5, ge=1, le=5, description="wild is a range beyond this many times the usual"
    )

    def features(self) -> tuple[str, ...]:
        """Averages, ATR, best prices, and two mean ranges of the longer bars."""
        longer = self.timeframe
        return (
            f"sma_{self.fast}",
            f"sma_{self.slow}",
            f"atr_{self.atr_bars}",
            f"donchian_high_{self.best_bars}",
            f"donchian_low_{self.best_bars}",
            f"true_range_{self.longer_range}@{longer}",
            f"true_range_{self.longer_usual}@{longer}",
        )


@strategy(
    "adaptive_stop",
    parameters=AdaptiveStopParameters,
    regime=("trending", "volatile"),
    signal_exit="flat",
    prices=("close",),
)
def adaptive_stop(columns: Columns, parameters: AdaptiveStopParameters) -> Signals:
    """Follow a cross of averages behind a stop that tightens when the days grow wild.

    Long while the fast average is above the slow one and the close is less than the stop's distance
    below the highest high of the last `best_bars`; short mirrors it. The distance is `stop_atr`, or
    `tight_atr` while the mean true range of `longer_range` longer bars exceeds `wild_ratio` times
    that of `longer_usual`. Score is 1.

    Data: open to close, enough bars for `longer_usual` closed longer ones.

    Mended: the guide widened nothing and tightened nothing, since it took the mean of a whole line,
    later days included. Ranges are plain means here: Wilder's takes a year of days to settle.
    """
    p = parameters
    fast, slow, atr, high, low, present, usual = (columns[name] for name in p.features())
    reach = np.where(present > p.wild_ratio * usual, p.tight_atr, p.stop_atr) * atr
    is_known = ~np.isnan(high + low + present + usual)
    up = is_known & (fast > slow) & (columns["close"] > high - reach)
    down = is_known & (fast < slow) & (columns["close"] < low + reach)
    return whole_score(np.subtract(up, down, dtype=np.int8))
