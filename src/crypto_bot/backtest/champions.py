"""The version in service, measured on the stretch its challenger is measured on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from crypto_bot.backtest.recipes import Recipe
from crypto_bot.backtest.retraining import is_same_way, recipe_of
from crypto_bot.core import Bars, ModelCard, Predictor
from crypto_bot.core.arrays import Index, PerBarFeature
from crypto_bot.core.errors import ModelError
from crypto_bot.core.models import side_columns
from crypto_bot.dataset import Dataset
from crypto_bot.engine import BacktestResult
from crypto_bot.features import compute_features
from crypto_bot.gate import ChampionEvidence, Judged, pool_results
from crypto_bot.registry import ModelRegistry
from crypto_bot.validation import OutOfSample

TERMS = "terms"
"""Note of a verdict: identity of the pairs, costs and sizes it was reached with."""


def champion_evidence(
    registry: ModelRegistry,
    symbol: str,
    dataset: Dataset,
    predictions: OutOfSample,
    bars: Sequence[Bars],
    trade: Callable[[OutOfSample, ModelCard | None], Sequence[BacktestResult]],
    *,
    run_id: str,
    terms: str = "",
    recipe: Recipe | None = None,
    retrade: Callable[[Recipe], Sequence[BacktestResult]] | None = None,
) -> ChampionEvidence | None:
    """What the champion of `symbol` earns where the challenger was tested; None without a champion.

    Parameters
    ----------
    trade : backtests of predictions; the card says whose threshold and exits, None the challenger's
    terms : identity of pairs, costs and sizes; a record of other terms is no record
    recipe : how the challenger is made; a champion made the same way of older candles is refreshed
    retrade : trains a recipe again on the challenger's folds and trades what it predicts
    run_id : str    the challenger's run: if it was killed after its promotion and now goes on, the
                    champion to beat is the one before

    Notes
    -----
    A champion judged on this very stretch is taken at its own out-of-sample Sharpe ratio. Otherwise it
    is trained again, by the recipe in its card, on the challenger's folds: both are then judged on
    decisions that neither model had seen (the setting of a searched champion may have been chosen on
    them, which favours it). Where a card does not say enough for that, the stored model trades
    the stretch, of which it may have learned a part, which favours the champion.
    """
    version = incumbent(registry, symbol, run_id)
    if version is None:
        return None
    try:
        predictor, card = registry.load(symbol, version)
    except ModelError as error:
        raise ModelError(
            f"{error}; it is the champion that has to be beaten: take it out of service with "
            f"`cointrainer retire {version} --symbol {symbol}`"
        ) from error
    ours = pool_results(trade(predictions, None))
    start_ns, end_ns = int(ours.time_ns[0]), int(ours.time_ns[-1])
    judged = card.gate.get("evidence", {})
    is_alike = judged.get("notes", {}).get(TERMS, terms) == terms
    if is_alike and (judged.get("start_ns"), judged.get("end_ns")) == (start_ns, end_ns):
        return ChampionEvidence(version, judged.get("sharpe"), start_ns, end_ns)
    theirs_made = recipe_of(card)
    is_same = recipe is not None and theirs_made is not None and is_same_way(recipe, theirs_made)
    if is_same and is_alike:
        return ChampionEvidence(version, None, start_ns, end_ns, Judged.REFRESHED)
    if retrade is not None and theirs_made is not None:
        again = pool_results(retrade(theirs_made))
        return ChampionEvidence(version, again.sharpe, start_ns, end_ns, Judged.TRAINED_AGAIN)
    theirs = pool_results(trade(_predicted(dataset, predictions, predictor, card, bars), card))
    return ChampionEvidence(version, theirs.sharpe, start_ns, end_ns, Judged.STORED)


def incumbent(registry: ModelRegistry, symbol: str, run_id: str) -> str | None:
    """The version in service, leaving out what this run itself put there."""
    entries = [entry for entry in registry.history(symbol) if entry.run_id != run_id]
    return entries[-1].champion if entries else None


def _predicted(
    dataset: Dataset,
    predictions: OutOfSample,
    predictor: Predictor,
    card: ModelCard,
    bars: Sequence[Bars],
) -> OutOfSample:
    """The champion's probabilities of up and down on the rows the challenger was tested on.

    NaN where the champion abstains; the challenger's models, and so their bands, are left out.
    """
    rows = np.flatnonzero(predictions.is_tested)
    found = predictor.predict_proba(_features(dataset, rows, predictor.feature_names, bars))
    up, down = side_columns(predictor.classes, found, card.thresholds).values()
    sides = {1: up, _down(dataset.classes): down}
    probabilities = np.full_like(predictions.probabilities, np.nan)
    probabilities[rows] = np.column_stack(
        [sides.get(label, 1.0 - up - down) for label in dataset.classes]
    )
    return replace(predictions, probabilities=probabilities, models=())


def _down(classes: tuple[int, ...]) -> int:
    return -1 if -1 in classes else 0


def _features(
    dataset: Dataset, rows: Index, names: tuple[str, ...], bars: Sequence[Bars]
) -> PerBarFeature:
    """The named features of dataset rows, computed anew where the dataset holds others."""
    if names == dataset.feature_names:
        return np.ascontiguousarray(dataset.features[rows])
    values = np.full((len(rows), len(names)), np.nan)
    for each in bars:
        if each.symbol in dataset.symbols:
            own = dataset.symbol_index[rows] == dataset.symbols.index(each.symbol)
            table = compute_features(each, names)
            values[own] = table.values[dataset.bar_index[rows[own]]]
    return values
