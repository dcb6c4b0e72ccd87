"""The null test: a pipeline trained and judged on shuffled labels must look like a coin flip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crypto_bot.core.arrays import Mask
from crypto_bot.core.errors import DataError, LeakError
from crypto_bot.dataset import Dataset
from crypto_bot.splits import Split
from crypto_bot.training import Trainer
from crypto_bot.validation.leaks_rows import area_under_curve
from crypto_bot.validation.out_of_sample import predict_fold

Prepare = Callable[[Dataset], Dataset]
_NULL_DEVIATIONS = 4.0


@dataclass(frozen=True)
class NullScore:
    """Area under the ROC curve where there is nothing to learn: 0.5 give or take `deviation`."""

    auc: float
    deviation: float
    rows: int

    @property
    def has_edge(self) -> bool:
        """True if the score is further above 0.5 than chance allows."""
        return self.auc > 0.5 + _NULL_DEVIATIONS * self.deviation


def shuffled_label_score(
    dataset: Dataset,
    trainer: Trainer,
    splits: Sequence[Split],
    *,
    prepare: Prepare | None = None,
    seed: int = 42,
) -> NullScore:
    """Train and test on labels dealt out at random; anything but a coin flip is a leak.

    Parameters
    ----------
    prepare : callable    what the pipeline does to all rows before they are split, such as choosing
                          features; Dataset -> Dataset with the same rows; None: nothing

    Raises
    ------
    DataError    if no fold's test rows hold two classes

    Notes
    -----
    Features keep their rows, labels are permuted over all rows, so what remains to be learned is
    only how the pipeline lets test rows into training.
    """
    labels = np.random.default_rng(seed).permutation(dataset.labels)
    shuffled = replace(dataset, labels=labels)
    shuffled = shuffled if prepare is None else prepare(shuffled)
    scores, deviations, rows = [], [], 0
    for split in splits:
        probabilities, _ = predict_fold(shuffled, trainer, split)
        for k, label in enumerate(dataset.classes):
            is_label = labels[split.test] == label
            if k == 0 and len(dataset.classes) == 2:
                continue
            if is_label.any() and not is_label.all():
                scores.append(area_under_curve(probabilities[:, k], is_label))
                deviations.append(_null_deviation(is_label))
        rows += len(split.test)
    if not scores:
        raise DataError(f"test rows must hold two classes, did not in {len(splits)} folds")
    # Classes of one fold share rows: their deviations are not averaged down.
    folds = len(splits)
    return NullScore(
        auc=float(np.mean(scores)),
        deviation=float(np.mean(deviations)) / folds**0.5,
        rows=rows,
    )


def check_shuffled_labels_teach_nothing(
    dataset: Dataset,
    trainer: Trainer,
    splits: Sequence[Split],
    *,
    prepare: Prepare | None = None,
    seed: int = 42,
) -> NullScore:
    """LeakError if the pipeline shows an edge on shuffled labels; returns the score otherwise."""
    score = shuffled_label_score(dataset, trainer, splits, prepare=prepare, seed=seed)
    if score.has_edge:
        raise LeakError(
            f"check_shuffled_labels_teach_nothing: AUC must be 0.5 within "
            f"{_NULL_DEVIATIONS:g} x {score.deviation:.4f}, was {score.auc:.4f} on {score.rows} rows; "
            "test rows reach training"
        )
    return score


def _null_deviation(is_positive: Mask) -> float:
    """Standard deviation of the area under the curve without any skill (Mann-Whitney)."""
    positives = int(np.count_nonzero(is_positive))
    negatives = len(is_positive) - positives
    return float(((positives + negatives + 1) / (12.0 * positives * negatives)) ** 0.5)
