"""Backtest results as rows of numbers: guide S1's training table, its defects mended."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

from crypto_bot.core.errors import DataError, nearest
from crypto_bot.core.files import write_file
from crypto_bot.core.timeframes import SECOND_NS, iso_time

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

SOURCE = "enhanced_backtesting"
REQUIRED = ("sharpe", "pnl", "max_drawdown", "stop_loss_pct", "take_profit_pct")
Extract = Callable[[str, str, str, Sequence[Mapping[str, Any]]], dict[str, Any]]


def backtest_features(
    pair: str, strategy: str, timeframe: str, results: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """The numbers of one pair, strategy and timeframe over its results.

    Parameters
    ----------
    results    mappings with sharpe, pnl, max_drawdown, stop_loss_pct, take_profit_pct (fractions;
               None where undefined) and, if known, win_rate and trades

    Returns
    -------
    dict    pair, strategy, timeframe, avg_sharpe, avg_pnl, max_drawdown (the deepest), win_rate,
            total_trades, avg_stop_loss, avg_take_profit, strategy_consistency,
            risk_adjusted_return; None where it cannot be known, never a stand-in

    Raises
    ------
    DataError    no results, a number that is missing, not a number, or not finite

    Notes
    -----
    strategy_consistency = 1 / (1 + standard deviation of the Sharpe ratios), in 0..1; None for fewer
    than two, which say nothing about it. The original's 1 / (deviation + 1e-6) was a million for
    equal values. risk_adjusted_return = avg_pnl / max_drawdown; None without a drawdown.

    >>> row = {"sharpe": 1.0, "pnl": 0.1, "max_drawdown": 0.05, "stop_loss_pct": 0.01, "take_profit_pct": 0.02}
    >>> found = backtest_features("BTC/USDT", "trend_bot", "1h", [row, {**row, "sharpe": 3.0}])
    >>> found["avg_sharpe"], found["strategy_consistency"], found["win_rate"]
    (2.0, 0.5, None)
    """
    where = f"{pair} {strategy} {timeframe}"
    rows = list(results)
    if not rows:
        raise DataError(f"{where} results must hold at least one, were empty")
    values = {name: _column(where, rows, name) for name in REQUIRED}
    sharpes, drawdowns = values["sharpe"], values["max_drawdown"]
    profit = _mean(values["pnl"])
    deepest = max(drawdowns, default=None)
    return {
        "pair": pair,
        "strategy": strategy,
        "timeframe": timeframe,
        "avg_sharpe": _mean(sharpes),
        "avg_pnl": profit,
        "max_drawdown": deepest,
        "win_rate": _mean(_column(where, rows, "win_rate", is_optional=True)),
        "total_trades": _total(where, rows),
        "avg_stop_loss": _mean(values["stop_loss_pct"]),
        "avg_take_profit": _mean(values["take_profit_pct"]),
        "strategy_consistency": 1.0 / (1.0 + pstdev(sharpes)) if len(sharpes) > 1 else None,
        "risk_adjusted_return": profit / deepest if profit is not None and deepest else None,
    }


def training_rows(
    results: Mapping[str, Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]],
    extract: Extract,
) -> list[dict[str, Any]]:
    """`extract` of every pair, strategy and timeframe, in the order of the results."""
    return [
        extract(pair, strategy, timeframe, rows)
        for pair, strategies in results.items()
        for strategy, timeframes in strategies.items()
        for timeframe, rows in timeframes.items()
    ]


def write_training_table(
    rows: Sequence[Mapping[str, Any]], folder: Path, now_ns: int
) -> pd.DataFrame:
    """The rows with their time and source as a DataFrame, also written as CSV below `folder`."""
    import pandas as pd

    if not rows:
        raise DataError("results must hold at least one backtest, were empty; run backtest-only")
    table = pd.DataFrame(list(rows)).assign(timestamp=iso_time(now_ns), data_source=SOURCE)
    name = f"enhanced_backtest_training_{_stamp(now_ns)}.csv"
    write_file(folder / name, table.to_csv(index=False))
    return table


def write_trade_table(
    tables: Sequence[pl.DataFrame], folder: Path, now_ns: int
) -> tuple[pd.DataFrame, Path]:
    """Tables of candidate entries, one below the other, also written as CSV below `folder`.

    A strategy that one table does not know is 0 there; other unknown values are empty.
    """
    import pandas as pd
    import polars as pl

    joined = pl.concat(tables, how="diagonal")
    owners = [name for name in joined.columns if name.startswith("strategy.")]
    joined = joined.with_columns(pl.col(owners).fill_null(0.0)) if owners else joined
    path = folder / f"enhanced_backtest_trades_{_stamp(now_ns)}.csv"
    write_file(path, joined.write_csv())
    return pd.DataFrame({name: joined[name].to_list() for name in joined.columns}), path


def _stamp(now_ns: int) -> str:
    return datetime.fromtimestamp(now_ns // SECOND_NS, tz=UTC).strftime("%Y%m%d_%H%M%S")


def symbols_of(
    data: str | Path | pd.DataFrame | None, symbols: Sequence[str] | None
) -> tuple[list[str] | None, str | None]:
    """(symbols to train, folder of candles to import) of what guide S1 passes to `train_ml_models`."""
    if data is None or isinstance(data, str | Path):
        return None if symbols is None else list(symbols), None if data is None else str(data)
    columns = list(getattr(data, "columns", ()))
    if "pair" not in columns:
        raise DataError(
            "data must be a folder of candles or the table of prepare_ml_training_data, "
            f"had no column 'pair'{nearest('pair', map(str, columns))}"
        )
    return list(dict.fromkeys(data["pair"] if symbols is None else symbols)), None


def _column(
    where: str, rows: Sequence[Mapping[str, Any]], name: str, *, is_optional: bool = False
) -> list[float]:
    """The known values of a field; None is unknown."""
    found = []
    for number, row in enumerate(rows):
        if name not in row and not is_optional:
            raise DataError(f"{where} results[{number}] must have {name}, had {', '.join(row)}")
        value = row.get(name)
        if value is None:
            continue
        if not _is_number(value):
            raise DataError(f"{where} results[{number}].{name} must be finite, was {value!r}")
        found.append(float(value))
    return found


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except TypeError:
        return False


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _total(where: str, rows: Sequence[Mapping[str, Any]]) -> int | None:
    """Trades over all results; None unless every one says how many."""
    trades = _column(where, rows, "trades", is_optional=True)
    return int(sum(trades)) if len(trades) == len(rows) else None
