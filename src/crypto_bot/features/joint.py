"""The step over the last N pairs of values: the slope of one series on another.

Kept as in `windows`: blocks of N, a window is the end of one block plus the beginning of the next,
merged by means and centred sums. Nothing is subtracted out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crypto_bot.core.arrays import PerBar
from crypto_bot.features.compiling import inner_njit


class JointState(NamedTuple):
    """Pairs in this block, their means, the squares of x about its mean, the products of both."""

    filled: int
    mean_x: float
    mean_y: float
    squares: float
    products: float


@inner_njit
def _slope(squares: float, products: float) -> float:
    return products / squares if squares > 0.0 else np.nan


@inner_njit
def slope_step(
    state: JointState, rings: PerBar, y: float, x: float, window: int
) -> tuple[JointState, float]:
    """Least squares slope of the last `window` y on x; four rings of `window` places lie beside.

    NaN where x does not vary, or a value is NaN.
    """
    filled = state.filled + 1
    gap = x - state.mean_x
    mean_x = state.mean_x + gap * (1.0 / filled)
    mean_y = state.mean_y + (y - state.mean_y) * (1.0 / filled)
    squares = state.squares + gap * (x - mean_x)
    products = state.products + gap * (y - mean_y)
    rings[filled - 1], rings[window + filled - 1] = x, y
    if filled < window:
        share = filled * (window - filled) * (1.0 / window)
        apart = rings[filled] - mean_x
        whole = squares + rings[2 * window + filled] + apart * apart * share
        both = apart * (rings[window + filled] - mean_y) * share
        following = JointState(filled, mean_x, mean_y, squares, products)
        return following, _slope(whole, products + rings[3 * window + filled] + both)
    end_x, end_y, end_squares, end_products = 0.0, 0.0, 0.0, 0.0
    for count in range(1, window + 1):
        place = window - count
        gap = rings[place] - end_x
        end_x += gap * (1.0 / count)
        end_y += (rings[window + place] - end_y) * (1.0 / count)
        end_squares += gap * (rings[place] - end_x)
        end_products += gap * (rings[window + place] - end_y)
        rings[place], rings[window + place] = end_x, end_y
        rings[2 * window + place], rings[3 * window + place] = end_squares, end_products
    return JointState(0, 0.0, 0.0, 0.0, 0.0), _slope(squares, products)


@inner_njit
def slope_history(memory: PerBar, y: PerBar, x: PerBar, window: int, out: PerBar) -> None:
    """Every bar's `slope_step`; the state is read from and left in `memory`."""
    state = JointState(int(memory[0]), memory[1], memory[2], memory[3], memory[4])
    rings = memory[5:]
    for i in range(out.size):
        state, out[i] = slope_step(state, rings, y[i], x[i], window)
    memory[0], memory[1], memory[2] = state.filled, state.mean_x, state.mean_y
    memory[3], memory[4] = state.squares, state.products
