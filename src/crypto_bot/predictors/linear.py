"""`LinearPredictor`: scale, add up in one fixed order, squash. A row never depends on its company."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from crypto_bot.core.arrays import PerBarFeature, PerRow, PerRowClass
from crypto_bot.core.errors import ModelError
from crypto_bot.predictors.schema import Scaler, as_matrix, as_values, check_schema


class LinearModel(NamedTuple):
    """A scaled logistic model as plain arrays.

    Attributes
    ----------
    mean, scale : float64 (features,)               the scaler, `(x - mean) / scale`
    coefficients : float64 (sums, features)         of the scaled features
    intercepts : float64 (sums,)
    columns : int64 (classes seen,)                 probability column of each class it was fitted on

    Notes
    -----
    One sum for two classes, the logistic function of which is the chance of `columns[1]`; else one
    a class, put through a softmax. A class that was never seen has probability 0.
    """

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    coefficients: npt.NDArray[np.float64]
    intercepts: npt.NDArray[np.float64]
    columns: npt.NDArray[np.int64]


class LinearPredictor:
    """Probabilities of a scaled logistic model.

    Parameters
    ----------
    model : LinearModel
    feature_names : ordered schema of the columns
    classes : label of each probability column, ascending

    Raises
    ------
    ModelError    if the arrays are not a sound model for this schema

    Notes
    -----
    The products of a row are added from the first feature to the last. A BLAS library, which
    scikit-learn uses, adds them in an order that depends on the number of rows and on the machine,
    so the two agree to rounding (about 1e-15 of a probability), not to the last bit; in exchange a
    row's answer is the same alone and among a million. A row with a NaN or infinite feature gives
    NaN, so does one so far out that its sum overflows.
    """

    def __init__(
        self, model: LinearModel, feature_names: Sequence[str], classes: Sequence[int]
    ) -> None:
        self._feature_names, self._classes = check_schema(feature_names, classes)
        _check(model, len(self._feature_names), len(self._classes))
        self._model = model

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Ordered feature schema."""
        return self._feature_names

    @property
    def classes(self) -> tuple[int, ...]:
        """Label of each probability column."""
        return self._classes

    @property
    def model(self) -> LinearModel:
        """The arrays."""
        return self._model

    @property
    def scaler(self) -> Scaler:
        """The scaler applied first."""
        return Scaler(self._model.mean, self._model.scale)

    def predict_proba(self, features: PerBarFeature) -> PerRowClass:
        """float64 (rows, classes) from float64 (rows, features); NaN where a feature is not finite."""
        matrix = as_matrix(features, len(self._feature_names))
        out = np.empty((len(matrix), len(self._classes)))
        linear_rows(self._model, matrix, out)
        return out

    def predict_one(self, values: PerRow) -> PerRow:
        """float64 (classes,) of one row of float64 (features,); the quick path of a live bar."""
        values = as_values(values, len(self._feature_names))
        out = np.empty(len(self._classes))
        linear_rows(self._model, values.reshape(1, -1), out.reshape(1, -1))
        return out


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def linear_rows(model: LinearModel, features: PerBarFeature, out: PerRowClass) -> None:
    """Fill `out` (rows, classes)."""
    sums = np.empty(len(model.intercepts))
    for i in range(len(features)):
        is_finite = True
        for k in range(len(sums)):
            total = 0.0
            for j in range(features.shape[1]):
                scaled = (features[i, j] - model.mean[j]) / model.scale[j]
                total += scaled * model.coefficients[k, j]
            sums[k] = total + model.intercepts[k]
            is_finite = is_finite and math.isfinite(sums[k])
        if is_finite:
            out[i] = 0.0
            squash(sums, model.columns, out[i])
        else:
            out[i] = np.nan


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def squash(sums: PerRow, columns: npt.NDArray[np.int64], out: PerRow) -> None:
    """Sums to probabilities: logistic of the only one, else softmax."""
    if len(sums) == 1:
        chance = 1.0 / (1.0 + math.exp(-sums[0]))
        out[columns[1]] = chance
        out[columns[0]] = 1.0 - chance
        return
    peak = sums.max()
    total = 0.0
    for k in range(len(sums)):
        out[columns[k]] = math.exp(sums[k] - peak)
        total += out[columns[k]]
    for k in range(len(sums)):
        out[columns[k]] /= total


def _check(model: LinearModel, features: int, classes: int) -> None:
    seen = len(model.columns)
    sums = 1 if seen == 2 else seen
    for name, wanted in (
        ("mean", (features,)),
        ("scale", (features,)),
        ("coefficients", (sums, features)),
        ("intercepts", (sums,)),
    ):
        array: npt.NDArray[Any] = getattr(model, name)
        _require(array.shape == wanted, f"{name} must have shape {wanted}")
        _require(bool(np.isfinite(array).all()), f"{name} must be finite")
    _require(bool((model.scale > 0).all()), "scale must be > 0")
    columns = model.columns
    is_sound = seen >= 2 and bool((np.diff(columns) > 0).all())
    _require(
        is_sound and columns[0] >= 0 and columns[-1] < classes,
        f"columns must be at least two ascending numbers in 0..{classes - 1}",
    )


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise ModelError(f"{rule}, was not: the model file is corrupted or not ours")
