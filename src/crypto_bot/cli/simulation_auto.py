"""`cointrainer autobacktest`: whenever a file of candles has changed, train and trade it anew."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from crypto_bot.backtest.command import Result, complain, say
from crypto_bot.backtest.examined import Learned
from crypto_bot.backtest.file_training import file_recipe, file_sha256
from crypto_bot.backtest.learning import learn
from crypto_bot.backtest.per_symbol import start_or_resume
from crypto_bot.backtest.schedule import stopped_by_signals
from crypto_bot.backtest.workbench import Workbench, open_workbench
from crypto_bot.cli.simulation_backtest import figures_line
from crypto_bot.cli.simulation_files import stamp_of
from crypto_bot.cli.simulation_policies import PositionRule, costs_of, rule_as_json, trade_positions
from crypto_bot.cli.simulation_rows import tested_stretch
from crypto_bot.cli.training_commands_files import check_writable
from crypto_bot.config import Settings, load_settings
from crypto_bot.core import Bars
from crypto_bot.core.bars import symbol_slug
from crypto_bot.core.errors import ConfigError, CryptoBotError, DataError
from crypto_bot.core.files import write_json
from crypto_bot.core.timeframes import iso_time
from crypto_bot.journal import Run
from crypto_bot.market import read_candles

KIND = "autobacktest"
_POLL_S, _GRACE_S = 0.2, 3.0
_WORDS = ("file", "symbol", "timeframe", "horizon", "hold", "open_thr", "limit_rows", "fee_bps")
_MORE_WORDS = ("slip_bps", "device_type", "max_bin", "n_jobs", "outdir", "config")
_FLAGS = ("publish", "verbose", "json")


def autobacktest(options: argparse.Namespace) -> tuple[int, Result]:
    """One look at the file with --once, else one every interval until SIGTERM or Ctrl-C."""
    settings = _settings(options)
    check_writable(Path(options.outdir))
    if options.interval_sec <= 0:
        raise ConfigError(f"--interval-sec must be more than 0, was {options.interval_sec:g}")
    return _once(options, settings) if options.once else _repeat(options)


def _settings(options: argparse.Namespace) -> Settings:
    fee, slip = options.fee_bps / 1e4, options.slip_bps / 1e4
    return load_settings(
        options.config,
        overrides={
            "ml_integration.features.horizon_minutes": options.horizon,
            "ml_integration.features.hold_threshold": options.hold,
            "ml_integration.training.publish_models": options.publish,
            "ml_integration.training.device_type": options.device_type,
            "ml_integration.training.max_bin": options.max_bin,
            "ml_integration.training.n_jobs": options.n_jobs,
            "costs.taker_fee_frac": fee,
            "costs.maker_fee_frac": fee,
            "costs.slippage_frac": slip,
        },
    )


def _once(options: argparse.Namespace, settings: Settings) -> tuple[int, Result]:
    digest = file_sha256(Path(options.file))
    with open_workbench(settings, log="integrated_backtest", verbose=options.verbose) as bench:
        identity = {
            "symbol": options.symbol,
            "content": digest,
            "open_thr": options.open_thr,
            "limit_rows": options.limit_rows,
            "outdir": options.outdir,
        }
        before = _done(bench, identity)
        if before is not None:
            say(options, f"{options.file} is as it was: nothing to do (run {before.id})")
            return 0, {"status": "unchanged", "run_id": before.id, **before.summary}
        bars, quality = read_candles(
            options.file, symbol=options.symbol, timeframe=options.timeframe
        )
        if file_sha256(Path(options.file)) != digest:
            raise DataError(f"{options.file} must not change while it is read, did; try again")
        run_id = start_or_resume(bench, KIND, **identity)
        say(options, f"{bars.symbol} {bars.timeframe}: {quality.summary()}")
        try:
            summary = _turn(bench, bars[-options.limit_rows :], options, run_id)
        except CryptoBotError as error:
            bench.journal.finish_run(run_id, "failed", {"error": str(error)})
            raise
        bench.journal.finish_run(run_id, "done", {"file": summary["file"]})
    say(options, *_lines(summary))
    return 0, {"status": "trained", "run_id": run_id, **summary}


def _done(bench: Workbench, identity: Mapping[str, Any]) -> Run | None:
    """The run that did exactly this, on exactly these bytes; its summary must still be there."""
    wanted = {"fingerprint": bench.settings.fingerprint, **identity}
    for run in bench.journal.runs(KIND, status="done"):
        if all(run.config.get(name) == value for name, value in wanted.items()):
            return run if Path(str(run.summary.get("file", ""))).is_file() else None
    return None


def _turn(bench: Workbench, bars: Bars, options: argparse.Namespace, run_id: str) -> dict[str, Any]:
    """Walk forward, trade what was never seen, judge, publish if asked; the summary comes last."""
    recipe = replace(file_recipe(bench, bars.symbol), threshold=options.open_thr)
    first, last = int(bars.open_time[0]), int(bars.close_time[-1])
    learned = learn(bench, [bars], recipe, run_id=run_id, start_ns=first, end_ns=last)
    rule = PositionRule(open_threshold=options.open_thr)
    traded, probabilities = tested_stretch(learned.dataset, learned.predictions, bars)
    wanted = rule.wanted(
        learned.dataset.classes, probabilities, allow_short=bench.sizing.allow_short
    )
    costs = costs_of(bench.costs, fee_bps=options.fee_bps, slip_bps=options.slip_bps)
    account = trade_positions(traded, wanted, rule, costs, bench.sizing)
    summary = {**_told(learned, bars, traded, rule, options), **account.figures}
    folder = Path(options.outdir)
    name = f"summary_{symbol_slug(bars.symbol)}_{{}}.json"
    path = folder / name.format(stamp_of(folder, name))
    summary["file"] = str(path)
    write_json(path, summary)
    return summary


def _told(
    learned: Learned, bars: Bars, traded: Bars, rule: PositionRule, options: argparse.Namespace
) -> dict[str, Any]:
    return {
        "symbol": bars.symbol,
        "timeframe": bars.timeframe,
        "rows": len(bars),
        "data_fingerprint": bars.fingerprint,
        "is_simulated": bars.is_simulated,
        "horizon": options.horizon,
        "hold": options.hold,
        **rule_as_json(rule),
        "fee_bps": options.fee_bps,
        "slip_bps": options.slip_bps,
        "out_of_sample_from": iso_time(int(traded.open_time[0])),
        "out_of_sample_until": iso_time(int(traded.close_time[-1])),
        "version": learned.version,
        "promoted": learned.version is not None and learned.verdict.promoted,
        "gate": learned.verdict.reason,
        "device": learned.model.device,
    }


def _lines(summary: Mapping[str, Any]) -> list[str]:
    stored = f"stored as {summary['version']}" if summary["version"] else "not stored (--publish)"
    return [
        f"out of sample from {summary['out_of_sample_from']}: {figures_line(summary)}",
        f"gate: {summary['gate']}",
        f"registry: {'promoted, ' if summary['promoted'] else ''}{stored}",
        f"written: {summary['file']}",
    ]


def _repeat(options: argparse.Namespace) -> tuple[int, Result]:
    """Each look in a process of its own: a signal ends it at once, whatever it is training.

    What a killed look had done is taken up by the next one, under its run id.
    """
    before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
    stop = stopped_by_signals()
    try:
        return _rounds(options, stop)
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _rounds(options: argparse.Namespace, stop: threading.Event) -> tuple[int, Result]:
    rounds, failed, last = 0, 0, None
    while not stop.is_set():
        code, text = _child(options, stop)
        if stop.is_set():
            break
        if code == ConfigError.exit_code:
            return code, {"error": f"round ended with {code}", "kind": "ConfigError"}
        rounds, failed = rounds + 1, failed + (code != 0)
        if options.json and text.strip():
            last = json.loads(text)
        if code:
            complain(f"round failed with {code}; tried again in {options.interval_sec:g} s")
        else:
            say(options, f"next look in {options.interval_sec:g} s; stop with Ctrl-C or SIGTERM")
        stop.wait(options.interval_sec)
    say(options, f"stopped after {rounds} rounds")
    return 0, {"rounds": rounds, "failed": failed, "last": last}


def _child(options: argparse.Namespace, stop: threading.Event) -> tuple[int, str]:
    """One look; its exit code, and what it printed where JSON was asked for."""
    line = [sys.executable, "-m", "crypto_bot.cli.cointrainer", *_words(options)]
    output = subprocess.PIPE if options.json else None
    with subprocess.Popen(line, stdout=output, text=True) as child:
        while True:
            try:
                text, _ = child.communicate(timeout=_POLL_S)
            except subprocess.TimeoutExpired:
                if stop.is_set():
                    _end(child)
            else:
                return child.returncode, text or ""


def _end(child: subprocess.Popen[str]) -> None:
    child.terminate()
    try:
        child.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()


def _words(options: argparse.Namespace) -> list[str]:
    """The command line of one look."""
    words = ["autobacktest", "--once"]
    for name in (*_WORDS, *_MORE_WORDS):
        value = getattr(options, name)
        if value is not None:
            words.append(f"--{name.replace('_', '-')}={value}")
    return [*words, *(f"--{name}" for name in _FLAGS if getattr(options, name))]
