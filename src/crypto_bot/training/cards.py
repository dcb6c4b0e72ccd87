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
from crypto_bot.predictors import LIGHTGBM, LSTM
from crypto_bot.training.keras_backend import backend_versions
from crypto_bot.training.trainers import TrainedModel

POOLED = "GLOBAL"
"""Symbol of a model that was trained on several."""


def make_card(
    dataset: Dataset,
    trained: TrainedModel,
    *,
    symbol: str | None = None,
    thresholds: Mapping[str, float] | None = None,
    metrics: Mapping[str, float | None] | None = None,
    gate: Mapping[str, Any] | None = None,
    run_id: str = "",
    created_at: str = "",
) -> ModelCard:
    """The card of a model trained on `dataset`.

    Parameters
    ----------
    dataset : the rows the shipped model was fitted on
    trained : its result
    symbol : None is the dataset's symbol, or 'GLOBAL' for several
    thresholds : such as {'open': 0.6}; the label's hold threshold is added as 'hold'
    metrics, gate : out-of-sample figures and the verdict, by the caller
    created_at : UTC text; left to the caller so that a card can be made twice alike

    Raises
    ------
    DataError    if the dataset has no rows or is not the model's (schema or classes differ)
    """
    predictor = trained.predictor
    if not len(dataset) or (dataset.feature_names, dataset.classes) != (
        predictor.feature_names,
        predictor.classes,
    ):
        raise DataError("dataset must be the one the model was trained on, was another or empty")
    features = [feature(name, dataset.timeframe) for name in dataset.feature_names]
    hold = dataset.label_definition.get("hold_threshold")
    return ModelCard(
        symbol=symbol or (dataset.symbols[0] if len(dataset.symbols) == 1 else POOLED),
        timeframe=dataset.timeframe,
        model_type=trained.model_type,
        feature_names=dataset.feature_names,
        feature_definitions={each.name: each.definition for each in features},
        feature_settled_bars=max(each.settled_bars or 0 for each in features),
        classes=dataset.classes,
        label=dict(dataset.label_definition),
        thresholds={**({} if hold is None else {"hold": hold}), **(thresholds or {})},
        data_fingerprint=dataset.fingerprint,
        data_start=iso_time(int(dataset.decided_at_ns[0])),
        data_end=iso_time(int(dataset.label_end_ns.max())),
        is_simulated=dataset.is_simulated,
        rows=len(dataset),
        seed=trained.seed,
        library_versions=library_versions(trained.model_type),
        options={**trained.options, "device": trained.device},
        metrics=dict(metrics or {}),
        gate=dict(gate or {}),
        run_id=run_id,
        created_at=created_at,
    )


def library_versions(model_type: str) -> dict[str, str]:
    """Versions of what made the model: ours, Python, numpy and the training library."""
    if model_type == LSTM:
        ours = {name: version(name) for name in ("crypto-bot", "numpy")}
        return {**ours, **backend_versions(), "python": platform.python_version()}
    library = "lightgbm" if model_type == LIGHTGBM else "scikit-learn"
    packages = {name: version(name) for name in ("crypto-bot", "numpy", library)}
    return {**packages, "python": platform.python_version()}
