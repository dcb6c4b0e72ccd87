"""Whole loops from bars to out-of-sample predictions: leaks and their clean twins, one a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from benchmarks.truth.leak_material import fitted, rows_of, with_features
from benchmarks.truth.leaks_in_bars import OWN_FEATURES
from crypto_bot.core import Bars
from crypto_bot.dataset import Dataset, build_dataset
from crypto_bot.labels import (
    LabelOptions,
    NextUpOptions,
    ThreeClassOptions,
    TrendScanningOptions,
    TripleBarrierOptions,
)
from crypto_bot.splits import Split, WalkForwardOptions, split_dataset
from crypto_bot.training import (
    CalibratedTrainer,
    CalibrationOptions,
    ForestOptions,
    ForestTrainer,
    LightGBMOptions,
    LightGBMTrainer,
    LogisticTrainer,
    SoftVoteTrainer,
)
from crypto_bot.validation import OutOfSample, out_of_sample

Array = np.ndarray


# Whole loops: several Bars -> (Dataset, OutOfSample)


def predicted(
    dataset: Dataset, pipelines: Sequence[Callable[[Dataset, Split], Array]], chosen: int | None
) -> tuple[Dataset, OutOfSample]:
    """Every pipeline on every fold; the one named, or the best over all folds, is what comes out."""
    splits = split_dataset(dataset, WalkForwardOptions(folds=3))
    fold = np.full(len(dataset), -1)
    found = np.full((len(pipelines), len(dataset), 2), np.nan)
    for split in splits:
        fold[split.test] = split.fold
        for k, pipeline in enumerate(pipelines):
            found[k, split.test] = pipeline(dataset, split)
    tested = fold >= 0
    right = ((found[:, tested, 1] > 0.5) == dataset.labels[tested]).mean(axis=1)
    best = found[int(right.argmax()) if chosen is None else chosen]
    times = dataset.decided_at_ns[tested]
    return dataset, OutOfSample(
        best, fold, (0, 1), (), tuple(splits), int(times.min()), int(times.max())
    )


def moves(bars: Sequence[Bars]) -> Dataset:
    """Rows whose features are the last twelve returns."""
    each = bars[0]
    moves = np.diff(np.log(each.close), prepend=np.log(each.close[0]))
    table = np.column_stack([np.roll(moves, lag) for lag in range(12)]) * 100.0
    rows = rows_of(each)
    return with_features(rows, table[: len(rows)]).take(np.arange(12, len(rows)))


def best_setting_on_the_same_folds(bars: Sequence[Bars]) -> tuple[Dataset, OutOfSample]:
    pairs = list(combinations(range(12), 2))
    few = [
        lambda data, split, pair=pair: fitted(data, split, data.features[:, pair]) for pair in pairs
    ]
    return predicted(moves(bars), few, None)


def setting_fixed_beforehand(bars: Sequence[Bars]) -> tuple[Dataset, OutOfSample]:
    return predicted(moves(bars), [fitted], 0)


def labels_end_untold(bars: Sequence[Bars]) -> tuple[Dataset, OutOfSample]:
    """The rows say that labels end with their own bar, so nothing is purged."""
    dataset = moves(bars)
    splits = split_dataset(
        replace(dataset, label_end_ns=dataset.decided_at_ns), WalkForwardOptions(embargo_bars=0)
    )
    fold, found = np.full(len(dataset), -1), np.full((len(dataset), 2), np.nan)
    for split in splits:
        fold[split.test], found[split.test] = split.fold, fitted(dataset, split)
    return dataset, OutOfSample(found, fold, (0, 1), (), tuple(splits), 0, 1)


TREES = ForestTrainer(ForestOptions(n_estimators=5, max_depth=4))
BOOSTING = LightGBMTrainer(LightGBMOptions(n_estimators=20, num_leaves=7))
LOGISTIC = LogisticTrainer()
_CORRECTED = CalibrationOptions(folds=2, embargo_bars=0)
TRAINERS = {
    "forest": TREES,
    "boosting": BOOSTING,
    "logistic": LOGISTIC,
    "calibrated logistic": CalibratedTrainer(LOGISTIC, _CORRECTED),
    "mean of logistic and forest": SoftVoteTrainer([LOGISTIC, TREES]),
}
LABELS = {
    "next-up": NextUpOptions(),
    "three-class": ThreeClassOptions(horizon_minutes=240, hold_threshold=0.001),
    "triple-barrier": TripleBarrierOptions(horizon_bars=8, volatility_bars=10),
    "trend-scanning": TrendScanningOptions(minimum_bars=3, maximum_bars=8),
}
_FEW = WalkForwardOptions(folds=2, minimum_train_rows=30)


def our_own_loop(labels: LabelOptions) -> Callable[[Sequence[Bars]], tuple[Dataset, OutOfSample]]:
    """The project's features, these labels, its splits and its forest."""

    def learn(bars: Sequence[Bars]) -> tuple[Dataset, OutOfSample]:
        dataset = build_dataset(bars, feature_names=OWN_FEATURES, labels=labels)
        return dataset, out_of_sample(dataset, TREES, split_dataset(dataset, _FEW))

    return learn
