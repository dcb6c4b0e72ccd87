"""A dataset cut by whichever options are given, its embargo counted in bars of its timeframe."""

from __future__ import annotations

from crypto_bot.core.timeframes import timeframe_ns
from crypto_bot.dataset import Dataset
from crypto_bot.splits.base import Split
from crypto_bot.splits.two_sided import (
    CombinatorialOptions,
    KFoldOptions,
    combinatorial_splits,
    purged_kfold_splits,
)
from crypto_bot.splits.walk_forward import WalkForwardOptions, walk_forward_splits


def split_dataset(
    dataset: Dataset,
    options: WalkForwardOptions | KFoldOptions | CombinatorialOptions | None = None,
) -> list[Split]:
    """Cut a dataset by walk-forward (the default), purged k-fold or combinations, by its options."""
    times = dataset.decided_at_ns, dataset.label_end_ns
    interval_ns = timeframe_ns(dataset.timeframe)
    if isinstance(options, KFoldOptions):
        return purged_kfold_splits(*times, options, interval_ns=interval_ns)
    if isinstance(options, CombinatorialOptions):
        return combinatorial_splits(*times, options, interval_ns=interval_ns)
    return walk_forward_splits(*times, options, interval_ns=interval_ns)
