"""What a fold is, and the rules every way of cutting obeys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from crypto_bot.core.arrays import Index
from crypto_bot.core.errors import DataError

DEFAULT_EMBARGO_BARS = 10


@dataclass(frozen=True, eq=False)
class Split:
    """One fold.

    Attributes
    ----------
    train, test : int64 (rows,)    ascending row numbers
    fold : int                     0 is the earliest
    train_end_ns : int             every training label ended before this: test start - embargo
    test_start_ns, test_end_ns : int    decision times of the first and last test row
    embargo_ns : int
    purged : int                   rows left out because their label or the embargo reached the test
    """

    train: Index
    test: Index
    fold: int
    train_end_ns: int
    test_start_ns: int
    test_end_ns: int
    embargo_ns: int
    purged: int


class Splitter(Protocol):
    """Cuts rows into folds; every member of `SPLITTERS` obeys tests/laws/test_splitters.py."""

    def __call__(
        self, decided_at_ns: Index, label_end_ns: Index, *, embargo_ns: int = 0
    ) -> list[Split]:
        """Rows in time order -> folds in time order."""
        ...


def check_times(decided_at_ns: Index, label_end_ns: Index) -> None:
    if decided_at_ns.shape != label_end_ns.shape or decided_at_ns.ndim != 1:
        raise DataError(
            f"label_end_ns must have {decided_at_ns.shape} like decided_at_ns, "
            f"was {label_end_ns.shape}"
        )
    back = np.flatnonzero(np.diff(decided_at_ns) < 0)
    if back.size:
        raise DataError(f"decided_at_ns must not decrease, did at row {back[0] + 1}")
    early = np.flatnonzero(label_end_ns < decided_at_ns)
    if early.size:
        raise DataError(f"label_end_ns must not be before decided_at_ns, was at row {early[0]}")


def start_of_moment(decided_at_ns: Index, row: int) -> int:
    """The first row decided at the same time as `row`."""
    return int(np.searchsorted(decided_at_ns, decided_at_ns[row]))


def split_before(
    decided_at_ns: Index,
    label_end_ns: Index,
    fold: int,
    train_from: int,
    first: int,
    last: int,
    embargo_ns: int,
) -> Split:
    test_start_ns = int(decided_at_ns[first])
    train_end_ns = test_start_ns - embargo_ns
    window = np.arange(train_from, first, dtype=np.int64)
    train = window[label_end_ns[train_from:first] < train_end_ns]
    return Split(
        train=train,
        test=np.arange(first, last, dtype=np.int64),
        fold=fold,
        train_end_ns=train_end_ns,
        test_start_ns=test_start_ns,
        test_end_ns=int(decided_at_ns[last - 1]),
        embargo_ns=embargo_ns,
        purged=len(window) - len(train),
    )
