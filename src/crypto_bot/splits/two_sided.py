"""Folds that may learn on both sides of their test: purged k-fold, and combinations of groups.

Source: Lopez de Prado, "Advances in Financial Machine Learning" (2018), chapters 7 and 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np
from pydantic import Field, model_validator

from crypto_bot.core.arrays import Index
from crypto_bot.core.errors import ConfigError
from crypto_bot.core.options import Options
from crypto_bot.splits.base import (
    DEFAULT_EMBARGO_BARS,
    Split,
    check_size,
    check_times,
    embargo_length,
    part_starts,
)

_MOST_SPLITS = 5_000


class TwoSidedOptions(Options):
    """What is left out around a test, and the least that may remain."""

    embargo_bars: int = Field(
        default=DEFAULT_EMBARGO_BARS,
        ge=0,
        description="bars left out on either side of a test block, on top of the purge",
    )
    embargo_ns: int = Field(default=0, ge=0, description="the same in ns; the longer one counts")
    minimum_train_rows: int = Field(default=50, ge=1, description="rows a fold must learn from")
    minimum_test_rows: int = Field(default=10, ge=1, description="rows a fold must be judged on")


class KFoldOptions(TwoSidedOptions):
    """How history is cut into folds that each test one stretch and learn from all others."""

    folds: int = Field(default=5, ge=2, description="test stretches, which together are all rows")


class CombinatorialOptions(TwoSidedOptions):
    """How history is cut into groups, of which every combination is tested once."""

    groups: int = Field(default=8, ge=2, le=30, description="stretches of time")
    test_groups: int = Field(default=2, ge=1, description="groups a fold is judged on")

    @model_validator(mode="after")
    def _leaves_some_to_learn_from(self) -> CombinatorialOptions:
        check_groups(self.groups, self.test_groups)
        return self


def purged_kfold_splits(
    decided_at_ns: Index,
    label_end_ns: Index,
    options: KFoldOptions | None = None,
    *,
    interval_ns: int | None = None,
) -> list[Split]:
    """Cut rows into folds that each test one stretch of time and learn from both sides of it.

    Parameters
    ----------
    decided_at_ns : int64 (rows,)    when each row's features were known, not decreasing
    label_end_ns : int64 (rows,)     when each row's label was known, never before its decision
    options : KFoldOptions
    interval_ns : int                length of a bar; None takes the smallest step between rows

    Returns
    -------
    list[Split]    in time order; every row is tested exactly once

    Raises
    ------
    DataError    if rows are out of order, or a fold has too few to learn from or to be judged on

    Notes
    -----
    A row may teach only if its label ended before the first test decision less the embargo, or if
    it was decided after the last test label's true end plus the embargo. Looks ahead on purpose:
    the rows after a test teach it. Choose settings with these folds, and judge on a walk-forward.
    """
    options = KFoldOptions() if options is None else options
    check_times(decided_at_ns, label_end_ns)
    starts = part_starts(decided_at_ns, options.folds, options.folds)
    chosen = [(fold,) for fold in range(options.folds)]
    return _splits(decided_at_ns, label_end_ns, starts, chosen, options, interval_ns)


def combinatorial_splits(
    decided_at_ns: Index,
    label_end_ns: Index,
    options: CombinatorialOptions | None = None,
    *,
    interval_ns: int | None = None,
) -> list[Split]:
    """Cut rows into groups of time and test every combination of `test_groups` of them once.

    Parameters and errors are those of `purged_kfold_splits`.

    Returns
    -------
    list[Split]    comb(groups, test_groups), in the order of `itertools.combinations`; each row is
                   tested comb(groups - 1, test_groups - 1) times. `combinatorial_paths` says which
                   split serves which group on which path; `group_of_rows` which group a row is in.
    """
    options = CombinatorialOptions() if options is None else options
    check_times(decided_at_ns, label_end_ns)
    starts = part_starts(decided_at_ns, options.groups, options.groups)
    chosen = list(combinations(range(options.groups), options.test_groups))
    return _splits(decided_at_ns, label_end_ns, starts, chosen, options, interval_ns)


def combinatorial_paths(groups: int = 8, test_groups: int = 2) -> Index:
    """Which split predicts which group on which path.

    Returns
    -------
    int64 (paths, groups)    split numbers; comb(groups - 1, test_groups - 1) paths, each made of
                             every group once, and each split's prediction of a group on one path

    Examples
    --------
    >>> combinatorial_paths(4, 2).tolist()
    [[0, 0, 1, 2], [1, 3, 3, 4], [2, 4, 5, 5]]
    """
    check_groups(groups, test_groups)
    chosen = list(combinations(range(groups), test_groups))
    serving = [[k for k, test in enumerate(chosen) if group in test] for group in range(groups)]
    return np.array(serving, dtype=np.int64).T.copy()


def group_of_rows(decided_at_ns: Index, groups: int) -> Index:
    """The group of each row, int64 (rows,), as `combinatorial_splits` cuts them."""
    starts = part_starts(decided_at_ns, groups, groups)
    return np.searchsorted(np.array(starts), np.arange(len(decided_at_ns)), side="right") - 1


def check_groups(groups: int, test_groups: int) -> None:
    if not 1 <= test_groups < groups:
        raise ConfigError(
            f"test_groups must be at least 1 and fewer than the {groups} groups, was {test_groups}"
        )
    if comb(groups, test_groups) > _MOST_SPLITS:
        raise ConfigError(
            f"combinations of groups must be at most {_MOST_SPLITS}, was "
            f"{comb(groups, test_groups)} ({groups} groups, {test_groups} tested); use fewer"
        )


def _splits(
    decided_at_ns: Index,
    label_end_ns: Index,
    starts: Sequence[int],
    chosen: Sequence[tuple[int, ...]],
    options: TwoSidedOptions,
    interval_ns: int | None,
) -> list[Split]:
    embargo_ns = embargo_length(
        decided_at_ns, options.embargo_bars, options.embargo_ns, interval_ns
    )
    bounds = [*starts, len(decided_at_ns)]
    splits = []
    for fold, groups in enumerate(chosen):
        blocks = [(bounds[group], bounds[group + 1]) for group in groups]
        split = _split_around(decided_at_ns, label_end_ns, fold, blocks, embargo_ns)
        check_size(split, options.minimum_train_rows, options.minimum_test_rows)
        splits.append(split)
    return splits


def _split_around(
    decided_at_ns: Index,
    label_end_ns: Index,
    fold: int,
    blocks: Sequence[tuple[int, int]],
    embargo_ns: int,
) -> Split:
    is_tested = np.zeros(len(decided_at_ns), dtype=np.bool_)
    is_near = np.zeros(len(decided_at_ns), dtype=np.bool_)
    for first, last in blocks:
        is_tested[first:last] = True
        ends_before = label_end_ns < decided_at_ns[first] - embargo_ns
        begins_after = decided_at_ns > label_end_ns[first:last].max() + embargo_ns
        is_near |= ~(ends_before | begins_after)
    test = np.flatnonzero(is_tested)
    train = np.flatnonzero(~is_tested & ~is_near)
    start_ns = int(decided_at_ns[test[0]])
    return Split(
        train=train,
        test=test,
        fold=fold,
        train_end_ns=start_ns - embargo_ns,
        test_start_ns=start_ns,
        test_end_ns=int(decided_at_ns[test[-1]]),
        embargo_ns=embargo_ns,
        purged=len(decided_at_ns) - len(train) - len(test),
        trains_on_later=True,
    )
