"""How many different things were tried: trials that move together are one idea, tried again.

Sources: Lopez de Prado & Lewis, "Detection of False Investment Strategies Using Unsupervised Learning
Methods" (2018) for clustering trials and for the variance of the clusters' Sharpe ratios; Kaufman &
Rousseeuw, "Finding Groups in Data" (1990) for silhouettes and their 0.25.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from crypto_bot.core.arrays import Index, PerBarFeature, PerRow
from crypto_bot.core.errors import ConfigError, DataError

_ALIKE = 0.5
_CHANCE = 0.05
_STRUCTURE = 0.25
_CUTS_TRIED = 40
_MOST_TRIALS = 3_000
_DRAWS, _DRAWS_AT_ONCE, _SEED = 4_000, 250, 42
_SAME = 1.0 - 1e-9
_NO_DEVIATION = 1e-12


@dataclass(frozen=True, eq=False)
class EffectiveTrials:
    """What many trials amount to.

    Attributes
    ----------
    count : int                       independent trials whose best is expected to be as lucky as the
                                      best of these; with `variance`, what deflation needs
    variance : float | None           per-period variance of the Sharpe ratio of one such trial; None
                                      with fewer than 2 trials
    trials : int                      trials with any deviation; those without are left out
    clusters : int                    groups of trials that resemble each other: different ideas
    cluster_variance : float | None   variance of the clusters' Sharpe ratios; None with fewer than 2
    labels : int64 (trials given,)    cluster of each trial, in order of first appearance; -1 left out
    silhouette : float                mean silhouette of the chosen cut, 0 without structure
    """

    count: int
    variance: float | None
    trials: int
    clusters: int
    cluster_variance: float | None
    labels: Index
    silhouette: float


def effective_trials(returns: PerBarFeature, *, alike: float = _ALIKE) -> EffectiveTrials:
    """What trials amount to, given how their returns move together.

    Parameters
    ----------
    returns : float64 (periods, trials)    of every trial, over the same periods
    alike : float                          the least correlation of trials that may be one cluster

    Raises
    ------
    ConfigError    if `alike` is not between 0 and 1
    DataError      with fewer than 10 periods, no trial, more than 3,000, or a return not finite

    Notes
    -----
    `count`: 4,000 seeded draws of normal Sharpe ratios with the trials' own correlations give the
    expected maximum; `count` independent ones have the same (rounded up). Identical trials are 1;
    independent ones n, less up to a tenth where periods are no fewer than trials. `variance` is that
    over trials / (1 - mean correlation), which correlated trials share, and never less than the
    1 / (periods - 1) of a worthless record.

    Clusters: average linkage on sqrt((1 - rho) / 2). Clusters are merged only where their correlation
    is at least `alike`, and above what independent trials of this length show by chance (5 %,
    Bonferroni over pairs, Fisher's z); among the cuts that leaves, the best silhouette decides, and
    all merges are made where none reaches 0.25. A cluster is not worth one trial: within it there is
    still something to choose, so clusters alone would deflate too little.
    """
    if not 0.0 < alike < 1.0:
        raise ConfigError(f"alike must be between 0 and 1, was {alike}")
    _check(returns)
    deviation = returns.std(axis=0, ddof=1)
    moves = np.flatnonzero(deviation > _NO_DEVIATION * np.maximum(1.0, np.abs(returns).max(axis=0)))
    labels = np.full(returns.shape[1], -1, dtype=np.int64)
    if moves.size < 2:
        labels[moves] = 0
        return EffectiveTrials(1, None, moves.size, moves.size, None, labels, 0.0)
    scaled = returns[:, moves] / deviation[moves]
    correlation = np.corrcoef(scaled, rowvar=False)
    correlation[correlation > _SAME] = 1.0
    found, silhouette = _clusters(correlation, len(returns), alike)
    labels[moves] = found
    return EffectiveTrials(
        count=_equally_lucky(_expected_maximum(scaled), moves.size),
        variance=_variance(scaled, correlation),
        trials=moves.size,
        clusters=int(found.max()) + 1,
        cluster_variance=_cluster_variance(scaled, found),
        labels=labels,
        silhouette=silhouette,
    )


def _expected_maximum(scaled: PerBarFeature) -> float:
    """Expected largest of normal draws, each of variance 1, correlated as the trials are."""
    periods = len(scaled)
    centred = (scaled - scaled.mean(axis=0)) / math.sqrt(periods - 1)
    random = np.random.default_rng(_SEED)
    total = 0.0
    for _ in range(_DRAWS // _DRAWS_AT_ONCE):
        drawn = random.standard_normal((_DRAWS_AT_ONCE, periods)) @ centred
        # The mirrored draw is as likely, and halves the noise.
        total += float(drawn.max(axis=1).sum() - drawn.min(axis=1).sum()) / 2.0
    return total / _DRAWS


def _equally_lucky(expected: float, trials: int) -> int:
    """The fewest independent trials, at most `trials`, whose best is expected to be this good."""
    low, high = 1, trials
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if _independent(middle) < expected - 1e-6 else (low, middle)
    return low


def _independent(trials: int) -> float:
    """Expected largest of independent standard normal draws: the integral over its distribution."""
    from scipy.special import ndtr

    grid = np.linspace(-9.0, 9.0, 3600)
    below = ndtr(grid) ** trials
    return float(np.sum(np.where(grid > 0.0, 1.0 - below, -below)) * (grid[1] - grid[0]))


def _check(returns: PerBarFeature) -> None:
    if returns.ndim != 2 or returns.shape[1] < 1 or returns.shape[0] < 10:
        raise DataError(
            f"returns must be (periods, trials) with at least 10 periods and 1 trial, "
            f"was {returns.shape}"
        )
    if returns.shape[1] > _MOST_TRIALS:
        raise DataError(
            f"trials must be at most {_MOST_TRIALS} to be clustered, was {returns.shape[1]}; "
            "count every one as a trial of its own"
        )
    if not np.isfinite(returns).all():
        period, trial = np.argwhere(~np.isfinite(returns))[0]
        raise DataError(
            f"returns must be finite, was {returns[period, trial]} at period {period} "
            f"of trial {trial}"
        )


def _clusters(correlation: PerBarFeature, periods: int, alike: float) -> tuple[Index, float]:
    from scipy.cluster.hierarchy import average, fcluster
    from scipy.spatial.distance import squareform

    trials = len(correlation)
    distance = np.sqrt(np.maximum(1.0 - correlation, 0.0) / 2.0)
    np.fill_diagonal(distance, 0.0)
    tree = average(squareform(distance, checks=False))
    least = max(alike, _chance_correlation(trials, periods))
    farthest = math.sqrt((1.0 - least) / 2.0)
    coarsest = fcluster(tree, farthest, "distance")
    fewest = int(coarsest.max())
    best, best_score = coarsest, _STRUCTURE
    cuts = np.unique(np.geomspace(max(fewest, 2), trials, _CUTS_TRIED).astype(int))
    for cut in cuts.tolist():
        labels = fcluster(tree, cut, "maxclust")
        score = _silhouette(distance, labels)
        if labels.max() >= fewest and score > best_score:
            best, best_score = labels, score
    return _in_order(best), best_score if best is not coarsest else 0.0


def _chance_correlation(trials: int, periods: int) -> float:
    """What the largest correlation of independent trials stays below in 95 % of samples."""
    pairs = trials * (trials - 1) / 2
    z = NormalDist().inv_cdf(1.0 - _CHANCE / pairs) if pairs > 1 else NormalDist().inv_cdf(0.95)
    return math.tanh(z / math.sqrt(periods - 3))


def _silhouette(distance: PerBarFeature, labels: Index) -> float:
    """Mean of (b - a) / max(a, b) over trials; a trial alone has 0."""
    member = labels[:, None] == np.unique(labels)[None, :]
    sizes = member.sum(axis=0)
    if len(sizes) < 2:
        return 0.0
    sums = distance @ member
    own = member.argmax(axis=1)
    rows = np.arange(len(labels))
    inside = sums[rows, own] / np.maximum(sizes[own] - 1, 1)
    means = sums / sizes
    means[rows, own] = np.inf
    outside = means.min(axis=1)
    larger = np.maximum(inside, outside)
    score = np.where(larger > 0.0, (outside - inside) / np.where(larger > 0.0, larger, 1.0), 0.0)
    return float(np.where(sizes[own] > 1, score, 0.0).mean())


def _in_order(labels: Index) -> Index:
    """The same clusters, numbered by their first trial."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _variance(scaled: PerBarFeature, correlation: PerBarFeature) -> float:
    periods, trials = scaled.shape
    worthless = 1.0 / (periods - 1)
    mean = (float(correlation.sum()) - trials) / (trials * (trials - 1))
    found = float(np.var(_sharpes(scaled), ddof=1))
    return worthless if mean >= _SAME else float(max(worthless, found / (1.0 - mean)))


def _cluster_variance(scaled: PerBarFeature, labels: Index) -> float | None:
    clusters = int(labels.max()) + 1
    if clusters < 2:
        return None
    pooled = np.column_stack([scaled[:, labels == k].mean(axis=1) for k in range(clusters)])
    return float(np.var(_sharpes(pooled), ddof=1))


def _sharpes(returns: PerBarFeature) -> PerRow:
    deviation = returns.std(axis=0, ddof=1)
    ratio = np.zeros(returns.shape[1])
    np.divide(returns.mean(axis=0), deviation, out=ratio, where=deviation > _NO_DEVIATION)
    return ratio
