"""PNG files under the names of the Bot v3.1 guide, drawn without a display or global state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from crypto_bot.core.arrays import PerBarTime
from crypto_bot.report.charts import TOP_FEATURES
from crypto_bot.report.contents import EquityView, ModelView, PredictionsView, ReportContents
from crypto_bot.report.drawing import blank_figure, png_bytes, quiet_axes
from crypto_bot.report.explained_plots import explanation_files, reliability_figure
from crypto_bot.report.measures import ModelScores, drawdown, growth, score_model, thin
from crypto_bot.report.palette import BLUE, GREY, ORANGE, SERIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def png_files(contents: ReportContents) -> Mapping[str, bytes]:
    """File name -> PNG of every plot whose part is there."""
    files: dict[str, bytes] = {}
    simulated = contents.is_simulated
    if contents.models:
        model = contents.models[0]
        scores = score_model(model)
        if scores is not None:
            files["confusion_matrix.png"] = png_bytes(
                _confusion(model, scores), is_simulated=simulated
            )
            figure = reliability_figure(model)
            if figure is not None:
                files["reliability.png"] = png_bytes(figure, is_simulated=simulated)
        if model.importance:
            files["feature_importance.png"] = png_bytes(_importance(model), is_simulated=simulated)
        files |= explanation_files(list(contents.models), is_simulated=simulated)
    if contents.predictions is not None:
        files["predictions.png"] = png_bytes(
            _predictions(contents.predictions), is_simulated=simulated
        )
    if contents.equity:
        files["ml_strategy_backtest.png"] = png_bytes(
            _equity(contents.equity[0]), is_simulated=simulated
        )
    return files


def _confusion(model: ModelView, scores: ModelScores) -> Figure:
    figure = blank_figure(5.2, 4.6)
    axes = figure.subplots()
    totals = np.maximum(scores.confusion.sum(axis=1, keepdims=True), 1)
    shares = scores.confusion / totals
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    names = [f"{label:+d}" if label else "0" for label in model.classes]
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    for row, column in np.ndindex(*shares.shape):
        text = f"{scores.confusion[row, column]:,}\n{shares[row, column]:.0%}"
        colour = "white" if shares[row, column] > 0.55 else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour)
    axes.set_xlabel("predicted")
    axes.set_ylabel("happened")
    axes.set_title(f"Confusion matrix, out of sample\n{model.name}", fontsize=11)
    return figure


def _importance(model: ModelView) -> Figure:
    top = sorted(model.importance.items(), key=lambda item: -item[1])[:TOP_FEATURES][::-1]
    figure = blank_figure(7.0, 0.28 * len(top) + 1.4)
    axes = figure.subplots()
    axes.barh([name for name, _ in top], [value for _, value in top], color=BLUE)
    quiet_axes(axes)
    axes.set_title(f"Feature importance, top {len(top)}\n{model.name}", fontsize=11)
    return figure


def _predictions(view: PredictionsView) -> Figure:
    figure = blank_figure(10.0, 5.6)
    upper, lower = figure.subplots(2, 1, sharex=True)
    rows = thin([view.close, view.prediction], most=3_000)
    moments = _moments(view.time_ns[rows])
    upper.plot(moments, view.close[rows], color=GREY, linewidth=0.9)
    upper.set_ylabel("close")
    upper.set_title(f"Predictions, {view.symbol}", fontsize=11)
    dots: dict[str, Any] = {"linestyle": "none", "marker": ".", "markersize": 2.2, "alpha": 0.6}
    lower.plot(moments, view.prediction[rows], color=BLUE, **dots)
    lower.axhline(view.threshold, color=ORANGE, linestyle="--", linewidth=1.2)
    lower.annotate(f"threshold {view.threshold:g}", (0.005, view.threshold + 0.02),
                   xycoords=("axes fraction", "data"), color=ORANGE, fontsize=9)  # fmt: skip
    lower.set_ylim(0.0, 1.0)
    lower.set_ylabel("probability of up")
    for axes in (upper, lower):
        quiet_axes(axes)
    return figure


def _equity(view: EquityView) -> Figure:
    figure = blank_figure(10.0, 6.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for (name, curve), colour in zip(view.curves.items(), _colours(view), strict=True):
        rows = thin([curve], most=3_000)
        moments = _moments(view.time_ns[rows])
        upper.plot(moments, growth(curve)[rows], color=colour, linewidth=1.2, label=name)
        lower.plot(moments, 100.0 * drawdown(curve)[rows], color=colour, linewidth=0.9)
    upper.set_ylabel("growth of 1")
    lower.set_ylabel("drawdown, %")
    upper.legend(frameon=False, loc="best", fontsize=9)
    upper.set_title(view.title, fontsize=11)
    for axes in (upper, lower):
        quiet_axes(axes)
    return figure


def _colours(view: EquityView) -> list[str]:
    return [SERIES[index % len(SERIES)] for index in range(len(view.curves))]


def _moments(time_ns: PerBarTime) -> Any:
    return time_ns.astype("datetime64[ns]")
