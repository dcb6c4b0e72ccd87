"""What a run of `MLStrategy` is told with: printed lines, two pictures, a table."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from crypto_bot.adapters.backtrader_ml import Prediction
from crypto_bot.adapters.backtrader_run import BacktraderResult
from crypto_bot.core.arrays import PerTrade

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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


def predictions_png(
    predictions: Sequence[Prediction], threshold: float, *, is_simulated: bool = False
) -> bytes:
    """Probability of a rise over time, with the threshold."""
    figure = _figure(16.0, 6.0)
    axes = figure.add_subplot()
    dates = np.array([each.date for each in predictions], "datetime64[s]")
    axes.plot(
        dates, [each.prediction for each in predictions], lw=0.8, label="Prediction Probability"
    )
    axes.axhline(threshold, color="tab:red", linestyle="--", label=f"Threshold {threshold:g}")
    axes.set_ylabel("probability of a rise")
    _show_dates(axes)
    axes.set_title(_title("ML Model Predictions", is_simulated))
    axes.legend(loc="upper right")
    return _png(figure)


def backtest_png(result: BacktraderResult) -> bytes:
    """Price with entries and exits, equity, and drawdown."""
    bars = result.bars
    figure = _figure(16.0, 9.0)
    price, equity, fall = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 1))
    closes = bars.close_time.astype("datetime64[ns]")
    price.fill_between(closes, bars.low, bars.high, color="0.85", lw=0, label="low to high")
    price.plot(closes, bars.close, color="0.35", lw=0.8, label="close")
    _mark_trades(price, result.trades)
    price.set_ylabel("price")
    price.legend(loc="upper left", ncols=4)
    name = f"MLStrategy, {bars.symbol} {bars.timeframe}"
    price.set_title(_title(name, bars.is_simulated))
    equity.plot(closes, result.equity, color="tab:blue", lw=1.0)
    equity.set_ylabel("portfolio value")
    equity.ticklabel_format(axis="y", useOffset=False)
    peak = np.maximum.accumulate(np.maximum(result.equity, result.cash))
    fall.fill_between(closes, 100.0 * (result.equity / peak - 1.0), color="tab:red", alpha=0.5)
    fall.set_ylabel("drawdown, %")
    _show_dates(fall)
    return _png(figure)


def _mark_trades(axes: Any, trades: PerTrade) -> None:
    is_closed = trades["exit_bar"] >= 0
    for name, marker, colour, side in (
        ("long entry", "^", "tab:green", 1),
        ("short entry", "v", "tab:purple", -1),
    ):
        chosen = trades[trades["direction"] == side]
        if len(chosen):
            times = chosen["entry_time"].astype("datetime64[ns]")
            axes.scatter(
                times, chosen["entry_price"], marker=marker, color=colour, zorder=3, label=name
            )
    left = trades[is_closed]
    if len(left):
        times = left["exit_time"].astype("datetime64[ns]")
        axes.scatter(times, left["exit_price"], marker="x", color="tab:red", zorder=3, label="exit")


def _show_dates(axes: Any) -> None:
    """Days with their month and year where there is room for them."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(formatter)


def _title(text: str, is_simulated: bool) -> str:
    return f"{text} (SIMULATED)" if is_simulated else text


def _figure(width: float, height: float) -> Figure:
    """Drawn on Agg: no window, no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
