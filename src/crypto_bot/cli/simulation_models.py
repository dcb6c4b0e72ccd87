"""The model that a simulation trades: out of the registry, or a file that `csv-train` wrote."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crypto_bot.backtest.unseen import choose_model
from crypto_bot.backtest.workbench import open_registries
from crypto_bot.config import Settings
from crypto_bot.core import Bars, ModelCard, Predictor
from crypto_bot.core.arrays import PerRowClass
from crypto_bot.core.bars import symbol_slug
from crypto_bot.core.errors import ConfigError, ModelError
from crypto_bot.core.models import require_schema
from crypto_bot.core.timeframes import time_of
from crypto_bot.features import compute_features
from crypto_bot.predictors import LIGHTGBM_FILE, load_predictor
from crypto_bot.registry import RegistryLimits
from crypto_bot.training.cards import POOLED

CHAMPION = "champion"
"""What `--from-registry` takes without a version: the champion, else the newest candidate."""
_CODE = (".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth")
_PICKLES = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))


@dataclass(frozen=True)
class TradedModel:
    """A model, its card, and where it came from in words."""

    predictor: Predictor
    card: ModelCard
    source: str
    version: str | None = None

    @property
    def data_end_ns(self) -> int:
        """When its last training label was known."""
        return time_of(self.card.data_end)


def model_of(
    settings: Settings, symbol: str, *, path: str | None, version: str | None, simulated: bool
) -> TradedModel:
    """The model that was asked for by file or registry.

    Raises
    ------
    ConfigError    both or neither were asked for
    ModelError     it is not there, is a pickle, or differs from what its metadata says
    """
    if (path is None) == (version is None):
        raise ConfigError(
            "one of --model FILE and --from-registry must be given, was "
            f"{'neither' if path is None else 'both'}"
        )
    if path is not None:
        return _of_file(Path(path))
    registry = open_registries(settings)[simulated]
    if version == CHAMPION:
        chosen = choose_model(registry, symbol)
        return TradedModel(chosen.predictor, chosen.card, chosen.describe(), chosen.version)
    predictor, card = registry.load(symbol, version)
    return TradedModel(predictor, card, f"{version} of {symbol}", version)


def _of_file(path: Path) -> TradedModel:
    """A model file beside its metadata; ModelError where either is not what the other says."""
    if path.suffix.lower() in _CODE:
        raise ModelError(
            f"{path} must be a model in a safe format, was a pickle, which can run any code when "
            "it is opened; train again: cointrainer csv-train writes a text model"
        )
    content = _read(path, RegistryLimits().max_file_bytes)
    if content.startswith(_PICKLES):
        raise ModelError(
            f"{path} must be a model in a safe format, was a pickle under another name; "
            "train again: cointrainer csv-train writes a text model"
        )
    metadata_path = _metadata_path(path)
    metadata = _json(metadata_path, _read(metadata_path, RegistryLimits().max_json_bytes))
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if metadata.get("hash") != digest:
        raise ModelError(
            f"{path} must be the model that {metadata_path.name} describes, its sha256 differs; "
            "train again"
        )
    if not isinstance(metadata.get("card"), dict):
        raise ModelError(f"{metadata_path} must hold the model's card, did not; train again")
    try:
        card = ModelCard.from_mapping(metadata["card"], path=f"{metadata_path.name} card")
    except ConfigError as error:
        raise ModelError(str(error)) from error
    return TradedModel(load_predictor(card, {LIGHTGBM_FILE: content}), card, str(path))


def _metadata_path(path: Path) -> Path:
    """`btc-usdt_metadata.json` of `btc-usdt_regime_lgbm.txt`, or a file of the model's own name."""
    stems = {path.stem, path.stem.removesuffix("_regime_lgbm")}
    names = [path.with_name(f"{stem}_metadata.json") for stem in sorted(stems)]
    for found in (*names, path.with_suffix(".json")):
        if found.is_file():
            return found
    raise ModelError(
        f"{path} must have its metadata beside it, {names[-1].name} was missing; "
        "cointrainer csv-train writes both"
    )


def _read(path: Path, most_bytes: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > most_bytes:
            raise ModelError(f"{path} must have at most {most_bytes} bytes, was {size}")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} must be readable, was not: {error.strerror or error}") from error


def _json(path: Path, content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise ModelError(f"{path} must be JSON, was not: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} must hold a JSON object, was {type(found).__name__}")
    return found


def predicted(model: TradedModel, bars: Bars) -> PerRowClass:
    """float64 (bars, classes): what the model says at each close, NaN while features settle.

    Raises
    ------
    ModelError    the model is of another symbol or timeframe, or its features are not ours
    """
    card = model.card
    if card.symbol != POOLED and symbol_slug(card.symbol) != symbol_slug(bars.symbol):
        raise ModelError(
            f"model must be of {bars.symbol} or {POOLED}, was of {card.symbol}; name its --symbol"
        )
    if card.timeframe != bars.timeframe:
        raise ModelError(
            f"candles must be {card.timeframe} as the model learned from, were {bars.timeframe}; "
            f"give the {card.timeframe} file"
        )
    try:
        table = compute_features(bars, card.feature_names)
    except ConfigError as error:
        raise ModelError(f"model must read features that exist here, did not: {error}") from error
    require_schema(table.names, model.predictor)
    values = np.array(table.values)
    values[: min(table.settled_bars or 0, len(values))] = np.nan
    return model.predictor.predict_proba(np.ascontiguousarray(values))
