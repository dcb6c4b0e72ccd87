"""`cointrainer csv-train`: one candle file to one model; and the table of all training commands."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crypto_bot.backtest.command import Handler, Result, say
from crypto_bot.backtest.examined import Learned
from crypto_bot.backtest.file_training import FILE_FEATURES, file_recipe
from crypto_bot.backtest.learning import learn
from crypto_bot.backtest.per_symbol import start_or_resume
from crypto_bot.backtest.workbench import Workbench, open_workbench
from crypto_bot.cli.import_commands import IMPORT_COMMANDS
from crypto_bot.cli.training_commands_aggregate import csv_train_aggregate
from crypto_bot.cli.training_commands_batch import csv_train_batch
from crypto_bot.cli.training_commands_files import (
    check_writable,
    names_of_symbol,
    training_settings,
    write_model_files,
)
from crypto_bot.cli.training_commands_regime import train_regime
from crypto_bot.core import Bars
from crypto_bot.core.errors import CryptoBotError
from crypto_bot.market import read_candles

KIND = "csv-train"


def csv_train(options: argparse.Namespace) -> tuple[int, Result]:
    """Train, walk forward and judge one model on one file; write its files, publish it if asked."""
    settings = training_settings(options)
    bars, quality = read_candles(options.file, symbol=options.symbol, timeframe=options.timeframe)
    folder = Path(options.outdir)
    check_writable(folder)
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
        "features": list(FILE_FEATURES),
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


def _run(
    bench: Workbench, bars: Bars, options: argparse.Namespace, folder: Path
) -> tuple[Learned, list[Path]]:
    """One run of the journal: done when the last file is; a killed one is taken up again."""
    run_id = start_or_resume(bench, KIND, data_fingerprint=bars.fingerprint)
    first, last = int(bars.open_time[0]), int(bars.close_time[-1])
    recipe = file_recipe(bench, bars.symbol)
    try:
        learned = learn(bench, [bars], recipe, run_id=run_id, start_ns=first, end_ns=last)
        files = write_model_files(
            folder,
            names_of_symbol(bars.symbol),
            learned,
            with_predictions=options.write_predictions,
        )
    except CryptoBotError as error:
        bench.journal.finish_run(run_id, "failed", {"error": str(error)})
        raise
    summary = {"version": learned.version, "reason": learned.verdict.reason}
    bench.journal.finish_run(run_id, "done", summary)
    return learned, files


def _lines(result: Mapping[str, Any]) -> list[str]:
    metrics, files = result["metrics"], result["files"]
    dropped = ", ".join(f"{count} {reason}" for reason, count in result["dropped"].items() if count)
    stored = f"stored as {result['version']}" if result["version"] else "not published (--publish)"
    return [
        f"features: {', '.join(FILE_FEATURES)} (obv_frac_20 in place of obv, which never settles)",
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


TRAINING_COMMANDS: dict[str, Handler] = {
    **IMPORT_COMMANDS,
    "csv-train": csv_train,
    "csv-train-batch": csv_train_batch,
    "csv-train-aggregate": csv_train_aggregate,
    "train": train_regime,
}
