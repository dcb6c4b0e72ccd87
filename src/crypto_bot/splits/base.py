"""What a fold is, and the rules every way of cutting obeys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from crypto_bot.core.arrays import Index
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import iso_time

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
    trains_on_later : bool         True: rows decided after the test's labels ended may teach too
    """

    train: Index
    test: Index
    fold: int
    train_end_ns: int
    test_start_ns: int
    test_end_ns: int
    embargo_ns: int
    purged: int
    trains_on_later: bool = False


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


def embargo_length(
    decided_at_ns: Index, embargo_bars: int, embargo_ns: int, interval_ns: int | None
) -> int:
    """The longer of two embargoes in ns; a bar is the smallest step between rows unless told."""
    if interval_ns is None:
        steps = np.diff(decided_at_ns)
        steps = steps[steps > 0]
        interval_ns = int(steps.min()) if steps.size else 0
    return max(embargo_ns, embargo_bars * interval_ns)


def part_starts(decided_at_ns: Index, parts: int, folds: int) -> list[int]:
    """First row of each of `parts` stretches of time; rows of one moment stay together."""
    rows = len(decided_at_ns)
    size = rows // parts
    if size == 0:
        raise DataError(
            f"rows must be at least {parts} for {folds} folds, was {rows}; "
            "give a longer history or fewer folds"
        )
    starts = [start_of_moment(decided_at_ns, part * size) for part in range(parts)]
    if len(set(starts)) < len(starts):
        moments = len(np.unique(decided_at_ns))
        raise DataError(
            f"rows must lie at enough different moments for {folds} folds, "
            f"was {moments} moments in {rows} rows; give a longer history or fewer folds"
        )
    return starts


def check_size(split: Split, minimum_train_rows: int, minimum_test_rows: int) -> None:
    for name, rows, least in (
        ("train", len(split.train), minimum_train_rows),
        ("test", len(split.test), minimum_test_rows),
    ):
        if rows < least:
            raise DataError(
                f"fold {split.fold} from {iso_time(split.test_start_ns)} must have at least {least} "
                f"{name} rows, was {rows} ({split.purged} purged); "
                "give a longer history or fewer folds"
            )
