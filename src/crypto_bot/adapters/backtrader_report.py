"""What a run of `MLStrategy` is told with: printed lines and a table."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from crypto_bot.adapters.backtrader_ml import Prediction
from crypto_bot.adapters.backtrader_run import BacktraderResult


def summary_lines(result: BacktraderResult) -> list[str]:
    """The guide's figures from `standard_analyzers`; what is not defined says so.

    Notes
    -----
    The drawdown is in percent, as Backtrader gives it. `rtot` is the logarithm of the growth; the
    return in percent stands before it. The win rate is of closed trades.
    """
    found = result.analyzers
    sharpe = found["sharpe"]["sharperatio"]
    growth = float(found["returns"]["rtot"])
    trades = found["trades"]
    closed, won = _at(trades, "total", "closed"), _at(trades, "won", "total")
    lines = [
        f"Final Portfolio Value: {result.equity[-1]:.2f}",
        f"Sharpe Ratio: {'undefined (returns never differed)' if sharpe is None else f'{sharpe:.4f}'}",
        f"Max Drawdown: {found['drawdown']['max']['drawdown']:.2f} %",
        f"Return: {100.0 * math.expm1(growth):.2f} % (log return rtot {growth:.6f})",
        f"Number of trades: {_at(trades, 'total', 'total'):g} ({closed:g} closed)",
    ]
    if not closed:
        return [*lines, "Win Rate: undefined (no closed trade)"]
    average = _at(trades, "pnl", "net", "average")
    return [*lines, f"Win Rate: {won / closed:.4f}", f"Average P&L: {average:.2f}"]


def _at(analysis: Any, *keys: str) -> float:
    """A figure of the trade analyzer, which has only the keys of what happened; else 0."""
    for key in keys:
        if not isinstance(analysis, Mapping) or key not in analysis:
            return 0.0
        analysis = analysis[key]
    return float(analysis)


def predictions_csv(predictions: Sequence[Prediction]) -> str:
    """Columns date (UTC, when it was known), close, prediction; empty where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Prediction._fields)
    for date, close, value in predictions:
        shown = "" if math.isnan(value) else repr(value)
        writer.writerow((f"{date.isoformat()}Z", repr(close), shown))
    return text.getvalue()
