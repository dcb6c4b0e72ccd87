"""Where `MLStrategy` finds its model: files of the guide's training, or a registry's champion."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from crypto_bot.core.errors import ConfigError, ModelError
from crypto_bot.core.models import ModelCard, Predictor
from crypto_bot.predictors import FOREST_FILE, TreePredictor, load_predictor
from crypto_bot.registry import open_registry

MODEL_FILE, CARD_FILE = "rf_model.npz", "card.json"
"""What `crypto_bot.ml.train_model.train_ml_model` writes."""
_RUN_CODE = (".pkl", ".pickle", ".joblib", ".h5")


def load_model(
    model_path: Path | str, symbol: str | None = None, scaler_path: Path | str | None = None
) -> tuple[Predictor, ModelCard]:
    """The predictor and card that `model_path` names.

    Parameters
    ----------
    model_path : rf_model.npz with card.json beside it, the folder of both, or a registry folder
    symbol : whose champion of a registry, such as 'BTC/USDT'
    scaler_path : the guide's scaler.json; checked against the model, which carries its own scaler

    Raises
    ------
    ModelError    if there is none, it is damaged, of a format that can carry code, has no champion
                  for the symbol, or another scaler than `scaler_path`
    """
    place = Path(model_path)
    if place.suffix in _RUN_CODE:
        raise ModelError(
            f"model_path must name a model in the safe format, such as ml/{MODEL_FILE}, was {place}; "
            "files that can run code are not read: train with python -m crypto_bot.ml.run_bt_ml"
        )
    if not place.exists():
        raise ModelError(
            f"model_path must exist, was {place}; train with python -m crypto_bot.ml.run_bt_ml"
        )
    folder = place if place.is_dir() else place.parent
    if (folder / CARD_FILE).exists():
        predictor, card = _guide_model(folder, place)
    else:
        predictor, card = _champion(folder, symbol)
    if scaler_path is not None:
        _check_scaler(Path(scaler_path), predictor)
    return predictor, card


def _guide_model(folder: Path, place: Path) -> tuple[Predictor, ModelCard]:
    file = folder / MODEL_FILE if place.is_dir() else place
    path = folder / CARD_FILE
    try:
        card = ModelCard.from_mapping(json.loads(path.read_bytes()), path=str(path))
        content = file.read_bytes()
    except (OSError, ValueError, ConfigError) as error:
        raise ModelError(f"{file} and {path} must be a model and its card: {error}") from error
    return load_predictor(card, {FOREST_FILE: content}), card


def _champion(folder: Path, symbol: str | None) -> tuple[Predictor, ModelCard]:
    if symbol is None:
        raise ModelError(f"symbol must say whose champion of {folder} to take, was None")
    return open_registry(str(folder)).load(symbol)


def _check_scaler(path: Path, predictor: Predictor) -> None:
    try:
        given = json.loads(path.read_bytes())
        names, mean, scale = (given[name] for name in ("feature_names", "mean", "scale"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"scaler_path must name a scaler.json, was {path}: {error}") from error
    own = predictor.scaler if isinstance(predictor, TreePredictor) else None
    if (
        own is None
        or tuple(names) != predictor.feature_names
        or not np.array_equal(mean, own.mean)
        or not np.array_equal(scale, own.scale)
    ):
        raise ModelError(
            f"scaler_path must name the model's own scaler, {path} is another; leave it out, the "
            "model carries its scaler"
        )
