"""`cointrainer csv-train-aggregate`: one model taught by all pairs of a folder, and one each if asked."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crypto_bot.backtest.command import Result, say
from crypto_bot.backtest.examined import Examined
from crypto_bot.backtest.file_training import (
    aggregate_recipe,
    capped,
    file_sha256,
    joined_pairs,
    newest,
)
from crypto_bot.backtest.learning import conclude, examine
from crypto_bot.backtest.per_symbol import start_or_resume
from crypto_bot.backtest.recipes import Recipe
from crypto_bot.backtest.workbench import Workbench, open_workbench
from crypto_bot.cli.training_commands_batch import chosen_files
from crypto_bot.cli.training_commands_files import (
    check_writable,
    names_of_slug,
    training_settings,
    write_model_files,
)
from crypto_bot.core import Bars
from crypto_bot.core.bars import symbol_slug
from crypto_bot.core.errors import ConfigError, CryptoBotError, DataError
from crypto_bot.core.progress import track
from crypto_bot.core.timeframes import iso_time
from crypto_bot.market import read_candles

KIND = "csv-train-aggregate"
REPLACED = (
    "--{} is replaced by csv-train-aggregate: one model taught by the rows of all pairs, in this "
    "process; spreading it over machines comes later, on Ray"
)
_LIMITS = ("limit_rows_per_file", "cap_rows_per_pair", "max_total_rows")


def refuse_replaced(options: argparse.Namespace) -> None:
    """ConfigError, with what to use, for the ways of training that this command replaces."""
    for name in ("federated", "true_federated", "swarm"):
        if getattr(options, name):
            raise ConfigError(REPLACED.format(name.replace("_", "-")))


def csv_train_aggregate(options: argparse.Namespace) -> tuple[int, Result]:
    """Train, walk forward by time across all pairs, and judge; write and publish as csv-train does."""
    refuse_replaced(options)
    symbol_slug(options.global_symbol)
    settings = training_settings(options)
    folder = Path(options.outdir)
    check_writable(folder)
    pairs, left_out, files = _pairs(options)
    say(options, *_limits(options, pairs), *(f"left out: {reason}" for reason in left_out))
    with open_workbench(settings, log="integrated_backtest", verbose=options.verbose) as bench:
        say(options, *bench.start_lines())
        identity = {name: getattr(options, name) for name in (*_LIMITS, "per_pair", "random_state")}
        run_id = start_or_resume(
            bench,
            KIND,
            files=files,
            symbol=options.global_symbol,
            downsample_flat=options.downsample_flat,
            outdir=str(folder),
            **identity,
        )
        try:
            models = _models(bench, options, pairs, run_id)
        except CryptoBotError as error:
            bench.journal.finish_run(run_id, "failed", {"error": str(error)})
            raise
        bench.journal.finish_run(run_id, "done", {"models": models})
    failed = [each for each in models if each["error"] is not None]
    say(options, *(line for each in models for line in _lines(each)))
    return int(bool(failed or left_out)), {
        "pairs": {symbol: len(bars) for symbol, bars in pairs.items()},
        "left_out": left_out,
        "models": models,
    }


def _pairs(options: argparse.Namespace) -> tuple[dict[str, Bars], list[str], dict[str, str]]:
    """The candles of each pair within the limits, why files were left out, and each file's sha256."""
    read, left_out, files = [], [], {}
    for path in track(chosen_files(options), "reading candles"):
        try:
            files[str(path)] = file_sha256(path)
            bars, _ = read_candles(path, timeframe=options.timeframe)
        except DataError as error:
            left_out.append(str(error))
        else:
            read.append(newest(bars, options.limit_rows_per_file))
    if not read:
        raise DataError("; ".join(left_out[:3]))
    pairs = capped(joined_pairs(read), options.cap_rows_per_pair, options.max_total_rows)
    timeframes = sorted({bars.timeframe for bars in pairs.values()})
    if len(timeframes) > 1:
        raise DataError(
            f"{options.folder} files must be of one timeframe, were {', '.join(timeframes)}; "
            "choose one by --glob"
        )
    return pairs, left_out, files


def _limits(options: argparse.Namespace, pairs: Mapping[str, Bars]) -> list[str]:
    rows = sum(map(len, pairs.values()))
    first = iso_time(min(int(bars.open_time[0]) for bars in pairs.values()))
    given = [f"--{name.replace('_', '-')}" for name in _LIMITS if getattr(options, name)]
    kept = f"; the newest, by {', '.join(given)}" if given else ""
    return [f"{len(pairs)} pairs, {rows:,} candles from {first[:10]} on{kept}"]


def _models(
    bench: Workbench, options: argparse.Namespace, pairs: Mapping[str, Bars], run_id: str
) -> list[dict[str, Any]]:
    """The pooled model and, if asked, one a pair: all are tried before the first is judged."""
    wanted: list[tuple[Recipe, Sequence[Bars]]] = [
        (_recipe(bench, options, options.global_symbol, is_pooled=True), list(pairs.values()))
    ]
    if options.per_pair:
        wanted += [
            (_recipe(bench, options, symbol, is_pooled=False), [bars])
            for symbol, bars in pairs.items()
        ]
    tried = [_tried(bench, recipe, bars, run_id) for recipe, bars in track(wanted, "models")]
    if isinstance(tried[0], CryptoBotError):
        raise tried[0]
    return [
        _ended(bench, options, recipe.symbol, found, run_id)
        for (recipe, _), found in zip(wanted, tried, strict=True)
    ]


def _recipe(
    bench: Workbench, options: argparse.Namespace, symbol: str, *, is_pooled: bool
) -> Recipe:
    return aggregate_recipe(
        bench,
        symbol,
        seed=options.random_state,
        downsample_flat=options.downsample_flat,
        is_pooled=is_pooled,
    )


def _tried(
    bench: Workbench, recipe: Recipe, bars: Sequence[Bars], run_id: str
) -> Examined | CryptoBotError:
    """Walked forward, or why it could not be: one pair stops no other."""
    first = min(int(each.open_time[0]) for each in bars)
    last = max(int(each.close_time[-1]) for each in bars)
    try:
        return examine(bench, bars, recipe, run_id=run_id, start_ns=first, end_ns=last)
    except CryptoBotError as error:
        return error


def _ended(
    bench: Workbench,
    options: argparse.Namespace,
    symbol: str,
    found: Examined | CryptoBotError,
    run_id: str,
) -> dict[str, Any]:
    if isinstance(found, CryptoBotError):
        return {"symbol": symbol, "version": None, "promoted": False, "error": str(found)}
    learned = conclude(bench, found, run_id)
    mode = "aggregate" if symbol == options.global_symbol else "per-pair"
    rows = len(learned.dataset)
    told = {"mode": mode, "pairs_trained": list(learned.dataset.symbols), "rows_total": rows}
    files = write_model_files(
        Path(options.outdir),
        names_of_slug(symbol),
        learned,
        with_predictions=options.write_predictions,
        more=told,
    )
    return {
        "symbol": symbol,
        **told,
        "version": learned.version,
        "promoted": learned.promoted and learned.version is not None,
        "reason": learned.verdict.reason,
        "device": learned.model.device,
        "metrics": dict(learned.card.metrics),
        "left_out": list(learned.left_out),
        "files": [str(path) for path in files],
        "error": None,
    }


def _lines(model: Mapping[str, Any]) -> list[str]:
    if model["error"] is not None:
        return [f"{model['symbol']}: no model: {model['error']}"]
    metrics = model["metrics"]
    sharpe = metrics.get("sharpe")
    return [
        f"{model['symbol']}: {model['rows_total']:,} rows of {len(model['pairs_trained'])} pairs on "
        f"{model['device']}, out of sample accuracy {metrics['accuracy']:.3f} (majority "
        f"{metrics['majority_accuracy']:.3f}), Sharpe {'-' if sharpe is None else f'{sharpe:.2f}'}",
        *(f"  left out: {reason}" for reason in model["left_out"]),
        f"  gate: {model['reason']}",
        f"  registry: {model['version'] or 'not published (--publish)'}",
        *(f"  written: {path}" for path in model["files"]),
    ]
