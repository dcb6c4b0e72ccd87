"""What is learned here: the configured kinds of model, how they are tried, traded and judged."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core import ModelCard
from crypto_bot.core.arrays import Index, Mask
from crypto_bot.core.errors import ConfigError
from crypto_bot.core.timeframes import MINUTE_NS, timeframe_ns
from crypto_bot.dataset import Dataset
from crypto_bot.engine import ExitOptions, Reentry, SignalExit
from crypto_bot.features import S0_FEATURES, feature, load_feature_set, sequence_features
from crypto_bot.gate import GateOptions
from crypto_bot.labels import (
    LabelOptions,
    NextUpOptions,
    ThreeClassOptions,
    TrendScanningOptions,
    TripleBarrierOptions,
    WeightOptions,
)
from crypto_bot.splits import WalkForwardOptions, WindowMode
from crypto_bot.training import (
    CalibratedTrainer,
    CalibrationOptions,
    ForestOptions,
    ForestTrainer,
    LightGBMOptions,
    LightGBMTrainer,
    LogisticOptions,
    LogisticTrainer,
    LSTMOptions,
    LSTMTrainer,
    SelectingTrainer,
    SoftVoteTrainer,
    StackedTrainer,
    Trainer,
)
from crypto_bot.training.devices import Device
from crypto_bot.training.keras_backend import chosen_backend
from crypto_bot.tuning import ModelSearchOptions, ModelSetting, ModelSpace, NestedOptions
from crypto_bot.tuning.rows import training_rows


@dataclass(frozen=True)
class Recipe:
    """One kind of model: what it learns, how, and how its predictions are traded.

    Attributes
    ----------
    symbol : what the model is called in the registry
    threshold : a side needs a probability above this
    signal_exit : what the model's silence does to a position
    setting : what a search chose, None where nothing was searched
    weights : how rows count in training; None: all alike
    """

    symbol: str
    trainer: Trainer
    labels: LabelOptions
    threshold: float
    feature_names: tuple[str, ...] = S0_FEATURES
    signal_exit: SignalExit = SignalExit.FLAT
    setting: ModelSetting | None = None
    weights: WeightOptions | None = None

    @property
    def name(self) -> str:
        """Short enough for a table."""
        found = " (searched)" if self.setting is not None else ""
        return f"{self.trainer.name}{found} on {self.symbol}"

    def exits(self, bench: Workbench) -> ExitOptions:
        """What ends a position of this model."""
        return model_exits(bench).replace(signal_exit=self.signal_exit)


@dataclass(frozen=True)
class SearchRecipe:
    """A search over models, labels and thresholds, judged as a whole."""

    symbol: str
    options: NestedOptions
    feature_names: tuple[str, ...] = S0_FEATURES

    @property
    def name(self) -> str:
        """Short enough for a table."""
        search = self.options.search
        kinds = "/".join(search.space.models)
        return f"search of {search.trials} {kinds} settings on {self.symbol}"


AnyRecipe = Recipe | SearchRecipe


def recipes(bench: Workbench, symbol: str, lead: str) -> list[AnyRecipe]:
    """The configured kinds of model: all pairs pooled, but for S0's forest on the leading pair."""
    settings = bench.settings
    found: list[AnyRecipe] = []
    for kind in settings.models.trainers:
        if kind == "random_forest":
            forest = settings.models.random_forest.of(ForestOptions, n_jobs=settings.workers)
            threshold = settings.paper.prediction_threshold
            found.append(Recipe(lead, ForestTrainer(forest), NextUpOptions(), threshold))
        elif kind == "search":
            found.append(SearchRecipe(symbol, nested_options(bench), feature_names(bench)))
        else:
            found.append(pooled_recipe(bench, symbol, kind))
    return found


def symbol_recipe(bench: Workbench, symbol: str) -> AnyRecipe:
    """The first configured kind of model for a symbol of its own, guide S0's forest after the others."""
    found = recipes(bench, symbol, symbol)
    return min(found, key=lambda each: isinstance(getattr(each, "trainer", None), ForestTrainer))


def pooled_recipe(bench: Workbench, symbol: str, kind: str) -> Recipe:
    """A kind of model on the configured features, label and rows, its probabilities corrected."""
    models, names = bench.settings.models, feature_names(bench)
    trainer = trainer_of(bench, kind)
    if models.selection and kind != "lstm":
        trainer = SelectingTrainer(trainer)
    if models.calibration != "none":
        options = CalibrationOptions(method=models.calibration, coverage=models.coverage)
        trainer = CalibratedTrainer(trainer, options)
    return Recipe(
        symbol,
        trainer,
        label_of_settings(bench),
        bench.settings.paper.prediction_threshold,
        sequence_features(names, models.lstm.look_back) if kind == "lstm" else names,
        weights=_weights(bench),
    )


def trainer_of(bench: Workbench, kind: str) -> Trainer:
    """The trainer of this name as configured."""
    models = bench.settings.models
    if kind == "lightgbm":
        return lightgbm_trainer(bench)
    if kind == "logistic":
        return LogisticTrainer(models.logistic.of(LogisticOptions))
    if kind == "lstm":
        chosen_backend()
        return LSTMTrainer(models.lstm.of(LSTMOptions))
    members: list[Trainer] = [
        lightgbm_trainer(bench),
        LogisticTrainer(models.logistic.of(LogisticOptions)),
    ]
    return SoftVoteTrainer(members) if kind == "soft_vote" else StackedTrainer(members)


def feature_names(bench: Workbench) -> tuple[str, ...]:
    """Of the configured feature set."""
    chosen = load_feature_set(bench.settings.models.feature_set)
    alone = [feature(name) for name in chosen.features]
    wider = [each.name for each in alone if each.needs_market or each.needs_funding]
    if wider:
        raise ConfigError(
            "models.feature_set must hold features of one pair's candles, which a live bar has, "
            f"{chosen.name} holds {', '.join(wider)}; train on those through build_dataset"
        )
    return chosen.features


def label_of_settings(bench: Workbench) -> LabelOptions:
    """The configured label; its horizon is guide S1's in minutes, rounded up to whole bars."""
    label = bench.settings.ml_integration.features
    kind = bench.settings.models.label
    if kind == "three_class":
        return three_class(bench)
    interval_ns = timeframe_ns(bench.settings.data.base_timeframe)
    bars = max(1, math.ceil(label.horizon_minutes * MINUTE_NS / interval_ns))
    if kind == "next_up":
        return NextUpOptions(horizon_bars=bars)
    if kind == "triple_barrier":
        return TripleBarrierOptions(horizon_bars=bars)
    return TrendScanningOptions(maximum_bars=max(bars, TrendScanningOptions().minimum_bars))


def _weights(bench: Workbench) -> WeightOptions | None:
    options = bench.settings.models.weights.of(WeightOptions)
    return options if options.uniqueness or options.half_life_days is not None else None


def three_class(bench: Workbench) -> ThreeClassOptions:
    """Guide S1's label as configured."""
    label = bench.settings.ml_integration.features
    return ThreeClassOptions(
        horizon_minutes=label.horizon_minutes, hold_threshold=label.hold_threshold
    )


def lightgbm_trainer(bench: Workbench, device_type: Device | None = None) -> LightGBMTrainer:
    """LightGBM as configured, on the device asked for or on the one that is really there."""
    training = bench.settings.ml_integration.training
    options = bench.settings.models.lightgbm.of(
        LightGBMOptions,
        max_bin=training.max_bin,
        n_jobs=training.n_jobs or bench.settings.workers,
        device_type=device_type or bench.settings.training_device(bench.gpu),
    )
    return LightGBMTrainer(options)


def nested_options(bench: Workbench) -> NestedOptions:
    """The configured search, judged on as many stretches as other models have folds."""
    settings = bench.settings
    search = settings.models.search
    space = ModelSpace(
        models=search.models,
        labels=search.labels,
        horizon_bars=search.horizon_bars,
        open_shares=search.open_shares,
        signal_exits=tuple(SignalExit(each) for each in search.signal_exits),
    )
    _check_labels_alike(space)
    return NestedOptions(
        folds=settings.validation.folds,
        search=ModelSearchOptions(
            trials=search.trials,
            folds=search.folds,
            sampler=search.sampler,
            prune=search.prune,
            seed=search.seed,
            space=space,
        ),
    )


def _check_labels_alike(space: ModelSpace) -> None:
    """The stretches of one search make one record: their labels must have the same classes."""
    if "next_up" in space.labels and len(space.labels) > 1:
        raise ConfigError(
            "models.search.labels must be of the same classes, next_up has two and the others "
            f"three, was {', '.join(space.labels)}; search next_up alone"
        )


def taught(recipe: Recipe, dataset: Dataset) -> Index:
    """The rows that the shipped model learns from, chosen as those of its folds were."""
    if recipe.setting is None:
        return np.flatnonzero(sampled(dataset))
    return training_rows(dataset, np.arange(len(dataset)), timeframe_ns(dataset.timeframe))


def sampled(dataset: Dataset) -> Mask:
    """bool (rows,): decisions one label horizon apart on the calendar, the same for every pair."""
    interval_ns = timeframe_ns(dataset.timeframe)
    every = int(dataset.label_definition["horizon_bars"])
    return np.asarray(dataset.decided_at_ns // interval_ns % every == 0)


def walk_forward_options(bench: Workbench) -> WalkForwardOptions:
    """Folds as configured; the embargo stays the splits' own default."""
    validation = bench.settings.validation
    return WalkForwardOptions(folds=validation.folds, mode=WindowMode(validation.mode))


def model_exits(bench: Workbench) -> ExitOptions:
    """Hold while the model says so, within a stop and a target; enter whenever it says so."""
    paper = bench.settings.paper
    return ExitOptions(
        stop_loss_frac=paper.model_stop_loss_frac,
        take_profit_frac=paper.model_take_profit_frac,
        signal_exit=SignalExit.FLAT,
        reentry=Reentry.WHILE_SIGNAL,
    )


def card_exits(bench: Workbench, card: ModelCard) -> ExitOptions:
    """What ends a position of a stored model: what its card says of signals, the settings of the rest."""
    exits = model_exits(bench)
    said = card.trading.get("signal_exit")
    return exits if said is None else exits.replace(signal_exit=SignalExit(said))


def gate_options(bench: Workbench) -> GateOptions:
    """The gate's thresholds: guide S1's three, the rest from the settings' gate section."""
    settings = bench.settings
    return settings.gate.of(
        GateOptions,
        min_sharpe=settings.min_sharpe_threshold,
        max_drawdown=settings.max_drawdown_threshold,
        min_win_rate=settings.min_win_rate,
    )
