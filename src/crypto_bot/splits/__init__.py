"""Stage 5c, which rows may teach and which may judge. In: times of rows. Out: `Split`s.

Cut by time, purged by each label's true end, embargoed. Walk-forward and hold-out learn from the
past alone; purged k-fold and combinatorial folds learn on both sides of what they test.
"""

from crypto_bot.splits.base import DEFAULT_EMBARGO_BARS, Split, Splitter
from crypto_bot.splits.catalogue import SPLITTERS
from crypto_bot.splits.holdout import Holdout, split_holdout
from crypto_bot.splits.of_dataset import split_dataset
from crypto_bot.splits.two_sided import (
    CombinatorialOptions,
    KFoldOptions,
    combinatorial_paths,
    combinatorial_splits,
    group_of_rows,
    purged_kfold_splits,
)
from crypto_bot.splits.walk_forward import WalkForwardOptions, WindowMode, walk_forward_splits

__all__ = [
    "DEFAULT_EMBARGO_BARS",
    "SPLITTERS",
    "CombinatorialOptions",
    "Holdout",
    "KFoldOptions",
    "Split",
    "Splitter",
    "WalkForwardOptions",
    "WindowMode",
    "combinatorial_paths",
    "combinatorial_splits",
    "group_of_rows",
    "purged_kfold_splits",
    "split_dataset",
    "split_holdout",
    "walk_forward_splits",
]
