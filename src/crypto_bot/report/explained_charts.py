"""Interactive charts of an explanation, and its table of drift."""

from __future__ import annotations

from typing import Any

import numpy as np

from crypto_bot.explain import Explanation, ShapRows
from crypto_bot.features import DriftLevel
from crypto_bot.report.charts import Chart, axis, numbers
from crypto_bot.report.contents import FactTable, ModelView
from crypto_bot.report.drawing import class_name
from crypto_bot.report.palette import BLUE, GREY, LOW_TO_HIGH, ORANGE, SERIES
from crypto_bot.report.swarm import rank_share, swarm_offsets

TOP_SHAP = 12
TOP_PERMUTED = 20
_POINTS = 250
_LINES = 12
_COLUMNS = 3
_WORDS = {
    DriftLevel.STABLE: "stable",
    DriftLevel.MODERATE: "moved",
    DriftLevel.STRONG: "broken",
    DriftLevel.UNKNOWN: "too few rows",
}


def shap_chart(view: ModelView, shap: ShapRows, name: str) -> Chart:
    """One dot a row and feature: how far it moved the score, coloured by the feature's value."""
    names = shap.feature_names[:TOP_SHAP]
    rows = np.linspace(0, len(shap.values) - 1, min(_POINTS, len(shap.values))).astype(np.int64)
    values, features = shap.values[rows], shap.features[rows]
    reach = float(np.abs(values[:, : len(names)]).max())
    x, y, colour, text = [], [], [], []
    for k, feature in enumerate(names):
        x.append(values[:, k])
        y.append(k + swarm_offsets(values[:, k], reach))
        colour.append(rank_share(features[:, k]))
        text += [f"{feature} {value:.4g}" for value in features[:, k]]
    bar = {
        "title": {"text": "value", "side": "top", "font": {"size": 12}},
        "tickvals": [0.02, 0.98],
        "ticktext": ["low", "high"],
        "thickness": 10,
        "len": 0.6,
        "outlinewidth": 0,
    }
    marker = {
        "size": 4,
        "color": numbers(np.round(np.concatenate(colour), 2)),
        "colorscale": [list(stop) for stop in LOW_TO_HIGH],
        "cmin": 0,
        "cmax": 1,
        "colorbar": bar,
    }
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": _short(np.concatenate(x), 4),
        "y": _short(np.concatenate(y), 3),
        "text": text,
        "hovertemplate": "%{text}<br>moves the score by %{x:+.3f}<extra></extra>",
        "marker": marker,
        "showlegend": False,
    }
    layout = {
        "xaxis": axis(
            title={"text": f"moves the score of {class_name(view.classes[-1])} by (log odds)"},
            zeroline=True,
            zerolinecolor=GREY,
        ),
        "yaxis": axis(
            tickvals=list(range(len(names))),
            ticktext=list(names),
            range=[len(names) - 0.4, -0.6],
            showgrid=False,
            zeroline=False,
            automargin=True,
        ),
        "hovermode": "closest",
    }
    return Chart(name, "SHAP values", 120 + 27 * len(names), [dots], layout)


def permutation_chart(found: Explanation, name: str) -> Chart:
    """Rise of the log loss by permuting each feature, with its deviation."""
    top = found.permutation[:TOP_PERMUTED][::-1]
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": [each.name for each in top],
        "x": numbers([each.mean for each in top]),
        "error_x": {
            "type": "data",
            "array": numbers([each.deviation for each in top]),
            "color": GREY,
            "thickness": 1.2,
            "width": 2,
        },
        "customdata": [round(each.helped, 3) for each in top],
        "marker": {"color": [BLUE if each.mean > 0 else ORANGE for each in top]},
        "hovertemplate": "%{y} %{x:.4g}<br>worse in %{customdata:.0%} of folds<extra></extra>",
    }
    layout = {
        "xaxis": axis(
            title={"text": "log loss worse by, permuted"}, zeroline=True, zerolinecolor=GREY
        ),
        "yaxis": axis(showgrid=False, automargin=True),
        "hovermode": "closest",
        "bargap": 0.35,
    }
    return Chart(name, "Permutation importance", 120 + 19 * len(top), [bars], layout)


def dependence_chart(view: ModelView, found: Explanation, name: str) -> Chart:
    """Small multiples: mean probability over each feature's range, single rows thin."""
    curves = found.dependence
    columns = min(_COLUMNS, len(curves))
    rows = -(-len(curves) // columns)
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "grid": {
            "rows": rows, "columns": columns, "pattern": "independent", "xgap": 0.12, "ygap": 0.34,
        },
        "hovermode": "closest",
        "showlegend": len(view.classes) > 2,
    }  # fmt: skip
    for k, curve in enumerate(curves):
        end = "" if k == 0 else str(k + 1)
        place = {"type": "scatter", "xaxis": f"x{end}", "yaxis": f"y{end}"}
        data += _single(curve.grid, curve.single[:_LINES], place)
        shown = range(len(view.classes) - 1, 0 if len(view.classes) == 2 else -1, -1)
        for colour, column in zip(SERIES, shown, strict=False):
            line = {"color": colour, "width": 2.2}
            data.append(
                {**place, "mode": "lines+markers", "x": numbers(curve.grid), "line": line}
                | {"y": numbers(curve.mean[:, column]), "marker": {"size": 4, "color": colour}}
                | {"name": class_name(view.classes[column]), "showlegend": k == 0}
                | {"legendgroup": str(column)}
                | {"hovertemplate": f"{curve.feature} %{{x:.4g}}<br>%{{y:.1%}}<extra></extra>"}
            )
        first = k % columns == 0
        matched = {} if k == 0 else {"matches": "y"}
        layout[f"xaxis{end}"] = axis(title={"text": curve.feature}, nticks=4, automargin=True)
        layout[f"yaxis{end}"] = axis(tickformat=".0%", showticklabels=first, **matched)
    return Chart(name, "Partial dependence", 70 + 200 * rows, data, layout)


def _single(grid: Any, lines: Any, place: dict[str, Any]) -> list[dict[str, Any]]:
    """All thin lines as one, broken between them."""
    if not len(lines):
        return []
    x: list[float | None] = []
    y: list[float | None] = []
    for line in lines:
        x += [*numbers(grid), None]
        y += [*_short(line, 4), None]
    thin = {"color": GREY, "width": 0.7}
    shown = {"mode": "lines", "opacity": 0.45, "hoverinfo": "skip", "showlegend": False}
    return [{**place, **shown, "x": x, "y": y, "line": thin}]


def drift_table(found: Explanation) -> FactTable | None:
    """Each feature, how far it moved, and what that means in a word; None where it was not measured."""
    if not found.drift:
        return None
    rows = [(each.name, each.psi, each.ks, _word(found, each)) for each in found.drift]
    broken = sum(row[3] == _WORDS[DriftLevel.STRONG] for row in rows)
    note = (
        f"{broken} of {len(rows)} features are broken: the model meets values that it was hardly taught."
        if broken
        else "No feature is broken: the model still meets what it was taught."
    )
    return FactTable("Drift, training to now", ("feature", "PSI", "KS", "state"), rows, note)


def _word(found: Explanation, drift: Any) -> str:
    word = _WORDS[drift.level]
    has_moved = drift.level in (DriftLevel.MODERATE, DriftLevel.STRONG)
    if has_moved and drift.name in found.level_features:
        return "moved with the price or volume"
    return word


def _short(values: Any, digits: int) -> list[float]:
    rounded: list[float] = np.round(np.asarray(values, dtype=np.float64), digits).tolist()
    return rounded
