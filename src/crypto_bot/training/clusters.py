"""Features that say the same: clusters by rank correlation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import Index, PerBarFeature

_ROUNDING = 1e-12
"""A feature's correlation with its copy may fall short of 1 by rounding."""


def rank_correlation(features: PerBarFeature) -> npt.NDArray[np.float64]:
    """Spearman's correlation, float64 (features, features); 0 with a constant feature."""
    from scipy.stats import rankdata

    ranks = rankdata(features, axis=0)
    centred = ranks - ranks.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    scaled = centred / np.where(size > 0, size, 1.0)
    return np.asarray(np.clip(scaled.T @ scaled, -1.0, 1.0))


def correlation_clusters(correlation: npt.NDArray[np.float64], at_least: float) -> Index:
    """int64 (features,): cluster of each, numbered as they first appear.

    Average linkage on 1 - |correlation|, cut where it exceeds 1 - `at_least`.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    count = len(correlation)
    if count == 1:
        return np.zeros(1, dtype=np.int64)
    above = np.triu_indices(count, 1)
    distance = 1.0 - np.abs(correlation[above])
    tree = linkage(distance, method="average")
    found = fcluster(tree, 1.0 - at_least + _ROUNDING, criterion="distance")
    _, first, place = np.unique(found, return_index=True, return_inverse=True)
    return np.asarray(first.argsort().argsort()[place], dtype=np.int64)
