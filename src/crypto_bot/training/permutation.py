"""What a model loses when a feature's values change rows: the one definition, for choice and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from crypto_bot.core import Predictor
from crypto_bot.core.arrays import Index, PerBarFeature, PerRow
from crypto_bot.core.errors import DataError
from crypto_bot.dataset import Dataset
from crypto_bot.training.out_of_fold import rows_for


def permuted_rises(
    predictor: Predictor,
    dataset: Dataset,
    *,
    repeats: int,
    random: np.random.Generator,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, npt.NDArray[np.float64]]:
    """Rise of the weighted log loss when the values of a feature are given to other rows.

    Parameters
    ----------
    predictor : Predictor    may read fewer features than the rows have
    dataset : Dataset        rows that the model never learned from
    repeats : int            permutations of each feature
    groups : name -> features that change rows together; None: each feature read, by itself

    Returns
    -------
    name -> float64 (repeats,)    log loss with permuted values less that with the true ones;
                                  about 0 for a feature that does not matter

    Notes
    -----
    The whole column of the given rows is permuted: each value stays one that this stretch of the
    market produced. Nothing is lost by breaking its order in time, since a model reads one row and
    no neighbours; a feature's own past values are features of their own, and `groups` moves them
    together. Correlated features can stand in for each other, and then none of them looks important.
    """
    rows = rows_for(predictor, dataset)
    names = predictor.feature_names
    if repeats < 1 or not len(rows):
        raise DataError(f"repeats and rows must be >= 1, were {repeats} and {len(rows)}")
    positions = np.searchsorted(dataset.classes, dataset.labels)
    before = _log_loss(predictor, rows, positions, dataset.weights)
    found = {}
    for group, members in (groups or {name: (name,) for name in names}).items():
        columns = [names.index(name) for name in members]
        losses = []
        for _ in range(repeats):
            changed = rows.copy()
            changed[:, columns] = rows[random.permutation(len(rows))[:, None], columns]
            losses.append(_log_loss(predictor, changed, positions, dataset.weights))
        found[group] = np.array(losses) - before
    return found


def _log_loss(
    predictor: Predictor, rows: PerBarFeature, positions: Index, weights: PerRow
) -> float:
    given = predictor.predict_proba(rows)[np.arange(len(rows)), positions]
    logs = np.log(np.clip(given, np.finfo(np.float64).eps, 1.0))
    return float(-np.average(logs, weights=weights if weights.sum() > 0 else None))
