"""`cointrainer backtest`: a stored model traded on a file of candles, seen and unseen told apart."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from crypto_bot.backtest.command import Result, say
from crypto_bot.backtest.workbench import Workbench, open_workbench
from crypto_bot.cli.simulation_files import write_account
from crypto_bot.cli.simulation_models import TradedModel, model_of, predicted
from crypto_bot.cli.simulation_policies import (
    Account,
    Position,
    PositionRule,
    costs_of,
    rule_as_json,
    trade_positions,
)
from crypto_bot.cli.training_commands_files import check_writable
from crypto_bot.config import load_settings
from crypto_bot.core import Bars
from crypto_bot.core.arrays import PerBar
from crypto_bot.core.errors import ConfigError, CryptoBotError, DataError
from crypto_bot.core.timeframes import SECOND_NS, iso_time
from crypto_bot.engine import CostOptions
from crypto_bot.journal import Trial
from crypto_bot.market import read_candles

KIND = "trainer-backtest"


def backtest(options: argparse.Namespace) -> tuple[int, Result]:
    """Trade a model on candles; figures of what it was taught on and of what it never saw apart."""
    settings = load_settings(options.config)
    folder = Path(options.outdir)
    check_writable(folder)
    rule = rule_of(options)
    bars, quality = read_candles(options.file, symbol=options.symbol, timeframe=options.timeframe)
    say(options, f"{bars.symbol} {bars.timeframe}: {quality.summary()}")
    with open_workbench(settings, log="integrated_backtest", verbose=options.verbose) as bench:
        model = model_of(
            settings,
            bars.symbol,
            path=options.model,
            version=options.from_registry,
            simulated=bars.is_simulated,
        )
        run_id = bench.journal.start_run(
            KIND, settings, data_fingerprint=bars.fingerprint, is_simulated=bars.is_simulated
        )
        try:
            summary, files = _run(bench, options, bars, model, rule, folder, run_id)
        except CryptoBotError as error:
            bench.journal.finish_run(run_id, "failed", {"error": str(error)})
            raise
        bench.journal.finish_run(run_id, "done", {"files": [path.name for path in files]})
    result = {**summary, "files": [str(path) for path in files]}
    say(options, *_lines(result))
    return 0, result


def rule_of(options: argparse.Namespace) -> PositionRule:
    """The position rule of a command line."""
    return PositionRule(Position(options.position), options.open_thr, options.close_thr)


def moment(text: str | None, name: str) -> int | None:
    """UTC ns of a date or time; ConfigError where it is none."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{name} must be a date or time such as 2026-01-31 or 2026-01-31T12:00, was {text!r}"
        ) from None
    aware = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return int(aware.timestamp()) * SECOND_NS


def _run(
    bench: Workbench,
    options: argparse.Namespace,
    bars: Bars,
    model: TradedModel,
    rule: PositionRule,
    folder: Path,
    run_id: str,
) -> tuple[dict[str, Any], list[Path]]:
    costs = costs_of(bench.costs, fee_bps=options.fee_bps, slip_bps=options.slip_bps)
    probabilities = predicted(model, bars)
    wanted = rule.wanted(
        model.predictor.classes, probabilities, allow_short=bench.sizing.allow_short
    )
    shown, rows = _window(bars, options)
    wanted = wanted[rows]
    account = trade_positions(shown, wanted, rule, costs, bench.sizing)
    parts = _parts(bench, shown, wanted, rule, costs, model.data_end_ns)
    summary = _summary(shown, model, rule, costs, account, parts)
    summary["predicted_bars"] = int(np.isfinite(probabilities[rows]).all(axis=1).sum())
    _count(bench, run_id, model, summary, shown)
    files = write_account(folder, account, wanted, model.data_end_ns, summary)
    return summary, files


def _window(bars: Bars, options: argparse.Namespace) -> tuple[Bars, slice]:
    """The bars from --start to before --end, and where they lie; what is before settles features."""
    start_ns, end_ns = moment(options.start, "--start"), moment(options.end, "--end")
    first = 0 if start_ns is None else int(np.searchsorted(bars.open_time, start_ns))
    last = len(bars) if end_ns is None else int(np.searchsorted(bars.open_time, end_ns))
    if last - first < 2:
        raise DataError(
            f"{bars.symbol} must have at least 2 candles from --start to --end, had "
            f"{max(last - first, 0)}; the file reaches from {iso_time(int(bars.open_time[0]))} "
            f"to {iso_time(int(bars.close_time[-1]))}"
        )
    return bars[first:last], slice(first, last)


def _parts(
    bench: Workbench,
    bars: Bars,
    wanted: PerBar,
    rule: PositionRule,
    costs: CostOptions,
    data_end_ns: int,
) -> dict[str, dict[str, Any] | None]:
    """The figures of what lies before the end of the training candles and of what came after."""
    first = int(np.searchsorted(bars.open_time, data_end_ns))
    parts: dict[str, dict[str, Any] | None] = {}
    for name, rows in (("in_sample", slice(0, first)), ("out_of_sample", slice(first, None))):
        part = bars[rows]
        if len(part) < 2:
            parts[name] = None
            continue
        account = trade_positions(part, wanted[rows], rule, costs, bench.sizing)
        parts[name] = {
            "start": iso_time(int(part.open_time[0])),
            "end": iso_time(int(part.close_time[-1])),
            "bars": len(part),
            **account.figures,
        }
    return parts


def _summary(
    bars: Bars,
    model: TradedModel,
    rule: PositionRule,
    costs: CostOptions,
    account: Account,
    parts: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "symbol": bars.symbol,
        "timeframe": bars.timeframe,
        "start": iso_time(int(bars.open_time[0])),
        "end": iso_time(int(bars.close_time[-1])),
        "bars": len(bars),
        "is_simulated": bars.is_simulated,
        "data_fingerprint": bars.fingerprint,
        "model": model.source,
        "version": model.version,
        "model_learned_until": model.card.data_end,
        **rule_as_json(rule),
        "fee_bps": costs.taker_fee_frac * 1e4,
        "slip_bps": costs.slippage_frac * 1e4,
        **account.figures,
        "out_of_sample_from": model.card.data_end if parts["out_of_sample"] else None,
        **parts,
    }


def _count(
    bench: Workbench, run_id: str, model: TradedModel, summary: Mapping[str, Any], bars: Bars
) -> None:
    """In the ledger before any file: a look at candles is a trial, whatever becomes of it."""
    unseen = summary["out_of_sample"] or {}
    trial = Trial(
        bars.symbol,
        bars.timeframe,
        model.card.model_type,
        {name: summary[name] for name in ("model", "start", "end", "position", "open_thr")}
        | {name: summary[name] for name in ("close_thr", "fee_bps", "slip_bps")},
        {name: unseen.get(name) for name in ("sharpe", "max_drawdown", "trades")},
        is_simulated=bars.is_simulated,
    )
    bench.journal.record_trials(run_id, [trial])


def _lines(result: Mapping[str, Any]) -> list[str]:
    lines = [f"model: {result['model']}, learned until {result['model_learned_until']}"]
    for name, title in (("in_sample", "seen in training"), ("out_of_sample", "never seen")):
        part = result[name]
        if part is None:
            lines.append(f"{title}: no candles")
        else:
            lines.append(f"{title}, {part['start']} to {part['end']}: {figures_line(part)}")
    if result["out_of_sample"] is None:
        lines.append("every candle here was seen in training: these figures say nothing of skill")
    return [*lines, *(f"written: {path}" for path in result["files"])]


def figures_line(figures: Mapping[str, Any]) -> str:
    """The figures of an account on one line."""
    shown = {
        "cagr": "{:+.1%}",
        "sharpe": "{:.2f}",
        "sortino": "{:.2f}",
        "max_drawdown": "{:.1%}",
        "calmar": "{:.2f}",
        "turnover": "{:.1f}",
        "trades": "{}",
        "trades_per_day": "{:.2f}",
        "final_equity": "{:,.2f}",
    }
    return ", ".join(
        f"{name} {'-' if figures[name] is None else form.format(figures[name])}"
        for name, form in shown.items()
    )
