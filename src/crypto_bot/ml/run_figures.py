"""The pictures of a run of `MLStrategy`: its predictions, and its trades and equity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from crypto_bot.core.arrays import PerTrade
from crypto_bot.report.drawing import blank_figure, png_bytes

if TYPE_CHECKING:
    from crypto_bot.adapters.backtrader_ml import Prediction
    from crypto_bot.adapters.backtrader_run import BacktraderResult


def predictions_png(
    predictions: Sequence[Prediction], threshold: float, *, is_simulated: bool = False
) -> bytes:
    """Probability of a rise over time, with the threshold."""
    figure = blank_figure(16.0, 6.0, dots=100)
    axes = figure.add_subplot()
    dates = np.array([each.date for each in predictions], "datetime64[s]")
    axes.plot(
        dates, [each.prediction for each in predictions], lw=0.8, label="Prediction Probability"
    )
    axes.axhline(threshold, color="tab:red", linestyle="--", label=f"Threshold {threshold:g}")
    axes.set_ylabel("probability of a rise")
    _show_dates(axes)
    axes.set_title("ML Model Predictions")
    axes.legend(loc="upper right")
    return png_bytes(figure, is_simulated=is_simulated)


def backtest_png(result: BacktraderResult) -> bytes:
    """Price with entries and exits, equity, and drawdown."""
    bars = result.bars
    figure = blank_figure(16.0, 9.0, dots=100)
    price, equity, fall = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 1))
    closes = bars.close_time.astype("datetime64[ns]")
    price.fill_between(closes, bars.low, bars.high, color="0.85", lw=0, label="low to high")
    price.plot(closes, bars.close, color="0.35", lw=0.8, label="close")
    _mark_trades(price, result.trades)
    price.set_ylabel("price")
    price.legend(loc="upper left", ncols=4)
    name = f"MLStrategy, {bars.symbol} {bars.timeframe}"
    price.set_title(name)
    equity.plot(closes, result.equity, color="tab:blue", lw=1.0)
    equity.set_ylabel("portfolio value")
    equity.ticklabel_format(axis="y", useOffset=False)
    peak = np.maximum.accumulate(np.maximum(result.equity, result.cash))
    fall.fill_between(closes, 100.0 * (result.equity / peak - 1.0), color="tab:red", alpha=0.5)
    fall.set_ylabel("drawdown, %")
    _show_dates(fall)
    return png_bytes(figure, is_simulated=bars.is_simulated)


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
