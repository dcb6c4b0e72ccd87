"""Interactive charts as plain plotly descriptions: data, layout and a height, ready for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from crypto_bot.core import ExitReason
from crypto_bot.core.arrays import PerBarTime
from crypto_bot.report.contents import EquityView, HeatMap, ModelView, TradesView
from crypto_bot.report.measures import ModelScores, drawdown, growth, thin
from crypto_bot.report.palette import BLUE, DIVERGING, GREEN, GREY, ORANGE, PURPLE, SERIES

CANDLES_SHOWN = 300
TOP_FEATURES = 20
_GRID = "rgba(128,134,145,0.18)"
_WRITTEN_CELLS = 150


@dataclass(frozen=True)
class Chart:
    """One chart of the page; `title` is for people who cannot see it."""

    id: str
    title: str
    height: int
    data: list[dict[str, Any]]
    layout: dict[str, Any]


def equity_chart(view: EquityView, name: str) -> Chart:
    """Growth of 1 above, drawdown below, on one time axis."""
    data: list[dict[str, Any]] = []
    for index, (label, curve) in enumerate(view.curves.items()):
        below = drawdown(curve)
        rows = thin([curve, below])
        moments, colour = _moments(view.time_ns[rows]), SERIES[index % len(SERIES)]
        shared = {"x": moments, "mode": "lines", "type": "scatter", "legendgroup": label}
        line = {"color": colour, "width": 1.8 if index == 0 else 1.3}
        up = {"name": label, "y": numbers(growth(curve)[rows]), "line": line}
        down = {"name": label, "y": numbers(below[rows]), "yaxis": "y2", "showlegend": False}
        fill = {"fill": "tozeroy", "fillcolor": f"{colour}22"} if index == 0 else {}
        hover = "%{y:.3f}<extra>%{fullData.name}</extra>", "%{y:.1%}<extra>%{fullData.name}</extra>"
        data.append({**shared, **up, "hovertemplate": hover[0]})
        data.append(
            {**shared, **down, **fill, "line": {**line, "width": 1}, "hovertemplate": hover[1]}
        )
    layout = {
        "xaxis": axis(anchor="y2", type="date"),
        "yaxis": axis(domain=[0.36, 1.0], title={"text": "growth of 1"}),
        "yaxis2": axis(domain=[0.0, 0.28], title={"text": "drawdown"}, tickformat=".0%"),
        "hovermode": "x unified",
    }
    return Chart(name, view.title, 430, data, layout)


def trades_chart(view: TradesView, name: str) -> Chart:
    """The last candles of one pair with entries and exits on them."""
    first = max(0, len(view.bars) - CANDLES_SHOWN)
    bars = view.bars[first:]
    candles = {
        "type": "candlestick",
        "name": view.bars.symbol,
        "x": _moments(bars.open_time),
        **{key: numbers(getattr(bars, key)) for key in ("open", "high", "low", "close")},
        "increasing": {"line": {"color": BLUE, "width": 1}, "fillcolor": BLUE},
        "decreasing": {"line": {"color": GREY, "width": 1}, "fillcolor": GREY},
        "showlegend": False,
    }
    last_bar = np.where(view.trades["exit_bar"] < 0, len(view.bars), view.trades["exit_bar"])
    trades = view.trades[last_bar >= first]
    data = [candles, *_held(trades, view), *_marks(trades, first)]
    layout = {
        "xaxis": axis(type="date", rangeslider={"visible": False}),
        "yaxis": axis(title={"text": "price"}),
        "hovermode": "closest",
    }
    return Chart(name, f"{view.strategy} on {view.bars.symbol}", 460, data, layout)


def _held(trades: Any, view: TradesView) -> list[dict[str, Any]]:
    """A dotted line from each entry to its exit, in one colour for gains and one for losses."""
    lines = []
    for label, colour, chosen in (
        ("gain", GREEN, trades["pnl_quote"] > 0),
        ("loss", ORANGE, trades["pnl_quote"] <= 0),
    ):
        x: list[str | None] = []
        y: list[float | None] = []
        for trade in trades[chosen]:
            x += [*_moments(np.array([trade["entry_time"], _end(trade, view)])), None]
            y += [float(trade["entry_price"]), float(trade["exit_price"]), None]
        line = {"color": colour, "width": 2, "dash": "dot"}
        lines.append(
            {"type": "scatter", "mode": "lines", "name": label, "x": x, "y": y, "line": line}
            | {"hoverinfo": "skip", "showlegend": bool(x)}
        )
    return lines


def _marks(trades: Any, first: int) -> list[dict[str, Any]]:
    inside = trades["entry_bar"] >= first
    closed = trades["exit_bar"] >= 0
    marks = []
    for label, colour, symbol, chosen, leg in (
        ("long entry", BLUE, "triangle-up", inside & (trades["direction"] > 0), "entry"),
        ("short entry", PURPLE, "triangle-down", inside & (trades["direction"] < 0), "entry"),
        ("exit", GREY, "x", closed, "exit"),
    ):
        picked = trades[chosen]
        if not len(picked):
            continue
        border = {"width": 1.2, "color": "rgba(255,255,255,0.9)"}
        marks.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": label,
                "x": _moments(picked[f"{leg}_time"]),
                "y": numbers(picked[f"{leg}_price"]),
                "text": [_told(trade) for trade in picked],
                "hovertemplate": "%{text}<extra>%{fullData.name}</extra>",
                "marker": {"symbol": symbol, "size": 11, "color": colour, "line": border},
            }
        )
    return marks


def _told(trade: Any) -> str:
    side = "long" if trade["direction"] > 0 else "short"
    reason = ExitReason(int(trade["exit_reason"])).name.lower()
    return (
        f"{side} {trade['quantity']:.6g} at {trade['entry_price']:.6g}<br>"
        f"to {trade['exit_price']:.6g} ({reason})<br>{trade['return_frac']:+.2%} after fees"
    )


def _end(trade: Any, view: TradesView) -> int:
    if trade["exit_bar"] >= 0:
        return int(trade["exit_time"])
    return int(view.bars.close_time[-1])


def heat_chart(view: HeatMap, name: str) -> Chart:
    """A figure of merit over two parameters; both ends of the scale are equally far from 0."""
    values = np.asarray(view.values, dtype=np.float64)
    largest = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    heat = {
        "type": "heatmap",
        "x": [f"{value:g}" for value in view.x_values],
        "y": [f"{value:g}" for value in view.y_values],
        "z": [numbers(row) for row in values],
        "colorscale": [list(stop) for stop in DIVERGING],
        "zmin": -largest,
        "zmax": largest,
        "xgap": 1,
        "ygap": 1,
        "colorbar": {
            "title": {"text": view.value_name, "side": "right", "font": {"size": 12}},
            "thickness": 12,
            "outlinewidth": 0,
        },
        "hovertemplate": f"{view.x_name} %{{x}}<br>{view.y_name} %{{y}}<br>"
        f"{view.value_name} %{{z:.2f}}<extra></extra>",
    }
    if values.size <= _WRITTEN_CELLS:
        heat |= {"texttemplate": "%{z:.2f}", "textfont": {"size": 11}}
    layout = {
        "xaxis": axis(type="category", title={"text": view.x_name}, showgrid=False),
        "yaxis": axis(type="category", title={"text": view.y_name}, showgrid=False),
        "hovermode": "closest",
    }
    height = int(min(560, max(260, 150 + 26 * len(view.y_values))))
    return Chart(name, view.title, height, [heat], layout)


def importance_chart(view: ModelView, name: str) -> Chart:
    """The most important features, largest on top."""
    top = sorted(view.importance.items(), key=lambda item: -item[1])[:TOP_FEATURES][::-1]
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": [feature for feature, _ in top],
        "x": numbers(np.array([value for _, value in top], dtype=np.float64)),
        "marker": {"color": BLUE},
        "hovertemplate": "%{y} %{x:.4g}<extra></extra>",
    }
    layout = {
        "xaxis": axis(title={"text": "importance"}),
        "yaxis": axis(showgrid=False, automargin=True),
        "hovermode": "closest",
        "bargap": 0.35,
    }
    return Chart(name, "Feature importance", 110 + 19 * len(top), [bars], layout)


def calibration_chart(scores: ModelScores, name: str) -> Chart:
    """What was said against what happened; a calibrated model lies on the diagonal."""
    told = scores.calibration
    reach = [0.0, 1.0]
    perfect = {"color": GREY, "dash": "dash", "width": 1}
    data: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines", "name": "perfect", "x": reach, "y": reach}
        | {"line": perfect, "hoverinfo": "skip"},
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": f"class {told.label:+d}",
            "x": numbers(told.said),
            "y": numbers(told.happened),
            "customdata": told.counts.tolist(),
            "hovertemplate": "said %{x:.1%}, happened %{y:.1%}<br>"
            "%{customdata:,} rows<extra></extra>",
            "error_y": {
                "type": "data",
                "symmetric": False,
                "array": numbers(told.high - told.happened),
                "arrayminus": numbers(told.happened - told.low),
                "color": BLUE,
                "thickness": 1,
                "width": 3,
            },
            "line": {"color": BLUE, "width": 1.5},
            "marker": {
                "color": BLUE,
                "size": numbers(6 + 14 * np.sqrt(told.counts / told.counts.max())),
            },
        },
    ]
    layout = {
        "xaxis": axis(range=[0, 1], tickformat=".0%", title={"text": "probability said"}),
        "yaxis": axis(range=[0, 1], tickformat=".0%", title={"text": "share that happened"}),
        "hovermode": "closest",
    }
    return Chart(name, "Calibration", 360, data, layout)


def axis(**changes: Any) -> dict[str, Any]:
    """An axis in the page's look, with these changes."""
    axis = {"gridcolor": _GRID, "zerolinecolor": _GRID, "linecolor": _GRID, **changes}
    if "title" in axis:
        axis["title"] = {**axis["title"], "font": {"size": 12}, "standoff": 8}
    return axis


def _moments(time_ns: PerBarTime) -> list[str]:
    """Minutes in UTC, as plotly reads them."""
    minutes = np.asarray(time_ns, dtype=np.int64).astype("datetime64[ns]").astype("datetime64[s]")
    texts: list[str] = np.datetime_as_string(minutes).tolist()
    return [text.replace("T", " ") for text in texts]


def numbers(values: Any) -> list[float | None]:
    """Six digits are enough for the eye and make the page small; None where there is no number."""
    array = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(array).tolist()
    return [
        float(f"{value:.6g}") if known else None
        for value, known in zip(array.tolist(), finite, strict=True)
    ]
