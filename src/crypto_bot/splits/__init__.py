"""Stage 5c, which rows may teach and which may judge. In: times of rows. Out: `Split`s.

Cut by time, purged by each label's true end, embargoed.
"""

from crypto_bot.splits.base import DEFAULT_EMBARGO_BARS, Split, Splitter
from crypto_bot.splits.catalogue import SPLITTERS
from crypto_bot.splits.holdout import Holdout, split_holdout
from crypto_bot.splits.walk_forward import (
    WalkForwardOptions,
    WindowMode,
    split_dataset,
    walk_forward_splits,
)

__all__ = [
    "DEFAULT_EMBARGO_BARS",
    "SPLITTERS",
    "Holdout",
    "Split",
    "Splitter",
    "WalkForwardOptions",
    "WindowMode",
    "split_dataset",
    "split_holdout",
    "walk_forward_splits",
]
