"""Classification figures beside their baseline: accuracy alone says nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import Mask, PerRow, PerRowClass
from crypto_bot.core.errors import DataError

CALIBRATION_BINS = 10
_DEVIATIONS_95 = 1.959963984540054
"""Standard deviations that hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class ClassScore:
    """One class: fractions in 0..1, None where nothing was predicted or nothing was there."""

    label: int
    precision: float | None
    recall: float | None
    support: int


@dataclass(frozen=True)
class CalibrationBin:
    """Rows whose probability of a class lay in [low, high): what was promised, what came.

    `frequency_low` and `frequency_high` are Wilson's 95 % interval of what came, for rows drawn
    independently: rows whose labels overlap know less than it says.
    """

    label: int
    low: float
    high: float
    rows: int
    mean_probability: float
    frequency: float
    frequency_low: float
    frequency_high: float


@dataclass(frozen=True)
class BrierParts:
    """Murphy's (1973) parts of the Brier score: reliability - resolution + uncertainty.

    Of the bins of `CalibrationBin`, so their sum is the score of probabilities rounded to their
    bin's mean; less reliability and more resolution are better, uncertainty is the classes' own.
    """

    reliability: float
    resolution: float
    uncertainty: float


@dataclass(frozen=True)
class Scores:
    """How good the probabilities of `rows` rows are.

    accuracy, majority_accuracy : fraction right; of the model, and of always saying `majority_class`
    log_loss : natural logarithm, probabilities clipped to the smallest double step from 0 and 1
    brier : mean over rows of the squared error, summed over classes; 2 classes: of the upper alone
    confusion : rows of truth, columns of prediction, in the order of `classes`
    calibration : the reliability curve, bin by bin
    calibration_error : mean over rows of |promised - came| in their bin, averaged over classes (ECE)
    brier_parts : the Brier score's reliability, resolution and uncertainty
    unpredicted : rows without probabilities (NaN), left out of every figure
    """

    rows: int
    unpredicted: int
    classes: tuple[int, ...]
    accuracy: float
    majority_class: int
    majority_accuracy: float
    log_loss: float
    brier: float
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration: tuple[CalibrationBin, ...]
    calibration_error: float
    brier_parts: BrierParts

    def summary(self) -> dict[str, float | None]:
        """The single numbers, as a card's metrics."""
        names = ("accuracy", "majority_accuracy", "log_loss", "brier", "rows", "unpredicted")
        return {name: float(getattr(self, name)) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self)


def score_probabilities(
    labels: npt.NDArray[np.int8],
    probabilities: PerRowClass,
    classes: tuple[int, ...],
    *,
    majority_class: int | None = None,
) -> Scores:
    """Score probabilities (rows, classes) against labels (rows,).

    `majority_class` is the training rows' most frequent label; None takes that of the scored rows,
    a harder baseline since it knows the answer. Ties of the most probable class go to the first.
    Raises DataError if no row has probabilities or the shapes differ.
    """
    if probabilities.shape != (len(labels), len(classes)):
        raise DataError(
            f"probabilities must be ({len(labels)}, {len(classes)}), was {probabilities.shape}"
        )
    is_known = np.isfinite(probabilities).all(axis=1)
    if not is_known.any():
        raise DataError(f"probabilities must be known on some row, was NaN on all {len(labels)}")
    truth = np.searchsorted(np.array(classes), labels[is_known])
    known = probabilities[is_known]
    guess = known.argmax(axis=1)
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(confusion, (truth, guess), 1)
    support = confusion.sum(axis=1)
    bins = tuple(_calibration(known, truth, classes))
    majority = int(support.argmax()) if majority_class is None else classes.index(majority_class)
    return Scores(
        rows=len(known),
        unpredicted=int(np.count_nonzero(~is_known)),
        classes=classes,
        accuracy=float(np.mean(truth == guess)),
        majority_class=classes[majority],
        majority_accuracy=float(support[majority] / len(known)),
        log_loss=_log_loss(known[np.arange(len(known)), truth]),
        brier=_brier(known, truth),
        per_class=_per_class(confusion, classes),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        calibration=bins,
        calibration_error=_calibration_error(bins),
        brier_parts=_brier_parts(bins, support, classes),
    )


def _log_loss(given: PerRow) -> float:
    step = float(np.finfo(np.float64).eps)
    return float(-np.log(np.clip(given, step, 1.0 - step)).mean())


def _brier(known: PerRowClass, truth: npt.NDArray[np.int64]) -> float:
    squares = (known - np.eye(known.shape[1])[truth]) ** 2
    return float(squares[:, 1].mean() if known.shape[1] == 2 else squares.sum(axis=1).mean())


def _per_class(
    confusion: npt.NDArray[np.int64], classes: tuple[int, ...]
) -> tuple[ClassScore, ...]:
    scores = []
    for k, label in enumerate(classes):
        right, said, there = confusion[k, k], confusion[:, k].sum(), confusion[k].sum()
        scores.append(
            ClassScore(
                label=label,
                precision=float(right / said) if said else None,
                recall=float(right / there) if there else None,
                support=int(there),
            )
        )
    return tuple(scores)


def _calibration(
    known: PerRowClass, truth: npt.NDArray[np.int64], classes: tuple[int, ...]
) -> list[CalibrationBin]:
    edges = np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)
    bins = []
    for k, label in enumerate(classes):
        place = np.minimum((known[:, k] * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
        for b in np.unique(place).tolist():
            inside: Mask = place == b
            rows, came = int(np.count_nonzero(inside)), float(np.mean(truth[inside] == k))
            frequency_low, frequency_high = wilson_interval(came, rows)
            bins.append(
                CalibrationBin(
                    label=label,
                    low=float(edges[b]),
                    high=float(edges[b + 1]),
                    rows=rows,
                    mean_probability=float(known[inside, k].mean()),
                    frequency=came,
                    frequency_low=frequency_low,
                    frequency_high=frequency_high,
                )
            )
    return bins


def wilson_interval(share: float, rows: int) -> tuple[float, float]:
    """Wilson's (1927) 95 % interval of a share of `rows` independent rows."""
    z2 = _DEVIATIONS_95**2
    middle = (share + z2 / (2 * rows)) / (1 + z2 / rows)
    spread = share * (1 - share) / rows + z2 / (4 * rows**2)
    half = _DEVIATIONS_95 * float(spread**0.5) / (1 + z2 / rows)
    return max(0.0, middle - half), min(1.0, middle + half)


def _calibration_error(bins: tuple[CalibrationBin, ...]) -> float:
    rows = sum(each.rows for each in bins)
    return sum(each.rows * abs(each.mean_probability - each.frequency) for each in bins) / rows


def _brier_parts(
    bins: tuple[CalibrationBin, ...], support: npt.NDArray[np.int64], classes: tuple[int, ...]
) -> BrierParts:
    """Of the upper of two classes, else summed over classes, as the Brier score itself."""
    rows = int(support.sum())
    base = {label: float(support[k]) / rows for k, label in enumerate(classes)}
    counted = [each for each in bins if len(classes) > 2 or each.label == classes[1]]
    labels = {each.label for each in counted}
    return BrierParts(
        reliability=sum(b.rows * (b.mean_probability - b.frequency) ** 2 for b in counted) / rows,
        resolution=sum(b.rows * (b.frequency - base[b.label]) ** 2 for b in counted) / rows,
        uncertainty=sum(base[label] * (1.0 - base[label]) for label in sorted(labels)),
    )
