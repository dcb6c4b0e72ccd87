"""The one compiled driver: runs a plan's steps over a stretch of bars, a million of history or one live.

A plan is rows of integers and a scalar each; states live in one float64 memory, values in rows of
one board. History calls `advance` for stretch after stretch, live once a bar: the same machine
code, state and order of operations, so both give the same bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from crypto_bot.core.arrays import PerBar, PerBarFeature
from crypto_bot.features.candles import clock_history, flow_history, pair_history, shape_history
from crypto_bot.features.compiling import inner_njit
from crypto_bot.features.higher import bucket_history, hold_history
from crypto_bot.features.joint import slope_history
from crypto_bot.features.lags import past_history, unbroken_history
from crypto_bot.features.lines import line_history, weighted_history
from crypto_bot.features.recursions import (
    balance_history,
    direction_history,
    rsi_history,
    signed_volume_history,
    smooth_history,
    true_range_history,
)
from crypto_bot.features.regimes import regime_history
from crypto_bot.features.triples import triple_history
from crypto_bot.features.windows import (
    deviation_history,
    highest_history,
    lag_history,
    mean_history,
)

MEAN, DEVIATION, HIGHEST, LAG, SMOOTH, RSI, TRUE_RANGE = 0, 1, 2, 3, 4, 5, 6
SIGNED_VOLUME, BALANCE, DIRECTION = 7, 8, 9
RATIO, CHANGE, BAND, SPREAD, PLACE, PRODUCT, MINUS, SCALED, TYPICAL = (
    10,
    11,
    12,
    13,
    14,
    15,
    16,
    17,
    18,
)
IS = 19
BUCKET, HOLD, LINE, WEIGHTED, SHAPE, PAIR, FLOW, CLOCK_TIME, REGIME = range(20, 29)
UNBROKEN, PAST, LOG, TRIPLE, SLOPE, OUTSIDE = range(29, 35)
KIND, OUT, WINDOW, START, END, CLOCK, A, B, C, D = range(10)
"""Columns of a plan: what to do, the row to write, the window, the state's place in memory, the clock it
runs by (0 the bars, others longer bars), and from A on the rows it reads. A BUCKET makes its clock's
bars and reads rows 0-5; its A is 1 where volume is read."""
READS = 11
FIELDS = A + READS


@inner_njit
def ratio_step(a: float, b: float) -> float:
    """a / b; NaN where b is 0."""
    return a / b if b != 0.0 else np.nan


@inner_njit
def change_step(a: float, b: float) -> float:
    """a / b - 1; NaN where b is 0."""
    return ratio_step(a, b) - 1.0


@inner_njit
def band_step(a: float, b: float, scale: float) -> float:
    """a + scale * b."""
    return a + scale * b


@inner_njit
def spread_step(a: float, b: float, c: float) -> float:
    """(a - b) / c; NaN where c is 0."""
    return ratio_step(a - b, c)


@inner_njit
def place_step(a: float, low: float, high: float, scale: float) -> float:
    """Where a lies between low (0) and high (scale); NaN where they meet."""
    return scale * ratio_step(a - low, high - low)


@inner_njit
def typical_step(a: float, b: float, c: float) -> float:
    """(a + b + c) / 3."""
    return (a + b + c) / 3.0


@inner_njit
def is_step(a: float, value: float) -> float:
    """1 where a is the value, else 0; NaN where a is."""
    if np.isnan(a):
        return np.nan
    return 1.0 if a == value else 0.0


@inner_njit
def _formula(kind: int, a: PerBar, b: PerBar, c: PerBar, scale: float, out: PerBar) -> None:
    """Every bar's formula step: no state, so no order matters."""
    for i in range(out.size):
        if kind == RATIO:
            out[i] = ratio_step(a[i], b[i])
        elif kind == CHANGE:
            out[i] = change_step(a[i], b[i])
        elif kind == BAND:
            out[i] = band_step(a[i], b[i], scale)
        elif kind == SPREAD:
            out[i] = spread_step(a[i], b[i], c[i])
        elif kind == PLACE:
            out[i] = place_step(a[i], b[i], c[i], scale)
        elif kind == PRODUCT:
            out[i] = a[i] * b[i]
        elif kind == MINUS:
            out[i] = a[i] - b[i]
        elif kind == SCALED:
            out[i] = scale * a[i]
        elif kind == LOG:
            out[i] = np.log(a[i])
        elif kind == IS:
            out[i] = is_step(a[i], scale)
        else:
            out[i] = typical_step(a[i], b[i], c[i])


@njit(cache=True, nogil=True, error_model="numpy")
def advance(
    plan: npt.NDArray[np.int64],
    scalars: PerBar,
    memory: PerBar,
    board: PerBarFeature,
    counts: npt.NDArray[np.int64],
) -> None:
    """Carry every state of `memory` over `counts[0]` more bars.

    plan int64 (nodes, FIELDS) and scalars float64 (nodes,): what to do, inputs before users;
    board float64 (rows, more than counts[0]): rows 0-5 hold open, high, low, close, volume and open
    time (s, only if read) on entry, the others the nodes' values on return;
    counts int64 (clocks,): bars of each clock, those of longer bars are written here.
    """
    for node in range(len(plan)):
        kind, window, scalar = plan[node, KIND], plan[node, WINDOW], scalars[node]
        clock = plan[node, CLOCK]
        if kind == PAST:
            past_history(
                memory,
                plan[node, START],
                board,
                plan[node, A],
                plan[node, B],
                plan[node, OUT],
                window,
                counts[clock],
            )
            continue
        state = memory[plan[node, START] : plan[node, END]]
        if kind == BUCKET:
            reads_volume, row = plan[node, A] == 1, plan[node, OUT]
            counts[clock] = bucket_history(
                state, board, counts[0], window, int(scalar), reads_volume, row
            )
            continue
        out = board[plan[node, OUT], : counts[clock]]
        a, b, c = board[plan[node, A]], board[plan[node, B]], board[plan[node, C]]
        if kind == MEAN:
            mean_history(state, a, window, out)
        elif kind == DEVIATION:
            deviation_history(state, a, window, int(scalar), out)
        elif kind == HIGHEST:
            highest_history(state, a, window, scalar, out)
        elif kind == LAG:
            lag_history(state, a, window, out)
        elif kind == SMOOTH:
            smooth_history(state, a, window, scalar, out)
        elif kind == RSI:
            rsi_history(state, a, window, scalar, out)
        elif kind == TRUE_RANGE:
            true_range_history(state, a, b, c, out)
        elif kind == SIGNED_VOLUME:
            signed_volume_history(state, a, b, out)
        elif kind == BALANCE:
            balance_history(state, a, b, out)
        elif kind == DIRECTION:
            direction_history(state, a, b, c, window, int(scalar), out)
        elif kind == HOLD:
            hold_history(state, a, b, out)
        elif kind == LINE:
            line_history(state, a, window, int(scalar), out)
        elif kind == WEIGHTED:
            weighted_history(state, a, window, scalar, out)
        elif kind == SHAPE:
            shape_history(a, b, c, board[plan[node, D]], window, out)
        elif kind == PAIR:
            pair_history(state, a, b, window, out)
        elif kind == FLOW:
            flow_history(a, b, c, board[plan[node, D]], out)
        elif kind == CLOCK_TIME:
            clock_history(a, scalar, window, out)
        elif kind == TRIPLE:
            triple_history(state, a, b, c, board[plan[node, D]], window, out)
        elif kind == SLOPE:
            slope_history(state, a, b, window, out)
        elif kind == UNBROKEN:
            unbroken_history(state, a, scalar, out)
        elif kind == REGIME:
            regime_history(state, board, plan[node, A:], out)
        else:
            _formula(kind, a, b, c, scalar, out)
