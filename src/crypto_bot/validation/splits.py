"""Which rows may teach and which may judge: by time, purged by each label's true end, embargoed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

import numpy as np
from pydantic import Field

from crypto_bot.core.arrays import Index
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.options import Options
from crypto_bot.core.timeframes import iso_time, timeframe_ns
from crypto_bot.training import Dataset

DEFAULT_EMBARGO_BARS = 10


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


class Holdout(NamedTuple):
    """The rows to develop on, and where the untouched rest starts.

    The rest is `dataset.take(dataset.decided_at_ns >= start_ns)`; touch it once.
    """

    development: Dataset
    start_ns: int


class Splitter(Protocol):
    """Cuts rows into folds; every member of `SPLITTERS` obeys tests/laws/test_splitters.py."""

    def __call__(
        self, decided_at_ns: Index, label_end_ns: Index, *, embargo_ns: int = 0
    ) -> list[Split]:
        """Rows in time order -> folds in time order."""
        ...


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
    _check_times(decided_at_ns, label_end_ns)
    embargo_ns = _embargo_ns(options, decided_at_ns, interval_ns)
    starts = _test_starts(decided_at_ns, options)
    ends = [*starts[1:], len(decided_at_ns)]
    splits = []
    for fold, (first, last) in enumerate(zip(starts, ends, strict=True)):
        window = starts[0] if options.mode is WindowMode.ROLLING else first
        train_from = _window_start(decided_at_ns, first, window)
        split = _split(decided_at_ns, label_end_ns, fold, train_from, first, last, embargo_ns)
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


def split_holdout(
    dataset: Dataset, fraction: float = 0.2, *, embargo_bars: int = DEFAULT_EMBARGO_BARS
) -> Holdout:
    """Set the last stretch of history aside.

    Parameters
    ----------
    fraction : float       share of the rows to hold out, 0 < fraction < 1
    embargo_bars : int     bars left out before the hold-out, on top of the purge

    Returns
    -------
    Holdout    (development, start_ns): development's labels all ended before start_ns - embargo

    Raises
    ------
    ConfigError    if the fraction is out of range
    DataError      if nothing would be left on one side
    """
    if not 0.0 < fraction < 1.0:
        raise ConfigError(f"fraction must be between 0 and 1, was {fraction}")
    embargo_ns = embargo_bars * timeframe_ns(dataset.timeframe)
    split = _holdout(dataset.decided_at_ns, dataset.label_end_ns, fraction, embargo_ns)
    return Holdout(dataset.take(split.train), split.test_start_ns)


def _holdout(decided_at_ns: Index, label_end_ns: Index, fraction: float, embargo_ns: int) -> Split:
    _check_times(decided_at_ns, label_end_ns)
    rows = len(decided_at_ns)
    first = _start_of_moment(decided_at_ns, int(rows * (1.0 - fraction))) if rows else 0
    split = _split(decided_at_ns, label_end_ns, 0, 0, first, rows, embargo_ns) if rows else None
    if split is None or len(split.train) == 0:
        raise DataError(
            f"rows must leave some before and in a hold-out of {fraction:.0%}, was {rows} rows; "
            "give a longer history"
        )
    return split


def _check_times(decided_at_ns: Index, label_end_ns: Index) -> None:
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
    starts = [_start_of_moment(decided_at_ns, part * size) for part in range(1, parts)]
    if len(set(starts)) < len(starts) or starts[0] == 0:
        moments = len(np.unique(decided_at_ns))
        raise DataError(
            f"rows must lie at enough different moments for {options.folds} folds, "
            f"was {moments} moments in {rows} rows; give a longer history or fewer folds"
        )
    return starts


def _start_of_moment(decided_at_ns: Index, row: int) -> int:
    """The first row decided at the same time as `row`."""
    return int(np.searchsorted(decided_at_ns, decided_at_ns[row]))


def _window_start(decided_at_ns: Index, first: int, rows: int) -> int:
    return _start_of_moment(decided_at_ns, first - rows)


def _split(
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
    return [_holdout(decided_at_ns, label_end_ns, 0.2, embargo_ns)]


SPLITTERS: Mapping[str, Splitter] = {
    "holdout": _last_fifth,
    "walk_forward_expanding": _expanding,
    "walk_forward_rolling": _rolling,
}
"""Every way of cutting history that this stage offers, by name."""
