"""Which rows may teach and which may judge: by time, purged by each label's true end, embargoed."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from pydantic import Field

from crypto_bot.core.arrays import Index
from crypto_bot.core.errors import DataError
from crypto_bot.core.options import Options
from crypto_bot.core.timeframes import iso_time, timeframe_ns
from crypto_bot.dataset import Dataset
from crypto_bot.splits.base import (
    DEFAULT_EMBARGO_BARS,
    Split,
    check_times,
    split_before,
    start_of_moment,
)


class WindowMode(StrEnum):
    """What a fold may learn from."""

    EXPANDING = "expanding"
    """Everything before its test stretch."""
    ROLLING = "rolling"
    """As long a stretch as the first fold's, ending before its test stretch."""


class WalkForwardOptions(Options):
    """How history is cut into folds."""

    folds: int = Field(
        default=5, ge=1, description="test stretches; rows are cut in folds + 1 parts"
    )
    mode: WindowMode = Field(default=WindowMode.EXPANDING, description="training window")
    embargo_bars: int = Field(
        default=DEFAULT_EMBARGO_BARS,
        ge=0,
        description="bars left out between the last training label and the test, on top of the purge",
    )
    embargo_ns: int = Field(default=0, ge=0, description="the same in ns; the longer one counts")
    minimum_train_rows: int = Field(default=50, ge=1, description="rows a fold must learn from")
    minimum_test_rows: int = Field(default=10, ge=1, description="rows a fold must be judged on")


def walk_forward_splits(
    decided_at_ns: Index,
    label_end_ns: Index,
    options: WalkForwardOptions | None = None,
    *,
    interval_ns: int | None = None,
) -> list[Split]:
    """Cut rows into folds that learn only from what was known before their test stretch.

    Parameters
    ----------
    decided_at_ns : int64 (rows,)    when each row's features were known, not decreasing
    label_end_ns : int64 (rows,)     when each row's label was known, never before its decision
    options : WalkForwardOptions
    interval_ns : int                length of a bar; None takes the smallest step between rows

    Returns
    -------
    list[Split]    in time order. Parts are rows // (folds + 1) rows long; rows of one moment, of
                   whatever symbol, stay together; the remainder belongs to the last test stretch.

    Raises
    ------
    DataError    if rows are out of order, or a fold has too few to learn from or to be judged on

    Notes
    -----
    A row may teach a fold only if its label ended before the fold's first test decision minus the
    embargo. Every row from the first test stretch on is tested exactly once.
    """
    options = WalkForwardOptions() if options is None else options
    check_times(decided_at_ns, label_end_ns)
    embargo_ns = _embargo_ns(options, decided_at_ns, interval_ns)
    starts = _test_starts(decided_at_ns, options)
    ends = [*starts[1:], len(decided_at_ns)]
    splits = []
    for fold, (first, last) in enumerate(zip(starts, ends, strict=True)):
        window = starts[0] if options.mode is WindowMode.ROLLING else first
        train_from = _window_start(decided_at_ns, first, window)
        split = split_before(decided_at_ns, label_end_ns, fold, train_from, first, last, embargo_ns)
        _check_size(split, options)
        splits.append(split)
    return splits


def split_dataset(dataset: Dataset, options: WalkForwardOptions | None = None) -> list[Split]:
    """`walk_forward_splits` of a dataset, its embargo counted in bars of its timeframe."""
    return walk_forward_splits(
        dataset.decided_at_ns,
        dataset.label_end_ns,
        options,
        interval_ns=timeframe_ns(dataset.timeframe),
    )


def _embargo_ns(options: WalkForwardOptions, decided_at_ns: Index, interval_ns: int | None) -> int:
    if interval_ns is None:
        steps = np.diff(decided_at_ns)
        steps = steps[steps > 0]
        interval_ns = int(steps.min()) if steps.size else 0
    return max(options.embargo_ns, options.embargo_bars * interval_ns)


def _test_starts(decided_at_ns: Index, options: WalkForwardOptions) -> list[int]:
    rows, parts = len(decided_at_ns), options.folds + 1
    size = rows // parts
    if size == 0:
        raise DataError(
            f"rows must be at least {parts} for {options.folds} folds, was {rows}; "
            "give a longer history or fewer folds"
        )
    starts = [start_of_moment(decided_at_ns, part * size) for part in range(1, parts)]
    if len(set(starts)) < len(starts) or starts[0] == 0:
        moments = len(np.unique(decided_at_ns))
        raise DataError(
            f"rows must lie at enough different moments for {options.folds} folds, "
            f"was {moments} moments in {rows} rows; give a longer history or fewer folds"
        )
    return starts


def _window_start(decided_at_ns: Index, first: int, rows: int) -> int:
    return start_of_moment(decided_at_ns, first - rows)


def _check_size(split: Split, options: WalkForwardOptions) -> None:
    for name, rows, least in (
        ("train", len(split.train), options.minimum_train_rows),
        ("test", len(split.test), options.minimum_test_rows),
    ):
        if rows < least:
            raise DataError(
                f"fold {split.fold} from {iso_time(split.test_start_ns)} must have at least {least} "
                f"{name} rows, was {rows} ({split.purged} purged); "
                "give a longer history or fewer folds"
            )
