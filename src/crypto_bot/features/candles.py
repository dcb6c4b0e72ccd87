"""Steps over a candle and the one before it: patterns, money flow, and the clock of its close."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crypto_bot.core.arrays import PerBar
from crypto_bot.features.compiling import inner_njit

DOJI, HAMMER, SHOOTING_STAR = 0, 1, 2
ENGULFING, INSIDE = 0, 1
HOUR, WEEKDAY, MINUTE_OF_DAY, DAY_SIN, DAY_COS, WEEK_SIN, WEEK_COS, TO_FUNDING = range(8)
_DAY_S, _THURSDAY, _FUNDING_S = 86_400, 3, 28_800


class PairState(NamedTuple):
    """Open and close, or high and low, of the candle before this one; NaN at the first."""

    first: float
    second: float


@inner_njit
def shape_step(opened: float, high: float, low: float, close: float, which: int) -> float:
    """A pattern of one candle: 1 a doji or hammer, -1 a shooting star, 0 none."""
    body = abs(close - opened)
    upper, lower = high - max(opened, close), min(opened, close) - low
    if which == DOJI:
        return 1.0 if high > low and body <= 0.1 * (high - low) else 0.0
    if which == HAMMER:
        return 1.0 if body > 0.0 and lower >= 2.0 * body and upper <= 0.5 * body else 0.0
    return -1.0 if body > 0.0 and upper >= 2.0 * body and lower <= 0.5 * body else 0.0


@inner_njit
def shape_history(
    opened: PerBar, high: PerBar, low: PerBar, close: PerBar, which: int, out: PerBar
) -> None:
    """Every bar's `shape_step`."""
    for i in range(out.size):
        out[i] = shape_step(opened[i], high[i], low[i], close[i], which)


@inner_njit
def engulfing_step(state: PairState, opened: float, close: float) -> tuple[PairState, float]:
    """1 a rising body over the falling one before, -1 the reverse, 0 neither; NaN at the first."""
    rises, rose = close - opened, state.second - state.first
    top, bottom = max(state.first, state.second), min(state.first, state.second)
    covers = max(opened, close) >= top and min(opened, close) <= bottom
    is_other = (rises > 0.0 and rose < 0.0) or (rises < 0.0 and rose > 0.0)
    found = 0.0
    if covers and is_other and abs(rises) > abs(rose):
        found = 1.0 if rises > 0.0 else -1.0
    return PairState(opened, close), found if rose == rose else np.nan


@inner_njit
def inside_step(state: PairState, high: float, low: float) -> tuple[PairState, float]:
    """1 where the range lies within the one before and is smaller, else 0; NaN at the first."""
    span, before = high - low, state.first - state.second
    found = high <= state.first and low >= state.second and span < before
    return PairState(high, low), np.nan if np.isnan(before) else 1.0 if found else 0.0


@inner_njit
def pair_history(memory: PerBar, first: PerBar, second: PerBar, which: int, out: PerBar) -> None:
    """Every bar's `engulfing_step` of open and close, or `inside_step` of high and low."""
    state = PairState(memory[0], memory[1])
    if which == ENGULFING:
        for i in range(out.size):
            state, out[i] = engulfing_step(state, first[i], second[i])
    else:
        for i in range(out.size):
            state, out[i] = inside_step(state, first[i], second[i])
    memory[0], memory[1] = state.first, state.second


@inner_njit
def flow_step(high: float, low: float, close: float, volume: float) -> float:
    """Volume times where the close lies between low (-1) and high (1); 0 where they meet."""
    span = high - low
    return volume * (((close - low) - (high - close)) / span) if span > 0.0 else 0.0


@inner_njit
def flow_history(high: PerBar, low: PerBar, close: PerBar, volume: PerBar, out: PerBar) -> None:
    """Every bar's `flow_step`."""
    for i in range(out.size):
        out[i] = flow_step(high[i], low[i], close[i], volume[i])


@inner_njit
def _turn(closed: int, which: int) -> float:
    """Sine or cosine of the close's place in its day or week, a full turn each."""
    if which in (DAY_SIN, DAY_COS):
        angle = 2.0 * np.pi * (closed % _DAY_S) / _DAY_S
    else:
        angle = 2.0 * np.pi * ((closed + _THURSDAY * _DAY_S) % (7 * _DAY_S)) / (7 * _DAY_S)
    turned: float = np.sin(angle) if which in (DAY_SIN, WEEK_SIN) else np.cos(angle)
    return turned


@inner_njit
def clock_step(open_time: float, interval: float, which: int) -> float:
    """A figure of the close's time, UTC; times in seconds."""
    closed = int(open_time) + int(interval)
    if which == WEEKDAY:
        return float((closed // _DAY_S + _THURSDAY) % 7)
    if which == TO_FUNDING:
        return (_FUNDING_S - closed % _FUNDING_S) / 60.0
    if which >= DAY_SIN:
        return _turn(closed, which)
    return float(closed % _DAY_S // (3600 if which == HOUR else 60))


@inner_njit
def clock_history(open_time: PerBar, interval: float, which: int, out: PerBar) -> None:
    """Every bar's `clock_step`."""
    for i in range(out.size):
        out[i] = clock_step(open_time[i], interval, which)
