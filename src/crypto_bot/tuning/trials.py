"""One trial of a search: a setting tried on purged folds of its training rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crypto_bot.core.arrays import Index, PerRow
from crypto_bot.core.timeframes import DAY_NS
from crypto_bot.dataset import Dataset
from crypto_bot.gate import Pooled, pool_results
from crypto_bot.splits import KFoldOptions, Split, purged_kfold_splits
from crypto_bot.tuning.rows import RowBoard, training_rows
from crypto_bot.tuning.settings import ModelSetting
from crypto_bot.tuning.trading import TradingTerms, threshold_for, trade_setting
from crypto_bot.validation import OutOfSample
from crypto_bot.validation.out_of_sample import predict_fold

Progress = Callable[[int, float], bool]
"""Told (folds done, annual Sharpe ratio so far); True prunes the trial."""


@dataclass(frozen=True, eq=False)
class TriedSetting:
    """What a setting showed out of fold.

    Attributes
    ----------
    setting : ModelSetting
    sharpe : float | None        annual, of the pooled out-of-fold account after costs
    threshold : float            probability above which it took a side
    trades : int
    day : int64 (days,)          days since the epoch
    daily_returns : float64 (days,)
    is_pruned : bool             given up before its last fold; figures are of the folds done
    """

    setting: ModelSetting
    sharpe: float | None
    threshold: float
    trades: int
    day: Index
    daily_returns: PerRow
    is_pruned: bool = False


def try_setting(
    board: RowBoard,
    setting: ModelSetting,
    terms: TradingTerms,
    *,
    end_ns: int,
    folds: int,
    embargo_ns: int,
    progress: Progress | None = None,
) -> TriedSetting:
    """Train and trade a setting on purged folds of the rows whose labels ended before `end_ns`.

    Notes
    -----
    Folds are contiguous in time and purged on both sides by each label's true end. The threshold is
    set by the out-of-fold probabilities themselves: it says how often to trade, not when.
    """
    whole = board.dataset(setting.labels(board.timeframe))
    dataset = whole.take(np.flatnonzero(whole.label_end_ns < end_ns))
    splits = inner_splits(dataset, folds, embargo_ns, board.interval_ns)
    trainer = setting.trainer()
    found = np.full((len(dataset), len(dataset.classes)), np.nan)
    fold = np.full(len(dataset), -1, dtype=np.int64)
    tried: TriedSetting | None = None
    for done, split in enumerate(splits, 1):
        found[split.test] = predict_fold(dataset, trainer, split)[0]
        fold[split.test] = split.fold
        if done < len(splits) and progress is None:
            continue
        tested = dataset.decided_at_ns[fold >= 0]
        predictions = OutOfSample(
            found, fold, dataset.classes, (), tuple(splits), int(tested.min()), int(tested.max())
        )
        tried = _traded(setting, predictions, dataset, board, terms)
        if progress is not None and done < len(splits) and progress(done, tried.sharpe or 0.0):
            return replace(tried, is_pruned=True)
    if tried is None:
        raise AssertionError("splits hold at least one fold")
    return tried


def inner_splits(
    dataset: Dataset, folds: int, embargo_ns: int, interval_ns: int
) -> Sequence[Split]:
    """Purged folds that learn from rows a quarter of a horizon apart and predict every row."""
    splits = purged_kfold_splits(
        dataset.decided_at_ns,
        dataset.label_end_ns,
        KFoldOptions(folds=folds, embargo_ns=embargo_ns, embargo_bars=0),
    )
    return [
        replace(split, train=training_rows(dataset, split.train, interval_ns)) for split in splits
    ]


def _traded(
    setting: ModelSetting,
    predictions: OutOfSample,
    dataset: Dataset,
    board: RowBoard,
    terms: TradingTerms,
) -> TriedSetting:
    threshold = threshold_for(predictions.probabilities, dataset.classes, setting.open_share)
    pooled = pool_results(
        trade_setting(setting, predictions, threshold, dataset, board.bars, terms)
    )
    return TriedSetting(
        setting=setting,
        sharpe=pooled.sharpe,
        threshold=threshold,
        trades=pooled.trades,
        day=_days(pooled),
        daily_returns=pooled.daily_returns,
    )


def _days(pooled: Pooled) -> Index:
    """Days since the epoch of each daily return."""
    first, last = (int(pooled.time_ns[place]) - 1 for place in (0, -1))
    return np.arange(first // DAY_NS, last // DAY_NS + 1)
