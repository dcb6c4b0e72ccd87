"""Does choosing the best trial choose anything? Combinatorially symmetric cross-validation.

Source: Bailey, Borwein, Lopez de Prado & Zhu, "The Probability of Backtest Overfitting" (2015).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from crypto_bot.core.arrays import PerBarFeature, PerRow
from crypto_bot.core.errors import ConfigError, DataError

_MOST_GROUPS = 20
_CHUNK = 2_000_000
_NO_DEVIATION = 1e-12


@dataclass(frozen=True, eq=False)
class BacktestOverfitting:
    """How the trial that was best on one half of history did on the other half.

    Attributes
    ----------
    probability : float          share of halvings in which it ranked at or below the median
    logits : float64 (halvings,)    ln(rank / (1 - rank)), rank in 0..1 with 1 the best
    degradation_slope : float    of its Sharpe ratio on the other half over that on the first; below
                                 1 it fades, below 0 the better it looked the worse it did
    probability_of_loss : float  share of halvings in which it lost on the other half
    halvings, trials : int
    """

    probability: float
    logits: PerRow
    degradation_slope: float
    probability_of_loss: float
    halvings: int
    trials: int


def probability_of_backtest_overfitting(
    performance: PerBarFeature, *, groups: int = 16
) -> BacktestOverfitting:
    """PBO of choosing the trial with the best Sharpe ratio.

    Parameters
    ----------
    performance : float64 (periods, trials)    returns of every trial over the same periods
    groups : int                               even, 4 .. 20; history is cut in so many stretches,
                                               and each half of them is once the first half

    Returns
    -------
    BacktestOverfitting    0.5 is what worthless trials give on average over samples

    Raises
    ------
    ConfigError    if groups is odd or out of range
    DataError      with fewer than 2 trials, fewer than 2 periods a group, or a value not finite

    Notes
    -----
    Stretches are as equal as the periods allow, the longer ones first. Sharpe ratios are per period;
    0 without deviation. Ranks of equal trials are averaged; of equally good ones the first is chosen.
    """
    _check(performance, groups)
    # Around each trial's mean, so that squares keep their digits.
    centre = performance.mean(axis=0)
    shares = _sums(performance - centre, groups)
    total = shares.sum(axis=0)
    logits, chosen_first, chosen_other = [], [], []
    for first in _halves(groups, performance.shape[1]):
        inside = np.tensordot(first, shares, axes=1)
        ranked, other = _sharpe(inside, centre), _sharpe(total - inside, centre)
        best = ranked.argmax(axis=1)
        rows = np.arange(len(best))
        won = other[rows, best]
        below = (other < won[:, None]).sum(axis=1)
        equal = (other == won[:, None]).sum(axis=1)
        rank = (below + (equal + 1) / 2.0) / (performance.shape[1] + 1)
        logits.append(np.log(rank / (1.0 - rank)))
        chosen_first.append(ranked[rows, best])
        chosen_other.append(won)
    logit, other_half = np.concatenate(logits), np.concatenate(chosen_other)
    return BacktestOverfitting(
        probability=float(np.mean(logit <= 1e-12)),
        logits=logit,
        degradation_slope=_slope(np.concatenate(chosen_first), other_half),
        probability_of_loss=float(np.mean(other_half < 0.0)),
        halvings=len(logit),
        trials=performance.shape[1],
    )


def _check(performance: PerBarFeature, groups: int) -> None:
    if groups % 2 or not 4 <= groups <= _MOST_GROUPS:
        raise ConfigError(f"groups must be even and 4 .. {_MOST_GROUPS}, was {groups}")
    if performance.ndim != 2 or performance.shape[1] < 2 or len(performance) < 2 * groups:
        raise DataError(
            f"performance must be (periods, trials) with at least {2 * groups} periods for "
            f"{groups} groups and 2 trials, was {performance.shape}"
        )
    if not np.isfinite(performance).all():
        period, trial = np.argwhere(~np.isfinite(performance))[0]
        raise DataError(
            f"performance must be finite, was {performance[period, trial]} at period {period} "
            f"of trial {trial}"
        )


def _sums(centred: PerBarFeature, groups: int) -> PerBarFeature:
    """Count, sum and sum of squares of each group, float64 (groups, 3, trials)."""
    parts = np.array_split(centred, groups)
    ones = np.ones(centred.shape[1])
    return np.stack([[len(p) * ones, p.sum(axis=0), (p**2).sum(axis=0)] for p in parts])


def _sharpe(sums: PerBarFeature, centre: PerRow) -> PerBarFeature:
    """Sharpe ratios float64 (halvings, trials) from sums (halvings, 3, trials) around `centre`."""
    count, total, squares = sums[:, 0], sums[:, 1], sums[:, 2]
    variance = np.maximum(squares - total**2 / count, 0.0) / (count - 1.0)
    mean = total / count + centre
    ratio = np.zeros_like(mean)
    size = np.maximum(1.0, np.abs(centre)) * _NO_DEVIATION
    deviation = np.sqrt(variance)
    np.divide(mean, deviation, out=ratio, where=deviation > size)
    return ratio


def _halves(groups: int, trials: int) -> Iterator[PerBarFeature]:
    """Every choice of half the groups as 0 and 1, float64 (halvings, groups), some at a time."""
    every = np.zeros((comb(groups, groups // 2), groups))
    for row, chosen in enumerate(combinations(range(groups), groups // 2)):
        every[row, list(chosen)] = 1.0
    step = max(1, _CHUNK // (trials * 3))
    for start in range(0, len(every), step):
        yield every[start : start + step]


def _slope(first: PerRow, other: PerRow) -> float:
    spread = first - first.mean()
    squares = float(spread @ spread)
    return float(spread @ other) / squares if squares > _NO_DEVIATION**2 else 0.0
