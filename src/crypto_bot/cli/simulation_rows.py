"""Models trained on the past of a stretch, and what they say at each bar of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from crypto_bot.backtest.recipes import Recipe, taught
from crypto_bot.core import Bars
from crypto_bot.core.arrays import PerRowClass
from crypto_bot.dataset import Dataset
from crypto_bot.training import TrainedModel
from crypto_bot.tuning.rows import cut_at
from crypto_bot.validation import OutOfSample
from crypto_bot.validation.out_of_sample import predict_fold


def walk_forward(
    dataset: Dataset, recipe: Recipe, spans: Sequence[tuple[int, int]], *, embargo_ns: int
) -> OutOfSample:
    """Predict stretches [start, end) of decisions from labels that ended before each less the embargo.

    Raises DataError, LeakError as `predict_fold`.
    """
    found = np.full((len(dataset), len(dataset.classes)), np.nan)
    fold = np.full(len(dataset), -1, dtype=np.int64)
    is_taught = np.zeros(len(dataset), dtype=np.bool_)
    is_taught[taught(recipe, dataset)] = True
    models: list[TrainedModel] = []
    splits = []
    for number, span in enumerate(spans):
        split = cut_at(dataset, *span, fold=number, embargo_ns=embargo_ns)
        split = replace(split, train=split.train[is_taught[split.train]])
        found[split.test], model = predict_fold(dataset, recipe.trainer, split)
        fold[split.test] = number
        models.append(model)
        splits.append(split)
    tested = dataset.decided_at_ns[fold >= 0]
    ends = int(tested.min()), int(tested.max())
    return OutOfSample(found, fold, dataset.classes, tuple(models), tuple(splits), *ends)


def tested_stretch(
    dataset: Dataset, predictions: OutOfSample, bars: Bars
) -> tuple[Bars, PerRowClass]:
    """The bars from the first to the last tested decision and one more, and the probabilities there.

    float64 (bars, classes), NaN where nothing was predicted: no position is wanted there.
    """
    whole = np.full((len(bars), len(dataset.classes)), np.nan)
    rows = np.flatnonzero(predictions.is_tested)
    whole[dataset.bar_index[rows]] = predictions.probabilities[rows]
    first, last = int(dataset.bar_index[rows[0]]), int(dataset.bar_index[rows[-1]])
    stretch = slice(first, min(last + 2, len(bars)))
    return bars[stretch], whole[stretch]
