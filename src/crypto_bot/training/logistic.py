"""Logistic regression with an elastic net: the honest baseline every other model has to beat."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from pydantic import Field

from crypto_bot.core import Options
from crypto_bot.core.arrays import PerBarFeature, PerRowClass
from crypto_bot.core.errors import ModelError
from crypto_bot.dataset import Dataset
from crypto_bot.predictors import LINEAR_FILE, LOGISTIC, LinearModel, write_linear
from crypto_bot.training.trainers import (
    TrainedModel,
    check_export,
    rebuilt_predictor,
    require_two_classes,
    row_weights,
    sample_rows,
    shares,
    uneven_weights,
)

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

_TOLERANCE = 1e-4
"""Of the solver: the largest change of a coefficient a pass, as a share of the largest one."""


class LogisticOptions(Options):
    """Options of `LogisticTrainer`."""

    C: float = Field(default=0.1, gt=0, description="inverse strength of the penalty")
    l1_ratio: float = Field(
        default=0.5, ge=0, le=1, description="share of the L1 penalty: 0 is ridge, 1 is lasso"
    )
    class_weight: Literal["balanced"] | None = Field(
        default="balanced", description="'balanced' weighs classes inversely to their frequency"
    )
    max_iter: int = Field(default=5000, ge=1, description="passes the solver may take to converge")
    seed: int = Field(default=42, ge=0, lt=2**31, description="seed of the solver's order of rows")


class FittedLogistic(NamedTuple):
    """scikit-learn's own objects, scaler first."""

    scaler: StandardScaler
    model: LogisticRegression


class LogisticTrainer:
    """StandardScaler and LogisticRegression, fitted on the given rows and on nothing else."""

    def __init__(self, options: LogisticOptions | None = None) -> None:
        self.options = LogisticOptions() if options is None else options

    @property
    def name(self) -> str:
        """Such as 'logistic (C 0.1, l1 0.5)'."""
        return f"{LOGISTIC} (C {self.options.C:g}, l1 {self.options.l1_ratio:g})"

    def fit(self, dataset: Dataset) -> TrainedModel:
        """Train, export and check that the export predicts what scikit-learn does, to rounding.

        The same rows and options give byte-identical files. A class absent from the rows keeps its
        column, with probability 0. Raises DataError if the rows are of one class, ModelError if the
        solver has not converged within `max_iter` passes.
        """
        require_two_classes(dataset)
        start = time.perf_counter()
        fitted = fit_logistic(dataset, self.options)
        seconds = time.perf_counter() - start
        model = export_logistic(fitted, dataset.classes)
        files = {LINEAR_FILE: write_linear(model, dataset.feature_names, dataset.classes)}
        predictor = rebuilt_predictor(LOGISTIC, dataset, files)
        sample = sample_rows(dataset)
        check_export(
            predictor,
            sample,
            logistic_probabilities(fitted, sample, dataset.classes),
            tolerance=rounding_bound(model, sample),
        )
        return TrainedModel(
            predictor=predictor,
            files=files,
            importance=shares(dataset.feature_names, np.abs(model.coefficients).sum(axis=0)),
            model_type=LOGISTIC,
            options=self.options.model_dump(),
            device="cpu",
            seconds=seconds,
            seed=self.options.seed,
            evidence={"passes": int(np.max(fitted.model.n_iter_))},
        )


def fit_logistic(dataset: Dataset, options: LogisticOptions) -> FittedLogistic:
    """Fit the scaler, then the model on the scaled rows; both by the rows' weights."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(dataset.features, sample_weight=uneven_weights(dataset))
    model = LogisticRegression(
        C=options.C,
        l1_ratio=options.l1_ratio,
        solver="saga" if options.l1_ratio > 0 else "newton-cholesky",
        max_iter=options.max_iter,
        tol=_TOLERANCE,
        random_state=options.seed,
    )
    weights = row_weights(dataset, is_balanced=options.class_weight == "balanced")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            model.fit(scaler.transform(dataset.features), dataset.labels, sample_weight=weights)
        except ConvergenceWarning as error:
            raise ModelError(
                f"max_iter must let the solver converge, {options.max_iter} passes did not; "
                "raise max_iter or lower C"
            ) from error
    return FittedLogistic(scaler, model)


def logistic_probabilities(
    fitted: FittedLogistic, features: PerBarFeature, classes: tuple[int, ...]
) -> PerRowClass:
    """scikit-learn's probabilities (rows, classes), with a zero column for an absent class."""
    known = fitted.model.predict_proba(fitted.scaler.transform(features))
    out = np.zeros((len(features), len(classes)))
    out[:, np.searchsorted(classes, fitted.model.classes_)] = known
    return out


def export_logistic(fitted: FittedLogistic, classes: tuple[int, ...]) -> LinearModel:
    """The fitted objects as arrays, a column for each of `classes` (ascending) that was seen."""
    return LinearModel(
        mean=np.array(fitted.scaler.mean_, dtype=np.float64),
        scale=np.array(fitted.scaler.scale_, dtype=np.float64),
        coefficients=np.array(fitted.model.coef_, dtype=np.float64),
        intercepts=np.array(fitted.model.intercept_, dtype=np.float64),
        columns=np.searchsorted(classes, fitted.model.classes_).astype(np.int64),
    )


def rounding_bound(model: LinearModel, features: PerBarFeature) -> PerRowClass:
    """float64 (rows, 1): how far two orders of adding up may set probabilities apart.

    The classic bound of a sum's rounding, features x eps x sum of |products|, for either order,
    and a few units in the last place for the squashing.
    """
    scaled = np.abs((features - model.mean) / model.scale)
    sizes = (scaled @ np.abs(model.coefficients).T + np.abs(model.intercepts)).max(axis=1)
    steps = features.shape[1] + 2
    eps = float(np.finfo(np.float64).eps)
    return np.asarray((2 * steps * sizes + 8) * eps)[:, None]
