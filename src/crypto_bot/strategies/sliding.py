"""The mean over a window, made of the window's values alone and always in one order.

A running sum remembers where the data began, so signals on a tail would differ from those on the
whole in the last digit. Here one lag is added for many bars at once, which the processor does
several bars at a time; the result on any tail is the same to the last bit.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from crypto_bot.core.arrays import PerBar

_STRETCH = 1024
"""Bars at a time: the sums of a stretch stay in the processor's nearest cache."""


@njit(cache=True, nogil=True)
def window_mean(values: PerBar, window: int) -> PerBar:
    """Mean of the last `window` values: NaN before there are so many and where one of them is NaN."""
    count = len(values)
    mean = np.full(count, np.nan)
    share = 1.0 / window
    for begin in range(window - 1, count, _STRETCH):
        end = min(begin + _STRETCH, count)
        now, out = values[begin:end], mean[begin:end]
        out[:] = now
        for k in range(1, window):
            past = values[begin - k : end - k]
            for i in range(len(out)):
                out[i] += share * (past[i] - now[i])
    return mean
