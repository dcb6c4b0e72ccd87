"""Fits of the three corrections: logistic (Platt), isotonic, one temperature.

Sources: Platt, "Probabilistic Outputs for Support Vector Machines" (1999), with its smoothed targets;
Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass probability estimates"
(2002); Guo et al., "On Calibration of Modern Neural Networks" (2017).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import Index, Mask, PerRow, PerRowClass
from crypto_bot.predictors import Calibration
from crypto_bot.predictors.calibration import METHODS, TINY

_NEVER = -1e6
"""Intercept of a class that never came: its chance is 0."""
_NEWTON_STEPS = 100
_WIDEST_TEMPERATURE = 5.0
"""Temperatures from e^-5 to e^5 are tried."""


def fit_calibration(
    method: str, probabilities: PerRowClass, positions: Index, weights: PerRow
) -> Calibration:
    """The correction that makes these out-of-fold probabilities come true best.

    Parameters
    ----------
    method : str                               one of `METHODS`
    probabilities : float64 (rows, classes)
    positions : int64 (rows,)                  column of the class that came
    weights : float64 (rows,)
    """
    if method == "temperature":
        return _made(method, slopes=[1.0 / _temperature(probabilities, positions, weights)])
    chances = [probabilities[:, k] for k in range(probabilities.shape[1])]
    came = [positions == k for k in range(len(chances))]
    if method == "sigmoid":
        pairs = [_sigmoid(chances[k], came[k], weights) for k in range(len(chances))]
        return _made(method, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    points = [_isotonic(chances[k], came[k], weights) for k in range(len(chances))]
    return _made(
        method,
        knots=np.concatenate([knots for knots, _ in points]),
        levels=np.concatenate([levels for _, levels in points]),
        starts=np.cumsum([0] + [len(knots) for knots, _ in points]),
    )


def _made(
    method: str,
    slopes: npt.ArrayLike = (),
    intercepts: npt.ArrayLike = (),
    knots: npt.ArrayLike = (),
    levels: npt.ArrayLike = (),
    starts: npt.ArrayLike = (),
) -> Calibration:
    return Calibration(
        method=METHODS.index(method),
        slopes=np.array(slopes, dtype=np.float64),
        intercepts=np.array(intercepts, dtype=np.float64),
        knots=np.array(knots, dtype=np.float64),
        levels=np.array(levels, dtype=np.float64),
        starts=np.array(starts, dtype=np.int64),
    )


def _sigmoid(chance: PerRow, came: Mask, weights: PerRow) -> tuple[float, float]:
    """Slope and intercept on the logit, by Newton's method on Platt's smoothed targets.

    A slope below 0 would turn the model round: then only its base rate is kept.
    """
    positive, total = float(weights[came].sum()), float(weights.sum())
    if positive == 0.0:
        return 0.0, _NEVER
    high, low = (positive + 1.0) / (positive + 2.0), 1.0 / (total - positive + 2.0)
    target = np.where(came, high, low)
    kept = np.clip(chance, TINY, 1.0 - TINY)
    logit = np.log(kept / (1.0 - kept))
    slope, intercept = _newton(np.column_stack((logit, np.ones_like(logit))), target, weights)
    if slope < 0.0:
        rate = float(np.average(target, weights=weights))
        return 0.0, float(np.log(rate / (1.0 - rate)))
    return slope, intercept


def _newton(design: PerRowClass, target: PerRow, weights: PerRow) -> tuple[float, float]:
    """Weighted logistic regression on two columns; halves a step that makes the loss worse."""
    found = np.zeros(2)
    loss = _logistic_loss(design @ found, target, weights)
    for _ in range(_NEWTON_STEPS):
        chance = 1.0 / (1.0 + np.exp(-(design @ found)))
        slope = design.T @ (weights * (chance - target))
        bend = (design.T * (weights * chance * (1.0 - chance))) @ design + 1e-10 * np.eye(2)
        step = np.linalg.solve(bend, slope)
        share = 1.0
        while share > 1e-6:
            tried = found - share * step
            worse = _logistic_loss(design @ tried, target, weights)
            if worse <= loss:
                break
            share /= 2.0
        else:
            break
        found, gained, loss = tried, loss - worse, worse
        if gained <= 1e-14 * max(1.0, abs(loss)):
            break
    return float(found[0]), float(found[1])


def _logistic_loss(score: PerRow, target: PerRow, weights: PerRow) -> float:
    return float((weights * (np.logaddexp(0.0, score) - target * score)).sum())


def _isotonic(chance: PerRow, came: Mask, weights: PerRow) -> tuple[PerRow, PerRow]:
    """Corners of the rising step curve, as scikit-learn keeps them."""
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    fitted.fit(chance, came.astype(np.float64), sample_weight=weights)
    return np.asarray(fitted.X_thresholds_), np.asarray(fitted.y_thresholds_)


def _temperature(probabilities: PerRowClass, positions: Index, weights: PerRow) -> float:
    """The temperature of least weighted log loss."""
    from scipy.optimize import minimize_scalar

    logs = np.log(np.clip(probabilities, TINY, 1.0))
    rows = np.arange(len(positions))

    def loss(log_temperature: float) -> float:
        scores = logs / np.exp(log_temperature)
        total = np.logaddexp.reduce(scores, axis=1)
        return float((weights * (total - scores[rows, positions])).sum())

    bounds = (-_WIDEST_TEMPERATURE, _WIDEST_TEMPERATURE)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-8})
    return float(np.exp(found.x))
