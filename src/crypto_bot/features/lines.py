"""Steps over the last N values in order: the least squares line, and the Gaussian average.

The line is kept as in `windows`: time is cut into blocks of N values, a window is the end of one block
plus the beginning of the next, and two parts are merged by their means and centred sums. Nothing is
subtracted out, and equal values give exactly that line.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crypto_bot.core.arrays import PerBar
from crypto_bot.features.compiling import inner_njit

LEVEL, SLOPE, RESIDUAL = 0, 1, 2
"""What is given of a line: its last value, its rise a bar, or the deviation of the values from it."""


class PartState(NamedTuple):
    """Values in this block, their mean, their sum of squared deviations, and of these by place."""

    filled: int
    mean: float
    squares: float
    moment: float


@inner_njit
def _line(mean: float, squares: float, moment: float, window: int, which: int) -> float:
    """A figure of the least squares line through `window` values at places 0, 1, 2 ..."""
    slope = moment * (12.0 / (window * (window * window - 1.0)))
    if which == LEVEL:
        return mean + slope * (0.5 * (window - 1))
    if which == SLOPE:
        return slope
    left = squares - slope * moment
    deviation: float = np.sqrt((0.0 if left < 0.0 else left) * (1.0 / window))
    return deviation


@inner_njit
def line_step(
    state: PartState, rings: PerBar, x: float, window: int, which: int
) -> tuple[PartState, float]:
    """The line through the last `window` values; three rings of `window` places lie beside.

    Of a part of n values with mean m at places centred on 0: squares is the sum of (x - m)^2 and
    moment that of place * (x - m). Merging parts of n and k values whose means are d apart adds
    d^2 n k / (n + k) to the one and d n k / 2 to the other.
    """
    filled = state.filled + 1
    gap = x - state.mean
    mean = state.mean + gap * (1.0 / filled)
    squares = state.squares + gap * (x - mean)
    moment = state.moment + gap * (0.5 * state.filled)
    rings[filled - 1] = x
    if filled < window:
        rest = window - filled
        apart = mean - rings[filled]
        both = filled * rest
        whole_mean = mean - apart * (rest * (1.0 / window))
        whole_squares = squares + rings[window + filled] + apart * apart * (both * (1.0 / window))
        whole_moment = moment + rings[2 * window + filled] + apart * (0.5 * both)
        following = PartState(filled, mean, squares, moment)
        return following, _line(whole_mean, whole_squares, whole_moment, window, which)
    end, end_squares, end_moment = 0.0, 0.0, 0.0
    for count in range(1, window + 1):
        place = window - count
        gap = rings[place] - end
        end_moment -= gap * (0.5 * (count - 1))
        end += gap * (1.0 / count)
        end_squares += gap * (rings[place] - end)
        rings[place] = end
        rings[window + place] = end_squares
        rings[2 * window + place] = end_moment
    return PartState(0, 0.0, 0.0, 0.0), _line(mean, squares, moment, window, which)


@inner_njit
def line_history(memory: PerBar, x: PerBar, window: int, which: int, out: PerBar) -> None:
    """Every bar's `line_step`; the state is read from and left in `memory`."""
    state = PartState(int(memory[0]), memory[1], memory[2], memory[3])
    rings = memory[4:]
    for i in range(out.size):
        state, out[i] = line_step(state, rings, x[i], window, which)
    memory[0], memory[1] = state.filled, state.mean
    memory[2], memory[3] = state.squares, state.moment


@inner_njit
def weighted_history(memory: PerBar, x: PerBar, window: int, total: float, out: PerBar) -> None:
    """Sum of the last `window` values, weighted; N additions a bar, several bars at a time.

    Memory holds the weights, newest first and adding up to `total` (1 an average, 0 a difference),
    then the last `window` values. Added are weighted distances from the newest value: equal values
    have exactly that mean, and no difference.
    """
    weights, past = memory[:window], memory[window:]
    count = out.size
    for i in range(count):
        out[i] = total * x[i]
    for k in range(1, window):
        weight, early = weights[k], min(k, count)
        before, now, sums = past[window - k :], x[:early], out[:early]
        for i in range(early):
            sums[i] += weight * (before[i] - now[i])
        before, now, sums = x[: count - early], x[early:count], out[early:]
        for i in range(count - early):
            sums[i] += weight * (before[i] - now[i])
    kept = max(window - count, 0)
    for i in range(kept):
        past[i] = past[i + count]
    for i in range(kept, window):
        past[i] = x[count - window + i]
