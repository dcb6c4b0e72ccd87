"""Every strategy on every pair and timeframe: the sweep of a run, its ranking and its result files."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from crypto_bot.backtest.candles import Universe
from crypto_bot.backtest.warm_up import runs_at, warm_up_days
from crypto_bot.backtest.workbench import SIMULATED_SUFFIX, Workbench
from crypto_bot.config import Settings
from crypto_bot.core import Bars, FundingRates
from crypto_bot.core.errors import DataError
from crypto_bot.core.files import write_file, write_json
from crypto_bot.core.timeframes import DAY_NS, timeframe_ns
from crypto_bot.engine import (
    METRICS,
    SWEEP_SCHEMA,
    ExitOptions,
    SkippedTrial,
    SweepResult,
    sweep,
)
from crypto_bot.journal import Trial
from crypto_bot.search import IncrementalSweep, sweep_incremental
from crypto_bot.strategies import get_strategy, list_strategies, parameter_grid

EXITS = (
    "stop_loss_frac",
    "take_profit_frac",
    "trailing_stop_frac",
    "stop_loss_atr",
    "take_profit_atr",
    "trailing_stop_atr",
    "atr_bars",
    "max_holding_bars",
    "cooldown_bars",
    "signal_exit",
    "reentry",
)
SETTING = ("strategy", "timeframe", "parameters", "stop_loss_frac", "take_profit_frac")
FEWEST_TRADES = 5
"""Closed trades a pair that a setting needs to be called the best."""
TOO_FEW_TRADES = "in-sample best of the grid; too few trades to mean anything"
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
    bar_combinations : int  bars x settings that the table stands for
    computed : int          backtests of the table that were computed now, not read from a store
    """

    table: pl.DataFrame
    ranking: pl.DataFrame
    skipped: tuple[SkippedTrial, ...]
    bar_combinations: int
    computed: int = 0


def run_sweep(
    universe: Universe,
    bench: Workbench,
    *,
    end_ns: int,
    strategies: Sequence[str] | None = None,
    timeframes: Sequence[str] | None = None,
    store: Path | None = None,
    on_computed: Callable[[pl.DataFrame], None] | None = None,
) -> StrategySweep:
    """Backtest strategies x pairs x timeframes x parameters x exits on bars closed up to `end_ns`.

    Parameters
    ----------
    end_ns : int    nothing after this is looked at: the hold-out begins there
    strategies, timeframes : None    those of the settings
    store : folder | None    what was computed before on the same candles is read from here; the
                             look-back window then begins at UTC midnight, so that it stays the
                             same all day
    on_computed : callable   told the backtests computed now, a timeframe at a time, before they
                             are kept

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
    work = computed = 0
    for timeframe in possible:
        tried = _tried(universe, bench, timeframe, names, end_ns, is_anchored=store is not None)
        made = tried.incremental(store, on_computed) if store else tried.whole(on_computed)
        tables.append(made.result.table)
        skipped += [*tried.absent, *made.result.skipped]
        work += tried.bar_combinations
        computed += len(made.computed)
    table = pl.concat(tables)
    if table.is_empty():
        reason = skipped[0].reason if skipped else "no candles in the look-back window"
        raise DataError(f"candles must suffice for one backtest, did not: {reason}")
    return StrategySweep(table, rank_settings(table), tuple(skipped), work, computed)


def funding_note(universe: Universe) -> tuple[str, ...]:
    """Whose funding is charged, where rates of a pair are stored."""
    paying = [symbol for symbol in universe.symbols if symbol in universe.funding]
    if not paying:
        return ()
    return (f"funding of {', '.join(paying)} is charged at its stored rates",)


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


@dataclass(frozen=True)
class _Tried:
    """What is swept at one timeframe."""

    bench: Workbench
    bars: list[Bars]
    grids: dict[str, list[dict[str, Any]]]
    exits: list[ExitOptions]
    start_ns: int
    absent: tuple[SkippedTrial, ...]
    funding: Mapping[str, FundingRates]

    @property
    def bar_combinations(self) -> int:
        """Bars that count x settings."""
        bars = sum(len(bars.between(self.start_ns, None)) for bars in self.bars)
        return bars * sum(map(len, self.grids.values())) * len(self.exits)

    def whole(self, on_computed: Callable[[pl.DataFrame], None] | None) -> IncrementalSweep:
        """Everything computed now."""
        made = SweepResult(pl.DataFrame(schema=SWEEP_SCHEMA), ())
        if self.bars and self.grids:
            made = sweep(self.bars, list(self.grids), **self._options())
        if on_computed is not None:
            on_computed(made.table)
        return IncrementalSweep(made, made.table, 0, ())

    def incremental(
        self, store: Path, on_computed: Callable[[pl.DataFrame], None] | None
    ) -> IncrementalSweep:
        """What the store lacks computed now."""
        if not (self.bars and self.grids):
            return self.whole(on_computed)
        return sweep_incremental(
            self.bars, list(self.grids), store=store, on_computed=on_computed, **self._options()
        )

    def _options(self) -> dict[str, Any]:
        return {
            "grids": self.grids,
            "exits": self.exits,
            "costs": self.bench.costs,
            "sizing": self.bench.sizing,
            "funding": self.funding,
            "workers": self.bench.settings.workers,
            "start_ns": self.start_ns,
        }


def _tried(
    universe: Universe,
    bench: Workbench,
    timeframe: str,
    names: Sequence[str],
    end_ns: int,
    *,
    is_anchored: bool,
) -> _Tried:
    start_ns = universe.start_ns
    closed = [bars.closed_by(end_ns) for bars in universe.at(timeframe)]
    if is_anchored:
        start_ns -= start_ns % DAY_NS
        first_ns = start_ns - (warm_up_days(timeframe) - 1) * DAY_NS
        closed = [bars.between(first_ns, None) for bars in closed]
    development = [bars for bars in closed if len(bars.between(start_ns, None))]
    settings = bench.settings
    sets = settings.sweep.parameter_sets if settings.integration.auto_optimize_parameters else 1
    able = [name for name in names if runs_at(get_strategy(name), timeframe)]
    grids = {name: parameter_grid(name, sets) for name in able}
    absent = _absent(universe, timeframe, development) + tuple(
        SkippedTrial("*", timeframe, name, "{}", f"{name} reads longer bars than {timeframe}")
        for name in names
        if name not in able
    )
    return _Tried(bench, development, grids, exit_grid(bench), start_ns, absent, universe.funding)


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
    Settings with fewer than five closed trades a pair come last whatever their score: one lucky
    trade is no result. A pair without trades has no Sharpe and counts as 0. The original's 1 / (deviation + 1e-6) is
    a million for identical values and swamps the score; ours lies in 0..1.
    """
    sharpe = pl.col("sharpe").fill_null(0.0)
    setting = [*SETTING, *(name for name in EXITS if name in table.columns and name not in SETTING)]
    order = ["is_enough", "score", *setting]
    return (
        table.group_by(setting)
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
            + 0.1 / (1 + pl.col("deviation")),
            is_enough=pl.col("trades") >= FEWEST_TRADES * pl.col("pairs"),
        )
        .sort(order, descending=[True, True] + [False] * len(setting), nulls_last=True)
    )


def best_setting(ranking: pl.DataFrame, trades_a_pair: int = FEWEST_TRADES) -> dict[str, Any]:
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
    """S1's result row for the best setting of every pair, timeframe and strategy.

    The best of those that closed enough trades; where none did, `validation` says so.
    """
    key = ["symbol", "timeframe", "strategy"]
    enough = pl.col("trades") >= FEWEST_TRADES
    ranked = table.with_columns(is_enough=enough)
    best = ranked.sort(["is_enough", "sharpe"], descending=True, nulls_last=True).unique(
        key, keep="first", maintain_order=True
    )
    return best.sort(key).with_columns(
        stop_loss_pct=pl.col("stop_loss_frac"),
        take_profit_pct=pl.col("take_profit_frac"),
        pnl=pl.col("total_return"),
        pair=pl.col("symbol"),
        timestamp=pl.lit(stamp),
        validation=pl.when("is_enough")
        .then(pl.lit("in-sample best of the grid"))
        .otherwise(pl.lit(TOO_FEW_TRADES)),
    )
