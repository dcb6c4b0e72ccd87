"""What the commands of guide S1 do: arguments in, lines for people, exit code and JSON out."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crypto_bot.backtest.candles import DefaultPairs, describe, gather_candles
from crypto_bot.backtest.command import Handler, Result, complain, say
from crypto_bot.backtest.downloading import refresh_store
from crypto_bot.backtest.loop.lease import holding
from crypto_bot.backtest.loop.running import run_loop
from crypto_bot.backtest.own_slippage import charged, slippage_notes
from crypto_bot.backtest.results import VIEWED_FILES, rank_results, result_files, summarise
from crypto_bot.backtest.schedule import ending_within, repeat, stopped_by_signals
from crypto_bot.backtest.search_command import optimize_strategy, refuse_search_options, sweep
from crypto_bot.backtest.selecting import select
from crypto_bot.backtest.shared_account import portfolio
from crypto_bot.backtest.summary import SIMULATED, number, percent, sweep_lines, turn_lines
from crypto_bot.backtest.sweeping import (
    funding_note,
    record_trials,
    results_folder,
    run_sweep,
    write_results,
)
from crypto_bot.backtest.telling import deliver_told
from crypto_bot.backtest.turn import run_turn
from crypto_bot.backtest.workbench import Workbench, open_workbench
from crypto_bot.config import get_integration_config_template, load_settings
from crypto_bot.core.errors import CryptoBotError, NotPromoted, StorageError
from crypto_bot.core.files import write_file, write_json
from crypto_bot.core.timeframes import SteadyClock

FOLDERS = ("data/ml_training", "local_models", "out/backtests", "out/opt", "config")
DEFAULT_PAIRS = DefaultPairs(("BTC/USDT", "ETH/USDT", "SOL/USDC"))
IN_SAMPLE = (
    "in sample: a record that `run` wrote is the best setting of its grid for that pair, "
    "chosen on the same candles"
)
TEMPLATE = Path("config/ml_integration_template.yaml")


def setup(options: argparse.Namespace) -> tuple[int, Result]:
    """Make the folders and the configuration template; what exists is kept."""
    made = [folder for folder in FOLDERS if not Path(folder).is_dir()]
    for folder in FOLDERS:
        _make(Path(folder))
    if not TEMPLATE.exists():
        write_file(TEMPLATE, get_integration_config_template())
        made.append(str(TEMPLATE))
    trainer = shutil.which("cointrainer")
    say(
        options,
        *(f"made {name}" for name in made),
        *([] if made else ["everything was there already"]),
        f"cointrainer: {trainer or 'not on PATH (it is in this environment as .venv/bin/cointrainer)'}",
        "next: python -m crypto_bot.backtest.integrated_cli integrated --once",
    )
    return 0, {"made": made, "cointrainer": trainer}


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder} must be a writable folder, was not: {error.strerror}"
        ) from error


def integrated(options: argparse.Namespace) -> tuple[int, Result]:
    """The whole loop: once, or every refresh interval until SIGTERM."""
    with open_workbench(
        options.config,
        log="integrated_backtest",
        verbose=options.verbose,
        clock=None if options.once else SteadyClock(),
        foreground=not (options.once or options.json),
    ) as bench:
        if options.once:
            say(options, *bench.start_lines())
            return _once(options, bench)
        stop = stopped_by_signals()
        with ending_within(0.9 * bench.settings.loop.stop_seconds, stop):
            result = run_loop(bench, stop, data=options.data, symbols=options.symbols)
        return result["exit_code"], result


def _once(options: argparse.Namespace, bench: Workbench) -> tuple[int, Result]:
    try:
        with holding(bench.journal, bench.settings):
            return _one_turn(options, bench)
    finally:
        deliver_told(bench.settings, bench.journal)


def _one_turn(options: argparse.Namespace, bench: Workbench) -> tuple[int, Result]:
    summary = run_turn(
        bench,
        data=options.data,
        symbols=options.symbols,
        announce=lambda line: say(options, line),
    )
    say(options, *turn_lines(summary))
    if summary["not_trained"] and not summary["models"]:
        reasons = "; ".join(f"{name}: {why}" for name, why in summary["not_trained"].items())
        complain(f"error: no model could be trained: {reasons}")
        return 1, summary
    if options.require_promotion and not summary["promoted"]:
        return NotPromoted.exit_code, summary
    return 0, summary


def backtest_only(options: argparse.Namespace) -> tuple[int, Result]:
    """Every strategy on every pair and timeframe, ranked; nothing is trained."""
    with open_workbench(options.config, log="backtest", verbose=options.verbose) as bench:
        say(options, *bench.start_lines())
        return _backtest(options, bench, symbols=options.symbols)


def run(options: argparse.Namespace) -> tuple[int, Result]:
    """The named strategies on the named pairs and timeframes."""
    with open_workbench(options.config, log="backtest", verbose=options.verbose) as bench:
        say(options, *bench.start_lines())
        return _run_once(options, bench)


def continuous(options: argparse.Namespace) -> tuple[int, Result]:
    """`run`, again and again until SIGTERM; only what new candles change is computed."""
    with open_workbench(options.config, log="backtest", verbose=options.verbose) as bench:
        say(options, *bench.start_lines())
        if options.once:
            return _run_once(options, bench, is_incremental=True)
        return repeat(
            lambda _: _run_again(options, bench),
            hours=bench.settings.refresh_interval_hours,
            announce=lambda line: say(options, line),
        )


def _run_again(options: argparse.Namespace, bench: Workbench) -> tuple[int, Result]:
    if options.data is None:
        say(options, *refresh_store(bench.settings, options.pairs or DEFAULT_PAIRS))
    return _run_once(options, bench, is_incremental=True)


def _run_once(
    options: argparse.Namespace, bench: Workbench, *, is_incremental: bool = False
) -> tuple[int, Result]:
    code, result = _backtest(
        options,
        bench,
        is_incremental=is_incremental,
        symbols=options.pairs or DEFAULT_PAIRS,
        strategies=options.strategies,
        timeframes=options.timeframes,
    )
    output = getattr(options, "output", None)
    if output is not None:
        write_json(Path(output), result)
        say(options, f"written: {output}")
    return code, result


def _backtest(
    options: argparse.Namespace, bench: Workbench, **choice: Any
) -> tuple[int, dict[str, Any]]:
    symbols, is_incremental = choice.pop("symbols"), choice.pop("is_incremental", False)
    universe = gather_candles(
        bench.settings,
        data=options.data,
        symbols=symbols,
        timeframes=choice.get("timeframes"),
    )
    say(options, describe(universe), *universe.notes, *funding_note(universe))
    run_id = bench.journal.start_run("backtest", bench.settings, is_simulated=universe.is_simulated)
    bench = charged(bench, run_id, universe)
    say(options, *slippage_notes(bench))
    folder = results_folder(bench.settings, universe.is_simulated)
    try:
        swept = run_sweep(
            universe,
            bench,
            end_ns=universe.end_ns,
            store=folder / "store" if is_incremental else None,
            on_computed=lambda rows: record_trials(bench, run_id, rows),
            **choice,
        )
        files = write_results(swept, folder) if swept.computed else []
    except CryptoBotError as error:
        bench.journal.finish_run(run_id, "failed", {"error": str(error)})
        raise
    result = {
        "run_id": run_id,
        "is_simulated": universe.is_simulated,
        "backtests": len(swept.table),
        "computed": swept.computed,
        "bar_combinations": swept.bar_combinations,
        "ranking": swept.ranking.head(20).to_dicts(),
        "skipped": [str(item) for item in swept.skipped],
        "files": [str(path) for path in files],
    }
    bench.journal.finish_run(run_id, "done", {"backtests": len(swept.table)})
    say(
        options,
        *sweep_lines(swept, universe),
        *([f"computed {swept.computed:,} backtests, read the rest"] if is_incremental else []),
        f"result files in {folder}" if files else "no candle is new: no new result files",
    )
    return 0, result


def view(options: argparse.Namespace) -> tuple[int, Result]:
    """The newest result files, a line each."""
    folder = Path(options.cache_dir or load_settings(options.config).results_cache_dir)
    lines = summarise(result_files(folder, options.strategy)[:VIEWED_FILES])
    say(options, f"{'file':<44}{'records':>8}{'Sharpe':>9}{'return':>9}{'drawdown':>10}")
    for line in lines:
        say(options, _view_line(line))
    say(options, IN_SAMPLE)
    return 0, {"folder": str(folder), "files": lines}


def _view_line(line: Mapping[str, Any]) -> str:
    drawdown = "-" if line["max_drawdown"] is None else f"{line['max_drawdown']:.1%}"
    mark = SIMULATED if line["is_simulated"] else ""
    return (
        f"{mark + line['file']:<44}{line['records']:>8}{number(line['mean_sharpe']):>9}"
        f"{percent(line['mean_pnl']):>9}{drawdown:>10}"
    )


def optimize(options: argparse.Namespace) -> tuple[int, Result]:
    """Search one strategy's settings; without one filter stored results by the thresholds, rank them."""
    if options.strategy is not None:
        return optimize_strategy(options)
    refuse_search_options(options)
    settings = load_settings(options.config)
    ranked = rank_results(Path(options.cache_dir or settings.results_cache_dir), settings)
    top = ranked["top_strategies"]
    say(options, f"{len(top)} of {len(ranked['all_strategies'])} results meet {ranked['criteria']}")
    for row in top[:10]:
        say(
            options,
            f"  {SIMULATED if row['is_simulated'] else ''}{row['strategy']:<18} {row['pair']:<14} {row['timeframe']:<5}Sharpe {row['sharpe']:6.2f}  return {row['pnl']:7.1%}",
        )
    say(options, IN_SAMPLE)
    if options.output is not None:
        write_json(Path(options.output), ranked)
        say(options, f"written: {options.output}")
    return 0, ranked


def ml_training(options: argparse.Namespace) -> tuple[int, Result]:
    """Train, validate, judge and publish a model per symbol."""
    from crypto_bot.backtest.per_symbol import train_symbols

    with open_workbench(
        options.config, log="integrated_backtest", verbose=options.verbose
    ) as bench:
        say(options, *bench.start_lines())
        results = train_symbols(
            bench, options.symbols, data=options.data, announce=lambda line: say(options, line)
        )
    failed = [result for result in results if result["error"] is not None]
    return (1 if failed else 0), {"models": results}


def validate(options: argparse.Namespace) -> tuple[int, Result]:
    """Compare the predictions of published models with a backtest of them."""
    from crypto_bot.backtest.per_symbol import validate_symbols

    with open_workbench(
        options.config, log="integrated_backtest", verbose=options.verbose
    ) as bench:
        say(options, *bench.start_lines())
        results = validate_symbols(
            bench, options.symbols, data=options.data, announce=lambda line: say(options, line)
        )
    return (0 if all(result["valid"] for result in results) else 1), {"validations": results}


INTEGRATED_COMMANDS: dict[str, Handler] = {
    "setup": setup,
    "integrated": integrated,
    "backtest-only": backtest_only,
    "ml-training": ml_training,
    "validate": validate,
}
BACKTEST_COMMANDS: dict[str, Handler] = {
    "run": run,
    "continuous": continuous,
    "portfolio": portfolio,
    "select": select,
    "sweep": sweep,
    "view": view,
    "optimize": optimize,
}
