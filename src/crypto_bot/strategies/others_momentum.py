"""Further bots of the originals that go with a move: waves, acceleration, scalps, single candles."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy, whole_score
from crypto_bot.strategies.holding import held


class MemeWaveBotParameters(StrategyParameters):
    """Parameters of `meme_wave_bot`."""

    wave_bars: int = Field(default=3, ge=1, le=50, description="bars over which the price jumped")
    jump_atr: float = Field(default=2.0, ge=0.2, le=10, description="size of the jump, ATR")
    atr_bars: int = Field(default=14, ge=3, le=50, description="window of the ATR, bars")
    volume_bars: int = Field(default=20, ge=5, le=100, description="window of mean volume, bars")
    volume_ratio_min: float = Field(
        default=1.5, ge=0, le=10, description="volume over its mean must exceed"
    )
    ride_bars: int = Field(
        default=8, ge=2, le=100, description="span of the average a wave stays beyond, bars"
    )
    hold_bars: int = Field(default=24, ge=1, le=500, description="bars the side is wanted, at most")

    def features(self) -> tuple[str, ...]:
        """The jump, the ATR, volume and the average."""
        return (
            f"return_{self.wave_bars}",
            f"atr_frac_{self.atr_bars}",
            f"volume_ratio_{self.volume_bars}",
            f"ema_{self.ride_bars}",
        )

    def lookback_bars(self) -> int:
        """The longest time a side can be wanted."""
        return self.hold_bars


@strategy(
    "meme_wave_bot",
    parameters=MemeWaveBotParameters,
    regime=("volatile", "breakout"),
    signal_exit="flat",
    prices=("close",),
)
def meme_wave_bot(columns: Columns, parameters: MemeWaveBotParameters) -> Signals:
    """Ride a sudden wave of price and volume while it lasts.

    Enter with a move of at least `jump_atr` ATR within `wave_bars` on more than `volume_ratio_min`
    times the mean volume; wanted until the close is back across its short average or `hold_bars`
    are over. Score: the jump over twice `jump_atr`, at most 1.

    Data: open to close, volume. What people say about a coin is not in candles and is not guessed.

    Mended: the original multiplied in a sentiment figure that was 0 when it could not be had, so it
    was silent without saying why; this one reads candles alone and says so.
    """
    p, close = parameters, columns["close"]
    jump, atr_frac, volume_ratio, average = (columns[name] for name in p.features())
    least = p.jump_atr * atr_frac
    is_loud = (volume_ratio > p.volume_ratio_min) & (atr_frac > 0.0)
    up, down = is_loud & (jump >= least), is_loud & (jump <= -least)
    is_known = ~np.isnan(jump + atr_frac + volume_ratio + average)
    trigger = np.subtract(up, down, dtype=np.int8)
    direction = held(trigger, close < average, close > average, is_known, p.hold_bars)
    size = np.divide(np.abs(jump), 2.0 * least, out=np.zeros(len(close)), where=least > 0.0)
    return Signals(direction, np.where(direction != 0, np.minimum(size, 1.0), 0.0))


class MomentumExploiterParameters(StrategyParameters):
    """Parameters of `momentum_exploiter`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (("fast", "slow"),)

    fast: int = Field(default=5, ge=1, le=50, description="bars of the recent return")
    slow: int = Field(default=20, ge=5, le=200, description="bars of the longer return")
    momentum_min: float = Field(
        default=0.8, ge=0, le=5, description="both returns must exceed, standard deviations"
    )
    volume_bars: int = Field(default=20, ge=5, le=100, description="window of mean volume, bars")
    volume_ratio_min: float = Field(
        default=1.0, ge=0, le=5, description="volume over its mean must exceed"
    )

    def features(self) -> tuple[str, ...]:
        """Two returns, their noise, and volume."""
        return (
            f"return_{self.fast}",
            f"return_{self.slow}",
            f"return_std_{self.slow}",
            f"volume_ratio_{self.volume_bars}",
        )


@strategy(
    "momentum_exploiter",
    parameters=MomentumExploiterParameters,
    regime=("trending", "breakout"),
    signal_exit="opposite",
)
def momentum_exploiter(columns: Columns, parameters: MomentumExploiterParameters) -> Signals:
    """Go with momentum that is strong for its noise and still gathering pace.

    A return over n bars is measured in standard deviations of one bar times the square root of n.
    Long where the recent and the longer one both exceed `momentum_min`, the recent one is the
    larger and volume exceeds `volume_ratio_min` times its mean; short mirrors it. A position is
    kept until the other side. Score: the recent momentum / 3, at most 1.

    Data: closes, volume.

    Mended: the originals took momentum as a bare percentage, so one threshold meant something else
    for every coin and timeframe.
    """
    p = parameters
    recent, longer, noise, volume_ratio = (columns[name] for name in p.features())
    fast, slow = recent / np.sqrt(p.fast), longer / np.sqrt(p.slow)
    least = p.momentum_min * noise
    is_live = (noise > 0.0) & (volume_ratio > p.volume_ratio_min)
    up, down = is_live & (slow > least) & (fast > slow), is_live & (slow < -least) & (fast < slow)
    direction = np.subtract(up, down, dtype=np.int8)
    size = np.divide(np.abs(fast), 3.0 * noise, out=np.zeros(len(fast)), where=direction != 0)
    return Signals(direction, np.minimum(size, 1.0))


class UltraScalpBotParameters(StrategyParameters):
    """Parameters of `ultra_scalp_bot`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (
        ("fast", "slow"),
        ("oversold", "overbought"),
        ("macd_fast", "macd_slow"),
    )

    fast: int = Field(default=3, ge=2, le=20, description="span of the fast average, bars")
    slow: int = Field(default=8, ge=3, le=60, description="span of the slow average, bars")
    rsi_bars: int = Field(default=6, ge=2, le=30, description="window of the RSI, bars")
    oversold: float = Field(default=20.0, ge=5, le=45, description="no shorts below this RSI")
    overbought: float = Field(default=80.0, ge=55, le=95, description="no longs above this RSI")
    macd_fast: int = Field(default=6, ge=2, le=20, description="fast span of the MACD, bars")
    macd_slow: int = Field(default=12, ge=3, le=60, description="slow span of the MACD, bars")
    macd_signal: int = Field(default=4, ge=2, le=20, description="span of its signal line, bars")

    def features(self) -> tuple[str, ...]:
        """Two averages, the RSI and the MACD's histogram."""
        return (
            f"ema_{self.fast}",
            f"ema_{self.slow}",
            f"rsi_{self.rsi_bars}",
            f"macd_hist_{self.macd_fast}_{self.macd_slow}_{self.macd_signal}",
        )

    def recommended_exits(self) -> dict[str, float]:
        """Options for `ExitOptions`: the original's stop of .5 % and target of 2 %."""
        return {"stop_loss_frac": 0.005, "take_profit_frac": 0.02}


@strategy(
    "ultra_scalp_bot",
    parameters=UltraScalpBotParameters,
    regime=("volatile", "trending"),
    signal_exit="flat",
)
def ultra_scalp_bot(columns: Columns, parameters: UltraScalpBotParameters) -> Signals:
    """Scalp while two quick averages and the MACD agree and the RSI is not at its limit.

    Long: fast average above slow, MACD above its signal line, RSI below `overbought`; short mirrors
    it with `oversold`. The original's stop and target are `recommended_exits()`. Score: the room
    that the RSI has left to its limit, 50 points or more being 1.

    Data: closes, best of one-minute bars.

    Mended: the original asked for an oversold RSI together with averages that already rose, which
    hardly ever happens at once; here the RSI only keeps it out of a move that is over.
    """
    p = parameters
    fast, slow, rsi, histogram = (columns[name] for name in p.features())
    up = (fast > slow) & (histogram > 0.0) & (rsi < p.overbought)
    down = (fast < slow) & (histogram < 0.0) & (rsi > p.oversold)
    room = np.where(up, p.overbought - rsi, np.where(down, rsi - p.oversold, 0.0))
    return Signals(np.subtract(up, down, dtype=np.int8), np.minimum(room / 50.0, 1.0))


class EachBarParameters(StrategyParameters):
    """Parameters of `each_bar`."""

    side: Literal["with", "against", "long", "short"] = Field(
        default="with", description="with or against the last candle, or always the same side"
    )
    minimum_body_frac: float = Field(
        default=0.0, ge=0, le=0.05, description="candle body must exceed, fraction of price"
    )

    def features(self) -> tuple[str, ...]:
        """None: it reads the candle."""
        return ()

    def recommended_exits(self) -> dict[str, float]:
        """Options for `ExitOptions`: the exits that the original's every trade ends with."""
        return {"stop_loss_frac": 0.01, "take_profit_frac": 0.02}


@strategy(
    "each_bar",
    parameters=EachBarParameters,
    regime=("trending", "volatile"),
    signal_exit="opposite",
    prices=("open", "close"),
)
def each_bar(columns: Columns, parameters: EachBarParameters) -> Signals:
    """Want a side at every candle: what stops and targets make of no idea at all.

    The side is the last candle's, the other one, or always long or short, wherever the candle's
    body exceeds `minimum_body_frac`. Meant to be run with a stop and a target, see
    `recommended_exits()`, and `reentry='while_signal'`: a measure of what exits alone earn. Score 1.

    Data: opens, closes.

    Mended: the original entered at the close it had just read; the engine fills at the next open.
    """
    body = columns["close"] - columns["open"]
    is_big = np.abs(body) > parameters.minimum_body_frac * columns["open"]
    if parameters.side in ("with", "against"):
        turned = np.sign(body) if parameters.side == "with" else -np.sign(body)
    else:
        turned = np.full(len(body), 1.0 if parameters.side == "long" else -1.0)
    return whole_score((turned * is_big).astype(np.int8))
