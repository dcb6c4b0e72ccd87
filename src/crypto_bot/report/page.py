"""report.html: one file that opens without a network."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from crypto_bot.core.timeframes import iso_time
from crypto_bot.report.charts import (
    CANDLES_SHOWN,
    Chart,
    calibration_chart,
    equity_chart,
    heat_chart,
    importance_chart,
    trades_chart,
)
from crypto_bot.report.contents import GateView, ReportContents, StrategyRow
from crypto_bot.report.explained_charts import (
    dependence_chart,
    drift_table,
    permutation_chart,
    shap_chart,
)
from crypto_bot.report.glossary import glossary
from crypto_bot.report.measures import plain, score_model

_MODEL_CHARTS = ("importance", "calibration", "shap", "permutation", "dependence")
NO_NUMBER = "–"
MINUS = "−"


def render_page(contents: ReportContents, files: Mapping[str, str]) -> str:
    """The whole page, plotly's script inlined once.

    Parameters
    ----------
    contents : ReportContents
    files : name -> what it holds    the other files of the folder, linked by name
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("crypto_bot.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "number": number,
        "whole": whole,
        "cell": cell,
        "day": day,
        "failures": failures,
        "own_note": own_note,
        "moment": moment,
        "told": told,
        "found": found,
        "columns": numeric_columns,
    }
    views = _views(contents)
    charts = [view["chart"] for group in views.values() for view in group if view.get("chart")]
    charts += [view[part] for view in views["models"] for part in _MODEL_CHARTS if view[part]]
    return environment.get_template("report.html.j2").render(
        contents=contents,
        views=views,
        matrix=strategy_matrix(contents.strategies),
        reasons=verdict_lines(contents),
        files=files,
        glossary=glossary(contents),
        candles_shown=CANDLES_SHOWN,
        config=_yaml(contents.config),
        chart_json=_script_json(charts),
        has_charts=bool(charts),
        plotly=get_plotlyjs() if charts else "",
    )


def _views(contents: ReportContents) -> dict[str, list[dict[str, Any]]]:
    trades = [contents.trades] if contents.trades is not None else []
    return {
        "equity": [
            {"view": view, "chart": equity_chart(view, f"equity-{index}")}
            for index, view in enumerate(contents.equity)
        ],
        "trades": [{"view": view, "chart": trades_chart(view, "trades-0")} for view in trades],
        "heat_maps": [
            {"view": view, "chart": heat_chart(view, f"heat-{index}")}
            for index, view in enumerate(contents.heat_maps)
        ],
        "models": [_model(contents, index) for index in range(len(contents.models))],
    }


def _model(contents: ReportContents, index: int) -> dict[str, Any]:
    view = contents.models[index]
    scores = score_model(view)
    found = view.explanation
    shap = None if found is None else found.shap
    return {
        "shap": shap_chart(view, shap, f"shap-{index}") if shap and len(shap.values) else None,
        "permutation": permutation_chart(found, f"permutation-{index}")
        if found and found.permutation
        else None,
        "dependence": dependence_chart(view, found, f"dependence-{index}")
        if found and found.dependence
        else None,
        "drift": drift_table(found) if found else None,
        "view": view,
        "scores": scores,
        "importance": importance_chart(view, f"importance-{index}") if view.importance else None,
        "calibration": calibration_chart(scores, f"calibration-{index}") if scores else None,
    }


def verdict_lines(contents: ReportContents) -> list[str]:
    """Why it was promoted or not, a line a candidate; the numbers stand in the gate's tables."""
    told_by_gates = {gate.note for gate in contents.gates}
    why = [] if contents.why in told_by_gates else [contents.why]
    return [line for line in (*why, *map(gate_line, contents.gates)) if line]


def gate_line(gate: GateView) -> str:
    """A candidate and how many of its checks failed."""
    return f"{gate.candidate}: {failures(gate).split(':')[0] or gate.note or 'no check was made'}"


def failures(gate: GateView) -> str:
    """How many checks failed, and which; '' where none was made."""
    failed = [check.name for check in gate.checks if not check.holds]
    if gate.checks and not failed:
        return f"all {len(gate.checks)} checks hold"
    count = f"{len(failed)} of {len(gate.checks)} checks failed"
    return f"{count}: {', '.join(failed)}" if failed else ""


def own_note(gate: GateView) -> str:
    """The note, unless it only says again what the table of checks says."""
    failed = [check.name for check in gate.checks if not check.holds]
    repeats = failed and all(name in gate.note for name in failed)
    return "" if repeats else gate.note


def strategy_matrix(rows: Sequence[StrategyRow]) -> dict[str, Any] | None:
    """Sharpe of every strategy (columns) on every pair (rows); None where it would be one line."""
    strategies = list(dict.fromkeys(row.strategy for row in rows))
    pairs = list(dict.fromkeys((row.symbol, row.timeframe) for row in rows))
    if len(strategies) < 2 or len(pairs) < 2:
        return None
    sharpe = {(r.symbol, r.timeframe, r.strategy): r.metrics.get("sharpe") for r in rows}
    known = [abs(value) for value in sharpe.values() if value is not None]
    return {
        "strategies": strategies,
        "pairs": pairs,
        "sharpe": sharpe,
        "largest": max([1e-9, *known]),
    }


def _yaml(config: Mapping[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True)) if config else ""


def _script_json(charts: Sequence[Chart]) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps([asdict(chart) for chart in charts], allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or value is None:
        return False
    return isinstance(plain(value), int | float) and math.isfinite(value)


def number(value: Any, digits: int = 2) -> str:
    """A number with a real minus sign; a dash where there is none."""
    if not _is_number(value):
        return NO_NUMBER
    return f"{value:,.{digits}f}".replace("-", MINUS)


def whole(value: Any) -> str:
    """A count with thousands apart."""
    return number(value, 0)


def percent(value: Any, digits: int = 1) -> str:
    """A fraction as percent."""
    return number(100.0 * value, digits) + " %" if _is_number(value) else NO_NUMBER


def cell(value: Any) -> str:
    """Any table cell: numbers to four significant digits, everything else as it reads."""
    value = plain(value)
    if value is None:
        return NO_NUMBER
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return whole(value)
    if isinstance(value, float):
        return whole(value) if abs(value) >= 10_000 else f"{value:.4g}".replace("-", MINUS)
    return told(value) if isinstance(value, dict) else str(value)


def told(values: Mapping[str, Any]) -> str:
    """A mapping on one line: fast 10, slow 30."""
    return ", ".join(f"{key} {cell(value)}" for key, value in values.items()) or NO_NUMBER


def moment(time_ns: int | None) -> str:
    """A time as people write it."""
    if time_ns is None:
        return NO_NUMBER
    return iso_time(time_ns).replace("T", " ").removesuffix("Z")[:16]


def day(text: str) -> str:
    """An ISO moment without what a reader skips: midnight, seconds, the T and the Z."""
    return text.replace("T", " ").removesuffix("Z").removesuffix(":00").removesuffix(" 00:00")


def found(findings: Mapping[str, int]) -> str:
    """The faults that did occur."""
    return told({name: count for name, count in findings.items() if count}).replace(
        NO_NUMBER, "nothing"
    )


def numeric_columns(rows: Sequence[Sequence[Any]], count: int) -> list[bool]:
    """Which columns hold numbers only, and so stand to the right."""
    columns = [[row[index] for row in rows if row[index] is not None] for index in range(count)]
    return [bool(values) and all(map(_is_number, values)) for values in columns]
