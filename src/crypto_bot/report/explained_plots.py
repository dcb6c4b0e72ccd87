"""PNG files of an explanation: SHAP values, permutation importance, partial dependence, reliability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crypto_bot.explain import Explanation, PartialDependence, ShapRows
from crypto_bot.report.contents import ModelView
from crypto_bot.report.drawing import blank_figure, class_name, png_bytes, quiet_axes
from crypto_bot.report.measures import Calibration, score_model
from crypto_bot.report.palette import BLUE, GREY, LOW_TO_HIGH, ORANGE, SERIES
from crypto_bot.report.swarm import rank_share, swarm_offsets

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOP_SHAP = 15
TOP_PERMUTED = 20
_COLUMNS = 3


def explanation_files(models: list[ModelView], *, is_simulated: bool) -> dict[str, bytes]:
    """File name -> PNG, of the first model that has SHAP values, else the first explained."""
    explained = [model for model in models if model.explanation is not None]
    if not explained:
        return {}
    model = next((m for m in explained if m.explanation and m.explanation.shap), explained[0])
    found: Explanation | None = model.explanation
    figures: dict[str, Figure] = {}
    if found is None:
        return {}
    if found.shap is not None and len(found.shap.values):
        figures["shap.png"] = _shap(model, found.shap)
    if found.permutation:
        figures["permutation_importance.png"] = _permutation(model, found)
    if found.dependence:
        figures["partial_dependence.png"] = _dependence(model, found)
    return {name: png_bytes(figure, is_simulated=is_simulated) for name, figure in figures.items()}


def reliability_figure(model: ModelView) -> Figure | None:
    """What was said against what happened, with the number of rows; None if none was tested."""
    scores = score_model(model)
    if scores is None:
        return None
    told = scores.calibration
    figure = blank_figure(6.2, 6.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.0, label="perfect")
    gaps = [told.happened - told.low, told.high - told.happened]
    label = f"{class_name(told.label)}, with 95 % intervals"
    upper.errorbar(told.said, told.happened, yerr=np.maximum(gaps, 0.0), color=BLUE, marker="o",
                   markersize=5, linewidth=1.4, elinewidth=0.9, capsize=2, label=label)  # fmt: skip
    upper.set_ylim(-0.02, 1.02)
    upper.set_xlim(-0.02, 1.02)
    upper.set_ylabel("share that happened")
    upper.legend(frameon=False, fontsize=9, loc="upper left")
    upper.set_title(f"Reliability, out of sample\n{model.name}", fontsize=11)
    _draw_counts(lower, told)
    for axes in (upper, lower):
        quiet_axes(axes)
    return figure


def _draw_counts(axes: Axes, told: Calibration) -> None:
    middles = (np.floor(np.minimum(told.said, 0.999) * 10) + 0.5) / 10
    axes.bar(middles, told.counts, width=0.09, color=BLUE, alpha=0.75)
    for middle, count in zip(middles, told.counts.tolist(), strict=True):
        axes.annotate(f"{count:,}", (middle, count), ha="center", va="bottom", fontsize=7.5)
    axes.margins(y=0.25)
    axes.set_ylabel("rows")
    axes.set_xlabel("probability said")
    axes.yaxis.set_major_formatter("{x:,.0f}")


def _shap(model: ModelView, shap: ShapRows) -> Figure:
    from matplotlib.colors import LinearSegmentedColormap

    names = shap.feature_names[:TOP_SHAP]
    figure = blank_figure(8.6, 0.36 * len(names) + 1.9)
    axes = figure.subplots()
    colours = LinearSegmentedColormap.from_list("values", list(LOW_TO_HIGH))
    reach = float(np.abs(shap.values[:, : len(names)]).max())
    drawn: Any = None
    for k in range(len(names)):
        values = shap.values[:, k]
        drawn = axes.scatter(values, k + swarm_offsets(values, reach), s=7, linewidths=0,
                             c=rank_share(shap.features[:, k]), cmap=colours, vmin=0, vmax=1)  # fmt: skip
    axes.axvline(0.0, color=GREY, linewidth=0.9)
    labels = [
        f"{n}  ({size:.3g})" for n, size in zip(names, shap.mean_absolute.tolist(), strict=False)
    ]
    axes.set_yticks(range(len(names)), labels, fontsize=9)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(f"moves the score of {class_name(model.classes[-1])} by (log odds)")
    quiet_axes(axes)
    bar = figure.colorbar(drawn, ax=axes, ticks=[0, 1], shrink=0.7, pad=0.02, aspect=28)
    bar.ax.set_yticklabels(["low", "high"])
    bar.set_label("the feature's value", labelpad=-12)
    bar.outline.set_visible(False)
    title = f"SHAP values of {len(shap.values)} rows, out of sample (mean size in brackets)"
    axes.set_title(f"{title}\n{model.name}", fontsize=11)
    return figure


def _permutation(model: ModelView, found: Explanation) -> Figure:
    top = found.permutation[:TOP_PERMUTED]
    figure = blank_figure(7.6, 0.28 * len(top) + 1.7)
    axes = figure.subplots()
    places = np.arange(len(top))
    means = np.array([each.mean for each in top])
    colours = [BLUE if mean > 0 else ORANGE for mean in means]
    deviations = [each.deviation for each in top]
    axes.barh(places, means, xerr=deviations, color=colours,
              error_kw={"ecolor": GREY, "elinewidth": 1.1, "capsize": 2})  # fmt: skip
    axes.axvline(0.0, color=GREY, linewidth=0.9)
    axes.set_yticks(places, [each.name for each in top], fontsize=9)
    axes.margins(y=0.02)
    axes.invert_yaxis()
    axes.set_xlabel("log loss is worse by this when the feature is permuted (± deviation)")
    axes.ticklabel_format(axis="x", style="plain", useOffset=False)
    axes.locator_params(axis="x", nbins=6)
    axes.set_title(f"Permutation importance, out of sample\n{model.name}", fontsize=11)
    quiet_axes(axes)
    return figure


def _dependence(model: ModelView, found: Explanation) -> Figure:
    curves = found.dependence
    columns = min(_COLUMNS, len(curves))
    rows = -(-len(curves) // columns)
    figure = blank_figure(3.3 * columns + 0.6, 2.6 * rows + 1.1)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    low, high = _reach(curves)
    for axes, curve in zip(grid.flat, curves, strict=False):
        _draw_curve(axes, curve, model.classes)
        axes.set_ylim(low, high)
    for axes in grid.flat[len(curves) :]:
        axes.set_visible(False)
    said = f"probability of {class_name(model.classes[-1])}" if len(model.classes) == 2 else ""
    for axes in grid[:, 0]:
        axes.set_ylabel(said or "probability")
    if len(model.classes) > 2:
        grid[0, 0].legend(framealpha=0.8, edgecolor="none", fontsize=8)
    words = f"Partial dependence, out of sample: mean; single rows of {class_name(model.classes[-1])} thin"
    figure.suptitle(f"{words}\n{model.name}", fontsize=11)
    return figure


def _reach(curves: tuple[PartialDependence, ...]) -> tuple[float, float]:
    """One scale for all: what most single rows need, and every mean."""
    single = np.concatenate([curve.single.ravel() for curve in curves])
    means = np.concatenate([curve.mean.ravel() for curve in curves])
    ends = np.quantile(single, [0.05, 0.95]) if single.size else (means.min(), means.max())
    low, high = min(float(ends[0]), means.min()), max(float(ends[1]), means.max())
    room = max(0.02, 0.08 * (high - low))
    return max(-0.01, low - room), min(1.01, high + room)


def _draw_curve(axes: Axes, curve: PartialDependence, classes: tuple[int, ...]) -> None:
    axes.plot(curve.grid, curve.single.T, color=GREY, linewidth=0.6, alpha=0.45)
    shown = range(len(classes) - 1, 0 if len(classes) == 2 else -1, -1)
    for colour, k in zip(SERIES, shown, strict=False):
        axes.plot(curve.grid, curve.mean[:, k], color=colour, linewidth=2.0, marker="o",
                  markersize=2.5, label=class_name(classes[k]))  # fmt: skip
    axes.set_title(curve.feature, fontsize=10)
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(labelsize=8)
    quiet_axes(axes)
