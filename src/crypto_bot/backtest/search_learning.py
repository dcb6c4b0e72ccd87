"""A search learned and examined: walked forward as a whole, every setting it tried written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crypto_bot.backtest.examined import Examined
from crypto_bot.backtest.recipes import Recipe, SearchRecipe, model_exits
from crypto_bot.backtest.trial_record import kept_returns
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core import Bars
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.timeframes import iso_time
from crypto_bot.dataset import Dataset
from crypto_bot.gate import pool_results
from crypto_bot.journal import Trial, TrialKind
from crypto_bot.significance import probability_of_backtest_overfitting
from crypto_bot.training import Scores, score_probabilities
from crypto_bot.tuning import (
    JudgedStretch,
    ModelSearch,
    RowBoard,
    TradingTerms,
    TriedSetting,
    nested_walk_forward,
    search_models,
)
from crypto_bot.validation import ClassBaseline, OutOfSample

_PBO_GROUPS = 8
_FEWEST_COMPARED = 4


def examine_search(
    bench: Workbench,
    known: Sequence[Bars],
    recipe: SearchRecipe,
    run_id: str,
    start_ns: int,
    end_ns: int,
    funding: Mapping[str, FundingRates],
) -> Examined:
    """Walk the search forward, then search once more on everything for the model that is shipped.

    Notes
    -----
    The account that is judged belongs to the procedure: each stretch was traded by what a search of
    the past alone had chosen. It is one trial of the ledger; the settings tried inside are kept
    there under a kind of their own.
    """
    board = RowBoard(known, recipe.feature_names, start_ns=start_ns)
    terms = TradingTerms(bench.costs, model_exits(bench), bench.sizing, funding)
    storage = Path(bench.settings.models.search.storage_folder)

    def keep(tried: TriedSetting) -> None:
        _keep_trial(bench, run_id, recipe, board, tried)

    judged = nested_walk_forward(board, terms, recipe.options, storage=storage, on_tried=keep)
    last = search_models(
        board, terms, recipe.options.search, end_ns=end_ns + 1, storage=storage, on_tried=keep
    )
    chosen = _chosen(recipe, board, last)
    dataset = board.dataset(chosen.labels)
    predictions = joined_predictions(judged, dataset)
    results = tuple(result for stretch in judged for result in stretch.results)
    return Examined(
        chosen,
        dataset,
        predictions,
        results,
        pool_results(results),
        joined_class_scores(judged),
        (),
        tuple(known),
        joined_scores(judged),
        funding,
        {"search": story(judged, last)},
    )


def _chosen(recipe: SearchRecipe, board: RowBoard, search: ModelSearch) -> Recipe:
    best = search.best
    return Recipe(
        recipe.symbol,
        best.setting.trainer(),
        best.setting.labels(board.timeframe),
        best.threshold,
        recipe.feature_names,
        best.setting.signal_exit,
        best.setting,
    )


def joined_predictions(judged: Sequence[JudgedStretch], dataset: Dataset) -> OutOfSample:
    """The stretches' predictions on the rows of one dataset, found by symbol and bar."""
    found = np.full((len(dataset), len(dataset.classes)), np.nan)
    fold = np.full(len(dataset), -1, dtype=np.int64)
    bars = 1 + max(int(one.bar_index.max()) for one in (dataset, *(s.dataset for s in judged)))
    place = np.full(len(dataset.symbols) * bars, -1, dtype=np.int64)
    place[dataset.symbol_index * bars + dataset.bar_index] = np.arange(len(dataset))
    for stretch in judged:
        rows = np.flatnonzero(stretch.predictions.is_tested)
        source = stretch.dataset
        at = place[source.symbol_index[rows] * bars + source.bar_index[rows]]
        found[at[at >= 0]] = stretch.predictions.probabilities[rows[at >= 0]]
        fold[at[at >= 0]] = stretch.predictions.splits[0].fold
    return OutOfSample(
        found,
        fold,
        dataset.classes,
        tuple(stretch.predictions.models[0] for stretch in judged),
        tuple(stretch.predictions.splits[0] for stretch in judged),
        min(stretch.predictions.start_ns for stretch in judged),
        max(stretch.predictions.end_ns for stretch in judged),
    )


def joined_class_scores(judged: Sequence[JudgedStretch]) -> Scores:
    """Every stretch's predictions scored on the label that its own setting learned."""
    labels, found = [], []
    for stretch in judged:
        tested = stretch.predictions.is_tested
        labels.append(stretch.dataset.labels[tested])
        found.append(stretch.predictions.probabilities[tested])
    classes = judged[0].dataset.classes
    return score_probabilities(np.concatenate(labels), np.concatenate(found), classes)


def joined_scores(judged: Sequence[JudgedStretch]) -> ClassBaseline:
    """The stretches' class scores, each weighed by its rows."""
    scores = [stretch.class_scores for stretch in judged]
    rows = [one.rows for one in scores]
    means = {
        name: float(np.average([getattr(one, name) for one in scores], weights=rows))
        for name in ClassBaseline.__dataclass_fields__
        if name != "rows"
    }
    return ClassBaseline(rows=sum(rows), **means)


def story(judged: Sequence[JudgedStretch], last: ModelSearch) -> dict[str, Any]:
    """What was tried and chosen, JSON-ready, for the card and the report."""
    return {
        "stretches": [
            {
                "start": iso_time(stretch.start_ns),
                "end": iso_time(stretch.end_ns),
                "chosen": stretch.setting.name,
                "threshold": stretch.threshold,
                "sharpe_before": stretch.search.best.sharpe,
                "sharpe": pool_results(stretch.results).sharpe,
            }
            for stretch in judged
        ],
        "shipped": last.best.setting.model_dump(mode="json"),
        "tried": len(last.tried) + len(last.failed),
        "pruned": sum(one.is_pruned for one in last.tried),
        "failed": [f"{setting.name}: {reason}" for setting, reason in last.failed],
        "overfitting_probability": _overfitting(last),
    }


def _overfitting(search: ModelSearch) -> float | None:
    """PBO of the last search's settings; None where they are too few to compare."""
    returns = search.returns()
    if returns.shape[1] < _FEWEST_COMPARED or len(returns) < 10 * _PBO_GROUPS:
        return None
    found = probability_of_backtest_overfitting(returns, groups=_PBO_GROUPS)
    return found.probability


def _keep_trial(
    bench: Workbench, run_id: str, recipe: SearchRecipe, board: RowBoard, tried: TriedSetting
) -> None:
    first_day = int(tried.day[0]) if len(tried.day) else 0
    trial = Trial(
        recipe.symbol,
        board.timeframe,
        tried.setting.name,
        {
            "setting": tried.setting.model_dump(mode="json"),
            "days": [first_day, len(tried.day)],
            "is_pruned": tried.is_pruned,
        },
        {
            "sharpe": tried.sharpe,
            "trades": float(tried.trades),
            "threshold": tried.threshold,
            **kept_returns(first_day, tried.daily_returns),
        },
        kind=TrialKind.SEARCH,
        is_simulated=any(bars.is_simulated for bars in board.bars),
    )
    bench.journal.record_trials(run_id, [trial])
