"""Named checks of what is fitted: nothing but a fold's training rows may shape its model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from crypto_bot.core.arrays import Index, PerBarFeature, PerRow, PerRowClass
from crypto_bot.core.errors import DataError, LeakError
from crypto_bot.core.timeframes import iso_time
from crypto_bot.dataset import Dataset
from crypto_bot.splits import Split

Pipeline = Callable[[Dataset, Split], PerRowClass]
"""All rows and one split -> probabilities (test rows, classes) or any figures of the test rows."""

_SCALER_TOLERANCE = 1e-9


def check_scaler_inside_fold(
    mean: PerRow,
    scale: PerRow,
    train_features: PerBarFeature,
    feature_names: Sequence[str] = (),
    *,
    weights: PerRow | None = None,
) -> None:
    """LeakError unless a scaler's mean and scale are those of the training rows alone.

    Parameters
    ----------
    mean, scale : float64 (features,)             as fitted; scale is the population deviation,
                                                  1 where that is 0
    train_features : float64 (rows, features)     the fold's training rows, unscaled
    feature_names : names for the message
    weights : float64 (rows,)                     how much each row counted; None is 1 each
    """
    average = np.average(train_features, axis=0, weights=weights)
    deviation = np.sqrt(np.average((train_features - average) ** 2, axis=0, weights=weights))
    expected = {
        "mean": average,
        "scale": np.where(deviation > 0.0, deviation, 1.0),
    }
    size = np.abs(train_features).max(axis=0, initial=0.0) + np.finfo(np.float64).tiny
    for what, fitted in (("mean", mean), ("scale", scale)):
        off = np.abs(fitted - expected[what])
        # A constant column has a deviation of rounding noise, which scikit-learn takes for 0.
        is_constant = deviation <= 1e-12 * size
        wrong = np.flatnonzero((off > _SCALER_TOLERANCE * size) & ~is_constant)
        if wrong.size:
            column = int(wrong[0])
            label = feature_names[column] if column < len(feature_names) else f"column {column}"
            raise LeakError(
                f"check_scaler_inside_fold: {what} of {label} must be the training rows' "
                f"{expected[what][column]:.12g}, was {fitted[column]:.12g} ({wrong.size} features); "
                "fit the scaler on the fold's training rows only"
            )


def check_pipeline_ignores_test_labels(
    pipeline: Pipeline, dataset: Dataset, splits: Sequence[Split], *, seed: int = 42
) -> None:
    """LeakError if a prediction changes when labels outside the training rows change.

    Parameters
    ----------
    pipeline : callable    everything done with labels, from all rows and a split to predictions of
                           its test rows: selection, encoding, oversampling, fitting, early stopping,
                           calibration; `trainer_pipeline(trainer)` makes one of a trainer

    Raises
    ------
    DataError    if there is no split, or the predictions are not one a test row

    Notes
    -----
    Half of the labels of the rows that may not teach, test and purged, become another class.
    """
    random = np.random.default_rng(seed)
    for split in _at_least_one(splits):
        outside = _outside(dataset, split)
        labels = dataset.labels.copy()
        moved = outside[random.random(len(outside)) < 0.5]
        place = np.searchsorted(np.array(dataset.classes), labels[moved])
        labels[moved] = np.array(dataset.classes)[(place + 1) % len(dataset.classes)]
        found = _predicted(pipeline, dataset, split)
        again = _predicted(pipeline, replace(dataset, labels=labels), split)
        _same_predictions(
            "check_pipeline_ignores_test_labels",
            "labels outside the training rows",
            (dataset, split, np.arange(len(split.test))),
            found,
            again,
        )


def check_pipeline_ignores_later_rows(
    pipeline: Pipeline, dataset: Dataset, splits: Sequence[Split], *, seed: int = 42
) -> None:
    """LeakError if a prediction changes when features of later rows outside training change.

    Parameters and errors are those of `check_pipeline_ignores_test_labels`.

    Notes
    -----
    In each fold, features of the rows outside training that are decided after the middle of the test
    are replaced (of test rows alone where a split trains on later rows); predictions up to the middle
    must stay. Catches whatever is fitted on all rows: scaling, filling, encoding, selection; windows
    that reach forward; and in a k-fold windows that are longer than purge and embargo together.
    """
    random = np.random.default_rng(seed)
    for split in _at_least_one(splits):
        outside = split.test if split.trains_on_later else _outside(dataset, split)
        middle_ns = int(np.median(dataset.decided_at_ns[split.test]))
        later = outside[dataset.decided_at_ns[outside] > middle_ns]
        features = dataset.features.copy()
        size = np.abs(features).max(axis=0, initial=0.0) + 1.0
        features[later] = 3.0 * size * random.standard_normal((len(later), features.shape[1]))
        found = _predicted(pipeline, dataset, split)
        again = _predicted(pipeline, replace(dataset, features=features), split)
        early = np.flatnonzero(dataset.decided_at_ns[split.test] <= middle_ns)
        _same_predictions(
            "check_pipeline_ignores_later_rows",
            f"rows after {iso_time(middle_ns)}",
            (dataset, split, early),
            found,
            again,
        )


def _at_least_one(splits: Sequence[Split]) -> Sequence[Split]:
    if not splits:
        raise DataError("splits must hold at least one fold, was empty")
    return splits


def _outside(dataset: Dataset, split: Split) -> Index:
    return np.setdiff1d(np.arange(len(dataset)), split.train)


def _predicted(pipeline: Pipeline, dataset: Dataset, split: Split) -> PerRowClass:
    found = np.asarray(pipeline(dataset, split), dtype=np.float64)
    if len(found) != len(split.test):
        raise DataError(
            f"fold {split.fold} must give one prediction a test row, {len(split.test)}, "
            f"was {len(found)}"
        )
    return found.reshape(len(found), -1)


def _same_predictions(
    name: str,
    altered: str,
    rows: tuple[Dataset, Split, Index],
    found: PerRowClass,
    again: PerRowClass,
) -> None:
    dataset, split, judged = rows
    left, right = found[judged], again[judged]
    is_same = ((left == right) | (np.isnan(left) & np.isnan(right))).all(axis=1)
    if not is_same.all():
        place = int(np.argmin(is_same))
        row = int(split.test[judged[place]])
        raise LeakError(
            f"{name}: fold {split.fold} must predict row {row} "
            f"({iso_time(int(dataset.decided_at_ns[row]))}) without {altered}, gave "
            f"{left[place].tolist()} and with others {right[place].tolist()} "
            f"({np.count_nonzero(~is_same)} rows); fit on the fold's training rows only"
        )
