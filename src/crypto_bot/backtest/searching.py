"""Searches of the workbench: strategies x timeframes over all pairs, counted, compared, written down."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from crypto_bot.backtest.candles import Universe
from crypto_bot.backtest.workbench import SIMULATED_SUFFIX, Workbench
from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import DataError
from crypto_bot.core.files import write_file, write_json
from crypto_bot.core.timeframes import timeframe_ns
from crypto_bot.engine import METRICS
from crypto_bot.journal import Trial
from crypto_bot.search import (
    ParameterMap,
    Plateau,
    SearchResult,
    WalkForward,
    exit_space,
    parameter_map,
    plateau,
    search,
    setting_of,
    walk_forward,
)
from crypto_bot.search.exits import changed_exits
from crypto_bot.significance import RandomEntry, RandomEntryOptions, random_entry_p_value

FOLDER = "out/opt"
SHOWN = 20
_ALIKE = 16
"""Settings looked through for one that is shown: many differ in an exit that is never reached."""
_OUTCOME = ("value", "trades", "total_return", "max_drawdown", "win_rate", "exposure")
_GROUNDS = 5
"""Settings at the head of the leaderboard whose neighbours are tried."""


@dataclass(frozen=True)
class SearchWish:
    """What to search, as asked for on a command line.

    Attributes
    ----------
    strategies, timeframes, exits : tuple of str
    method, trials, objective, seed, space, minimum_trades    as for `search.search`
    folds : int      windows of the walk-forward test; 0: none
    folder : Path    where studies and results are kept
    """

    strategies: tuple[str, ...]
    timeframes: tuple[str, ...]
    method: str = "tpe"
    trials: int | None = None
    objective: str = "sharpe"
    seed: int = 42
    exits: tuple[str, ...] = ("stop", "target")
    space: Mapping[str, Any] | None = None
    minimum_trades: int = 5
    folds: int = 4
    folder: Path = Path(FOLDER)


@dataclass(frozen=True, eq=False)
class Searched:
    """What a wish found.

    Attributes
    ----------
    results : tuple of SearchResult    one a strategy and timeframe
    failed : dict                      'strategy timeframe' -> why nothing came of it
    leaderboard : DataFrame            the best settings of all, with strategy, timeframe and, for
                                       the first five, plateau_mean and plateau_worst
    winner : SearchResult              whose setting leads
    ground : Plateau                   of the leading setting
    picture : ParameterMap | None
    walked : WalkForward | None        None where it was not asked for, or `not_walked` says why
    chance : RandomEntry | None        how often random entries did as well on the same stretches
    """

    wish: SearchWish
    results: tuple[SearchResult, ...]
    failed: Mapping[str, str]
    leaderboard: pl.DataFrame
    winner: SearchResult
    ground: Plateau
    picture: ParameterMap | None
    walked: WalkForward | None
    not_walked: str = ""
    chance: RandomEntry | None = None

    def summary(self) -> dict[str, Any]:
        """JSON-ready."""
        leader = self.leaderboard.row(0, named=True)
        wish = {**asdict(self.wish), "folder": str(self.wish.folder)}
        return {
            "wish": wish,
            "trials": sum(len(result.trials) for result in self.results),
            "reused_trials": sum(result.reused for result in self.results),
            "studies": {place_of(result): result.study for result in self.results},
            "failed": dict(self.failed),
            "best": _plain(leader),
            "plateau": asdict(self.ground),
            "leaderboard": [_plain(row) for row in self.leaderboard.iter_rows(named=True)],
            "front": [_plain(row) for row in self.winner.front().iter_rows(named=True)],
            "walk_forward": None if self.walked is None else _walked(self.walked, self.chance),
            "not_walked": self.not_walked or None,
        }


def search_strategies(
    universe: Universe,
    bench: Workbench,
    wish: SearchWish,
    run_id: str,
    *,
    announce: Callable[[str], None],
) -> Searched:
    """Search every strategy at every timeframe, one setting for all pairs; re-test the winner.

    Parameters
    ----------
    run_id : str     trials of studies that begin now are counted under this run
    announce         told a line a search

    Raises
    ------
    ConfigError     for a name or value of the wish that is wrong
    DataError       if no timeframe fits the candles, or no setting traded enough anywhere
    StorageError    where the folder cannot be written
    """
    ledger = SearchLedger(bench, run_id, wish.folder)
    results: list[SearchResult] = []
    failed: dict[str, str] = {}
    total = len(wish.timeframes) * len(wish.strategies)
    for timeframe in wish.timeframes:
        for name in wish.strategies:
            count = f"{len(results) + len(failed) + 1}/{total} " if total > 1 else ""
            try:
                bars = _bars(universe, timeframe)
                result = search(
                    bars,
                    name,
                    method=wish.method,
                    trials=wish.trials,
                    objective=wish.objective,
                    seed=wish.seed,
                    space=wish.space,
                    exits=exit_space(list(wish.exits), bench.exits),
                    costs=bench.costs,
                    sizing=bench.sizing,
                    funding=universe.funding,
                    start_ns=universe.start_ns,
                    minimum_trades=wish.minimum_trades,
                    workers=bench.settings.workers,
                    store=wish.folder,
                    on_trial=ledger.tell,
                )
                value = result.best()["value"]
            except DataError as error:
                failed[f"{name} {timeframe}"] = str(error)
                announce(f"  {count}{name} {timeframe}: {str(error).partition('; lower')[0]}")
                continue
            finally:
                ledger.flush()
            results.append(result)
            read = f", {result.reused} of them read" if result.reused else ""
            announce(
                f"  {count}{name} {timeframe}: best {wish.objective} {value:.2f} "
                f"of {len(result.trials)} trials{read}"
            )
    if not results:
        raise DataError(next(iter(failed.values())))
    return _judged(wish, results, failed, ledger)


def _bars(universe: Universe, timeframe: str) -> list[Bars]:
    if timeframe_ns(timeframe) % timeframe_ns(universe.timeframe):
        raise DataError(f"timeframe must be a multiple of {universe.timeframe}, was {timeframe}")
    known = [bars.closed_by(universe.end_ns) for bars in universe.at(timeframe)]
    counted = [bars for bars in known if len(bars.between(universe.start_ns, None))]
    if not counted:
        raise DataError(f"candles must suffice for one bar of {timeframe}, did not")
    return counted


def _judged(
    wish: SearchWish,
    results: Sequence[SearchResult],
    failed: Mapping[str, str],
    ledger: SearchLedger,
) -> Searched:
    board = _leaderboard(results)
    rows = board.head(_GROUNDS).iter_rows(named=True)
    grounds = [plateau(results[r["result"]], setting_of(r), ledger.tell) for r in rows]
    winner = results[board["result"][0]]
    picture = parameter_map(winner, ground=grounds[0], on_trial=ledger.tell)
    ledger.flush()
    walked, reason, chance = None, "", None
    if wish.folds:
        try:
            walked = walk_forward(winner, folds=wish.folds, store=wish.folder, on_trial=ledger.tell)
        except DataError as error:
            reason = str(error)
        ledger.flush()
    if walked is not None and walked.results:
        chance = random_entry_p_value(walked.results, RandomEntryOptions(seed=wish.seed))
    spare = [None] * (len(board) - len(grounds))
    shown = board.drop("result").with_columns(
        plateau_mean=pl.Series([g.mean_frac for g in grounds] + spare, dtype=pl.Float64),
        plateau_worst=pl.Series([g.worst_frac for g in grounds] + spare, dtype=pl.Float64),
    )
    return Searched(
        wish, tuple(results), failed, shown, winner, grounds[0], picture, walked, reason, chance
    )


def _leaderboard(results: Sequence[SearchResult]) -> pl.DataFrame:
    """The heads of all leaderboards as one, first the best; of settings that trade alike the first.

    An exit that is never reached changes nothing: with it and without it is one result, not two.
    """
    parts = [
        result.leaderboard(SHOWN * _ALIKE).with_columns(
            strategy=pl.lit(result.plan.space.strategy),
            timeframe=pl.lit(result.plan.bars[0].timeframe),
            result=pl.lit(index),
        )
        for index, result in enumerate(results)
    ]
    table = pl.concat(parts).drop("is_repeat", "is_enough")
    table = table.unique(["result", *_OUTCOME], keep="first", maintain_order=True)
    order = ["value", "result", "trial"]
    return table.sort(order, descending=[True, False, False]).head(SHOWN)


def place_of(result: SearchResult) -> str:
    """What a search was of, for people."""
    return f"{result.plan.space.strategy} {result.plan.bars[0].timeframe}"


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a leaderboard with its texts read."""
    exits = {
        name: value
        for name, value in json.loads(row["exits"]).items()
        if name in changed_exits(setting_of(row).exits)
    }
    return {**row, "parameters": json.loads(row["parameters"]), "exits": exits}


def _walked(walked: WalkForward, chance: RandomEntry | None) -> dict[str, Any]:
    return {
        "stitched": walked.stitched.summary(),
        "buy_and_hold": walked.holding.summary(),
        "random_entries": None if chance is None else asdict(chance),
        "windows": [window.summary() for window in walked.windows],
    }


class SearchLedger:
    """Writes every trial into the journal, each once: under the run that began its study."""

    def __init__(self, bench: Workbench, run_id: str, folder: Path) -> None:
        self._bench, self._run_id, self._folder = bench, run_id, folder
        self._waiting: dict[str, list[Trial]] = {}
        self._runs: dict[str, str] = {}
        self._fixed = {
            "costs": bench.costs.model_dump(mode="json"),
            "sizing": bench.sizing.model_dump(mode="json"),
        }

    def tell(self, row: Mapping[str, Any]) -> None:
        """One trial on one pair; given to the journal `batch_size` at a time."""
        run_id = self._run_of(row["study"])
        waiting = self._waiting.setdefault(run_id, [])
        exits = {n: v for n, v in json.loads(row["exits"]).items() if v is not None}
        waiting.append(
            Trial(
                symbol=row["symbol"],
                timeframe=row["timeframe"],
                strategy=row["strategy"],
                parameters={**json.loads(row["parameters"]), "exits": exits, **self._fixed},
                metrics={name: row[name] for name in METRICS},
                is_simulated=row["is_simulated"],
            )
        )
        if len(waiting) >= self._bench.settings.batch_size:
            self._bench.journal.record_trials(run_id, self._waiting.pop(run_id))

    def flush(self) -> None:
        """Write what is waiting."""
        for run_id in list(self._waiting):
            self._bench.journal.record_trials(run_id, self._waiting.pop(run_id))

    def _run_of(self, study: str) -> str:
        """The run a study's trials are counted under: a trial read again is no new trial."""
        if study not in self._runs:
            path = self._folder / "studies" / study / "run.json"
            known = json.loads(path.read_bytes())["run_id"] if path.exists() else None
            runs = {run.id for run in self._bench.journal.runs("search")}
            if known not in runs:
                known = self._run_id
                write_json(path, {"run_id": known})
            self._runs[study] = known
        return self._runs[study]


def write_searched(searched: Searched, folder: Path, summary: Mapping[str, Any]) -> list[Path]:
    """Write leaderboard.csv, best.json and the pictures of a search; gives the files, best.json last."""
    from crypto_bot.backtest.search_pictures import front_png, map_png, walk_png

    is_simulated = any(bars.is_simulated for bars in searched.winner.plan.bars)
    files: dict[str, bytes | str] = {"leaderboard.csv": searched.leaderboard.write_csv()}
    if searched.picture is not None:
        files["heat_map.png"] = map_png(searched, is_simulated=is_simulated)
    if searched.wish.method == "nsga2":
        files["front.png"] = front_png(searched, is_simulated=is_simulated)
    if searched.walked is not None and searched.walked.results:
        files["walk_forward.png"] = walk_png(searched, is_simulated=is_simulated)
    for name, content in files.items():
        write_file(folder / name, content)
    write_json(folder / "best.json", summary)
    return [folder / name for name in (*files, "best.json")]


def results_place(wish: SearchWish, searched: Searched) -> Path:
    """The folder of what a search found: named by its winner and study."""
    name = place_of(searched.winner).replace(" ", "-")
    return wish.folder / f"{name}-{searched.winner.study}"


def search_folder(folder: str | None, is_simulated: bool) -> Path:
    """Where searches are kept; those of an invented market have a folder of their own."""
    return Path((folder or FOLDER) + (SIMULATED_SUFFIX if is_simulated else ""))
