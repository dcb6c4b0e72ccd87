"""Numbers that only a report needs: how good were the predictions, how deep the losses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import Index, Mask, PerBar, PerRow
from crypto_bot.report.contents import ModelView
from crypto_bot.training import score_probabilities

_LEAST_PROBABILITY = 1e-15


@dataclass(frozen=True)
class ClassScore:
    """Precision and recall of one class; None where nothing was predicted or nothing happened."""

    label: int
    count: int
    predicted: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was said against what happened, for one class.

    said, happened : float64 (bins,)    mean probability; share of rows of that class
    counts : int64 (bins,)              rows in the bin; empty bins are left out
    low, high : float64 (bins,)         95 % interval of the share, for independent rows
    """

    label: int
    said: PerRow
    happened: PerRow
    counts: Index
    low: PerRow
    high: PerRow


@dataclass(frozen=True, eq=False)
class ModelScores:
    """Scores of out-of-sample predictions beside those of always saying the class shares.

    confusion : int64 (classes, classes)    rows: what happened; columns: what was said
    """

    rows: int
    untested: int
    accuracy: float
    majority_accuracy: float
    log_loss: float
    base_rate_log_loss: float
    confusion: npt.NDArray[np.int64]
    classes: tuple[ClassScore, ...]
    calibration: Calibration


def score_model(view: ModelView) -> ModelScores | None:
    """Scores of the rows that have a prediction; None if there is none."""
    tested: Mask = np.asarray(np.isfinite(view.probabilities).all(axis=1))
    count = int(np.count_nonzero(tested))
    if count == 0:
        return None
    probabilities = view.probabilities[tested]
    truth = np.searchsorted(view.classes, view.labels[tested])
    said = np.argmax(probabilities, axis=1)
    size = len(view.classes)
    confusion = np.bincount(truth * size + said, minlength=size * size).reshape(size, size)
    shares = confusion.sum(axis=1) / count
    return ModelScores(
        rows=count,
        untested=len(tested) - count,
        accuracy=float(np.trace(confusion) / count),
        majority_accuracy=float(shares.max()),
        log_loss=_log_loss(probabilities[np.arange(count), truth]),
        base_rate_log_loss=_log_loss(shares[truth]),
        confusion=confusion.astype(np.int64),
        classes=tuple(_class_score(view, confusion, column) for column in range(size)),
        calibration=_calibrate(view, tested),
    )


def _log_loss(probability_of_truth: PerRow) -> float:
    return float(-np.mean(np.log(np.clip(probability_of_truth, _LEAST_PROBABILITY, 1.0))))


def _class_score(view: ModelView, confusion: npt.NDArray[Any], column: int) -> ClassScore:
    happened, predicted = int(confusion[column].sum()), int(confusion[:, column].sum())
    right = int(confusion[column, column])
    return ClassScore(
        label=view.classes[column],
        count=happened,
        predicted=predicted,
        precision=right / predicted if predicted else None,
        recall=right / happened if happened else None,
    )


def _calibrate(view: ModelView, tested: Mask) -> Calibration:
    labels = np.asarray(view.labels[tested], dtype=np.int8)
    scores = score_probabilities(labels, view.probabilities[tested], view.classes)
    bins = [each for each in scores.calibration if each.label == view.classes[-1]]
    return Calibration(
        label=view.classes[-1],
        said=np.array([each.mean_probability for each in bins]),
        happened=np.array([each.frequency for each in bins]),
        counts=np.array([each.rows for each in bins], dtype=np.int64),
        low=np.array([each.frequency_low for each in bins]),
        high=np.array([each.frequency_high for each in bins]),
    )


def growth(curve: PerBar) -> PerBar:
    """A curve as a multiple of its first finite value."""
    finite = np.flatnonzero(np.isfinite(curve))
    return curve / curve[finite[0]] if finite.size else curve


def drawdown(curve: PerBar) -> PerBar:
    """How far below its best value so far, as a fraction <= 0."""
    peak = np.fmax.accumulate(curve)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(peak > 0, curve / peak - 1.0, np.nan)


def thin(columns: list[PerBar], most: int = 1_200) -> Index:
    """Rows to draw of long curves: the lowest and highest of each stretch of every column."""
    length = len(columns[0]) if columns else 0
    if length <= most:
        return np.arange(length)
    edges = np.linspace(0, length, max(2, most // 2), dtype=np.int64)
    kept = {0, length - 1}
    for column in columns:
        filled = np.where(np.isfinite(column), column, 0.0)
        for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            part = filled[start:end]
            kept |= {start + int(part.argmin()), start + int(part.argmax())}
    return np.array(sorted(kept), dtype=np.int64)


def plain(value: Any) -> Any:
    """The value as JSON can carry it: NaN and infinity become None, arrays lists, keys text."""
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    return str(value)
