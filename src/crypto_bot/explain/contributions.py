"""How much each feature moved each prediction: LightGBM's own SHAP values, exact ones for logistic.

Sources: Lundberg et al. 2020, "From local explanations to global understanding with explainable AI
for trees" (what LightGBM computes); for a linear model the Shapley value of a feature is its weight
times its distance from the mean of the training rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crypto_bot.core import Predictor
from crypto_bot.core.arrays import PerBarFeature, PerRow, PerRowClass
from crypto_bot.core.errors import ModelError
from crypto_bot.predictors import (
    CALIBRATED,
    LIGHTGBM,
    LIGHTGBM_FILE,
    LOGISTIC,
    LinearPredictor,
)
from crypto_bot.predictors.lightgbm_text import check_seal
from crypto_bot.predictors.schema import as_matrix
from crypto_bot.training import TrainedModel

_TOLERANCE = 1e-9
"""How far a row's contributions may be from adding up to the model's own score, per unit of it."""
_LEAST = 1e-12
"""Probabilities nearer to 0 or 1 have lost the digits of their score."""


@dataclass(frozen=True, eq=False)
class Contributions:
    """What each feature adds to the score of each row.

    Attributes
    ----------
    feature_names : tuple of str
    values : float64 (rows, features, sums)    log odds; one sum for two classes, of the upper, else
                                               one a class, which a softmax turns into probabilities
    base : float64 (sums,)                     the score before any feature is known
    method : str                               in words, for the report
    """

    feature_names: tuple[str, ...]
    values: npt.NDArray[np.float64]
    base: PerRow
    method: str

    @property
    def scores(self) -> PerRowClass:
        """float64 (rows, sums): base and contributions added up, the model's raw score."""
        return np.asarray(self.base + self.values.sum(axis=1))

    @property
    def mean_absolute(self) -> PerRow:
        """float64 (features,): mean size over rows, of several sums their mean."""
        return np.asarray(np.abs(self.values).mean(axis=(0, 2)))


def can_contribute(model: TrainedModel) -> bool:
    """Whether `contributions` knows how to take this kind of model apart."""
    return _inner(model).model_type in (LIGHTGBM, LOGISTIC)


def contributions(model: TrainedModel, features: PerBarFeature) -> Contributions:
    """Take the model's scores of some rows apart, feature by feature.

    Parameters
    ----------
    model : TrainedModel                        LightGBM or logistic, calibrated or not
    features : float64 (rows, features)         in the order of `model.predictor.feature_names`, finite

    Returns
    -------
    Contributions    of a calibrated model those of the score before calibration, which keeps the order

    Raises
    ------
    ModelError    for another kind of model, a damaged file, or if the sum is not the served score

    Notes
    -----
    LightGBM's come from the booster in the model's own file. Each row's sum is held against the
    probability that the served predictor gives, to 1e-9: what is shown belongs to what trades.
    """
    inner = _inner(model)
    if inner.model_type not in (LIGHTGBM, LOGISTIC):
        raise ModelError(
            f"model must be lightgbm or logistic to be taken apart, was {model.model_type}; "
            "SHAP values are LightGBM's own: look at the permutation importance"
        )
    matrix = as_matrix(features, len(inner.predictor.feature_names))
    found = _of_trees(inner, matrix) if inner.model_type == LIGHTGBM else _of_line(inner, matrix)
    _check_sum(found, inner.predictor, matrix)
    return found


def _inner(model: TrainedModel) -> TrainedModel:
    """The model below a calibration."""
    is_wrapped = model.model_type == CALIBRATED and len(model.members) == 1
    return _inner(model.members[0]) if is_wrapped else model


def _of_trees(model: TrainedModel, matrix: PerBarFeature) -> Contributions:
    import lightgbm

    content = model.files[LIGHTGBM_FILE]
    check_seal(content)
    booster = lightgbm.Booster(model_str=content.decode())
    names = model.predictor.feature_names
    given = np.asarray(booster.predict(matrix, pred_contrib=True), dtype=np.float64)
    by_sum = given.reshape(len(matrix), -1, len(names) + 1).transpose(0, 2, 1)
    return Contributions(
        names,
        np.ascontiguousarray(by_sum[:, :-1]),
        by_sum[0, -1].copy(),
        "SHAP values of the trees",
    )


def _of_line(model: TrainedModel, matrix: PerBarFeature) -> Contributions:
    predictor = model.predictor
    if not isinstance(predictor, LinearPredictor):
        raise ModelError(f"a logistic model's predictor must be linear, was {type(predictor)}")
    line = predictor.model
    scaled = (matrix - line.mean) / line.scale
    values = scaled[:, :, None] * line.coefficients.T[None]
    method = "weight times distance from the training mean, a linear model's exact SHAP values"
    return Contributions(predictor.feature_names, values, line.intercepts.copy(), method)


def _check_sum(found: Contributions, predictor: Predictor, matrix: PerBarFeature) -> None:
    scores = found.scores
    probabilities = predictor.predict_proba(matrix)
    expected = _as_scores(probabilities, found)
    if scores.shape[1] > 1:
        # A softmax forgets what all sums have in common.
        scores, expected = scores - scores[:, :1], expected - expected[:, :1]
    is_sharp = ((probabilities > _LEAST) | (probabilities == 0)).all(axis=1)
    worst = np.abs(np.expm1(np.clip(scores - expected, -1.0, 1.0)))
    # Rounding of a probability p moves its log by eps / p.
    smallest = np.where(probabilities > 0, probabilities, 1.0).min(axis=1)
    allowed = (
        _TOLERANCE * (1.0 + np.abs(expected).max(axis=1)) + 64 * np.finfo(float).eps / smallest
    )
    wrong = is_sharp & ~(worst.max(axis=1) <= allowed)
    if wrong.any():
        raise ModelError(
            "contributions must add up to the model's score, were off by "
            f"{worst[wrong].max():.3g} on {np.count_nonzero(wrong)} of {len(matrix)} rows"
        )


def _as_scores(probabilities: PerRowClass, found: Contributions) -> PerRowClass:
    """The log odds, or the logs of every seen class, that these probabilities come from."""
    seen = probabilities[:, (probabilities > 0).any(axis=0)]
    logs = np.log(np.clip(seen, np.finfo(float).tiny, None))
    return logs[:, 1:] - logs[:, :1] if found.values.shape[2] == 1 else logs
