"""One trial of a search: a setting tried on purged folds of its training rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crypto_bot.core.arrays import Index, PerRow, PerRowClass
from crypto_bot.core.timeframes import DAY_NS
from crypto_bot.dataset import Dataset
from crypto_bot.gate import Pooled, pool_results
from crypto_bot.splits import KFoldOptions, Split, purged_kfold_splits
from crypto_bot.training import TrainedModel
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


def try_settings(
    board: RowBoard,
    settings: Sequence[ModelSetting],
    terms: TradingTerms,
    *,
    end_ns: int,
    folds: int,
    embargo_ns: int,
    progress: Progress | None = None,
) -> list[TriedSetting]:
    """Train one model on purged folds and trade what it predicts in every way that is asked for.

    Parameters
    ----------
    settings : alike but for open_share and signal_exit: they share their model
    end_ns : only rows whose labels ended before this are seen
    progress : asked after each fold, by the first setting; None never prunes

    Notes
    -----
    Folds are contiguous in time and purged on both sides by each label's true end. The threshold is
    set by the out-of-fold probabilities themselves: it says how often to trade, not when.
    """
    first = settings[0]
    whole = board.dataset(first.labels(board.timeframe))
    dataset = whole.take(np.flatnonzero(whole.label_end_ns < end_ns))
    splits = inner_splits(dataset, folds, embargo_ns, board.interval_ns)
    trainer = first.trainer()
    found = np.full((len(dataset), len(dataset.classes)), np.nan)
    fold = np.full(len(dataset), -1, dtype=np.int64)
    models: list[TrainedModel] = []
    for done, split in enumerate(splits, 1):
        found[split.test], model = predict_fold(dataset, trainer, split)
        models.append(model)
        fold[split.test] = split.fold
        if progress is not None and done < len(splits):
            known = _known(dataset, found, fold, splits[:done], models)
            so_far = _traded(first, known, dataset, board, terms)
            if progress(done, so_far.sharpe or 0.0):
                return [replace(so_far, is_pruned=True)]
    predictions = _known(dataset, found, fold, splits, models)
    return [_traded(setting, predictions, dataset, board, terms) for setting in settings]


def _known(
    dataset: Dataset,
    found: PerRowClass,
    fold: Index,
    splits: Sequence[Split],
    models: Sequence[TrainedModel],
) -> OutOfSample:
    """What the folds done so far predicted."""
    tested = dataset.decided_at_ns[fold >= 0]
    span = int(tested.min()), int(tested.max())
    return OutOfSample(found, fold, dataset.classes, tuple(models), tuple(splits), *span)


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
