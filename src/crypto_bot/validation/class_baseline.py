"""What a classifier must beat: always saying the same class, or the class shares."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from crypto_bot.core.arrays import Index, PerRow
from crypto_bot.core.errors import DataError
from crypto_bot.dataset import Dataset
from crypto_bot.validation.out_of_sample import OutOfSample

_PROBABILITY_FLOOR = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class ClassBaseline:
    """A model beside two that know only the training rows' class shares, on the tested rows.

    Attributes
    ----------
    rows : tested rows
    accuracy, majority_accuracy : fraction right; of the model, and of the training rows' most
        frequent class
    log_loss, prior_log_loss : mean -ln probability of what came; of the model, and of the training
        rows' class shares
    balanced_accuracy, majority_balanced_accuracy : mean recall of the classes that came
    """

    rows: int
    accuracy: float
    majority_accuracy: float
    balanced_accuracy: float
    majority_balanced_accuracy: float
    log_loss: float
    prior_log_loss: float

    def measured(self, measure: str) -> tuple[float, float]:
        """The model's and the majority class's value of `accuracy`, `balanced_accuracy` or `log_loss`."""
        if measure == "log_loss":
            return self.log_loss, self.prior_log_loss
        if measure == "accuracy":
            return self.accuracy, self.majority_accuracy
        return self.balanced_accuracy, self.majority_balanced_accuracy

    def to_dict(self) -> dict[str, float]:
        """JSON-ready."""
        return asdict(self)


def class_baseline(dataset: Dataset, predictions: OutOfSample) -> ClassBaseline:
    """Score out-of-sample predictions beside each fold's majority class and class shares.

    Raises DataError if no row was predicted. Rows without probabilities are left out.
    """
    truth = np.searchsorted(np.array(dataset.classes), dataset.labels)
    rows = np.flatnonzero(np.isfinite(predictions.probabilities).all(axis=1))
    if rows.size == 0:
        raise DataError(f"probabilities must be known on some row, was NaN on all {len(dataset)}")
    prior = np.full((len(dataset), len(dataset.classes)), np.nan)
    for split in predictions.splits:
        counts = np.bincount(truth[split.train], minlength=len(dataset.classes))
        prior[split.test] = counts / counts.sum()
    came = truth[rows]
    model, shares = predictions.probabilities[rows], prior[rows]
    guess, majority = model.argmax(axis=1), shares.argmax(axis=1)
    return ClassBaseline(
        rows=len(rows),
        accuracy=float(np.mean(guess == came)),
        majority_accuracy=float(np.mean(majority == came)),
        balanced_accuracy=_mean_recall(guess, came),
        majority_balanced_accuracy=_mean_recall(majority, came),
        log_loss=_log_loss(model[np.arange(len(rows)), came]),
        prior_log_loss=_log_loss(shares[np.arange(len(rows)), came]),
    )


def _mean_recall(guess: Index, came: Index) -> float:
    return float(np.mean([np.mean(guess[came == label] == label) for label in np.unique(came)]))


def _log_loss(given: PerRow) -> float:
    clipped = np.clip(given, _PROBABILITY_FLOOR, 1.0 - _PROBABILITY_FLOOR)
    return float(-np.log(clipped).mean())
