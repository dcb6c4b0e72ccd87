"""Where the points of a swarm lie: as far from their line as there are points of the same value."""

from __future__ import annotations

import numpy as np

from crypto_bot.core.arrays import PerRow

_BINS = 60
_WIDEST = 0.38


def swarm_offsets(values: PerRow, reach: float) -> PerRow:
    """float64 (points,) in -0.38 .. 0.38: points of a bin side by side, the fullest bin widest.

    Parameters
    ----------
    reach : float    largest size of any value drawn beside them, so that all rows share their bins
    """
    if not len(values) or reach <= 0:
        return np.zeros(len(values))
    bins = np.clip(np.round((values / reach + 1) / 2 * _BINS), 0, _BINS).astype(np.int64)
    counts = np.bincount(bins, minlength=_BINS + 1)
    order = np.argsort(bins, kind="stable")
    first = np.concatenate(([0], np.cumsum(counts)[:-1]))
    place = np.empty(len(values))
    place[order] = np.arange(len(values)) - first[bins[order]]
    side = np.where(place % 2 == 0, 1.0, -1.0) * np.ceil(place / 2)
    return np.asarray(_WIDEST * side / max(1.0, np.ceil((counts.max() - 1) / 2)))


def rank_share(values: PerRow) -> PerRow:
    """float64 (points,) in 0..1: how large each value is among them, equal values alike."""
    ordered = np.unique(values)
    if len(ordered) < 2:
        return np.full(len(values), 0.5)
    low = np.searchsorted(np.sort(values), values, "left")
    high = np.searchsorted(np.sort(values), values, "right")
    return np.asarray((low + high) / (2.0 * len(values)))
