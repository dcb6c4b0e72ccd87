"""`search`: the settings of one strategy tried on candles, batch by batch, resumable after kill -9."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import ConfigError, DataError, nearest
from crypto_bot.core.funding import FundingRates, check_keys
from crypto_bot.core.progress import progress
from crypto_bot.engine import CostOptions, ExitOptions, SizingOptions, SkippedTrial
from crypto_bot.search.batches import BATCH_SCHEMA, BatchFiles, KeptTrial, trial_rows
from crypto_bot.search.evaluation import evaluate
from crypto_bot.search.exits import ExitSpace
from crypto_bot.search.samplers import BATCH, MOST_TRIALS, Suggestion, make_sampler
from crypto_bot.search.space import SearchSpace, Setting, Span, search_space
from crypto_bot.search.versions import strategy_version
from crypto_bot.strategies import Strategy, get_strategy

OBJECTIVES = (
    "sharpe",
    "sortino",
    "calmar",
    "total_return",
    "annual_return",
    "recovery_factor",
    "profit_factor",
    "expectancy_quote",
    "win_rate",
)
"""What a search may maximise."""
TRIALS = 256
FEWEST_TRADES = 5
_NO_VALUE = -1e9
_MEANS = ("sharpe", "total_return", "max_drawdown", "win_rate", "profit_factor", "exposure")
OnTrial = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, eq=False)
class SearchPlan:
    """Everything that decides what a search finds.

    Attributes
    ----------
    bars : tuple of Bars       a setting's value is its mean over these
    space : SearchSpace
    method, objective, seed    as for `search`
    trials : int
    minimum_trades : int       closed trades a bars a setting needs, on average, to be of value
    costs, sizing, start_ns    as for `engine.sweep`
    workers : int | None
    funding : symbol -> FundingRates    of perpetuals
    """

    bars: tuple[Bars, ...]
    space: SearchSpace
    method: str
    trials: int
    objective: str
    seed: int
    minimum_trades: int
    costs: CostOptions
    sizing: SizingOptions
    start_ns: int | None
    workers: int | None = None
    funding: Mapping[str, FundingRates] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Names the study: equal plans go on with each other's trials, whatever their number."""
        parts = {
            "bars": [bars.fingerprint for bars in self.bars],
            "funding": [due_fingerprint(bars, self.funding) for bars in self.bars],
            "start_ns": self.start_ns,
            "space": self.space.describe(),
            "method": self.method,
            "objective": self.objective,
            "seed": self.seed,
            "minimum_trades": self.minimum_trades,
            "costs": self.costs.model_dump(mode="json"),
            "sizing": self.sizing.model_dump(mode="json"),
            "code": strategy_version(get_strategy(self.space.strategy)),
            "grid": self.trials if self.method == "grid" else None,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class SearchResult:
    """Every trial of a search.

    Attributes
    ----------
    plan : SearchPlan
    study : str            its name: the hash of everything that decides the result
    trials : DataFrame     one row a trial in order: trial, parameters and exits (JSON), value
                           (null without enough trades), trades, means over the bars of the metrics,
                           is_enough, is_repeat (the setting had been tried before)
    table : DataFrame      one row a trial and bars: trial, the columns of `engine.SWEEP_SCHEMA`,
                           reason (why it could not run; metrics are then null), exits (JSON)
    reused : int           trials that an earlier process had finished
    """

    plan: SearchPlan
    study: str
    trials: pl.DataFrame = field(repr=False)
    table: pl.DataFrame = field(repr=False)
    reused: int = 0

    def leaderboard(self, most: int = 20) -> pl.DataFrame:
        """The best different settings with enough trades, first the best; ties by trial."""
        rows = self.trials.filter(~pl.col("is_repeat") & pl.col("value").is_not_null())
        return rows.sort(["value", "trial"], descending=[True, False]).head(most)

    def front(self) -> pl.DataFrame:
        """Settings that no other beats in both return and drawdown, deepest drawdown last."""
        rows = self.trials.filter(~pl.col("is_repeat") & pl.col("is_enough"))
        ordered = rows.sort(
            ["max_drawdown", "total_return", "trial"], descending=[False, True, False]
        )
        best = pl.col("total_return").cum_max().shift(1, fill_value=float("-inf"))
        return ordered.filter(pl.col("total_return") > best)

    def best(self) -> dict[str, Any]:
        """The first row of the leaderboard; DataError where no setting traded enough."""
        rows = self.leaderboard(1)
        if rows.is_empty():
            most = max(self.trials["trades"].to_list())
            raise DataError(
                f"search must hold a setting with >= {self.plan.minimum_trades} closed trades a "
                f"pair, had none of {len(self.trials)} (most: {most} over {len(self.plan.bars)} "
                f"pairs{self._first_reason()}); lower minimum_trades or widen the space"
            )
        return rows.row(0, named=True)

    def best_setting(self) -> Setting:
        """The setting of `best`."""
        return setting_of(self.best())

    @property
    def skipped(self) -> tuple[SkippedTrial, ...]:
        """Settings that could not run on some bars, with the reason."""
        rows = self.table.filter(pl.col("reason").is_not_null())
        names = ("symbol", "timeframe", "strategy", "parameters", "reason")
        return tuple(SkippedTrial(*row) for row in rows.select(names).iter_rows())

    def _first_reason(self) -> str:
        return f"; not run: {self.skipped[0].reason}" if self.skipped else ""


def search(
    bars: Bars | Sequence[Bars],
    strategy: str | Strategy,
    *,
    method: str = "tpe",
    trials: int | None = None,
    objective: str = "sharpe",
    seed: int = 42,
    space: Mapping[str, Span] | None = None,
    exits: ExitOptions | ExitSpace | None = None,
    costs: CostOptions | None = None,
    sizing: SizingOptions | None = None,
    funding: Mapping[str, FundingRates] | None = None,
    start_ns: int | None = None,
    minimum_trades: int = FEWEST_TRADES,
    workers: int | None = None,
    store: Path | str | None = None,
    on_trial: OnTrial | None = None,
) -> SearchResult:
    """Try settings of a strategy and keep every result.

    Parameters
    ----------
    bars : Bars or several     one setting for all: its value is the mean over them
    strategy : str or Strategy a bound strategy gives the values of parameters not searched
    method : str               'grid', 'random', 'tpe' (Optuna: learns which regions are good),
                               'nsga2' (Optuna: total return against drawdown, see `front`) or
                               'forest' (a random forest says where to look next)
    trials : int               settings to try, 1..1,000,000. None: 256; of a grid whose values are
                               all named: every one
    objective : str            one of `OBJECTIVES`, maximised; undefined counts as 0
    seed : int                 same seed, same trials
    space : name -> span       what is searched; None: every parameter in its declared range. A span
                               is (low, high), a range, a list of values, or one value
    exits : ExitSpace          exits to search; ExitOptions: these
    costs, sizing, funding, start_ns    as for `engine.sweep`
    minimum_trades : int       closed trades a bars that a setting needs, on average, to have a value
    workers : int              threads; the result does not depend on it
    store : folder             where finished batches are kept; None: nowhere
    on_trial : callable        told every row of `table` that ran, with its study, in order, before
                               its batch is kept; those of an earlier process too

    Returns
    -------
    SearchResult

    Raises
    ------
    ConfigError    for an unknown method, objective or name, a value out of range, trials below 1,
                   a grid larger than `trials`, told with its size before it is built
    DataError      for a strategy that needs more than candles
    StorageError   where the store cannot be written, or holds a damaged batch

    Notes
    -----
    A batch is written beside and renamed before the next begins. The same call after kill -9
    computes what is missing and returns what an uninterrupted call returns. More `trials` go on
    where fewer ended (grids apart). Two processes on one study do the same work twice, no harm.
    """
    several = (bars,) if isinstance(bars, Bars) else tuple(bars)
    check_different(several)
    check_keys(funding or {})
    check_objective(objective)
    if minimum_trades < 1:
        raise ConfigError(f"minimum_trades must be at least 1, was {minimum_trades}")
    made = search_space(strategy, space, exits)
    plan = SearchPlan(
        several, made, method, trials_of(method, made, trials), objective, seed, minimum_trades,
        costs or CostOptions(), sizing or SizingOptions(), start_ns, workers, funding or {},
    )  # fmt: skip
    return run_plan(plan, store=store, on_trial=on_trial)


def run_plan(
    plan: SearchPlan, *, store: Path | str | None = None, on_trial: OnTrial | None = None
) -> SearchResult:
    """`search` by a plan made before."""
    sampler = make_sampler(plan.method, plan.space, plan.trials, plan.seed)
    study = plan.identity
    files = None if store is None else BatchFiles(Path(store), study, _story(plan))
    total = min(plan.trials, sampler.size() or plan.trials)
    done, reused, tables = 0, 0, [pl.DataFrame(schema=BATCH_SCHEMA)]
    known: dict[str, pl.DataFrame] = {}
    with progress(f"search {plan.space.strategy} {plan.bars[0].timeframe}", total) as shown:
        for number in range(-(-total // BATCH[plan.method])):
            size = min(BATCH[plan.method], total - done)
            kept = [] if files is None else files.read(number)[:size]
            tried: Sequence[Suggestion] = kept if len(kept) == size else sampler.ask(number, size)
            rows = _rows_of(plan, tried, kept, known, done)
            if on_trial is not None:
                _tell(on_trial, study, rows)
            if files is not None and len(kept) < size:
                files.write(number, rows)
            sampler.tell(tried, _told(plan, rows))
            tables.append(rows)
            done, reused = done + size, reused + len(kept)
            shown.advance(size)
    table = pl.concat(tables)
    return SearchResult(plan, study, _trial_table(plan, table), _without_record(table), reused)


def values_of(
    plan: SearchPlan, settings: Sequence[Setting], on_trial: OnTrial | None = None
) -> pl.DataFrame:
    """Settings tried beside the search, rows as of `SearchResult.trials` in the order given."""
    found = evaluate(plan, settings)
    rows = [
        trial_rows(index, Suggestion(setting), part)
        for index, (setting, part) in enumerate(zip(settings, found, strict=True))
    ]
    table = pl.concat([pl.DataFrame(schema=BATCH_SCHEMA), *rows])
    if on_trial is not None:
        _tell(on_trial, plan.identity, table)
    return _summaries(plan, table)


def setting_of(row: Mapping[str, Any]) -> Setting:
    """The setting of a row of `SearchResult.trials`."""
    return Setting(json.loads(row["parameters"]), ExitOptions(**json.loads(row["exits"])))


def trials_of(method: str, space: SearchSpace, trials: int | None) -> int:
    """The trials to make: as asked, else 256, and of a grid of named values all."""
    if trials is not None:
        return trials
    is_named = method == "grid" and all(axis.values for axis in space.axes)
    return MOST_TRIALS if is_named and not space.is_whole else TRIALS


def _story(plan: SearchPlan) -> dict[str, Any]:
    """What a study is, for whoever finds its folder."""
    return {
        "space": plan.space.describe(),
        "method": plan.method,
        "objective": plan.objective,
        "seed": plan.seed,
        "bars": [f"{b.symbol} {b.timeframe} {len(b)} {b.fingerprint[:12]}" for b in plan.bars],
        "is_simulated": any(bars.is_simulated for bars in plan.bars),
    }


def _rows_of(
    plan: SearchPlan,
    tried: Sequence[Suggestion],
    kept: Sequence[KeptTrial],
    known: dict[str, pl.DataFrame],
    first: int,
) -> pl.DataFrame:
    """The rows of a batch in order: those kept are read, repeated settings copied, the rest run."""
    for suggestion in kept:
        known.setdefault(suggestion.setting.key, suggestion.rows)
    fresh = {s.setting.key: s.setting for s in tried if s.setting.key not in known}
    known.update(zip(fresh, evaluate(plan, list(fresh.values())), strict=True))
    return pl.concat(
        trial_rows(first + index, suggestion, known[suggestion.setting.key])
        for index, suggestion in enumerate(tried)
    )


def _tell(on_trial: OnTrial, study: str, rows: pl.DataFrame) -> None:
    for row in _without_record(rows.filter(pl.col("reason").is_null())).iter_rows(named=True):
        on_trial({"study": study, **row})


def _told(plan: SearchPlan, rows: pl.DataFrame) -> list[tuple[float, ...]]:
    """What a sampler is told, all to maximise; a setting without enough trades is the worst there is."""
    table = _summaries(plan, rows)
    if plan.method == "nsga2":
        pairs = table.select("is_enough", "total_return", "max_drawdown").iter_rows()
        return [(gain, -fall) if enough else (-1.0, -1.0) for enough, gain, fall in pairs]
    values = table.select("value", "trades").iter_rows()
    return [(_NO_VALUE + trades if value is None else value,) for value, trades in values]


def _trial_table(plan: SearchPlan, table: pl.DataFrame) -> pl.DataFrame:
    summaries = _summaries(plan, table)
    return summaries.with_columns(is_repeat=~pl.struct("parameters", "exits").is_first_distinct())


def _summaries(plan: SearchPlan, table: pl.DataFrame) -> pl.DataFrame:
    """One row a trial: sums and means over the bars; what is undefined on one counts there as 0."""
    count = len(plan.bars)
    means = {name: pl.col(name).fill_null(0.0).sum() / count for name in _MEANS}
    means["buy_and_hold_return"] = pl.col("buy_and_hold_return").mean()
    rows = table.group_by("trial", maintain_order=True).agg(
        pl.col("parameters").first(),
        exits=pl.col("exits").first(),
        aim=pl.col(plan.objective).fill_null(0.0).sum() / count,
        trades=pl.col("trades").fill_null(0).sum(),
        **means,
    )
    enough = pl.col("trades") >= plan.minimum_trades * count
    value = pl.when(enough).then(pl.col("aim"))
    front = ["trial", "parameters", "exits", "value", "trades"]
    return rows.with_columns(value=value, is_enough=enough).select(*front, *means, "is_enough")


def _without_record(table: pl.DataFrame) -> pl.DataFrame:
    return table.drop("raw", "notes")


def plan_on(plan: SearchPlan, bars: Sequence[Bars], start_ns: int | None) -> SearchPlan:
    """The same plan on other candles."""
    return replace(plan, bars=tuple(bars), start_ns=start_ns)


def check_objective(objective: str) -> None:
    """Raise ConfigError for one that cannot be maximised."""
    if objective not in OBJECTIVES:
        raise ConfigError(
            f"objective must be one of {', '.join(OBJECTIVES)}, was {objective!r}"
            f"{nearest(objective, OBJECTIVES)}"
        )


def due_fingerprint(bars: Bars, funding: Mapping[str, FundingRates]) -> str | None:
    """Of the payments that fall on these bars; None where nobody pays."""
    rates = funding.get(bars.symbol)
    if rates is None or not len(bars):
        return None
    return rates.between(int(bars.open_time[0]), int(bars.open_time[-1])).fingerprint


def check_different(bars: Sequence[Bars]) -> None:
    """Raise ConfigError where there are no bars, or two of one symbol and timeframe."""
    names = [f"{item.symbol} {item.timeframe}" for item in bars]
    if not names:
        raise ConfigError("bars must hold at least one symbol, was empty")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"bars must hold a symbol and timeframe once, had {name} twice")


def threads(workers: int | None) -> int:
    """Threads to use: as many as asked for, else one a core."""
    return max(1, (os.cpu_count() or 1) if workers is None else workers)
