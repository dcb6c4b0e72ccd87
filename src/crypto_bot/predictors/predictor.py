"""`TreePredictor`: a checked ensemble behind the `Predictor` port."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from crypto_bot.core.arrays import PerBarFeature, PerRow, PerRowClass
from crypto_bot.core.errors import ModelError
from crypto_bot.predictors.schema import Scaler, as_matrix, check_schema, wrong_shape
from crypto_bot.predictors.trees import (
    MISSING_ZERO,
    TreeEnsemble,
    check_ensemble,
    walk_carefully,
)
from crypto_bot.predictors.walk_plan import plan_walk, walk_plan

_ROWS_A_THREAD = 4096


class TreePredictor:
    """Probabilities of a tree ensemble, bit for bit those of the library that trained it.

    Parameters
    ----------
    ensemble : TreeEnsemble
    feature_names : ordered schema of the columns
    classes : label of each probability column, ascending

    Raises
    ------
    ModelError    if the arrays are not a sound ensemble for this schema

    Notes
    -----
    A row with a NaN or infinite feature gives a row of NaN: a model never guesses from a value it
    could not have been trained on. `probabilities_as_library` follows the library there instead.
    """

    def __init__(
        self, ensemble: TreeEnsemble, feature_names: Sequence[str], classes: Sequence[int]
    ) -> None:
        self._feature_names, self._classes = check_schema(feature_names, classes)
        if len(self._classes) != ensemble.classes:
            raise ModelError(
                f"classes must be {ensemble.classes} ascending labels, were {self._classes}"
            )
        check_ensemble(ensemble, len(self._feature_names))
        self._ensemble = ensemble
        self._plan = plan_walk(ensemble)
        self._has_zero_rule = bool((ensemble.missing & MISSING_ZERO).any())

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Ordered feature schema."""
        return self._feature_names

    @property
    def classes(self) -> tuple[int, ...]:
        """Label of each probability column."""
        return self._classes

    @property
    def ensemble(self) -> TreeEnsemble:
        """The arrays, for compiled callers and for saving."""
        return self._ensemble

    @property
    def scaler(self) -> Scaler | None:
        """The scaler applied before the trees, or None."""
        has_scaler = len(self._ensemble.mean) > 0
        return Scaler(self._ensemble.mean, self._ensemble.scale) if has_scaler else None

    def predict_proba(self, features: PerBarFeature) -> PerRowClass:
        """float64 (rows, classes) from float64 (rows, features); NaN where a feature is not finite.

        Long inputs are cut over the available cores; rows never depend on each other.
        """
        return self._walk(features, refuses_missing=True)

    def predict_one(self, values: PerRow) -> PerRow:
        """float64 (classes,) of one row of float64 (features,); the quick path of a live bar."""
        if values.shape != (len(self._feature_names),) or values.dtype != np.float64:
            raise wrong_shape("values", values, f"({len(self._feature_names)},)")
        out = np.empty((1, len(self._classes)))
        rows = values.reshape(1, -1)
        if self._has_zero_rule:
            walk_carefully(self._ensemble, rows, out, True)
        else:
            walk_plan(self._plan, rows, out)
        return out[0]  # type: ignore[no-any-return]

    def probabilities_as_library(self, features: PerBarFeature) -> PerRowClass:
        """As `predict_proba`, but missing values follow the training library's own rules."""
        return self._walk(features, refuses_missing=False)

    def _walk(self, features: PerBarFeature, *, refuses_missing: bool) -> PerRowClass:
        matrix = as_matrix(features, len(self._feature_names))
        out = np.empty((len(matrix), len(self._classes)))
        threads = min(available_cores(), -(-len(matrix) // _ROWS_A_THREAD))

        def walk(rows: slice) -> None:
            if refuses_missing and not self._has_zero_rule:
                walk_plan(self._plan, matrix[rows], out[rows])
            else:
                walk_carefully(self._ensemble, matrix[rows], out[rows], refuses_missing)

        if threads <= 1:
            walk(slice(None))
            return out
        edges = np.linspace(0, len(matrix), threads + 1, dtype=np.int64).tolist()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(walk, map(slice, edges[:-1], edges[1:])))
        return out


def available_cores() -> int:
    """Cores this process may use: threads of a long prediction."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
