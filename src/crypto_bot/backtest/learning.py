"""Learn, and find out whether it is real: dataset, walk-forward, costs, significance, gate, publish."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from functools import partial
from itertools import pairwise
from typing import Any

from crypto_bot.backtest.champions import TERMS, champion_evidence
from crypto_bot.backtest.examined import Examined, Learned
from crypto_bot.backtest.recipes import (
    AnyRecipe,
    Recipe,
    SearchRecipe,
    gate_options,
    model_exits,
    sampled,
    taught,
    walk_forward_options,
)
from crypto_bot.backtest.retraining import ROW_WEIGHTS, predictions_of
from crypto_bot.backtest.search_learning import examine_search
from crypto_bot.backtest.trial_record import (
    kept_returns,
    pooled_figures,
    trial_record,
    tried_until,
)
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core import Bars, ModelCard
from crypto_bot.core.errors import DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.timeframes import DAY_NS, iso_time
from crypto_bot.dataset import Dataset, build_dataset, check_defined
from crypto_bot.engine import BacktestResult, SignalExit
from crypto_bot.features import compute_features
from crypto_bot.gate import Verdict, gather_evidence, judge, pool_results
from crypto_bot.journal import Step, Trial, TrialKind
from crypto_bot.registry import ModelRegistry
from crypto_bot.splits import Split, split_dataset
from crypto_bot.strategies import get_strategy
from crypto_bot.training import TrainedModel, make_card, score_probabilities
from crypto_bot.validation import (
    OutOfSample,
    class_baseline,
    out_of_sample,
    trade_out_of_sample,
)

_LOG = logging.getLogger(__name__)
STEP_NAME_LENGTH = 128


def learn(
    bench: Workbench,
    bars: Sequence[Bars],
    recipe: AnyRecipe,
    *,
    run_id: str,
    start_ns: int,
    end_ns: int,
    funding: Mapping[str, FundingRates] | None = None,
) -> Learned:
    """`examine` one kind of model and `conclude` on it."""
    span = {"start_ns": start_ns, "end_ns": end_ns}
    return conclude(
        bench, examine(bench, bars, recipe, run_id=run_id, funding=funding, **span), run_id
    )


def examine(
    bench: Workbench,
    bars: Sequence[Bars],
    recipe: AnyRecipe,
    *,
    run_id: str,
    start_ns: int,
    end_ns: int,
    funding: Mapping[str, FundingRates] | None = None,
) -> Examined:
    """Walk forward over the decisions from `start_ns` to `end_ns`, trade them, count the trial.

    Parameters
    ----------
    bars : one `Bars` a symbol    development stretch; rows after `end_ns` are dropped, and so are
                                  labels that reach beyond it
    recipe : Recipe or SearchRecipe    a search is walked forward as a whole: see `nested_walk_forward`
    funding : symbol -> rates     charged where a symbol has them
    run_id : str                  under which the trial is written down

    Notes
    -----
    Folds are purged by each label's end and embargoed. They learn from decisions one label horizon
    apart, so that no two labels share a bar; every row is predicted. A symbol without candles or
    without any defined feature (flat prices, no volume) is left out.
    """
    known, left_out = learnable(bars, recipe.feature_names, start_ns=start_ns, end_ns=end_ns)
    if isinstance(recipe, SearchRecipe):
        with _step(bench, run_id, recipe, "search"):
            examined = examine_search(bench, known, recipe, run_id, start_ns, end_ns, funding or {})
    else:
        examined = _examine_fixed(bench, known, recipe, run_id, start_ns, funding or {})
    examined = replace(examined, left_out=left_out)
    _count_trial(bench, run_id, examined)
    return examined


def _examine_fixed(
    bench: Workbench,
    known: Sequence[Bars],
    recipe: Recipe,
    run_id: str,
    start_ns: int,
    funding: Mapping[str, FundingRates],
) -> Examined:
    step = partial(_step, bench, run_id, recipe)
    with step("dataset"):
        whole = build_dataset(
            known, feature_names=recipe.feature_names, labels=recipe.labels, weights=recipe.weights
        )
        dataset = whole.take(whole.decided_at_ns >= start_ns)
    with step("train"):
        splits = thinned(split_dataset(dataset, walk_forward_options(bench)), dataset)
        predictions = out_of_sample(dataset, recipe.trainer, splits)
    with step("validate"):
        results = trade(bench, recipe, dataset, predictions, known, funding)
        scores = score_probabilities(dataset.labels, predictions.probabilities, dataset.classes)
        baseline = class_baseline(dataset, predictions)
    return Examined(
        recipe,
        dataset,
        predictions,
        results,
        pool_results(results),
        scores,
        (),
        tuple(known),
        baseline,
        funding,
    )


def examine_predictions(
    bench: Workbench,
    recipe: Recipe,
    dataset: Dataset,
    predictions: OutOfSample,
    bars: Sequence[Bars],
    *,
    run_id: str,
    notes: Mapping[str, Any] | None = None,
) -> Examined:
    """Trade predictions of rows their models never saw, and count them as one trial.

    Parameters
    ----------
    dataset, bars : what the predictions were made of
    notes : kept with the verdict, JSON-ready
    """
    results = trade(bench, recipe, dataset, predictions, bars)
    examined = Examined(
        recipe,
        dataset,
        predictions,
        results,
        pool_results(results),
        score_probabilities(dataset.labels, predictions.probabilities, dataset.classes),
        (),
        tuple(bars),
        class_baseline(dataset, predictions),
        notes=notes or {},
    )
    _count_trial(bench, run_id, examined)
    return examined


def _step(
    bench: Workbench, run_id: str, recipe: AnyRecipe, stage: str
) -> AbstractContextManager[Step]:
    """A stage of one kind of model, in the journal under the run."""
    return bench.journal.step(run_id, f"{stage} {recipe.name}"[:STEP_NAME_LENGTH])


def conclude(bench: Workbench, examined: Examined, run_id: str) -> Learned:
    """Judge, train on the whole development stretch, publish, and promote if the gate says so.

    The verdict is deflated by every model tried so far, those of this run included: examine all of a
    run's models before the first conclusion.
    """
    recipe, dataset = examined.recipe, examined.dataset
    with _step(bench, run_id, recipe, "gate"):
        verdict = _judged(bench, examined, run_id)
    with _step(bench, run_id, recipe, "publish"):
        model = recipe.trainer.fit(dataset.take(taught(recipe, dataset)).weighed())
        card = _card(bench, examined, model, verdict, run_id)
        version = publish(bench, recipe, model, card, verdict, run_id)
    shared = {field.name: getattr(examined, field.name) for field in fields(Examined)}
    return Learned(**shared, verdict=verdict, model=model, version=version, card=card)


def learnable(
    bars: Sequence[Bars], names: Sequence[str], *, start_ns: int, end_ns: int
) -> tuple[list[Bars], tuple[str, ...]]:
    """The bars known at `end_ns` of every symbol that can be learned from, and why the others not.

    Raises DataError, with the first reasons, where no symbol is left.
    """
    found: list[Bars] = []
    reasons: list[str] = []
    for each in bars:
        known = each.closed_by(end_ns)
        try:
            _check_learnable(known, tuple(names), start_ns)
        except DataError as error:
            reasons.append(str(error))
        else:
            found.append(known)
    if not found:
        raise DataError("; ".join(reasons[:3]) or "bars must hold one symbol, was empty")
    return found, tuple(reasons)


def _check_learnable(known: Bars, names: tuple[str, ...], start_ns: int) -> None:
    if not len(known.between(start_ns, None)):
        raise DataError(
            f"{known.symbol} must have candles from {iso_time(start_ns)} to the hold-out, had none"
        )
    table = compute_features(known, names)
    check_defined(known, names, table.values[table.settled_bars or 0 :])


def thinned(splits: Sequence[Split], dataset: Dataset) -> list[Split]:
    """Folds that learn from `sampled` rows only and still predict every row."""
    is_sampled = sampled(dataset)
    return [replace(split, train=split.train[is_sampled[split.train]]) for split in splits]


def _judged(bench: Workbench, examined: Examined, run_id: str) -> Verdict:
    """The verdict, deflated by every model tried so far on candles of this kind (the ledger's)."""
    recipe, dataset, bars = examined.recipe, examined.dataset, examined.bars
    tried = trial_record(tried_until(bench, run_id, is_simulated=dataset.is_simulated))
    terms = _terms(bench, examined)
    evidence = gather_evidence(
        examined.results,
        trials=tried.trials,
        effective_trials=tried.effective,
        trial_variance=tried.variance,
        class_scores=examined.class_scores,
        notes={**examined.notes, TERMS: terms},
        champion=champion_evidence(
            bench.registry_of(dataset.is_simulated),
            recipe.symbol,
            dataset,
            examined.predictions,
            bars,
            lambda found, card: trade(
                bench, _terms_of(recipe, card), dataset, found, bars, examined.funding
            ),
            run_id=run_id,
            terms=terms,
            recipe=recipe,
            retrade=lambda theirs: _traded_again(bench, theirs, examined),
        ),
    )
    return judge(evidence, gate_options(bench))


def _terms(bench: Workbench, examined: Examined) -> str:
    """Identity of what a record was reached with, besides the model: pairs, costs, sizes, stops."""
    options = (bench.costs, bench.sizing, model_exits(bench))
    story = [list(examined.dataset.symbols), examined.dataset.timeframe]
    story += [each.model_dump_json() for each in options]
    return hashlib.sha256(json.dumps(story).encode()).hexdigest()[:16]


def _terms_of(recipe: Recipe, card: ModelCard | None) -> Recipe:
    """The recipe with the threshold and the exit of a stored model, which trades by its own."""
    if card is None:
        return recipe
    exits = card.trading.get("signal_exit", recipe.signal_exit)
    threshold = card.thresholds.get("open", recipe.threshold)
    return replace(recipe, threshold=threshold, signal_exit=SignalExit(exits))


def _traded_again(
    bench: Workbench, recipe: Recipe, examined: Examined
) -> tuple[BacktestResult, ...]:
    """Another recipe trained and traded where an examined one was."""
    starts = sorted(split.test_start_ns for split in examined.predictions.splits)
    spans = list(pairwise([*starts, examined.predictions.end_ns + 1]))
    first_ns = int(examined.dataset.decided_at_ns[0])
    dataset, predictions = predictions_of(recipe, examined.bars, spans, start_ns=first_ns)
    return trade(bench, recipe, dataset, predictions, examined.bars, examined.funding)


def trade(
    bench: Workbench,
    recipe: Recipe,
    dataset: Dataset,
    predictions: OutOfSample,
    bars: Sequence[Bars],
    funding: Mapping[str, FundingRates] | None = None,
) -> tuple[BacktestResult, ...]:
    """Trade the out-of-sample predictions of every pair through the engine, costs included.

    A pair listed or ended outside the tested stretch has no account there.
    """
    strategy = get_strategy(
        "model", threshold=recipe.threshold, allow_short=bench.sizing.allow_short
    )
    results = trade_out_of_sample(
        dataset,
        predictions,
        [each for each in bars if has_tested_bars(each, predictions)],
        strategy,
        costs=bench.costs,
        exits=recipe.exits(bench),
        sizing=bench.sizing,
        funding=funding,
    )
    return tuple(results)


def has_tested_bars(bars: Bars, predictions: OutOfSample) -> bool:
    """Whether any bar closes in the stretch on which the models were tested."""
    times = bars.close_time
    return bool(((times >= predictions.start_ns) & (times <= predictions.end_ns)).any())


def _count_trial(bench: Workbench, run_id: str, examined: Examined) -> None:
    recipe, dataset = examined.recipe, examined.dataset
    found = recipe.setting.model_dump(mode="json") if recipe.setting is not None else None
    trial = Trial(
        recipe.symbol,
        dataset.timeframe,
        recipe.trainer.name,
        {
            "label": dict(dataset.label_definition),
            "threshold": recipe.threshold,
            "features": list(dataset.feature_names),
            "trainer": found if found is not None else examined.predictions.models[0].options,
            "folds": len(examined.predictions.splits),
            "costs": bench.costs.model_dump(),
            "exits": recipe.exits(bench).model_dump(mode="json"),
        },
        {
            **pooled_figures(examined.pooled),
            **examined.scores.summary(),
            **kept_returns(
                (int(examined.pooled.time_ns[0]) - 1) // DAY_NS, examined.pooled.daily_returns
            ),
        },
        kind=TrialKind.MODEL,
        is_simulated=dataset.is_simulated,
    )
    bench.journal.record_trials(run_id, [trial])


def _card(
    bench: Workbench, examined: Examined, model: TrainedModel, verdict: Verdict, run_id: str
) -> ModelCard:
    weights = examined.recipe.weights
    if weights is not None:
        model = replace(
            model, options={**model.options, ROW_WEIGHTS: weights.model_dump(mode="json")}
        )
    return make_card(
        examined.dataset,
        model,
        symbol=examined.recipe.symbol,
        thresholds={"open": examined.recipe.threshold},
        trading={"signal_exit": str(examined.recipe.signal_exit)},
        metrics={**examined.scores.summary(), **pooled_figures(examined.pooled)},
        gate=verdict.to_dict(),
        run_id=run_id,
        created_at=iso_time(bench.clock.now_ns()),
    )


def publish(
    bench: Workbench,
    recipe: Recipe,
    model: TrainedModel,
    card: ModelCard,
    verdict: Verdict,
    run_id: str,
) -> str | None:
    """Store the version as a candidate; put it into service when the gate said yes.

    Notes
    -----
    A resumed run finds what it published before and publishes nothing twice. With
    `publish_models` off nothing is stored.
    """
    if not bench.settings.schedule.publish_models:
        return None
    registry, symbol = bench.registry_of(card.is_simulated), recipe.symbol
    version = registry.published_by(symbol, run_id, like=card)
    if version is None:
        bench.journal.model_event(run_id, symbol, "", "publishing")
        version = registry.publish(symbol, model.files, card)
        bench.journal.model_event(run_id, symbol, version, "published")
    if verdict.promoted and not _was_promoted(registry, symbol, version, run_id):
        bench.journal.model_event(run_id, symbol, version, "promoting")
        registry.promote(symbol, version, verdict.to_dict(), run_id=run_id)
        bench.journal.model_event(run_id, symbol, version, "promoted")
    _keep_newest(bench, registry, symbol, run_id)
    return version


def _keep_newest(bench: Workbench, registry: ModelRegistry, symbol: str, run_id: str) -> None:
    """Retention as configured; what this run published stays, or its resumption would publish twice."""
    kept = bench.settings.registry.versions_kept
    if kept == 0:
        return
    for version in registry.keep_newest(symbol, kept, spare_run_id=run_id, run_id=run_id):
        bench.journal.model_event(run_id, symbol, version, "removed")


def _was_promoted(registry: ModelRegistry, symbol: str, version: str, run_id: str) -> bool:
    """Whether this run has put the version into service before, whoever serves now."""
    served = {(entry.version, entry.run_id) for entry in registry.history(symbol)}
    return (version, run_id) in served
