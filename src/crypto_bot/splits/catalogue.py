"""Every way of cutting history, by name, for laws and for the search."""

from __future__ import annotations

from collections.abc import Mapping

from crypto_bot.core.arrays import Index
from crypto_bot.splits.base import Split, Splitter
from crypto_bot.splits.holdout import holdout_split
from crypto_bot.splits.two_sided import (
    CombinatorialOptions,
    KFoldOptions,
    combinatorial_splits,
    purged_kfold_splits,
)
from crypto_bot.splits.walk_forward import WalkForwardOptions, WindowMode, walk_forward_splits


def _expanding(decided_at_ns: Index, label_end_ns: Index, *, embargo_ns: int = 0) -> list[Split]:
    return _walk(decided_at_ns, label_end_ns, WindowMode.EXPANDING, embargo_ns)


def _rolling(decided_at_ns: Index, label_end_ns: Index, *, embargo_ns: int = 0) -> list[Split]:
    return _walk(decided_at_ns, label_end_ns, WindowMode.ROLLING, embargo_ns)


def _walk(
    decided_at_ns: Index, label_end_ns: Index, mode: WindowMode, embargo_ns: int
) -> list[Split]:
    options = WalkForwardOptions(mode=mode, embargo_bars=0, embargo_ns=embargo_ns)
    return walk_forward_splits(decided_at_ns, label_end_ns, options)


def _last_fifth(decided_at_ns: Index, label_end_ns: Index, *, embargo_ns: int = 0) -> list[Split]:
    return [holdout_split(decided_at_ns, label_end_ns, 0.2, embargo_ns)]


def _purged_kfold(decided_at_ns: Index, label_end_ns: Index, *, embargo_ns: int = 0) -> list[Split]:
    options = KFoldOptions(embargo_bars=0, embargo_ns=embargo_ns)
    return purged_kfold_splits(decided_at_ns, label_end_ns, options)


def _combinatorial(
    decided_at_ns: Index, label_end_ns: Index, *, embargo_ns: int = 0
) -> list[Split]:
    options = CombinatorialOptions(embargo_bars=0, embargo_ns=embargo_ns)
    return combinatorial_splits(decided_at_ns, label_end_ns, options)


SPLITTERS: Mapping[str, Splitter] = {
    "combinatorial_purged": _combinatorial,
    "holdout": _last_fifth,
    "purged_kfold": _purged_kfold,
    "walk_forward_expanding": _expanding,
    "walk_forward_rolling": _rolling,
}
"""Every way of cutting history that this stage offers, by name."""
