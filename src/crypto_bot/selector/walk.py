"""Entries judged by selectors that learned only from trades which had ended before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crypto_bot.core.arrays import Index, Mask, PerRow
from crypto_bot.core.timeframes import iso_time
from crypto_bot.selector.candidates import Announce, Candidates
from crypto_bot.selector.model import Selector, fit_selector
from crypto_bot.selector.options import SelectorOptions
from crypto_bot.selector.rows import TradeRows, trade_rows
from crypto_bot.splits import Split, WalkForwardOptions, split_dataset
from crypto_bot.training import Trainer
from crypto_bot.validation import check_split_purged


@dataclass(frozen=True, eq=False)
class Selection:
    """What was thought of each entry before it was made.

    Attributes
    ----------
    candidates : Candidates
    rows : TradeRows                 the closed trades that taught
    chance, expected : float64 (entries,)    NaN before `start_ns` and where a feature is undefined
    is_taken : bool (entries,)
    fold : int64 (entries,)          whose selector judged, -1 before `start_ns`
    selectors : tuple of Selector    one a fold
    splits : tuple of Split          of `rows`
    start_ns : int                   first decision that is out of sample
    """

    candidates: Candidates
    rows: TradeRows
    chance: PerRow
    expected: PerRow
    is_taken: Mask
    fold: Index
    selectors: tuple[Selector, ...]
    splits: tuple[Split, ...]
    start_ns: int

    @property
    def is_tested(self) -> Mask:
        """bool (entries,): decided out of sample."""
        return self.fold >= 0


def select_out_of_sample(
    candidates: Candidates,
    options: SelectorOptions | None = None,
    *,
    walk: WalkForwardOptions | None = None,
    trainer: Trainer | None = None,
    announce: Announce = lambda _line: None,
) -> Selection:
    """Walk forward: learn from the trades that have ended, judge the entries of the next stretch.

    Raises
    ------
    DataError    too few closed trades for the folds, or a fold whose trades all won or all lost
    LeakError    a fold's training trades had not all ended before its first decision

    Notes
    -----
    Entries whose trades are still open at the end are judged too, though they teach nothing. An entry
    without a value for some feature is not taken.
    """
    rows = trade_rows(candidates)
    dataset = rows.dataset
    splits = split_dataset(dataset, walk)
    starts = np.array([split.test_start_ns for split in splits])
    fold = np.searchsorted(starts, candidates.decided_at_ns, side="right") - 1
    chance, expected = np.full(len(candidates), np.nan), np.full(len(candidates), np.nan)
    is_taken = np.zeros(len(candidates), np.bool_)
    selectors = []
    for split in splits:
        check_split_purged(split, dataset.decided_at_ns, dataset.label_end_ns)
        announce(
            f"fold {split.fold + 1} of {len(splits)}: {len(split.train)} ended trades teach, "
            f"entries from {iso_time(split.test_start_ns)} are judged"
        )
        selector = fit_selector(rows.take(split.train), options, trainer)
        judged = fold == split.fold
        known = candidates.features[judged]
        chance[judged] = selector.chance(known)
        expected[judged] = selector.expected_return(known, candidates.strategy[judged])
        is_taken[judged] = selector.takes(chance[judged], expected[judged])
        selectors.append(selector)
    return Selection(
        candidates,
        rows,
        chance,
        expected,
        is_taken,
        fold,
        tuple(selectors),
        tuple(splits),
        int(starts[0]),
    )
