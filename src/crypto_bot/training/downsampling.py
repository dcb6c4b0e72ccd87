"""Flat rows thinned before a model learns: in the rows it is given to learn from, nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crypto_bot.core import Options
from crypto_bot.core.arrays import Index
from crypto_bot.dataset import Dataset
from crypto_bot.training.trainers import TrainedModel, Trainer, require_two_classes

FLAT = 0
DOWNSAMPLED = "downsample_flat"
"""Option of a card: the seed by which flat rows were thinned; absent where none were."""
_SIDES = (-1, FLAT, 1)


class DownsamplingTrainer:
    """Another trainer, taught with no more flat rows than the larger side has.

    Notes
    -----
    Works inside `fit`, so a fold's test rows are never touched: they keep the share of flat rows
    that the market has, and so does every metric. The rows that stay are drawn by `seed`, evenly,
    and keep their order. Labels that are not short, flat, long are left alone.
    """

    def __init__(self, trainer: Trainer, seed: int = 42) -> None:
        self.trainer = trainer
        self.seed = seed

    @property
    def name(self) -> str:
        """Such as 'lightgbm (600 rounds), flat rows thinned'."""
        return f"{self.trainer.name}, flat rows thinned"

    @property
    def options(self) -> Options | None:
        """Those of the trainer inside."""
        found: Options | None = getattr(self.trainer, "options", None)
        return found

    def fit(self, dataset: Dataset) -> TrainedModel:
        """Thin the flat rows, then train; `evidence` says how many stayed."""
        require_two_classes(dataset)
        kept = rows_kept(dataset, self.seed)
        model = self.trainer.fit(dataset.take(kept).weighed())
        flat = int(np.count_nonzero(dataset.labels == FLAT))
        left = flat - (len(dataset) - len(kept))
        return replace(
            model,
            options={**model.options, DOWNSAMPLED: self.seed},
            evidence={**model.evidence, "flat_rows": flat, "flat_rows_kept": left},
        )


def rows_kept(dataset: Dataset, seed: int) -> Index:
    """int64 (kept,): ascending rows; flat ones no more than the larger side has."""
    everything = np.arange(len(dataset))
    if dataset.classes != _SIDES:
        return everything
    counts = dataset.class_counts()
    wanted = max(counts[-1], counts[1])
    flat = np.flatnonzero(dataset.labels == FLAT)
    if not wanted or len(flat) <= wanted:
        return everything
    dropped = np.random.default_rng(seed).choice(flat, len(flat) - wanted, replace=False)
    return np.delete(everything, dropped)
