"""The files a training leaves: model text, predictions of unseen rows, metadata last."""

from __future__ import annotations

import argparse
import hashlib
import io
import os
from csv import writer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crypto_bot.backtest.examined import Learned
from crypto_bot.config import Settings, load_settings
from crypto_bot.core.bars import symbol_slug
from crypto_bot.core.errors import StorageError
from crypto_bot.core.files import write_file, write_json
from crypto_bot.core.timeframes import iso_time
from crypto_bot.predictors import LIGHTGBM_FILE
from crypto_bot.registry.latest import horizon_text

ACTIONS = {-1: "short", 0: "flat", 1: "long"}
_SCHEMA_VERSION = "1"


class FileNames(NamedTuple):
    """What the files of one model are called."""

    model: str
    predictions: str
    metadata: str


def names_of_symbol(symbol: str) -> FileNames:
    """As `csv-train` calls them: btc-usdt_regime_lgbm.txt and so on."""
    stem = symbol_slug(symbol).lower()
    return FileNames(f"{stem}_regime_lgbm.txt", f"{stem}_predictions.csv", f"{stem}_metadata.json")


def names_of_slug(symbol: str) -> FileNames:
    """As `csv-train-aggregate` calls them: regime_lgbm_BTC-USDT.txt and so on."""
    stem = f"regime_lgbm_{symbol_slug(symbol)}"
    return FileNames(f"{stem}.txt", f"{stem}_predictions.csv", f"{stem}.json")


def training_settings(options: argparse.Namespace) -> Settings:
    """The configuration with the command's options laid over it; ConfigError where one is wrong."""
    return load_settings(
        options.config,
        overrides={
            "ml_integration.features.horizon_minutes": options.horizon,
            "ml_integration.features.hold_threshold": options.hold,
            "ml_integration.training.publish_models": options.publish,
            "ml_integration.training.device_type": options.device_type,
            "ml_integration.training.max_bin": options.max_bin,
            "ml_integration.training.n_jobs": options.n_jobs,
            "models.lightgbm.gpu_use_dp": options.gpu_use_dp,
            **_given("models.lightgbm.gpu_platform_id", options.gpu_platform_id),
            **_given("models.lightgbm.gpu_device_id", options.gpu_device_id),
        },
    )


def _given(key: str, value: int | None) -> dict[str, int]:
    return {} if value is None else {key: value}


def check_writable(folder: Path) -> None:
    """StorageError before any work if the output folder can never be written."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise StorageError(f"{folder} must be writable, was not; choose another --outdir")


def write_model_files(
    folder: Path,
    names: FileNames,
    learned: Learned,
    *,
    with_predictions: bool,
    more: dict[str, Any] | None = None,
) -> list[Path]:
    """Model, predictions, and metadata last: while metadata is there, it describes its model.

    A killed command leaves a model without metadata, never metadata of another model. `more` are
    further fields of the metadata.
    """
    metadata, model = folder / names.metadata, folder / names.model
    content = learned.model.files[LIGHTGBM_FILE]
    metadata.unlink(missing_ok=True)
    write_file(model, content)
    written = [model]
    if with_predictions:
        predictions = folder / names.predictions
        write_file(predictions, _predictions_csv(learned))
        written.append(predictions)
    write_json(metadata, {**_metadata(learned, model.name, content), **(more or {})})
    return [*written, metadata]


def _predictions_csv(learned: Learned) -> str:
    """Out-of-sample rows only: time of decision, likeliest class, its action and probability.

    A model of several pairs names the pair of each row.
    """
    predictions, dataset = learned.predictions, learned.dataset
    rows = np.flatnonzero(predictions.is_tested)
    probabilities = predictions.probabilities[rows]
    best = probabilities.argmax(axis=1)
    is_pooled = len(dataset.symbols) > 1
    text = io.StringIO()
    table = writer(text, lineterminator="\n")
    table.writerow(("time", *(("symbol",) if is_pooled else ()), "class", "action", "score"))
    times = dataset.decided_at_ns[rows].tolist()
    scores = probabilities[np.arange(len(rows)), best].tolist()
    owners = dataset.symbol_index[rows].tolist()
    for time_ns, owner, k, score in zip(times, owners, best.tolist(), scores, strict=True):
        label = dataset.classes[k]
        pair = (dataset.symbols[owner],) if is_pooled else ()
        table.writerow((iso_time(time_ns), *pair, label, ACTIONS[label], f"{score:.6f}"))
    return text.getvalue()


def _metadata(learned: Learned, key: str, content: bytes) -> dict[str, Any]:
    """The original trainer's fields, then ours."""
    card = learned.card
    return {
        "key": key,
        "schema_version": _SCHEMA_VERSION,
        "feature_list": list(card.feature_names),
        "label_order": list(card.classes),
        "horizon": horizon_text(card),
        "thresholds": dict(card.thresholds),
        "symbol": card.symbol,
        "hash": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "version": learned.version,
        "card": card.model_dump(mode="json"),
    }
