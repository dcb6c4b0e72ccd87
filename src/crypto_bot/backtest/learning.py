"""Learn, and find out whether it is real: dataset, walk-forward, costs, significance, gate, publish."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from crypto_bot.backtest.champions import champion_evidence
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core import Bars, ModelCard
from crypto_bot.core.arrays import Mask
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import SystemClock, iso_time, timeframe_ns
from crypto_bot.dataset import Dataset, build_dataset, check_defined
from crypto_bot.engine import BacktestResult, ExitOptions, Reentry, SignalExit
from crypto_bot.features import S0_FEATURES, compute_features
from crypto_bot.gate import GateOptions, Pooled, Verdict, gather_evidence, judge, pool_results
from crypto_bot.journal import Trial, TrialKind
from crypto_bot.labels import LabelOptions, NextUpOptions, ThreeClassOptions
from crypto_bot.significance import trial_variance
from crypto_bot.splits import Split, WalkForwardOptions, WindowMode, split_dataset
from crypto_bot.strategies import get_strategy
from crypto_bot.training import (
    ForestOptions,
    ForestTrainer,
    LightGBMOptions,
    LightGBMTrainer,
    Scores,
    TrainedModel,
    Trainer,
    make_card,
    score_probabilities,
)
from crypto_bot.validation import OutOfSample, class_baseline, out_of_sample, trade_out_of_sample

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """One kind of model: what it learns, how, and how its predictions are traded."""

    symbol: str
    trainer: Trainer
    labels: LabelOptions
    threshold: float
    feature_names: tuple[str, ...] = S0_FEATURES

    @property
    def name(self) -> str:
        """Short enough for a table."""
        return f"{self.trainer.name} on {self.symbol}"


@dataclass(frozen=True, eq=False)
class Examined:
    """What one kind of model did on rows it never saw.

    Attributes
    ----------
    dataset : Dataset            every labelled row of the development stretch
    predictions : OutOfSample
    results : tuple              backtests of those predictions, one a pair, costs included
    pooled : Pooled              their accounts summed
    scores : Scores              of the out-of-sample probabilities
    left_out : tuple of str      symbols it could not learn from, with the reason
    bars : tuple of Bars         what the dataset was built from
    """

    recipe: Recipe
    dataset: Dataset
    predictions: OutOfSample
    results: tuple[BacktestResult, ...]
    pooled: Pooled
    scores: Scores
    left_out: tuple[str, ...]
    bars: tuple[Bars, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Learned(Examined):
    """An examined kind of model with its verdict.

    Attributes
    ----------
    verdict : Verdict            of the gate
    model : TrainedModel         trained on the whole development stretch
    version : str | None         its id in the registry; None where it was not published
    card : ModelCard
    """

    verdict: Verdict
    model: TrainedModel
    version: str | None
    card: ModelCard

    @property
    def promoted(self) -> bool:
        """The gate said yes."""
        return self.verdict.promoted


def recipes(bench: Workbench, symbol: str, lead: str) -> list[Recipe]:
    """The configured kinds of model: LightGBM over every pair, S0's forest on the leading pair."""
    settings = bench.settings
    label = settings.ml_integration.features
    threshold = settings.paper.prediction_threshold
    found = []
    if "lightgbm" in settings.models.trainers:
        three = ThreeClassOptions(
            horizon_minutes=label.horizon_minutes, hold_threshold=label.hold_threshold
        )
        found.append(Recipe(symbol, lightgbm_trainer(bench), three, threshold))
    if "random_forest" in settings.models.trainers:
        forest = settings.models.random_forest.of(ForestOptions, n_jobs=settings.workers)
        found.append(Recipe(lead, ForestTrainer(forest), NextUpOptions(), threshold))
    return found


def lightgbm_trainer(bench: Workbench) -> LightGBMTrainer:
    """LightGBM as configured, on the device that is really there."""
    training = bench.settings.ml_integration.training
    options = bench.settings.models.lightgbm.of(
        LightGBMOptions,
        max_bin=training.max_bin,
        n_jobs=training.n_jobs or bench.settings.workers,
        device_type=bench.settings.training_device(bench.gpu),
    )
    return LightGBMTrainer(options)


def learn(
    bench: Workbench,
    bars: Sequence[Bars],
    recipe: Recipe,
    *,
    run_id: str,
    start_ns: int,
    end_ns: int,
) -> Learned:
    """`examine` one kind of model and `conclude` on it."""
    examined = examine(bench, bars, recipe, run_id=run_id, start_ns=start_ns, end_ns=end_ns)
    return conclude(bench, examined, run_id)


def examine(
    bench: Workbench,
    bars: Sequence[Bars],
    recipe: Recipe,
    *,
    run_id: str,
    start_ns: int,
    end_ns: int,
) -> Examined:
    """Walk forward over the decisions from `start_ns` to `end_ns`, trade them, count the trial.

    Parameters
    ----------
    bars : one `Bars` a symbol    development stretch; rows after `end_ns` are dropped, and so are
                                  labels that reach beyond it
    recipe : Recipe
    run_id : str                  under which the trial is written down

    Notes
    -----
    Folds are purged by each label's end and embargoed. They learn from decisions one label horizon
    apart, so that no two labels share a bar; every row is predicted. A symbol without candles or
    without any defined feature (flat prices, no volume) is left out.
    """
    known, left_out = learnable(bars, recipe.feature_names, start_ns=start_ns, end_ns=end_ns)
    whole = build_dataset(known, feature_names=recipe.feature_names, labels=recipe.labels)
    dataset = whole.take(whole.decided_at_ns >= start_ns)
    splits = thinned(split_dataset(dataset, walk_forward_options(bench)), dataset)
    predictions = out_of_sample(dataset, recipe.trainer, splits)
    results = trade(bench, recipe, dataset, predictions, known)
    examined = Examined(
        recipe,
        dataset,
        predictions,
        results,
        pool_results(results),
        score_probabilities(dataset.labels, predictions.probabilities, dataset.classes),
        left_out,
        tuple(known),
    )
    _count_trial(bench, run_id, examined)
    return examined


def conclude(bench: Workbench, examined: Examined, run_id: str) -> Learned:
    """Judge, train on the whole development stretch, publish, and promote if the gate says so.

    The verdict is deflated by every model tried so far, those of this run included: examine all of a
    run's models before the first conclusion.
    """
    recipe, dataset = examined.recipe, examined.dataset
    verdict = _judged(bench, examined, run_id)
    model = recipe.trainer.fit(dataset.take(np.flatnonzero(sampled(dataset))))
    card = _card(examined, model, verdict, run_id)
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


def walk_forward_options(bench: Workbench) -> WalkForwardOptions:
    """Folds as configured; the embargo stays validation's own default."""
    validation = bench.settings.validation
    return WalkForwardOptions(folds=validation.folds, mode=WindowMode(validation.mode))


def sampled(dataset: Dataset) -> Mask:
    """bool (rows,): decisions one label horizon apart on the calendar, the same for every pair."""
    interval_ns = timeframe_ns(dataset.timeframe)
    every = int(dataset.label_definition["horizon_bars"])
    return np.asarray(dataset.decided_at_ns // interval_ns % every == 0)


def thinned(splits: Sequence[Split], dataset: Dataset) -> list[Split]:
    """Folds that learn from `sampled` rows only and still predict every row."""
    is_sampled = sampled(dataset)
    return [replace(split, train=split.train[is_sampled[split.train]]) for split in splits]


def model_exits(bench: Workbench) -> ExitOptions:
    """Hold while the model says so, within a stop and a target; enter whenever it says so."""
    paper = bench.settings.paper
    return ExitOptions(
        stop_loss_frac=paper.model_stop_loss_frac,
        take_profit_frac=paper.model_take_profit_frac,
        signal_exit=SignalExit.FLAT,
        reentry=Reentry.WHILE_SIGNAL,
    )


def gate_options(bench: Workbench) -> GateOptions:
    """The gate's thresholds: guide S1's three, the rest from the settings' gate section."""
    settings = bench.settings
    return settings.gate.of(
        GateOptions,
        min_sharpe=settings.min_sharpe_threshold,
        max_drawdown=settings.max_drawdown_threshold,
        min_win_rate=settings.min_win_rate,
    )


def _judged(bench: Workbench, examined: Examined, run_id: str) -> Verdict:
    """The verdict, deflated by every model tried so far on candles of this kind (the ledger's)."""
    recipe, dataset, bars = examined.recipe, examined.dataset, examined.bars
    tried = _tried_until(bench, run_id, is_simulated=dataset.is_simulated)
    evidence = gather_evidence(
        examined.results,
        trials=len(tried),
        trial_variance=trial_variance([trial.metrics["sharpe"] for trial in tried]),
        class_scores=class_baseline(dataset, examined.predictions),
        champion=champion_evidence(
            bench.registry_of(dataset.is_simulated),
            recipe.symbol,
            dataset,
            examined.predictions,
            bars,
            lambda found: trade(bench, recipe, dataset, found, bars),
            run_id=run_id,
        ),
    )
    return judge(evidence, gate_options(bench))


def _tried_until(bench: Workbench, run_id: str, *, is_simulated: bool) -> list[Trial]:
    """The models tried up to this run's last: a run that is taken up judges as the first time."""
    tried = bench.journal.trials(kind=TrialKind.MODEL, is_simulated=is_simulated)
    last = max(place for place, trial in enumerate(tried) if trial.run_id == run_id)
    return tried[: last + 1]


def trade(
    bench: Workbench,
    recipe: Recipe,
    dataset: Dataset,
    predictions: OutOfSample,
    bars: Sequence[Bars],
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
        exits=model_exits(bench),
        sizing=bench.sizing,
    )
    return tuple(results)


def has_tested_bars(bars: Bars, predictions: OutOfSample) -> bool:
    """Whether any bar closes in the stretch on which the models were tested."""
    times = bars.close_time
    return bool(((times >= predictions.start_ns) & (times <= predictions.end_ns)).any())


def _count_trial(bench: Workbench, run_id: str, examined: Examined) -> None:
    recipe, dataset = examined.recipe, examined.dataset
    trial = Trial(
        recipe.symbol,
        dataset.timeframe,
        recipe.trainer.name,
        {
            "label": dict(dataset.label_definition),
            "threshold": recipe.threshold,
            "features": list(dataset.feature_names),
            "trainer": examined.predictions.models[0].options,
            "folds": len(examined.predictions.splits),
            "costs": bench.costs.model_dump(),
            "exits": model_exits(bench).model_dump(mode="json"),
        },
        {**pooled_figures(examined.pooled), **examined.scores.summary()},
        kind=TrialKind.MODEL,
        is_simulated=dataset.is_simulated,
    )
    bench.journal.record_trials(run_id, [trial])


def pooled_figures(pooled: Pooled) -> dict[str, float | None]:
    """The out-of-sample account in numbers."""
    return {
        "sharpe": pooled.sharpe,
        "total_return": pooled.total_return,
        "max_drawdown": pooled.max_drawdown,
        "win_rate": pooled.win_rate,
        "trades": float(pooled.trades),
    }


def _card(examined: Examined, model: TrainedModel, verdict: Verdict, run_id: str) -> ModelCard:
    return make_card(
        examined.dataset,
        model,
        symbol=examined.recipe.symbol,
        thresholds={"open": examined.recipe.threshold},
        metrics={**examined.scores.summary(), **pooled_figures(examined.pooled)},
        gate=verdict.to_dict(),
        run_id=run_id,
        created_at=iso_time(SystemClock().now_ns()),
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
    version = registry.published_by(symbol, run_id)
    if version is None:
        bench.journal.model_event(run_id, symbol, "", "publishing")
        version = registry.publish(symbol, model.files, card)
        bench.journal.model_event(run_id, symbol, version, "published")
    if verdict.promoted and registry.champion(symbol) != version:
        bench.journal.model_event(run_id, symbol, version, "promoting")
        registry.promote(symbol, version, verdict.to_dict(), run_id=run_id)
        bench.journal.model_event(run_id, symbol, version, "promoted")
    return version
