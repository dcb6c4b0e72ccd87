"""One folder a run: every file is written beside and renamed, the page last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crypto_bot.core.files import write_file, write_json
from crypto_bot.report.contents import ModelView, ReportContents
from crypto_bot.report.measures import plain, score_model
from crypto_bot.report.page import render_page
from crypto_bot.report.plots import png_files
from crypto_bot.report.tables import predictions_csv, trade_files

SIMULATED_FILE = "SIMULATED.txt"
_SIMULATED_WORDS = "SIMULATED: every file in this folder was made from an invented market, not from real candles.\n"
_MEANING = {
    "summary.json": "the run's numbers, for machines",
    "predictions.csv": "date, close and predicted probability of up",
    "confusion_matrix.png": "what was predicted against what happened",
    "feature_importance.png": "the most important features",
    "shap.png": "by how much each feature moved each prediction",
    "permutation_importance.png": "what the model loses without a feature, on unseen rows",
    "partial_dependence.png": "what the model says over each important feature's range",
    "reliability.png": "what was said against what happened, with counts",
    "predictions.png": "predictions and their threshold in time",
    "ml_strategy_backtest.png": "equity and drawdown",
    SIMULATED_FILE: "the data are not real",
}


def write_report(contents: ReportContents, folder: Path) -> Path:
    """Write report.html, PNG, CSV and summary.json of one run into `folder`.

    Parameters
    ----------
    contents : ReportContents    absent parts are named as absent in the page
    folder : Path                made if it is not there

    Returns
    -------
    Path    of report.html

    Raises
    ------
    StorageError    if the folder cannot be written; no file is left half-written

    Notes
    -----
    Fixed CSV columns leave no room for a mark, so a simulated run also gets SIMULATED.txt.
    """
    folder = Path(folder)
    files: dict[str, bytes | str] = {}
    if contents.writes_plots:
        files.update(png_files(contents))
    if contents.writes_csv:
        files.update(trade_files(contents.records))
        if contents.predictions is not None:
            files["predictions.csv"] = predictions_csv(contents.predictions)
    if contents.is_simulated:
        files[SIMULATED_FILE] = _SIMULATED_WORDS
    for name, content in files.items():
        write_file(folder / name, content)
    write_json(folder / "summary.json", summary_of(contents))
    meanings = {name: _meaning(name) for name in ("summary.json", *files)}
    page = folder / "report.html"
    write_file(page, render_page(contents, meanings))
    return page


def _meaning(name: str) -> str:
    strategy, _, kind = name.removesuffix(".csv").partition("_bt_")
    return f"{kind} of {strategy}" if kind else _MEANING[name]


def summary_of(contents: ReportContents) -> dict[str, Any]:
    """summary.json: the run in numbers. NaN is null; the caller's `summary` adds and overrides."""
    return {
        "title": contents.title,
        "run_id": contents.run_id,
        "started_at": contents.started_at,
        "command": contents.command,
        "seconds": plain(contents.seconds),
        "what": contents.what,
        "promoted": contents.promoted,
        "why": contents.why,
        "is_simulated": contents.is_simulated,
        "span": plain(contents.span),
        "facts": plain(contents.facts),
        "models": [_model_summary(view) for view in contents.models],
        "gates": [
            {
                "candidate": gate.candidate,
                "promoted": gate.promoted,
                "checks": [plain(vars(check)) for check in gate.checks],
            }
            for gate in contents.gates
        ],
        "strategies": [plain(vars(row)) for row in contents.strategies],
        "versions": plain(contents.versions),
        "data_hash": contents.data_hash,
        **plain(contents.summary),
    }


def _model_summary(view: ModelView) -> dict[str, Any]:
    scores = score_model(view)
    names = ("rows", "accuracy", "majority_accuracy", "log_loss", "base_rate_log_loss")
    numbers = {name: plain(getattr(scores, name)) for name in names} if scores else {}
    return {"name": view.name, "model_type": view.model_type, **numbers}
