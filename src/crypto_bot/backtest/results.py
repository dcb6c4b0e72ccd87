"""Stored result files of earlier backtests: read, summarised, filtered and ranked (guide S1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from crypto_bot.backtest.sweeping import RESULT_COLUMNS, TOO_FEW_TRADES
from crypto_bot.backtest.workbench import SIMULATED_SUFFIX
from crypto_bot.config import Settings
from crypto_bot.core.errors import DataError

_NAME = re.compile(r"(?P<strategy>.+)_(?P<stamp>\d{8}_\d{6})")
VIEWED_FILES = 5
_NUMBERS = ("stop_loss_pct", "take_profit_pct", "sharpe", "max_drawdown", "pnl", "win_rate")


def result_files(folder: Path, strategy: str | None = None) -> list[Path]:
    """Result files of a folder, newest first; the strategy is the name before the time stamp.

    Where there are no real results, those of a simulated market. Raises DataError if there is none.
    """
    folder = _present(folder)
    found = [
        (match, path) for path in folder.glob("*.csv") if (match := _NAME.fullmatch(path.stem))
    ]
    chosen = [(m["stamp"], path) for m, path in found if strategy in (None, m["strategy"])]
    if not chosen:
        what = f" of {strategy}" if strategy else ""
        raise DataError(
            f"{folder} must hold results{what}, had none; "
            "run: python -m crypto_bot.backtest.cli run"
        )
    return [
        path for _, path in sorted(chosen, key=lambda item: (item[0], item[1].name), reverse=True)
    ]


def _present(folder: Path) -> Path:
    """The folder itself, or that of simulated results where there are no real ones."""
    simulated = Path(f"{folder}{SIMULATED_SUFFIX}")
    return folder if any(folder.glob("*.csv")) or not simulated.is_dir() else simulated


def is_simulated(path: Path) -> bool:
    """Whether a result file was made from an invented market."""
    return path.parent.name.endswith(SIMULATED_SUFFIX)


def read_results(path: Path) -> pl.DataFrame:
    """One result file with its strategy's name; DataError names a file that is none."""
    try:
        table = pl.read_csv(path, schema_overrides=dict.fromkeys(_NUMBERS, pl.Float64))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} must be a result file, was not: {error}") from error
    missing = [name for name in RESULT_COLUMNS if name not in table.columns]
    if missing:
        raise DataError(
            f"{path} must have columns {', '.join(RESULT_COLUMNS)}, lacked {', '.join(missing)}"
        )
    match = _NAME.fullmatch(path.stem)
    strategy = match["strategy"] if match else path.stem
    return table.select(*RESULT_COLUMNS).with_columns(
        is_simulated=pl.lit(is_simulated(path)),
        strategy=pl.lit(strategy),
        timestamp=pl.col("timestamp").cast(pl.String),
    )


def summarise(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Records, mean Sharpe, mean profit and worst drawdown of each file."""
    lines = []
    for path in files:
        table = read_results(path)
        lines.append(
            {
                "file": path.name,
                "is_simulated": is_simulated(path),
                "strategy": table["strategy"][0] if len(table) else path.stem,
                "records": len(table),
                "mean_sharpe": table["sharpe"].mean(),
                "mean_pnl": table["pnl"].mean(),
                "max_drawdown": table["max_drawdown"].max(),
            }
        )
    return lines


def rank_results(folder: Path, settings: Settings) -> dict[str, Any]:
    """All stored results that meet the configured thresholds, best Sharpe first.

    Results of too few trades come last and meet no threshold: one lucky trade is no result. Only the newest file of a strategy counts: older ones hold earlier runs of the same settings.
    """
    newest: dict[str, Path] = {}
    for path in result_files(folder):
        match = _NAME.fullmatch(path.stem)
        if match is not None:
            newest.setdefault(match["strategy"], path)
    table = pl.concat([read_results(path) for path in newest.values()])
    is_lucky = pl.col("validation").cast(pl.String).eq_missing(TOO_FEW_TRADES)
    ranked = table.sort(
        [is_lucky, "sharpe", "strategy", "pair", "timeframe"],
        descending=[False, True, False, False, False],
        nulls_last=True,
    )
    good = ranked.filter(
        ~is_lucky
        & (pl.col("sharpe") >= settings.min_sharpe_threshold)
        & (pl.col("max_drawdown") <= settings.max_drawdown_threshold)
        & (pl.col("win_rate") >= settings.min_win_rate)
    )
    return {
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "criteria": {
            "min_sharpe_threshold": settings.min_sharpe_threshold,
            "max_drawdown_threshold": settings.max_drawdown_threshold,
            "min_win_rate": settings.min_win_rate,
        },
        "top_strategies": good.head(20).to_dicts(),
        "all_strategies": ranked.to_dicts(),
    }
