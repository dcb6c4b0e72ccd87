"""Every strategy on every pair and timeframe: the sweep of a run, its ranking and its result files."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from crypto_bot.backtest.candles import Universe
from crypto_bot.backtest.workbench import SIMULATED_SUFFIX, Workbench
from crypto_bot.config import Settings
from crypto_bot.core import Bars
from crypto_bot.core.errors import DataError
from crypto_bot.core.files import write_file, write_json
from crypto_bot.core.timeframes import timeframe_ns
from crypto_bot.engine import METRICS, SWEEP_SCHEMA, ExitOptions, SweepResult, sweep
from crypto_bot.engine.sweep import SkippedTrial
from crypto_bot.journal import Trial
from crypto_bot.strategies import get_strategy, list_strategies, parameter_grid

EXITS = (
    "stop_loss_frac",
    "take_profit_frac",
    "trailing_stop_frac",
    "max_holding_bars",
    "cooldown_bars",
    "signal_exit",
    "reentry",
)
SETTING = ("strategy", "timeframe", "parameters", "stop_loss_frac", "take_profit_frac")
RESULT_COLUMNS = (
    "stop_loss_pct",
    "take_profit_pct",
    "sharpe",
    "max_drawdown",
    "pnl",
    "win_rate",
    "validation",
    "pair",
    "timeframe",
    "timestamp",
)


@dataclass(frozen=True)
class StrategySweep:
    """All backtests of a run on its development stretch.

    Attributes
    ----------
    table : DataFrame       one row per pair, timeframe, strategy, parameters and exits, with metrics
    ranking : DataFrame     one row per setting over all pairs, best score first
    skipped : tuple         what could not run, with the reason
    bar_combinations : int  bars x settings that were walked through
    """

    table: pl.DataFrame
    ranking: pl.DataFrame
    skipped: tuple[SkippedTrial, ...]
    bar_combinations: int


def run_sweep(
    universe: Universe,
    bench: Workbench,
    *,
    end_ns: int,
    strategies: Sequence[str] | None = None,
    timeframes: Sequence[str] | None = None,
) -> StrategySweep:
    """Backtest strategies x pairs x timeframes x parameters x exits on bars closed up to `end_ns`.

    Parameters
    ----------
    end_ns : int    nothing after this is looked at: the hold-out begins there
    strategies, timeframes : None    those of the settings

    Raises
    ------
    ConfigError    for an unknown strategy
    DataError      if no timeframe fits the candles or no backtest could run
    """
    names = tuple(strategies or bench.settings.strategies_to_test or rule_strategies())
    wanted = tuple(timeframes or bench.settings.timeframes)
    possible = _timeframes(universe, wanted)
    tables: list[pl.DataFrame] = []
    skipped = [
        SkippedTrial("*", name, "*", "{}", f"{name} is no multiple of {universe.timeframe}")
        for name in wanted
        if name not in possible
    ]
    work = 0
    for timeframe in possible:
        result, bars = _sweep_timeframe(universe, bench, timeframe, names, end_ns)
        tables.append(result.table)
        skipped += result.skipped
        work += bars
    table = pl.concat(tables)
    if table.is_empty():
        reason = skipped[0].reason if skipped else "no candles in the look-back window"
        raise DataError(f"candles must suffice for one backtest, did not: {reason}")
    return StrategySweep(table, rank_settings(table), tuple(skipped), work)


def rule_strategies() -> tuple[str, ...]:
    """Strategies that need candles only."""
    return tuple(name for name in list_strategies() if not get_strategy(name).needs)


def _timeframes(universe: Universe, wanted: Sequence[str]) -> tuple[str, ...]:
    base_ns = timeframe_ns(universe.timeframe)
    possible = tuple(name for name in wanted if timeframe_ns(name) % base_ns == 0)
    if not possible:
        raise DataError(
            f"timeframes must be multiples of {universe.timeframe}, were {', '.join(wanted)}"
        )
    return possible


def _sweep_timeframe(
    universe: Universe, bench: Workbench, timeframe: str, names: Sequence[str], end_ns: int
) -> tuple[SweepResult, int]:
    closed = [bars.closed_by(end_ns) for bars in universe.at(timeframe)]
    development = [bars for bars in closed if len(bars.between(universe.start_ns, None))]
    settings = bench.settings
    sets = settings.sweep.parameter_sets if settings.integration.auto_optimize_parameters else 1
    grids = {name: parameter_grid(name, sets) for name in names}
    exits = exit_grid(bench)
    absent = _absent(universe, timeframe, development)
    if not development:
        return SweepResult(pl.DataFrame(schema=SWEEP_SCHEMA), absent), 0
    result = sweep(
        development,
        names,
        grids=grids,
        exits=exits,
        costs=bench.costs,
        sizing=bench.sizing,
        workers=settings.workers,
        start_ns=universe.start_ns,
    )
    result = replace(result, skipped=(*absent, *result.skipped))
    bars_swept = sum(len(bars.between(universe.start_ns, None)) for bars in development)
    return result, bars_swept * len(names) * sets * len(exits)


def _absent(
    universe: Universe, timeframe: str, development: Sequence[Bars]
) -> tuple[SkippedTrial, ...]:
    swept = {bars.symbol for bars in development}
    reason = f"no bar of {timeframe} before the hold-out"
    return tuple(
        SkippedTrial(symbol, timeframe, "*", "{}", reason)
        for symbol in universe.symbols
        if symbol not in swept
    )


def exit_grid(bench: Workbench) -> list[ExitOptions]:
    """The configured exits, then the same with every stop and target of the configured ranges."""
    ranges, base = bench.settings.parameter_ranges, bench.exits
    pairs = itertools.product(ranges.stop_loss, ranges.take_profit)
    return [base] + [
        base.replace(stop_loss_frac=stop, take_profit_frac=target) for stop, target in pairs
    ]


def rank_settings(table: pl.DataFrame) -> pl.DataFrame:
    """Rank settings over all pairs by S1's score, its defects mended.

    score = 0.4 mean Sharpe + 0.3 share of pairs with a profit + 0.2 (1 - mean drawdown)
    + 0.1 consistency, consistency = 1 / (1 + deviation of the Sharpe ratios over pairs).

    Notes
    -----
    A pair without trades has no Sharpe and counts as 0. The original's 1 / (deviation + 1e-6) is
    a million for identical values and swamps the score; ours lies in 0..1.
    """
    sharpe = pl.col("sharpe").fill_null(0.0)
    return (
        table.group_by(SETTING)
        .agg(
            pairs=pl.len(),
            trades=pl.col("trades").sum(),
            mean_sharpe=sharpe.mean(),
            deviation=sharpe.std(ddof=0),
            profitable=(pl.col("total_return") > 0).mean(),
            mean_return=pl.col("total_return").mean(),
            mean_drawdown=pl.col("max_drawdown").mean(),
            mean_win_rate=pl.col("win_rate").mean(),
            buy_and_hold=pl.col("buy_and_hold_return").mean(),
        )
        .with_columns(
            score=0.4 * pl.col("mean_sharpe")
            + 0.3 * pl.col("profitable")
            + 0.2 * (1 - pl.col("mean_drawdown"))
            + 0.1 / (1 + pl.col("deviation"))
        )
        .sort(["score", *SETTING], descending=[True] + [False] * len(SETTING), nulls_last=True)
    )


def best_setting(ranking: pl.DataFrame, trades_a_pair: int = 5) -> dict[str, Any]:
    """The best-ranked setting that traded often enough to mean something, else the most active."""
    enough = ranking.filter(pl.col("trades") >= trades_a_pair * pl.col("pairs"))
    if len(enough):
        return enough.row(0, named=True)
    return ranking.sort("trades", descending=True).row(0, named=True)


def trials_of(table: pl.DataFrame, bench: Workbench) -> Iterable[Trial]:
    """Every backtest of the sweep as a row of the trial ledger."""
    fixed = {"costs": bench.costs.model_dump(), "sizing": bench.sizing.model_dump(mode="json")}
    for row in table.iter_rows(named=True):
        exits = {name: row[name] for name in EXITS if row[name] is not None}
        yield Trial(
            symbol=row["symbol"],
            timeframe=row["timeframe"],
            strategy=row["strategy"],
            parameters={**json.loads(row["parameters"]), **exits, **fixed},
            metrics={name: row[name] for name in METRICS},
            is_simulated=row["is_simulated"],
        )


def record_trials(bench: Workbench, run_id: str, table: pl.DataFrame) -> None:
    """Count every backtest for ever, `batch_size` of them in a transaction."""
    trials = list(trials_of(table, bench))
    size = bench.settings.batch_size
    for start in range(0, len(trials), size):
        bench.journal.record_trials(run_id, trials[start : start + size])


def results_folder(settings: Settings, is_simulated: bool) -> Path:
    """Where result files go; those of an invented market have a folder of their own."""
    return Path(settings.results_cache_dir + (SIMULATED_SUFFIX if is_simulated else ""))


def write_results(swept: StrategySweep, folder: Path, moment: datetime | None = None) -> list[Path]:
    """Write S1's result files: one CSV per strategy and the ranking as JSON.

    Only the best exits per pair, timeframe and strategy are kept: S1's rows are results, not the
    trial ledger, which the journal holds whole.
    """
    stamp = (moment or datetime.now(UTC)).strftime("%Y%m%d_%H%M%S")
    best = result_rows(swept.table, stamp)
    paths = []
    for (name,), rows in best.group_by(["strategy"], maintain_order=True):
        path = folder / f"{name}_{stamp}.csv"
        write_file(path, rows.select(RESULT_COLUMNS).write_csv())
        paths.append(path)
    ranking = folder / f"rankings_{stamp}.json"
    write_json(ranking, {"timestamp": stamp, "rankings": swept.ranking.head(100).to_dicts()})
    return [*paths, ranking]


def result_rows(table: pl.DataFrame, stamp: str) -> pl.DataFrame:
    """S1's result row for the best setting of every pair, timeframe and strategy."""
    key = ["symbol", "timeframe", "strategy"]
    best = table.sort("sharpe", descending=True, nulls_last=True).unique(
        key, keep="first", maintain_order=True
    )
    return best.sort(key).with_columns(
        stop_loss_pct=pl.col("stop_loss_frac"),
        take_profit_pct=pl.col("take_profit_frac"),
        pnl=pl.col("total_return"),
        pair=pl.col("symbol"),
        timestamp=pl.lit(stamp),
        validation=pl.lit("in-sample best of the grid"),
    )
