"""`make_card`: everything needed to trust and use a trained model, gathered in one place."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from crypto_bot.core import ModelCard
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import iso_time
from crypto_bot.dataset import Dataset
from crypto_bot.features import feature
from crypto_bot.predictors import LIGHTGBM, LOGISTIC, LSTM, RANDOM_FOREST
from crypto_bot.training.keras_backend import backend_packages
from crypto_bot.training.trainers import TrainedModel

POOLED = "GLOBAL"
"""Symbol of a model that was trained on several."""
_LIBRARIES = {LIGHTGBM: "lightgbm", LOGISTIC: "scikit-learn", RANDOM_FOREST: "scikit-learn"}
"""Model type -> the library that trains it."""


def make_card(
    dataset: Dataset,
    trained: TrainedModel,
    *,
    symbol: str | None = None,
    thresholds: Mapping[str, float] | None = None,
    trading: Mapping[str, str] | None = None,
    metrics: Mapping[str, float | None] | None = None,
    gate: Mapping[str, Any] | None = None,
    run_id: str = "",
    created_at: str = "",
) -> ModelCard:
    """The card of a model trained on `dataset`.

    Parameters
    ----------
    dataset : the rows the shipped model was fitted on; the model may read fewer of its features
    trained : its result
    symbol : None is the dataset's symbol, or 'GLOBAL' for several
    thresholds : such as {'open': 0.6}; the label's hold threshold is added as 'hold',
                 the model's own (an abstain band) under their names
    trading : how its predictions are traded, such as {'signal_exit': 'flat'}
    metrics, gate : out-of-sample figures and the verdict, by the caller
    created_at : UTC text; left to the caller so that a card can be made twice alike

    Raises
    ------
    DataError    if the dataset has no rows or is not the model's (lacks a feature of it, or classes differ)
    """
    names = trained.predictor.feature_names
    if (
        not len(dataset)
        or dataset.classes != trained.predictor.classes
        or not set(names) <= set(dataset.feature_names)
    ):
        raise DataError("dataset must be the one the model was trained on, was another or empty")
    features = [feature(name, dataset.timeframe) for name in names]
    hold = dataset.label_definition.get("hold_threshold")
    return ModelCard(
        symbol=symbol or (dataset.symbols[0] if len(dataset.symbols) == 1 else POOLED),
        timeframe=dataset.timeframe,
        model_type=trained.model_type,
        feature_names=names,
        feature_definitions={each.name: each.definition for each in features},
        feature_settled_bars=max(each.settled_bars or 0 for each in features),
        classes=dataset.classes,
        label=dict(dataset.label_definition),
        thresholds={
            **({} if hold is None else {"hold": hold}),
            **trained.thresholds,
            **(thresholds or {}),
        },
        trading=dict(trading or {}),
        data_fingerprint=dataset.fingerprint,
        data_start=iso_time(int(dataset.decided_at_ns[0])),
        data_end=iso_time(int(dataset.label_end_ns.max())),
        is_simulated=dataset.is_simulated,
        rows=len(dataset),
        seed=trained.seed,
        library_versions=library_versions(*_model_types(trained)),
        options={**trained.options, "device": trained.device},
        metrics=dict(metrics or {}),
        gate=dict(gate or {}),
        run_id=run_id,
        created_at=created_at,
    )


def library_versions(*model_types: str) -> dict[str, str]:
    """Versions of what made the model: ours, Python, numpy and the training libraries."""
    libraries = {_LIBRARIES[name] for name in model_types if name != LSTM}
    if LSTM in model_types:
        libraries.update(backend_packages())
    packages = {name: version(name) for name in ("crypto-bot", "numpy", *sorted(libraries))}
    return {**packages, "python": platform.python_version()}


def _model_types(trained: TrainedModel) -> list[str]:
    """Of the model, or of all that it is made of."""
    if not trained.members:
        return [trained.model_type]
    return [name for member in trained.members for name in _model_types(member)]
