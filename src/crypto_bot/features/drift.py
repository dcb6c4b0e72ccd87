"""Have the features moved? Two distances between the rows of training and those of now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np

from crypto_bot.core.arrays import PerBarFeature, PerRow
from crypto_bot.core.bars import OHLCV, Bars
from crypto_bot.core.errors import DataError

MODERATE_PSI = 0.1
"""From here a feature's distribution has moved noticeably."""
STRONG_PSI = 0.25
"""From here it is another distribution."""
BINS = 10
MINIMUM_ROWS = 200
"""With fewer finite rows on either side sampling noise alone, about bins / rows, nears 0.1."""


class DriftLevel(StrEnum):
    """How far a feature has moved from its training; UNKNOWN from too few rows."""

    STABLE = "stable"
    MODERATE = "moderate"
    STRONG = "strong"
    UNKNOWN = "unknown"


class FeatureDrift(NamedTuple):
    """How far one feature moved; psi and ks are None where there are too few finite rows to say."""

    name: str
    psi: float | None
    level: DriftLevel
    ks: float | None = None


def population_stability_index(training: PerRow, live: PerRow, *, bins: int = BINS) -> float | None:
    """PSI of one feature: sum over bins of (live - training) * log(live / training) shares.

    Parameters
    ----------
    training, live : float64 (rows,)   non-finite values are left out
    bins : int                         equal-count bins of the training values

    Returns
    -------
    float | None    >= 0; None when either side has fewer than 200 finite values

    Notes
    -----
    Inner edges are the training quantiles, repeated edges merged, the outer bins open; a value on
    an edge belongs to the bin below it. Each distinct training value that fills a bin of its own
    keeps it, so a constant feature has the bins below, at and above its value. Half a row is added
    to each bin, so an empty bin costs much but not infinitely much.
    """
    if bins < 2:
        raise DataError(f"bins must be >= 2, was {bins}")
    before, after = training[np.isfinite(training)], live[np.isfinite(live)]
    if min(before.size, after.size) < MINIMUM_ROWS:
        return None
    edges = np.unique(np.quantile(before, np.linspace(0, 1, bins + 1)[1:-1]))
    # A value holding several quantiles is an atom: close its bin from below too.
    edges = np.unique(
        np.concatenate((edges, np.nextafter(edges[_is_atom(edges, before)], -np.inf)))
    )
    expected, actual = _shares(before, edges), _shares(after, edges)
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def kolmogorov_smirnov(training: PerRow, live: PerRow) -> float | None:
    """Largest gap between the two distribution functions, 0..1; None as for the PSI.

    A distance and no test: rows that follow each other in time are no independent draws, and the
    probability usually given beside it would be far too small.
    """
    before, after = np.sort(training[np.isfinite(training)]), np.sort(live[np.isfinite(live)])
    if min(before.size, after.size) < MINIMUM_ROWS:
        return None
    values = np.concatenate((before, after))
    below = np.searchsorted(before, values, "right") / before.size
    return float(np.abs(below - np.searchsorted(after, values, "right") / after.size).max())


def feature_drift(
    names: Sequence[str], training: PerBarFeature, live: PerBarFeature
) -> tuple[FeatureDrift, ...]:
    """Drift of every feature, most moved first.

    Parameters
    ----------
    names : (features,)
    training, live : float64 (rows, features)   in the order of `names`

    Raises
    ------
    DataError    if a matrix does not have one column per name
    """
    for label, matrix in (("training", training), ("live", live)):
        if matrix.ndim != 2 or matrix.shape[1] != len(names):
            raise DataError(f"{label} must be (rows, {len(names)}), was {matrix.shape}")
    found = []
    for column, name in enumerate(names):
        psi = population_stability_index(training[:, column], live[:, column])
        ks = kolmogorov_smirnov(training[:, column], live[:, column])
        found.append(FeatureDrift(name, psi, _level(psi), ks))
    return tuple(
        sorted(found, key=lambda drift: -1.0 if drift.psi is None else drift.psi, reverse=True)
    )


def level_features(bars: Bars, names: Sequence[str]) -> tuple[str, ...]:
    """Features that carry a level of price or volume: they move whenever the market does.

    Parameters
    ----------
    bars : Bars    candles to try it on; more than the longest warm-up
    names : (features,)

    Returns
    -------
    tuple of str    in the order of `names`

    Notes
    -----
    The rule: a feature is relative when the same candles in another unit, all prices doubled or all
    volumes doubled, give the same values. Whatever changes carries a level. A feature without a
    finite value on these bars counts as relative.
    """
    from crypto_bot.features.history import compute_features

    as_is = compute_features(bars, names).values
    dearer = replace(bars, **{name: 2.0 * getattr(bars, name) for name in OHLCV[:4]})
    busier = replace(bars, volume=2.0 * bars.volume)
    moved = np.zeros(len(names), np.bool_)
    for other in (dearer, busier):
        values = compute_features(other, names).values
        same = np.isclose(values, as_is, rtol=1e-6, atol=1e-9, equal_nan=True)
        moved |= ~same.all(axis=0)
    return tuple(name for name, has_level in zip(names, moved, strict=True) if has_level)


def _level(psi: float | None) -> DriftLevel:
    if psi is None:
        return DriftLevel.UNKNOWN
    if psi >= STRONG_PSI:
        return DriftLevel.STRONG
    return DriftLevel.MODERATE if psi >= MODERATE_PSI else DriftLevel.STABLE


def _is_atom(edges: PerRow, values: PerRow) -> np.ndarray[Any, np.dtype[np.bool_]]:
    ordered = np.sort(values)
    count = np.searchsorted(ordered, edges, "right") - np.searchsorted(ordered, edges, "left")
    return np.asarray(count * (len(edges) + 1) >= len(values))


def _shares(values: PerRow, edges: PerRow) -> PerRow:
    counts = np.bincount(np.searchsorted(edges, values, "left"), minlength=len(edges) + 1)
    return np.asarray((counts + 0.5) / (len(values) + 0.5 * len(counts)), dtype=np.float64)
