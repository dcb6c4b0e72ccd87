"""Windows over columns: each value depends on its own window only, whatever lies before it.

Means and sums of squares of 1, 2, 4, 8 ... bars are merged until a window is whole. The order of
merging depends on the window's length alone, so any tail of a column gives the same bits as the
whole, nothing drifts, and a window of equal values deviates by exactly 0.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from crypto_bot.core.arrays import PerBar

BLOCK = 1024
"""Bars at a time: their sums stay in the processor's nearest caches."""


@njit(cache=True, nogil=True, error_model="numpy")
def window_z(values: PerBar, window: int):  # type: ignore[no-untyped-def]
    """Distance of each value from its window's mean, in population standard deviations.

    Parameters
    ----------
    values : float64 (bars,)
    window : int    the value's own bar included

    Returns
    -------
    float64 (bars,)    NaN before a whole window, where it holds a NaN or never moves
    """
    count = len(values)
    found = np.full(count, np.nan)
    for start in range(window - 1, count, BLOCK):
        stop = min(start + BLOCK, count)
        part = values[start - window + 1 : stop]
        moments = window_moments(part, part[:0], window)
        newest, into = values[start:stop], found[start:stop]
        mean, square = moments[0][window - 1 :], moments[2][window - 1 :]
        # Where nothing moves both factors are exact, 0 times infinite: NaN.
        for j in range(stop - start):
            into[j] = (newest[j] - mean[j]) * np.sqrt(window / square[j])
    return found


@njit(cache=True, nogil=True)
def window_moments(x: PerBar, y: PerBar, window: int):  # type: ignore[no-untyped-def]
    """Means, squares and products of one or two columns over a window.

    Parameters
    ----------
    x : float64 (bars,)         at least `window` of them
    y : float64 (bars,) or (0,)    empty: x alone
    window : int    the value's own bar included

    Returns
    -------
    float64 (5 or 3, bars)    mean of x, of y, sum of squared distances of x from its mean, of y,
                              sum of their products; NaN where the window holds a NaN; the first
                              `window` - 1 bars mean nothing. Of x alone rows 0 and 2 have meaning

    Notes
    -----
    Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample
    variances (1979), for merging two runs of bars.
    """
    rows = 5 if len(y) else 3
    run, longer = np.zeros((rows, len(x))), np.empty((rows, len(x)))
    run[0] = x
    if len(y):
        run[1] = y
    found = np.empty((rows, len(x)))
    done, size = 0, 1
    while True:
        if window & size:
            if done == 0:
                found[:] = run
            else:
                _merge(found, done, run, size, found)
            done += size
        if done == window:
            return found
        _merge(run, size, run, size, longer)
        run, longer = longer, run
        size *= 2


@njit(cache=True, nogil=True)
def _merge(late, late_bars, early, early_bars, into):  # type: ignore[no-untyped-def]
    """Into each bar: the run that ends there, and the one that ends where that begins."""
    weight = late_bars * early_bars / (late_bars + early_bars)
    last = late.shape[1] - late_bars
    # The compiler uses wide registers only where few arrays may overlap: one row at a time.
    for row, one, other in ((2, 0, 0), (3, 1, 1), (4, 0, 1)):
        if row < len(late):
            _merge_products(
                late[row][late_bars:],
                early[row][:last],
                late[one][late_bars:],
                early[one][:last],
                late[other][late_bars:],
                early[other][:last],
                weight,
                into[row][late_bars:],
            )
    share = early_bars / (late_bars + early_bars)
    for row in range(1 if len(late) == 3 else 2):
        _merge_means(late[row][late_bars:], early[row][:last], share, into[row][late_bars:])


@njit(cache=True, nogil=True)
def _merge_products(late, early, late_x, early_x, late_y, early_y, weight, into):  # type: ignore[no-untyped-def]
    for j in range(len(into)):
        apart = (early_x[j] - late_x[j]) * (early_y[j] - late_y[j])
        into[j] = late[j] + early[j] + weight * apart


@njit(cache=True, nogil=True)
def _merge_means(late, early, share, into):  # type: ignore[no-untyped-def]
    for j in range(len(into)):
        into[j] = late[j] + share * (early[j] - late[j])


@njit(cache=True, nogil=True)
def window_residual(values: PerBar, weights: PerBar):  # type: ignore[no-untyped-def]
    """Each value less the weighted mean of its window.

    Parameters
    ----------
    values : float64 (bars,)
    weights : float64 (window,)    oldest bar first, the value's own last; their sum is 1

    Returns
    -------
    float64 (bars,)    NaN before a whole window and where it holds a NaN
    """
    count, window = len(values), len(weights)
    found = np.full(count, np.nan)
    for start in range(window - 1, count, BLOCK):
        size = min(BLOCK, count - start)
        newest, total = values[start : start + size], found[start : start + size]
        total[:] = 0.0
        for place in range(window - 1):
            first = start - window + 1 + place
            past, weight = values[first : first + size], weights[place]
            for j in range(size):
                total[j] += weight * (newest[j] - past[j])
    return found
