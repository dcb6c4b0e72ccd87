"""Predictions of training rows by models that never learned from them: what wrappers learn from."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from crypto_bot.core import Options, Predictor
from crypto_bot.core.arrays import PerBarFeature, PerRowClass
from crypto_bot.core.models import require_schema
from crypto_bot.dataset import Dataset
from crypto_bot.splits import DEFAULT_EMBARGO_BARS, KFoldOptions, split_dataset
from crypto_bot.training.trainers import Trainer


class InnerFolds(Options):
    """How training rows are cut once more, so that a wrapper learns from unseen predictions."""

    folds: int = Field(default=5, ge=2, le=50, description="purged folds within the training rows")
    embargo_bars: int = Field(
        default=DEFAULT_EMBARGO_BARS,
        ge=0,
        description="bars left out on either side of a fold, on top of the purge by label end",
    )

    def k_fold(self) -> KFoldOptions:
        """As `split_dataset` takes it."""
        return KFoldOptions(folds=self.folds, embargo_bars=self.embargo_bars)


def out_of_fold(dataset: Dataset, trainer: Trainer, folds: InnerFolds) -> PerRowClass:
    """float64 (rows, classes): each row predicted by a model that learned from other folds only.

    Purged k-fold: rows on both sides of a fold teach the model that predicts it, except those whose
    label reaches into it or that lie within the embargo. Raises DataError if a fold has too few rows
    to learn from, or of one class.
    """
    found = np.full((len(dataset), len(dataset.classes)), np.nan)
    for split in split_dataset(dataset, folds.k_fold()):
        predictor = trainer.fit(dataset.take(split.train).weighed()).predictor
        found[split.test] = predictor.predict_proba(rows_for(predictor, dataset.take(split.test)))
    return found


def rows_for(predictor: Predictor, dataset: Dataset) -> PerBarFeature:
    """float64 (rows, features) of the dataset that the predictor reads, in its order.

    A model may read fewer features than there are; ModelError if it wants one that is not there.
    """
    lacking = set(predictor.feature_names) - set(dataset.feature_names)
    if lacking or dataset.feature_names == predictor.feature_names:
        require_schema(dataset.feature_names, predictor)
        return np.ascontiguousarray(dataset.features)
    return dataset.columns(predictor.feature_names).features
