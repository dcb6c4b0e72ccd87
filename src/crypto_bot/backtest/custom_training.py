"""A model of one's own through the honest way: our dataset, walk-forward, costs, gate, safe files."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crypto_bot.backtest.candles import stored_candles
from crypto_bot.backtest.learning import learnable
from crypto_bot.backtest.recipes import (
    Recipe,
    feature_names,
    label_of_settings,
    pooled_recipe,
    symbol_recipe,
)
from crypto_bot.backtest.turn import hold_out_start
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core.errors import DataError, ModelError
from crypto_bot.dataset import Dataset, build_dataset
from crypto_bot.predictors import (
    FOREST_FILE,
    LIGHTGBM,
    LIGHTGBM_FILE,
    LINEAR_FILE,
    LOGISTIC,
    RANDOM_FOREST,
    seal_text,
    write_forest,
    write_linear,
)
from crypto_bot.training import TrainedModel, Trainer
from crypto_bot.training.boosting import booster_probabilities
from crypto_bot.training.forest import FittedForest, export_forest, forest_probabilities
from crypto_bot.training.logistic import (
    FittedLogistic,
    export_logistic,
    logistic_probabilities,
    rounding_bound,
)
from crypto_bot.training.trainers import (
    check_export,
    rebuilt_predictor,
    require_two_classes,
    sample_rows,
    shares,
    uneven_weights,
)

_FORESTS = ("RandomForestClassifier", "ExtraTreesClassifier")
_KINDS = (*_FORESTS, "LogisticRegression", "LGBMClassifier")
_SEED = 42


@dataclass(frozen=True)
class CustomTrainingData:
    """What `_preprocess_data` gives: per symbol the rows that may be learned from.

    Attributes
    ----------
    datasets : symbol -> Dataset    decisions up to the symbol's hold-out: features (rows, features),
                                    labels (rows,), feature_names, classes; nothing after it
    """

    datasets: Mapping[str, Dataset]

    @property
    def symbols(self) -> tuple[str, ...]:
        """In the order they were named."""
        return tuple(self.datasets)


def custom_data(bench: Workbench, symbols: Sequence[str] | None) -> CustomTrainingData:
    """The stored candles of `symbols` (None: all) as features and labels, hold-outs left out.

    Raises
    ------
    DataError    no candles, or none that can be learned from
    """
    named = symbols or stored_candles(bench.settings, None).symbols
    if not named:
        raise DataError("symbols must name a stored pair, none is stored; give a folder of candles")
    return CustomTrainingData({symbol: _dataset(bench, symbol) for symbol in named})


def _dataset(bench: Workbench, symbol: str) -> Dataset:
    universe = stored_candles(bench.settings, [symbol])
    end_ns = hold_out_start(universe, bench.settings.validation.holdout_frac)
    names = feature_names(bench)
    known, _ = learnable(universe.bars, names, start_ns=universe.start_ns, end_ns=end_ns)
    whole = build_dataset(known, feature_names=names, labels=label_of_settings(bench))
    return whole.take(whole.decided_at_ns >= universe.start_ns)


def custom_recipe(bench: Workbench, symbol: str, trainer: Trainer) -> Recipe:
    """The configured features, label and threshold with another trainer."""
    threshold = bench.settings.paper.prediction_threshold
    return Recipe(symbol, trainer, label_of_settings(bench), threshold, feature_names(bench))


def configured_trainer(bench: Workbench, symbol: str) -> Trainer:
    """The trainer that `ml-training` would take for `symbol`; a search's is the first of its kinds."""
    recipe = symbol_recipe(bench, symbol)
    if isinstance(recipe, Recipe):
        return recipe.trainer
    return pooled_recipe(bench, symbol, recipe.options.search.space.models[0]).trainer


def as_trainer(model: Any) -> Trainer:
    """A trainer of what `_train_custom_model` returned.

    Parameters
    ----------
    model    a trainer (`name` and `fit(dataset) -> TrainedModel`), or an estimator that can be stored
             without pickle: RandomForestClassifier, ExtraTreesClassifier, LogisticRegression (bare,
             or after a StandardScaler in a pipeline), LGBMClassifier; fitted or not

    Raises
    ------
    ModelError    anything else, in words

    Notes
    -----
    An estimator is cloned and fitted anew on the rows of every fold: what it was fitted on before it
    was given away would be the rows it is then judged on. scikit-learn's get features standardised on
    the rows of the fold, LightGBM's as they are.
    """
    if isinstance(model, TrainedModel):
        raise ModelError(
            "model must be a trainer or an estimator, was a TrainedModel; return the trainer itself: "
            "what is fitted already cannot be judged on rows that it has not seen"
        )
    if (
        not isinstance(model, type)
        and hasattr(model, "name")
        and callable(getattr(model, "fit", 0))
    ):
        trainer: Trainer = model
        return trainer
    return EstimatorTrainer(model)


class EstimatorTrainer:
    """Fits clones of an estimator and stores them as arrays or text, never as pickle."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator
        self._kind = _understood(estimator)

    @property
    def name(self) -> str:
        """Such as 'custom RandomForestClassifier'."""
        return f"custom {self._kind}"

    def fit(self, dataset: Dataset) -> TrainedModel:
        """Clone, fit, export, and check that the export predicts what the library does."""
        from sklearn.base import clone
        from sklearn.preprocessing import StandardScaler

        require_two_classes(dataset)
        start = time.perf_counter()
        weights = uneven_weights(dataset)
        scaler = StandardScaler().fit(dataset.features, sample_weight=weights)
        fitted = clone(getattr(self._estimator, "steps", [("", self._estimator)])[-1][1])
        _in_one_thread(fitted)
        rows = (
            dataset.features
            if self._kind == "LGBMClassifier"
            else scaler.transform(dataset.features)
        )
        own = (
            {"feature_name": list(dataset.feature_names)} if self._kind == "LGBMClassifier" else {}
        )
        fitted.fit(rows, dataset.labels, sample_weight=weights, **own)
        kind, files, importance = _exported(self._kind, scaler, fitted, dataset)
        return TrainedModel(
            predictor=rebuilt_predictor(kind, dataset, files),
            files=files,
            importance=shares(dataset.feature_names, importance),
            model_type=kind,
            options={"estimator": self._kind, **_plain(fitted.get_params())},
            device="cpu",
            seconds=time.perf_counter() - start,
            seed=_seed(fitted),
        )


def _understood(estimator: Any) -> str:
    """The class of the estimator, a StandardScaler before it aside, or ModelError in words."""
    steps = [part for _, part in getattr(estimator, "steps", [("", estimator)])]
    names = [type(step).__name__ for step in steps]
    is_scaled = names[:-1] == ["StandardScaler"]
    module = type(steps[-1]).__module__.partition(".")[0]
    is_known = names[-1] in _KINDS and module in ("sklearn", "lightgbm")
    if not is_known or not (is_scaled or len(steps) == 1) or (is_scaled and module == "lightgbm"):
        raise ModelError(
            f"model must be a trainer or one of {', '.join(_KINDS)} (scikit-learn's also after a "
            f"StandardScaler), was {' after '.join(reversed(names))}; other models cannot be stored "
            "without pickle, which is never read or written here"
        )
    return names[-1]


def _exported(
    kind: str, scaler: Any, fitted: Any, dataset: Dataset
) -> tuple[str, dict[str, bytes], Any]:
    """(model type, files, importance), the files compared with the library on a sample of rows."""
    names, classes, sample = dataset.feature_names, dataset.classes, sample_rows(dataset)
    if kind in _FORESTS:
        forest = FittedForest(scaler, fitted)
        files = {FOREST_FILE: write_forest(export_forest(forest, classes), names, classes)}
        predictor = rebuilt_predictor(RANDOM_FOREST, dataset, files)
        check_export(predictor, sample, forest_probabilities(forest, sample, classes))
        return RANDOM_FOREST, files, fitted.feature_importances_
    if kind == "LogisticRegression":
        linear = FittedLogistic(scaler, fitted)
        model = export_logistic(linear, classes)
        files = {LINEAR_FILE: write_linear(model, names, classes)}
        predictor = rebuilt_predictor(LOGISTIC, dataset, files)
        library = logistic_probabilities(linear, sample, classes)
        check_export(predictor, sample, library, tolerance=rounding_bound(model, sample))
        return LOGISTIC, files, np.abs(model.coefficients).sum(axis=0)
    if tuple(fitted.classes_) != tuple(classes):
        raise DataError(
            f"labels must hold every class {classes} for an LGBMClassifier, held {fitted.classes_}"
        )
    files = {LIGHTGBM_FILE: seal_text(fitted.booster_.model_to_string())}
    predictor = rebuilt_predictor(LIGHTGBM, dataset, files)
    check_export(predictor, sample, booster_probabilities(fitted.booster_, sample))
    return LIGHTGBM, files, np.asarray(fitted.booster_.feature_importance("gain"), dtype=np.float64)


def _in_one_thread(estimator: Any) -> None:
    """More threads add up in the order they finish: other bits at every fit."""
    if estimator.get_params().get("n_jobs", 1) not in (None, 1):
        estimator.set_params(n_jobs=1)


def _seed(estimator: Any) -> int:
    seed = estimator.get_params().get("random_state")
    return seed if isinstance(seed, int) else _SEED


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, bool | int | float | str | None) else str(value)
        for name, value in values.items()
        if value is None or value == value
    }
