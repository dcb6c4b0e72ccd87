"""Steps that remember for ever, less and less: smoothing (EMA, Wilder), RSI, ATR, ADX, on-balance volume."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crypto_bot.core.arrays import PerBar
from crypto_bot.features.compiling import inner_njit


class SmoothState(NamedTuple):
    """Values taken into the seed (negative while delayed) and the present average."""

    seen: int
    value: float


class RsiState(NamedTuple):
    """Changes seen, the previous price, the average gain and loss, and the index so far."""

    seen: int
    previous: float
    gain: float
    loss: float
    value: float


class PreviousState(NamedTuple):
    """The close before this bar; NaN at the first."""

    close: float


class BalanceState(NamedTuple):
    """The close before this bar and the volume balance so far."""

    close: float
    balance: float


class DirectionState(NamedTuple):
    """Bars seen, the previous bar, Wilder's sums of movement and range, and the ADX so far."""

    seen: int
    high: float
    low: float
    close: float
    rise: float
    fall: float
    span: float
    adx: float


@inner_njit
def smooth_step(
    state: SmoothState, x: float, window: int, weight: float
) -> tuple[SmoothState, float]:
    """Exponential average seeded with the mean of the first `window` values.

    Leading NaN are passed over; a state that starts at -d leaves out d values more.
    """
    if state.seen >= window:
        value = state.value + weight * (x - state.value)
        return SmoothState(state.seen, value), value
    if np.isnan(x):
        return state, np.nan
    seen = state.seen + 1
    if seen <= 0:
        return SmoothState(seen, 0.0), np.nan
    value = state.value + (x - state.value) / seen
    return SmoothState(seen, value), value if seen == window else np.nan


@inner_njit
def smooth_history(memory: PerBar, x: PerBar, window: int, weight: float, out: PerBar) -> None:
    """Every bar's `smooth_step`; the state is read from and left in `memory`."""
    state = SmoothState(int(memory[0]), memory[1])
    for i in range(out.size):
        state, out[i] = smooth_step(state, x[i], window, weight)
    memory[0], memory[1] = state.seen, state.value


@inner_njit
def rsi_step(state: RsiState, x: float, window: int, weight: float) -> tuple[RsiState, float]:
    """Wilder's relative strength index, 0..100; NaN where the price has never moved."""
    change = x - state.previous
    if np.isnan(change):
        return RsiState(state.seen, x, state.gain, state.loss, np.nan), np.nan
    up, down = max(change, 0.0), max(-change, 0.0)
    if state.seen >= window:
        seen = state.seen
        gain = state.gain + weight * (up - state.gain)
        loss = state.loss + weight * (down - state.loss)
    else:
        seen = state.seen + 1
        gain = state.gain + (up - state.gain) / seen
        loss = state.loss + (down - state.loss) / seen
    moved = gain + loss
    value = 100.0 * (gain / moved) if seen == window and moved > 0.0 else np.nan
    # No change leaves the index as it is; rounding would make a flat price's index tremble, and
    # anything that divides by its deviation would see noise.
    if change == 0.0 and state.seen == window:
        value = state.value
    return RsiState(seen, x, gain, loss, value), value


@inner_njit
def rsi_history(memory: PerBar, x: PerBar, window: int, weight: float, out: PerBar) -> None:
    """Every bar's `rsi_step`; the state is read from and left in `memory`."""
    state = RsiState(int(memory[0]), memory[1], memory[2], memory[3], memory[4])
    for i in range(out.size):
        state, out[i] = rsi_step(state, x[i], window, weight)
    memory[0], memory[1], memory[2] = state.seen, state.previous, state.gain
    memory[3], memory[4] = state.loss, state.value


@inner_njit
def true_range_step(
    state: PreviousState, high: float, low: float, close: float
) -> tuple[PreviousState, float]:
    """The bar's range including the gap from the previous close; NaN at the first bar."""
    span = max(high, state.close) - min(low, state.close)
    return PreviousState(close), span if state.close == state.close else np.nan


@inner_njit
def true_range_history(
    memory: PerBar, high: PerBar, low: PerBar, close: PerBar, out: PerBar
) -> None:
    """Every bar's `true_range_step`; the state is read from and left in `memory`."""
    state = PreviousState(memory[0])
    for i in range(out.size):
        state, out[i] = true_range_step(state, high[i], low[i], close[i])
    memory[0] = state.close


@inner_njit
def signed_volume_step(
    state: PreviousState, close: float, volume: float
) -> tuple[PreviousState, float]:
    """Volume with the sign of the close's change; NaN at the first bar."""
    value = volume if close > state.close else 0.0
    value = -volume if close < state.close else value
    return PreviousState(close), value if state.close == state.close else np.nan


@inner_njit
def signed_volume_history(memory: PerBar, close: PerBar, volume: PerBar, out: PerBar) -> None:
    """Every bar's `signed_volume_step`; the state is read from and left in `memory`."""
    state = PreviousState(memory[0])
    for i in range(out.size):
        state, out[i] = signed_volume_step(state, close[i], volume[i])
    memory[0] = state.close


@inner_njit
def balance_step(state: BalanceState, close: float, volume: float) -> tuple[BalanceState, float]:
    """On-balance volume: starts at the first bar's volume and never forgets it."""
    previous, signed = signed_volume_step(PreviousState(state.close), close, volume)
    balance = volume if np.isnan(signed) else state.balance + signed
    return BalanceState(previous.close, balance), balance


@inner_njit
def balance_history(memory: PerBar, close: PerBar, volume: PerBar, out: PerBar) -> None:
    """Every bar's `balance_step`; the state is read from and left in `memory`."""
    state = BalanceState(memory[0], memory[1])
    for i in range(out.size):
        state, out[i] = balance_step(state, close[i], volume[i])
    memory[0], memory[1] = state.close, state.balance


@inner_njit
def _movements(state: DirectionState, high: float, low: float) -> tuple[float, float]:
    """Wilder's directional movements: only the larger of the two counts."""
    up, down = high - state.high, state.low - low
    rise = up if up > 0.0 and up > down else 0.0
    fall = down if down > 0.0 and down > up else 0.0
    return rise, fall


@inner_njit
def direction_step(
    state: DirectionState, high: float, low: float, close: float, window: int
) -> tuple[DirectionState, tuple[float, float, float]]:
    """Wilder's ADX, +DI and -DI, each 0..100; NaN where no direction has ever shown."""
    if state.seen == 0:
        return DirectionState(1, high, low, close, 0.0, 0.0, 0.0, 0.0), (np.nan, np.nan, np.nan)
    up, down = _movements(state, high, low)
    span = max(high, state.close) - min(low, state.close)
    # TA-Lib's seed: the first window - 1 movements are added up, from then on the sums decay.
    kept = 1.0 - 1.0 / window if state.seen >= window else 1.0
    rise, fall, span = state.rise * kept + up, state.fall * kept + down, state.span * kept + span
    undirected = 0.0 if rise + fall > 0.0 else np.nan
    adx = state.adx
    if state.seen >= window and rise + fall > 0.0:
        strength = 100.0 * abs(rise - fall) / (rise + fall)
        adx += strength / window if state.seen < 2 * window else (strength - adx) / window
    following = DirectionState(state.seen + 1, high, low, close, rise, fall, span, adx)
    shown = adx + undirected if state.seen >= 2 * window - 1 else np.nan
    scale = 100.0 / span if state.seen >= window and span > 0.0 else np.nan
    return following, (shown, scale * rise, scale * fall)


@inner_njit
def direction_history(
    memory: PerBar, high: PerBar, low: PerBar, close: PerBar, window: int, which: int, out: PerBar
) -> None:
    """Every bar's `direction_step`, of which `which` (0 ADX, 1 +DI, 2 -DI) is kept."""
    state = DirectionState(
        int(memory[0]),
        memory[1],
        memory[2],
        memory[3],
        memory[4],
        memory[5],
        memory[6],
        memory[7],
    )
    for i in range(out.size):
        state, values = direction_step(state, high[i], low[i], close[i], window)
        out[i] = values[which]
    memory[0] = state.seen
    memory[1], memory[2], memory[3] = state.high, state.low, state.close
    memory[4], memory[5], memory[6] = state.rise, state.fall, state.span
    memory[7] = state.adx
