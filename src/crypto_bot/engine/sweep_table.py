"""The table of a sweep: its columns, its best row, what could not be tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import polars as pl

from crypto_bot.core.arrays import PerBar
from crypto_bot.core.errors import ConfigError, DataError, nearest
from crypto_bot.engine.metrics import COUNTS, METRICS
from crypto_bot.engine.options import ExitOptions

_SMALLER_IS_BETTER = ("max_drawdown", "max_drawdown_bars", "fees_quote", "turnover", "exposure")
_NAMES = {
    "symbol": pl.String,
    "timeframe": pl.String,
    "strategy": pl.String,
    "parameters": pl.String,
}
EXIT_COLUMNS = {
    "stop_loss_frac": pl.Float64,
    "take_profit_frac": pl.Float64,
    "trailing_stop_frac": pl.Float64,
    "stop_loss_atr": pl.Float64,
    "take_profit_atr": pl.Float64,
    "trailing_stop_atr": pl.Float64,
    "atr_bars": pl.Int64,
    "max_holding_bars": pl.Int64,
    "cooldown_bars": pl.Int64,
    "signal_exit": pl.String,
    "reentry": pl.String,
}
METRIC_COLUMNS = {name: pl.Int64 if name in COUNTS else pl.Float64 for name in METRICS}
SWEEP_SCHEMA = pl.Schema({**_NAMES, **EXIT_COLUMNS, **METRIC_COLUMNS, "is_simulated": pl.Boolean})
"""Columns of `SweepResult.table`; a metric is null where undefined, an exit where absent."""


class SkippedTrial(NamedTuple):
    """A setting that could not be tried on these bars."""

    symbol: str
    timeframe: str
    strategy: str
    parameters: str  # JSON
    reason: str


@dataclass(frozen=True, eq=False)
class SweepResult:
    """Every setting tried.

    Attributes
    ----------
    table : polars DataFrame       one row a setting, columns `SWEEP_SCHEMA`; order: bars, then
                                   strategies, parameters, exits, as given
    skipped : tuple of SkippedTrial
    """

    table: pl.DataFrame
    skipped: tuple[SkippedTrial, ...]

    def best(self, metric: str = "sharpe", *, minimum_trades: int = 1) -> dict[str, Any]:
        """The row with the best value of a metric among those with enough closed trades.

        Best is the lowest for drawdowns, fees, turnover and exposure, else the highest; the first
        of equals. Raises ConfigError for an unknown metric, DataError when no row qualifies.
        """
        if metric not in METRICS:
            raise ConfigError(
                f"metric must be a field of Metrics, was {metric!r}{nearest(metric, METRICS)}"
            )
        rows = self.table.filter(
            (pl.col("trades") >= minimum_trades) & pl.col(metric).is_not_null()
        )
        if rows.is_empty():
            raise DataError(
                f"sweep must hold a row with {metric} and >= {minimum_trades} trades, "
                f"had none of {len(self.table)}; lower minimum_trades or widen the grid"
            )
        column = rows[metric]
        place = column.arg_min() if metric in _SMALLER_IS_BETTER else column.arg_max()
        return rows.row(place or 0, named=True)


def exit_columns(exits: Sequence[ExitOptions], settings: int) -> dict[str, list[Any]]:
    """The exits of every row: those of the first setting, then of the next."""
    return {name: [_shown(options, name) for options in exits] * settings for name in EXIT_COLUMNS}


def _shown(options: ExitOptions, name: str) -> Any:
    atr = (options.stop_loss_atr, options.take_profit_atr, options.trailing_stop_atr)
    if name == "atr_bars" and atr == (None, None, None):
        return None
    return getattr(options, name)


def table_of(
    schema: pl.Schema, columns: Mapping[str, Any], metrics: Mapping[str, PerBar]
) -> pl.DataFrame:
    """The table of these columns and metrics; a metric that is NaN becomes null.

    Series of the right type from the start: converting a table took most of the time.
    """
    series = []
    for name, kind in schema.items():
        if name in metrics:
            series.append(pl.Series(name, metrics[name], nan_to_null=True).cast(kind))
        else:
            series.append(pl.Series(name, columns[name], kind))
    return pl.DataFrame(series)
