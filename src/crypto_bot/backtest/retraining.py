"""A stored model's way of learning, taken again: so that it can be judged where another one is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crypto_bot.backtest.recipes import Recipe, taught
from crypto_bot.core import Bars, ModelCard
from crypto_bot.core.errors import ConfigError
from crypto_bot.dataset import Dataset, build_dataset
from crypto_bot.engine import SignalExit
from crypto_bot.labels import (
    LabelOptions,
    NextUpOptions,
    ThreeClassOptions,
    WeightOptions,
    label_options,
)
from crypto_bot.predictors import LIGHTGBM, LOGISTIC, RANDOM_FOREST
from crypto_bot.splits import DEFAULT_EMBARGO_BARS
from crypto_bot.training import (
    DOWNSAMPLED,
    DownsamplingTrainer,
    ForestOptions,
    ForestTrainer,
    LightGBMOptions,
    LightGBMTrainer,
    LogisticOptions,
    LogisticTrainer,
    Trainer,
)
from crypto_bot.tuning import ModelSetting
from crypto_bot.tuning.rows import cut_at
from crypto_bot.validation import OutOfSample
from crypto_bot.validation.out_of_sample import predict_fold

EXTERNAL = "external_trainer"
"""Option of a card: the other program that trained it, whose way cannot be taken again here."""
ROW_WEIGHTS = "row_weights"
"""Option of a card: how the rows counted; absent where all counted alike."""
_TRAINERS: Mapping[str, tuple[Any, Any]] = {
    LIGHTGBM: (LightGBMOptions, LightGBMTrainer),
    LOGISTIC: (LogisticOptions, LogisticTrainer),
    RANDOM_FOREST: (ForestOptions, ForestTrainer),
}
"""Kinds whose options stand in the card; what is made of several cannot be taken again from it."""


def recipe_of(card: ModelCard) -> Recipe | None:
    """How a stored model was made; None where its card does not say enough to do it again."""
    trainer, threshold = _trainer(card), card.thresholds.get("open")
    if trainer is None or threshold is None:
        return None
    return Recipe(
        card.symbol,
        trainer,
        label_of(card),
        threshold,
        card.feature_names,
        SignalExit(card.trading.get("signal_exit", SignalExit.FLAT)),
        _setting(card),
        _weights(card),
    )


def label_of(card: ModelCard) -> LabelOptions:
    """The label that a model was taught, from its card."""
    label = card.label
    if "kind" in label:
        return label_options(label)
    # Cards of versions before labels named their kind.
    if -1 in card.classes:
        return ThreeClassOptions(
            horizon_minutes=label["horizon_minutes"], hold_threshold=label["hold_threshold"]
        )
    return NextUpOptions(horizon_bars=label["horizon_bars"])


def is_same_way(ours: Recipe, theirs: Recipe) -> bool:
    """Whether two recipes would make the same model of the same candles."""
    return _identity(ours) == _identity(theirs)


def predictions_of(
    recipe: Recipe, bars: Sequence[Bars], spans: Sequence[tuple[int, int]], *, start_ns: int
) -> tuple[Dataset, OutOfSample]:
    """What a recipe predicts of stretches [start, end) from what was known before each.

    Parameters
    ----------
    spans : in time order
    start_ns : decisions before this are left out
    """
    whole = build_dataset(
        bars, feature_names=recipe.feature_names, labels=recipe.labels, weights=recipe.weights
    )
    dataset = whole.take(whole.decided_at_ns >= start_ns)
    embargo_ns = DEFAULT_EMBARGO_BARS * bars[0].interval_ns
    found = np.full((len(dataset), len(dataset.classes)), np.nan)
    fold = np.full(len(dataset), -1, dtype=np.int64)
    is_taught = np.zeros(len(dataset), dtype=np.bool_)
    is_taught[taught(recipe, dataset)] = True
    models, splits = [], []
    for number, span in enumerate(spans):
        split = cut_at(dataset, *span, fold=number, embargo_ns=embargo_ns)
        split = replace(split, train=split.train[is_taught[split.train]])
        found[split.test], model = predict_fold(dataset, recipe.trainer, split)
        fold[split.test] = number
        models.append(model)
        splits.append(split)
    tested = dataset.decided_at_ns[fold >= 0]
    ends = int(tested.min()), int(tested.max())
    predictions = OutOfSample(found, fold, dataset.classes, tuple(models), tuple(splits), *ends)
    return dataset, predictions


def _setting(card: ModelCard) -> ModelSetting | None:
    notes = card.gate.get("evidence", {}).get("notes", {})
    shipped = notes.get("search", {}).get("shipped")
    return None if shipped is None else ModelSetting.from_mapping(shipped, path="card")


def _weights(card: ModelCard) -> WeightOptions | None:
    kept = card.options.get(ROW_WEIGHTS)
    return None if kept is None else WeightOptions.from_mapping(kept, path=ROW_WEIGHTS)


def _trainer(card: ModelCard) -> Trainer | None:
    if card.model_type not in _TRAINERS or EXTERNAL in card.options:
        return None
    options, trainer = _TRAINERS[card.model_type]
    given = {name: value for name, value in card.options.items() if name in options.model_fields}
    try:
        made: Trainer = trainer(options(**given))
    except ConfigError:
        return None  # options of another version
    seed = card.options.get(DOWNSAMPLED)
    return made if seed is None else DownsamplingTrainer(made, int(seed))


def _identity(recipe: Recipe) -> tuple[Any, ...]:
    options = getattr(recipe.trainer, "options", None)
    return (
        type(recipe.trainer),
        None if options is None else options.model_dump(exclude={"n_jobs"}),
        type(recipe.labels),
        recipe.labels.model_dump(),
        recipe.threshold if recipe.setting is None else recipe.setting.open_share,
        recipe.setting is None,
        recipe.weights,
        recipe.feature_names,
        recipe.signal_exit,
    )
