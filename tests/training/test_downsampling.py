"""Flat rows are thinned in what a model learns from, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crypto_bot.splits import WalkForwardOptions, split_dataset
from crypto_bot.training import (
    DOWNSAMPLED,
    DownsamplingTrainer,
    LightGBMOptions,
    LightGBMTrainer,
)
from crypto_bot.training.downsampling import rows_kept
from crypto_bot.validation import out_of_sample
from training.learnable_rows import dataset

TREES = LightGBMTrainer(LightGBMOptions(n_estimators=4, num_leaves=7, n_jobs=1))


def mostly_flat():
    rows = dataset(classes=3)
    labels = rows.labels.copy()
    labels[np.arange(len(labels)) % 4 != 0] = 0
    return replace(rows, labels=labels)


def test_as_many_flat_rows_stay_as_the_larger_side_has_and_all_others():
    rows = mostly_flat()
    kept = rows_kept(rows, 42)
    counts, left = rows.class_counts(), rows.take(kept).class_counts()
    assert counts[0] > max(counts[-1], counts[1])
    assert left == {-1: counts[-1], 0: max(counts[-1], counts[1]), 1: counts[1]}
    assert (np.diff(kept) > 0).all()
    assert np.array_equal(kept, rows_kept(rows, 42))
    assert not np.array_equal(kept, rows_kept(rows, 7))


def test_other_labels_and_rows_with_few_flat_ones_are_left_alone():
    two = dataset(classes=2)
    assert len(rows_kept(two, 42)) == len(two)
    rows = mostly_flat()
    sided = replace(rows, labels=np.where(rows.labels == 0, 1, rows.labels).astype(np.int8))
    assert len(rows_kept(sided, 42)) == len(rows)


def test_rows_that_judge_are_never_thinned():
    rows = mostly_flat()
    splits = split_dataset(rows, WalkForwardOptions(folds=2))
    seen = []

    class Watching:
        name = "watching"

        def fit(self, given):
            seen.append(given.class_counts())
            return TREES.fit(given)

    found = out_of_sample(rows, DownsamplingTrainer(Watching(), 42), splits)
    tested = np.concatenate([split.test for split in splits])
    assert found.is_tested.sum() == len(tested)
    assert np.isfinite(found.probabilities[tested]).all()
    for counts, split in zip(seen, splits, strict=True):
        whole = rows.take(split.train).class_counts()
        assert counts[0] == max(counts[-1], counts[1]) < whole[0]
        assert (counts[-1], counts[1]) == (whole[-1], whole[1])


def test_the_model_says_what_was_done():
    rows = mostly_flat()
    model = DownsamplingTrainer(TREES, 7).fit(rows)
    counts = rows.class_counts()
    assert model.options[DOWNSAMPLED] == 7
    assert model.evidence["flat_rows"] == counts[0]
    assert model.evidence["flat_rows_kept"] == max(counts[-1], counts[1])
    assert DownsamplingTrainer(TREES).name == "lightgbm (4 rounds), flat rows thinned"
