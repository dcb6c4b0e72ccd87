"""Has a distribution moved, or is it chance? Kolmogorov-Smirnov for rows that depend on each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, sqrt

import numpy as np

from crypto_bot.core.arrays import PerBarTime, PerRow
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import DAY_NS
from crypto_bot.features.drift import kolmogorov_smirnov, population_stability_index
from crypto_bot.feedback.evidence import Sample

FEWEST_EFFECTIVE_ROWS = 8.0
"""With fewer independent rows on either side nothing is said."""
SHORTEST_NS = DAY_NS
"""A shorter live stretch has seen a part of the day only, and hours differ."""
_LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
_BLOCKS = (16, 32, 64)


@dataclass(frozen=True)
class Shift:
    """How far one column moved.

    Attributes
    ----------
    name : str
    psi, ks : float | None        distances; None from too few rows
    p_value : float | None        of `ks` for the effective rows, Holm-adjusted over the columns
    effective_rows : float        independent rows that the live stretch is worth
    """

    name: str
    psi: float | None
    ks: float | None
    p_value: float | None
    effective_rows: float

    def has_moved(self, psi_strong: float, p_value: float) -> bool:
        """Far (PSI) and not by chance (Kolmogorov-Smirnov)."""
        is_far = self.psi is not None and self.psi >= psi_strong
        return is_far and self.p_value is not None and self.p_value < p_value


def kolmogorov_p_value(distance: float, before: float, after: float) -> float:
    """Chance of at least this distance between two samples of one distribution.

    Parameters
    ----------
    distance : float          largest gap of the two distribution functions, 0..1
    before, after : float     independent rows of each; fractions are fine

    Notes
    -----
    Kolmogorov's limit with Stephens' (1970) correction for small samples.
    """
    pooled = sqrt(before * after / (before + after))
    scaled = (pooled + 0.12 + 0.11 / pooled) * distance
    if scaled < 0.2:
        return 1.0
    terms = (2.0 * (-1.0) ** (k - 1) * exp(-2.0 * (k * scaled) ** 2) for k in range(1, 101))
    return min(1.0, max(0.0, sum(terms)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted for their number by Holm's (1979) step-down rule, valid under any dependence.

    None stays None and is not counted.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        adjusted[place] = highest
    return adjusted


def effective_rows(time_ns: PerBarTime, values: PerRow) -> float:
    """How many independent rows say as much about a distribution as these.

    Parameters
    ----------
    time_ns : int64 (rows,)     rows of one time belong together (symbols move together)
    values : float64 (rows,)    NaN are left out

    Returns
    -------
    float    1 .. rows; 0 without a finite value

    Notes
    -----
    The share of rows below each of five quantiles would, of n independent rows, vary by p(1 - p) / n.
    How it really varies is measured between blocks of time (batch means; 16, 32 and 64 of them), which
    holds both for rows that resemble the last one and for symbols that move together. The block length
    that says least decides, so the answer errs to the careful side.
    """
    is_known = np.isfinite(values)
    known, times = values[is_known], time_ns[is_known]
    if not len(known):
        return 0.0
    places, which = np.unique(times, return_inverse=True)
    edges = np.unique(np.quantile(known, _LEVELS))
    below = known[:, None] <= edges
    shares = below.mean(axis=0)
    varies = (shares > 0.0) & (shares < 1.0)
    if not varies.any():
        return 1.0
    excess = below[:, varies] - shares[varies]
    spread = shares[varies] * (1.0 - shares[varies])
    lowest = float(len(known))
    for blocks in _BLOCKS:
        if len(places) >= 2 * blocks:
            block = which * blocks // len(places)
            sums = np.stack(
                [np.bincount(block, column, minlength=blocks) for column in excess.T], axis=1
            )
            variance = (sums**2).sum(axis=0) * blocks / (blocks - 1) / len(known) ** 2
            lowest = min(lowest, float(spread.sum() / max(variance.sum(), 1e-300)))
    if len(places) < 2 * _BLOCKS[0]:
        return 1.0
    return max(1.0, lowest)


def shifts(names: Sequence[str], reference: Sample, live: Sample) -> tuple[Shift, ...]:
    """How far each column moved between two stretches, surest first.

    Parameters
    ----------
    names : (columns,)
    reference, live : Sample    the reference should be much the longer

    Returns
    -------
    tuple of Shift    p_value None for a live stretch under a day, or worth under 8 rows

    Raises
    ------
    DataError    if a sample has another number of columns, or not a time for every row

    Notes
    -----
    How much rows resemble each other is measured on the reference, which is longer, and held to be so
    on the live stretch. Without it the test calls almost every stretch of 5-minute candles another one.
    """
    for label, sample in (("reference", reference), ("live", live)):
        if sample.values.shape != (len(sample.time_ns), len(names)):
            raise DataError(
                f"{label} must be ({len(sample.time_ns)}, {len(names)}), was {sample.values.shape}"
            )
    found = [_shift(name, reference, live, column) for column, name in enumerate(names)]
    adjusted = holm([shift.p_value for shift in found])
    told = [
        Shift(shift.name, shift.psi, shift.ks, p_value, shift.effective_rows)
        for shift, p_value in zip(found, adjusted, strict=True)
    ]
    return tuple(sorted(told, key=_surest_first))


def _surest_first(shift: Shift) -> tuple[float, float]:
    return (2.0 if shift.p_value is None else shift.p_value, -(shift.psi or 0.0))


def _shift(name: str, reference: Sample, live: Sample, column: int) -> Shift:
    before, after = reference.values[:, column], live.values[:, column]
    psi, ks = population_stability_index(before, after), kolmogorov_smirnov(before, after)
    worth = effective_rows(reference.time_ns, before)
    rows = np.count_nonzero(np.isfinite(before))
    here = np.count_nonzero(np.isfinite(after)) * worth / rows if rows else 0.0
    p_value = None
    if ks is not None and min(worth, here) >= FEWEST_EFFECTIVE_ROWS and _is_long(live):
        p_value = kolmogorov_p_value(ks, worth, here)
    return Shift(name, psi, ks, p_value, float(here))


def _is_long(live: Sample) -> bool:
    return len(live.time_ns) > 0 and int(np.ptp(live.time_ns)) >= 0.99 * SHORTEST_NS
