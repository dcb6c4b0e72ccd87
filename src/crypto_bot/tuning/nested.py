"""The whole search walked forward: each stretch is judged by a setting chosen before it began."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from pydantic import Field

from crypto_bot.core.arrays import PerRowClass
from crypto_bot.core.errors import DataError
from crypto_bot.core.options import Options
from crypto_bot.core.timeframes import iso_time
from crypto_bot.dataset import Dataset
from crypto_bot.engine import BacktestResult
from crypto_bot.labels import NextUpOptions
from crypto_bot.splits import Split
from crypto_bot.training import TrainedModel
from crypto_bot.tuning.rows import RowBoard, cut_at, training_rows
from crypto_bot.tuning.settings import ModelSetting
from crypto_bot.tuning.study import ModelSearch, ModelSearchOptions, OnTried, search_models
from crypto_bot.tuning.trading import TradingTerms, trade_setting
from crypto_bot.validation import ClassBaseline, OutOfSample, class_baseline
from crypto_bot.validation.out_of_sample import predict_fold


class NestedOptions(Options):
    """How history is cut for judging a whole search."""

    folds: int = Field(default=4, ge=1, le=50, description="stretches that judge")
    first_train_frac: float = Field(
        default=0.25, gt=0, lt=1, description="share of the decisions before the first stretch"
    )
    search: ModelSearchOptions = Field(
        default=ModelSearchOptions(), description="the search inside each fold"
    )


@dataclass(frozen=True, eq=False)
class JudgedStretch:
    """One stretch that a search had not seen, traded by what it chose.

    Attributes
    ----------
    start_ns, end_ns : decisions in [start, end)
    setting, threshold : what the search before it chose
    search : ModelSearch
    dataset, predictions : every row of the setting's label, and those of the stretch predicted
    results : backtests, one a symbol
    class_scores : of the predictions beside the class shares
    """

    start_ns: int
    end_ns: int
    setting: ModelSetting
    threshold: float
    search: ModelSearch
    dataset: Dataset
    predictions: OutOfSample
    results: tuple[BacktestResult, ...]
    class_scores: ClassBaseline


def stretch_edges(board: RowBoard, options: NestedOptions) -> list[int]:
    """Times between the stretches, folds + 1: the first decision judged ... one past the last.

    Only moments count at which every feature is settled.

    Raises DataError where those are too few for the folds.
    """
    times = np.unique(board.dataset(NextUpOptions(horizon_bars=1)).decided_at_ns)
    first = int(len(times) * options.first_train_frac)
    places = np.linspace(first, len(times), options.folds + 1).astype(np.int64)
    if first < 1 or (np.diff(places) < 2).any():
        raise DataError(
            f"rows must lie at enough moments for {options.folds} judged stretches, was "
            f"{len(times)}; give a longer history or fewer folds"
        )
    return [*(int(times[place]) for place in places[:-1]), int(times[-1]) + 1]


def nested_walk_forward(
    board: RowBoard,
    terms: TradingTerms,
    options: NestedOptions | None = None,
    *,
    storage: Path | None = None,
    on_tried: OnTried | None = None,
) -> list[JudgedStretch]:
    """Search, train and trade forward: what a stretch shows was chosen without it.

    Parameters
    ----------
    storage : a folder that keeps the searches, which can then be taken up; None: memory

    Returns
    -------
    list[JudgedStretch]    in time order, each an account of its own

    Notes
    -----
    Before each stretch the search sees only rows whose labels ended before its start less the
    embargo. So its account is the account of the whole procedure, search included: one trial,
    whatever the number of settings tried inside.
    """
    options = NestedOptions() if options is None else options
    edges = stretch_edges(board, options)
    embargo_ns = options.search.embargo_bars * board.interval_ns
    judged = []
    for fold, (start_ns, end_ns) in enumerate(pairwise(edges)):
        search = search_models(
            board,
            terms,
            options.search,
            end_ns=start_ns - embargo_ns,
            storage=storage,
            on_tried=on_tried,
        )
        best = search.best
        judged.append(
            judge_stretch(
                board,
                terms,
                best.setting,
                best.threshold,
                search,
                (start_ns, end_ns),
                fold=fold,
                embargo_ns=embargo_ns,
            )
        )
    return judged


def judge_stretch(
    board: RowBoard,
    terms: TradingTerms,
    setting: ModelSetting,
    threshold: float,
    search: ModelSearch,
    span: tuple[int, int],
    *,
    fold: int,
    embargo_ns: int,
) -> JudgedStretch:
    """Train a setting on what was known before the stretch and trade the stretch with it."""
    dataset = board.dataset(setting.labels(board.timeframe))
    split = cut_at(dataset, *span, fold=fold, embargo_ns=embargo_ns)
    if not len(split.test):
        raise DataError(f"stretch from {iso_time(span[0])} must hold labelled rows, held none")
    rows = training_rows(dataset, split.train, board.interval_ns)
    split = replace(split, train=rows)
    probabilities, model = predict_fold(dataset, setting.trainer(), split)
    predictions = _only(dataset, split, probabilities, model)
    results = trade_setting(setting, predictions, threshold, dataset, board.bars, terms)
    return JudgedStretch(
        start_ns=span[0],
        end_ns=span[1],
        setting=setting,
        threshold=threshold,
        search=search,
        dataset=dataset,
        predictions=predictions,
        results=tuple(results),
        class_scores=class_baseline(dataset, predictions),
    )


def _only(
    dataset: Dataset, split: Split, probabilities: PerRowClass, model: TrainedModel
) -> OutOfSample:
    """The predictions of one split as the out-of-sample record of the dataset."""
    found = np.full((len(dataset), len(dataset.classes)), np.nan)
    found[split.test] = probabilities
    fold = np.full(len(dataset), -1, dtype=np.int64)
    fold[split.test] = split.fold
    start, end = (int(dataset.decided_at_ns[split.test[place]]) for place in (0, -1))
    return OutOfSample(found, fold, dataset.classes, (model,), (split,), start, end)
