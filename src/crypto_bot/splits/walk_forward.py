"""Which rows may teach and which may judge: by time, purged by each label's true end, embargoed."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from crypto_bot.core.arrays import Index
from crypto_bot.core.options import Options
from crypto_bot.splits.base import (
    DEFAULT_EMBARGO_BARS,
    Split,
    check_size,
    check_times,
    embargo_length,
    part_starts,
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
    embargo_ns = embargo_length(
        decided_at_ns, options.embargo_bars, options.embargo_ns, interval_ns
    )
    starts = part_starts(decided_at_ns, options.folds + 1, options.folds)[1:]
    ends = [*starts[1:], len(decided_at_ns)]
    splits = []
    for fold, (first, last) in enumerate(zip(starts, ends, strict=True)):
        window = starts[0] if options.mode is WindowMode.ROLLING else first
        train_from = _window_start(decided_at_ns, first, window)
        split = split_before(decided_at_ns, label_end_ns, fold, train_from, first, last, embargo_ns)
        check_size(split, options.minimum_train_rows, options.minimum_test_rows)
        splits.append(split)
    return splits


def _window_start(decided_at_ns: Index, first: int, rows: int) -> int:
    return start_of_moment(decided_at_ns, first - rows)
