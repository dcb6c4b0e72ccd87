"""A side that is wanted from its trigger until it is undone or its time is over."""

from __future__ import annotations

import numpy as np
from numba import njit

from crypto_bot.core.arrays import Mask, PerBarDirection


@njit(cache=True, nogil=True)
def held(
    trigger: PerBarDirection,
    long_undone: Mask,
    short_undone: Mask,
    is_known: Mask,
    hold_bars: int,
) -> PerBarDirection:
    """Direction int8 (bars,): the side of the last trigger, while it is wanted.

    Parameters
    ----------
    trigger : int8 (bars,)               side to enter at this bar, or 0
    long_undone, short_undone : bool (bars,)   that side is left here, unless triggered anew
    is_known : bool (bars,)              False: a number is missing, which forgets the side
    hold_bars : int                      bars the side is wanted at most, the trigger's included

    Notes
    -----
    Remembers `hold_bars` bars, so any tail of that length gives the same sides as the whole.
    """
    direction = np.zeros(len(trigger), np.int8)
    side, left = 0, 0
    for i in range(len(trigger)):
        left -= 1
        if not is_known[i]:
            left = 0
        elif trigger[i] != 0:
            side, left = trigger[i], hold_bars
        elif left > 0 and (long_undone[i] if side > 0 else short_undone[i]):
            left = 0
        if left > 0:
            direction[i] = side
    return direction
