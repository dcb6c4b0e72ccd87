"""Steps over the last N values: mean, deviation, highest, lag. O(1) a bar, nothing ever subtracted out.

A running sum that adds the newest and subtracts the oldest value drifts for ever. Here time is cut
into blocks of N values (van Herk's idea): a window is the end of the previous block plus the
beginning of this one. The ring holds this block's values up to the present position and, beyond it,
the aggregates of the previous block's ends; both change hands when a block is full. A value leaves
the window exactly, equal values have themselves as mean and 0 as deviation, and a NaN makes the N
windows that hold it NaN and no other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from crypto_bot.core.arrays import PerBar
from crypto_bot.features.compiling import inner_njit


class MeanState(NamedTuple):
    """Values in this block, their sum, the last value and how often it came in a row; ring beside."""

    filled: int
    total: float
    last: float
    equal: int


class DeviationState(NamedTuple):
    """Values in this block, their mean and sum of squared deviations; two rings lie beside."""

    filled: int
    mean: float
    squares: float


class HighestState(NamedTuple):
    """Values in this block and the largest; the ring lies beside."""

    filled: int
    highest: float


class LagState(NamedTuple):
    """Where the oldest value lies in the ring."""

    oldest: int


@inner_njit
def mean_step(state: MeanState, ring: PerBar, x: float, window: int) -> tuple[MeanState, float]:
    """Mean of the last `window` values; exactly the value if all are equal."""
    filled = state.filled + 1
    total = state.total + x
    equal = state.equal + 1 if x == state.last else 1
    ring[filled - 1] = x
    if filled < window:
        value = (total + ring[filled]) / window
        return MeanState(filled, total, x, equal), x if equal >= window else value
    end = 0.0
    for place in range(window - 1, -1, -1):
        end += ring[place]
        ring[place] = end
    return MeanState(0, 0.0, x, equal), x if equal >= window else total / window


@njit(cache=True, nogil=True, error_model="numpy")
def mean_history(memory: PerBar, x: PerBar, window: int, out: PerBar) -> None:
    """Every bar's `mean_step`; the state is read from and left in `memory`."""
    state = MeanState(int(memory[0]), memory[1], memory[2], int(memory[3]))
    ring = memory[4:]
    for i in range(out.size):
        state, out[i] = mean_step(state, ring, x[i], window)
    memory[0], memory[1] = state.filled, state.total
    memory[2], memory[3] = state.last, state.equal


@inner_njit
def deviation_step(
    state: DeviationState,
    ring: PerBar,
    ring_squares: PerBar,
    x: float,
    window: int,
    spent: int,
) -> tuple[DeviationState, float]:
    """Standard deviation of the last `window` values, divisor window - `spent`.

    Welford inside a block, Chan's merge across two: squared deviations are only ever added.
    """
    filled = state.filled + 1
    gap = x - state.mean
    mean = state.mean + gap * (1.0 / filled)
    squares = state.squares + gap * (x - mean)
    ring[filled - 1] = x
    if filled < window:
        apart = ring[filled] - mean
        weight = filled * (window - filled) * (1.0 / window)
        total = squares + ring_squares[filled] + apart * apart * weight
        return DeviationState(filled, mean, squares), np.sqrt(total * (1.0 / (window - spent)))
    end, end_squares = 0.0, 0.0
    for count in range(1, window + 1):
        place = window - count
        gap = ring[place] - end
        end += gap * (1.0 / count)
        end_squares += gap * (ring[place] - end)
        ring[place] = end
        ring_squares[place] = end_squares
    return DeviationState(0, 0.0, 0.0), np.sqrt(squares * (1.0 / (window - spent)))


@inner_njit
def deviation_history(memory: PerBar, x: PerBar, window: int, spent: int, out: PerBar) -> None:
    """Every bar's `deviation_step`; the state is read from and left in `memory`."""
    state = DeviationState(int(memory[0]), memory[1], memory[2])
    ring, ring_squares = memory[3 : 3 + window], memory[3 + window :]
    for i in range(out.size):
        state, out[i] = deviation_step(state, ring, ring_squares, x[i], window, spent)
    memory[0], memory[1], memory[2] = state.filled, state.mean, state.squares


@inner_njit
def _larger(a: float, b: float) -> float:
    """The larger of two; b if it is NaN."""
    return a if a >= b else b


@inner_njit
def highest_step(
    state: HighestState, ring: PerBar, x: float, window: int
) -> tuple[HighestState, float]:
    """Largest of the last `window` values, none of which may be NaN."""
    filled = state.filled + 1
    highest = _larger(state.highest, x)
    ring[filled - 1] = x
    if filled < window:
        return HighestState(filled, highest), _larger(highest, ring[filled])
    end = -np.inf
    for place in range(window - 1, -1, -1):
        end = _larger(end, ring[place])
        ring[place] = end
    return HighestState(0, -np.inf), highest


@inner_njit
def highest_history(memory: PerBar, x: PerBar, window: int, sign: float, out: PerBar) -> None:
    """Every bar's `highest_step` of sign * x, times sign: sign -1 gives the lowest."""
    state, ring = HighestState(int(memory[0]), memory[1]), memory[2:]
    for i in range(out.size):
        state, value = highest_step(state, ring, sign * x[i], window)
        out[i] = sign * value
    memory[0], memory[1] = state.filled, state.highest


@inner_njit
def lag_step(state: LagState, ring: PerBar, x: float, window: int) -> tuple[LagState, float]:
    """The value `window` bars ago."""
    value = ring[state.oldest]
    ring[state.oldest] = x
    following = state.oldest + 1
    return LagState(following if following < window else 0), value


@inner_njit
def lag_history(memory: PerBar, x: PerBar, window: int, out: PerBar) -> None:
    """Every bar's `lag_step`; the state is read from and left in `memory`."""
    state, ring = LagState(int(memory[0])), memory[1:]
    for i in range(out.size):
        state, out[i] = lag_step(state, ring, x[i], window)
    memory[0] = state.oldest


def window_memory(scalars: tuple[float, ...], ring: int) -> PerBar:
    """The memory of a step that has seen nothing: its state, then a ring of NaN."""
    return np.concatenate([np.array(scalars, np.float64), np.full(ring, np.nan)])
