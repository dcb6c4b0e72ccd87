"""What a person reads at the end of a command: one screen, plain words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from crypto_bot.backtest.candles import Universe
from crypto_bot.backtest.sweeping import StrategySweep

SIMULATED = "SIMULATED "
_RULE = "-" * 78


def percent(value: float | None) -> str:
    """A fraction as people read it."""
    return "-" if value is None else f"{value:+.1%}"


def number(value: float | None) -> str:
    """A ratio with two decimals."""
    return "-" if value is None else f"{value:.2f}"


def sweep_lines(swept: StrategySweep, universe: Universe, most: int = 8) -> list[str]:
    """The best settings of a sweep as a table."""
    mark = SIMULATED if universe.is_simulated else ""
    lines = [
        f"{mark}best of {len(swept.table):,} backtests, means over the pairs, in sample:",
        f"  {'strategy':<14}{'bars':<5}{'Sharpe':>8}{'return':>9}{'drawdown':>10}{'trades':>8}{'hold':>9}  parameters",
    ]
    lines += [_setting_line(row) for row in swept.ranking.head(most).iter_rows(named=True)]
    if swept.skipped:
        lines.append(f"  {len(swept.skipped)} settings skipped; first: {swept.skipped[0].reason}")
    return lines


def _setting_line(row: Mapping[str, Any]) -> str:
    words = ", ".join(f"{name}={value}" for name, value in json.loads(row["parameters"]).items())
    named = (("stop", row["stop_loss_frac"]), ("target", row["take_profit_frac"]))
    stops = "".join(f", {name} {value:.1%}" for name, value in named if value is not None)
    return (
        f"  {row['strategy']:<14}{row['timeframe']:<5}{number(row['mean_sharpe']):>8}"
        f"{percent(row['mean_return']):>9}{percent(-row['mean_drawdown']):>10}{row['trades']:>8}"
        f"{percent(row['buy_and_hold']):>9}  {(words + stops)[:60]}"
    )


def _memory(peak_mb: float | None) -> str:
    return "" if peak_mb is None else f", peak memory {peak_mb:,.0f} MiB"


def turn_lines(summary: Mapping[str, Any]) -> list[str]:
    """The one-screen summary of a turn of the loop."""
    mark = SIMULATED if summary["is_simulated"] else ""
    sweep, paper = summary["sweep"], summary["paper"]
    lines = [
        _RULE,
        f"{mark}run {summary['run_id']}: {summary['candles']}",
        f"{mark}sweep     {sweep['backtests']:,} backtests; best {sweep['best']}: "
        f"Sharpe {number(sweep['best_sharpe'])}, return {percent(sweep['best_return'])} (in sample)",
    ]
    lines += [
        f"{mark}model     {model['name']}: out of sample Sharpe {number(model['sharpe'])}, return "
        f"{percent(model['total_return'])}, {model['trades']} trades, accuracy "
        f"{model['accuracy']:.3f} (majority {model['majority_accuracy']:.3f})"
        for model in summary["models"]
    ]
    lines += [f"{mark}gate      {model['name']}: {model['verdict']}" for model in summary["models"]]
    lines += [
        f"{mark}promoted  {'yes' if summary['promoted'] else 'no'}",
        f"{mark}paper     {paper['trader']}: return {percent(paper['total_return'])}, "
        f"drawdown {percent(-paper['max_drawdown'])}, {paper['trades']} trades, "
        f"holding gave {percent(paper['buy_and_hold_return'])}",
        f"{mark}exits     {paper['exit_order']}",
        f"{mark}feedback  {paper['agreement']}; advice: {paper['advice']}",
        f"time      {summary['seconds']['total']:.0f} s{_memory(summary['peak_memory_mb'])}"
        + ("; " + "; ".join(summary["reused"]) if summary["reused"] else ""),
        f"report    {summary['report']}",
        _RULE,
    ]
    return lines
