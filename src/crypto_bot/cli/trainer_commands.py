"""What `cointrainer csv-train` does: one candle file to one model."""

from __future__ import annotations

import argparse
import hashlib
import io
import os
from collections.abc import Mapping
from csv import writer
from pathlib import Path
from typing import Any

import numpy as np

from crypto_bot.backtest.command import Handler, Result, say
from crypto_bot.backtest.examined import Learned
from crypto_bot.backtest.learning import learn
from crypto_bot.backtest.per_symbol import start_or_resume
from crypto_bot.backtest.recipes import Recipe, lightgbm_trainer, three_class
from crypto_bot.backtest.workbench import Workbench, open_workbench
from crypto_bot.config import Settings, load_settings
from crypto_bot.core import Bars
from crypto_bot.core.bars import symbol_slug
from crypto_bot.core.errors import CryptoBotError, StorageError
from crypto_bot.core.files import write_file, write_json
from crypto_bot.core.timeframes import iso_time
from crypto_bot.features import TRAINER_FEATURES
from crypto_bot.market import read_candles
from crypto_bot.predictors import LIGHTGBM_FILE
from crypto_bot.registry.latest import horizon_text

FEATURES = tuple("obv_frac_20" if name == "obv" else name for name in TRAINER_FEATURES)
"""The trainer's six; `obv` depends on where a file begins, so its settled twin stands in."""
ACTIONS = {-1: "short", 0: "flat", 1: "long"}
KIND = "csv-train"
_SCHEMA_VERSION = "1"


def csv_train(options: argparse.Namespace) -> tuple[int, Result]:
    """Train, walk forward and judge one model on one file; write its files, publish it if asked."""
    settings = _settings(options)
    bars, quality = read_candles(options.file, symbol=options.symbol, timeframe=options.timeframe)
    folder = Path(options.outdir)
    _check_writable(folder)
    say(options, f"{bars.symbol} {bars.timeframe}: {quality.summary()}")
    with open_workbench(settings, log="integrated_backtest", verbose=options.verbose) as bench:
        say(options, *bench.start_lines())
        learned, files = _run(bench, bars, options, folder)
    verdict = learned.verdict
    result = {
        "symbol": bars.symbol,
        "timeframe": bars.timeframe,
        "rows": len(learned.dataset),
        "dropped": learned.dataset.dropped,
        "features": list(FEATURES),
        "device": learned.model.device,
        "version": learned.version,
        "promoted": verdict.promoted and learned.version is not None,
        "reason": verdict.reason,
        "metrics": dict(learned.card.metrics),
        "files": [str(path) for path in files],
        "quality": quality.model_dump(mode="json"),
    }
    say(options, *_lines(result))
    return 0, result


TRAINER_COMMANDS: dict[str, Handler] = {
    "csv-train": csv_train,
}


def _settings(options: argparse.Namespace) -> Settings:
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


def _check_writable(folder: Path) -> None:
    """StorageError before any work if the output folder can never be written."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise StorageError(f"{folder} must be writable, was not; choose another --outdir")


def _run(
    bench: Workbench, bars: Bars, options: argparse.Namespace, folder: Path
) -> tuple[Learned, list[Path]]:
    """One run of the journal: done when the last file is; a killed one is taken up again."""
    run_id = start_or_resume(bench, KIND, data_fingerprint=bars.fingerprint)
    first, last = int(bars.open_time[0]), int(bars.close_time[-1])
    recipe = _recipe(bench, bars.symbol)
    try:
        learned = learn(bench, [bars], recipe, run_id=run_id, start_ns=first, end_ns=last)
        files = _write_files(folder, learned, with_predictions=options.write_predictions)
    except CryptoBotError as error:
        bench.journal.finish_run(run_id, "failed", {"error": str(error)})
        raise
    summary = {"version": learned.version, "reason": learned.verdict.reason}
    bench.journal.finish_run(run_id, "done", summary)
    return learned, files


def _recipe(bench: Workbench, symbol: str) -> Recipe:
    """As for `ml-training`, but on the trainer's features and the device that was asked for."""
    trainer = lightgbm_trainer(bench, bench.settings.ml_integration.training.device_type)
    threshold = bench.settings.paper.prediction_threshold
    return Recipe(symbol, trainer, three_class(bench), threshold, FEATURES)


def _write_files(folder: Path, learned: Learned, *, with_predictions: bool) -> list[Path]:
    """Model, predictions, and metadata last: while metadata is there, it describes its model.

    A killed command leaves a model without metadata, never metadata of another model.
    """
    stem = symbol_slug(learned.recipe.symbol).lower()
    metadata = folder / f"{stem}_metadata.json"
    model = folder / f"{stem}_regime_lgbm.txt"
    content = learned.model.files[LIGHTGBM_FILE]
    metadata.unlink(missing_ok=True)
    write_file(model, content)
    written = [model]
    if with_predictions:
        predictions = folder / f"{stem}_predictions.csv"
        write_file(predictions, _predictions_csv(learned))
        written.append(predictions)
    write_json(metadata, _metadata(learned, model.name, content))
    return [*written, metadata]


def _predictions_csv(learned: Learned) -> str:
    """Out-of-sample rows only: time of decision, likeliest class, its action and probability."""
    predictions, dataset = learned.predictions, learned.dataset
    rows = np.flatnonzero(predictions.is_tested)
    probabilities = predictions.probabilities[rows]
    best = probabilities.argmax(axis=1)
    text = io.StringIO()
    table = writer(text, lineterminator="\n")
    table.writerow(("time", "class", "action", "score"))
    times = dataset.decided_at_ns[rows].tolist()
    scores = probabilities[np.arange(len(rows)), best].tolist()
    for time_ns, k, score in zip(times, best.tolist(), scores, strict=True):
        label = dataset.classes[k]
        table.writerow((iso_time(time_ns), label, ACTIONS[label], f"{score:.6f}"))
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


def _lines(result: Mapping[str, Any]) -> list[str]:
    metrics, files = result["metrics"], result["files"]
    dropped = ", ".join(f"{count} {reason}" for reason, count in result["dropped"].items() if count)
    stored = f"stored as {result['version']}" if result["version"] else "not published (--publish)"
    return [
        f"features: {', '.join(FEATURES)} (obv_frac_20 in place of obv, which never settles)",
        f"rows: {result['rows']:,}{f', left out: {dropped}' if dropped else ''}; "
        f"trained on {result['device']}",
        f"out of sample: accuracy {metrics['accuracy']:.3f} "
        f"(majority {metrics['majority_accuracy']:.3f}), Sharpe {_number(metrics['sharpe'])}, "
        f"return {metrics['total_return']:+.1%} after costs, {metrics['trades']:.0f} trades",
        f"gate: {result['reason']}",
        f"registry: {'promoted, ' if result['promoted'] else ''}{stored}",
        *(f"written: {path}" for path in files),
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
