"""One turn of the loop: candles, sweep, models, gate, paper, feedback, report, under one run id."""

from __future__ import annotations

import hashlib
import io
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from crypto_bot.backtest.candles import Universe, describe, gather_candles
from crypto_bot.backtest.downloading import refresh_store
from crypto_bot.backtest.examined import Examined, Learned
from crypto_bot.backtest.gpu_accelerator import log_gpu_use
from crypto_bot.backtest.learning import conclude, examine
from crypto_bot.backtest.own_slippage import charged, slippage_notes
from crypto_bot.backtest.promises import keep_promises
from crypto_bot.backtest.recipes import AnyRecipe, recipes
from crypto_bot.backtest.rehearsal import Rehearsal, Trader, rehearse
from crypto_bot.backtest.schedule import Stopped
from crypto_bot.backtest.sweeping import (
    StrategySweep,
    best_setting,
    rank_settings,
    record_trials,
    results_folder,
    run_sweep,
    write_results,
)
from crypto_bot.backtest.telling import run_ended, run_failed
from crypto_bot.backtest.traders import (
    best_strategy_trader,
    champion_trader,
    development_trades,
    model_trader,
)
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core.errors import DataError, LeakError, ModelError, StorageError
from crypto_bot.core.files import TEMPORARY_SUFFIX, write_file
from crypto_bot.core.timeframes import DAY_NS
from crypto_bot.journal import Step
from crypto_bot.kernel_cache import kernels_were_cached
from crypto_bot.market import ImportStatus
from crypto_bot.training.cards import POOLED

_LOG = logging.getLogger(__name__)
KIND = "integrated"
SWEEP_FILE = "sweep.parquet"


@dataclass(frozen=True, eq=False)
class TurnOutcome:
    """Everything a turn made, ready to be shown."""

    run_id: str
    folder: Path
    universe: Universe
    hold_out_ns: int
    swept: StrategySweep
    learned: tuple[Learned, ...]
    rehearsal: Rehearsal
    seconds: Mapping[str, float]
    is_resumed: bool
    peak_memory_mb: float | None
    notes: tuple[str, ...] = ()
    reused: tuple[str, ...] = ()
    not_trained: Mapping[str, str] = field(default_factory=dict)

    @property
    def promoted(self) -> bool:
        """At least one model of this turn went into service."""
        return any(learned.promoted and learned.version for learned in self.learned)


class _OtherCandlesError(DataError):
    """An interrupted run worked on candles that have changed since."""


class _Asked(NamedTuple):
    """What the caller of a turn asked for."""

    data: str | None
    symbols: Sequence[str] | None
    announce: Callable[[str], None]
    should_stop: Callable[[], bool]
    train: bool
    refresh: bool
    until_ns: int | None


@dataclass
class _Watch:
    """Seconds of each step, logged where the settings ask for it."""

    bench: Workbench
    run_id: str
    announce: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, words: str) -> Iterator[Step]:
        self.announce(f"{words} ...")
        started = time.perf_counter()
        with self.bench.journal.step(self.run_id, name) as step:
            yield step
        self.seconds[name] = time.perf_counter() - started
        if self.bench.settings.monitoring.log_performance_metrics:
            _LOG.info("run %s step %s took %.1f s", self.run_id, name, self.seconds[name])


def run_turn(
    bench: Workbench,
    *,
    data: str | None = None,
    symbols: Sequence[str] | None = None,
    announce: Callable[[str], None] = _LOG.info,
    should_stop: Callable[[], bool] = lambda: False,
    train: bool = True,
    refresh: bool = False,
    until_ns: int | None = None,
) -> dict[str, Any]:
    """Turn the whole loop once and write its report.

    Parameters
    ----------
    data, symbols    as for `gather_candles`
    announce : callable     told what happens, line by line
    should_stop : callable  asked during paper trading; True ends the session cleanly
    train : bool            False: no model is trained; the champion of an earlier turn trades, if any
    refresh : bool          bring a downloaded store up to date first
    until_ns : int | None   only candles that had closed then; None: all there are

    Returns
    -------
    dict    the summary, as written to summary.json; `report` is the path of the page,
            `not_trained` says of each model that could not be trained why

    Notes
    -----
    An interrupted turn with the same settings, arguments and candles is taken up under its run id:
    what it stored, published or wrote down is found again and done only once. It goes on with the
    candles that had closed when it began, whatever the store has gained since.

    Raises
    ------
    Stopped    `should_stop` said so; the run is interrupted, the next start takes it up
    """
    from crypto_bot.backtest.showing import write_outcome

    asked = _Asked(data, symbols, announce, should_stop, train, refresh, until_ns)
    if train and bench.settings.schedule.is_enabled:
        recipes(bench, POOLED, "any")  # what cannot be trained is said before the work
    run_id, is_resumed = _start_or_resume(bench, asked)
    try:
        outcome = _turn(bench, run_id, is_resumed, asked)
        summary = write_outcome(charged(bench, run_id, outcome.universe), outcome)
    except (KeyboardInterrupt, Stopped):
        bench.journal.finish_run(run_id, "interrupted")
        raise
    except _OtherCandlesError as error:
        bench.journal.finish_run(run_id, "failed", {"error": str(error)})
        _forget(Path(bench.settings.reports.folder) / run_id)
        announce(f"{error}; starting a new run")
        return run_turn(bench, **asked._asdict())
    except BaseException as error:
        bench.journal.finish_run(run_id, "failed", {"error": f"{type(error).__name__}: {error}"})
        _forget(Path(bench.settings.reports.folder) / run_id)
        run_failed(bench.settings, bench.journal, run_id, error)
        raise
    run_ended(bench.settings, bench.journal, summary)
    bench.journal.finish_run(run_id, "done", summary)
    return summary


def _start_or_resume(bench: Workbench, asked: _Asked) -> tuple[str, bool]:
    wanted = {
        "fingerprint": bench.settings.fingerprint,
        "data": asked.data,
        "symbols": list(asked.symbols) if asked.symbols else None,
        "train": asked.train,
    }
    for run in bench.journal.unfinished_runs(KIND):
        if all(run.config.get(name) == value for name, value in wanted.items()):
            bench.journal.resume_run(run.id)
            return run.id, True
    return bench.journal.start_run(KIND, {**wanted, "settings": bench.settings}), False


def _turn(bench: Workbench, run_id: str, is_resumed: bool, asked: _Asked) -> TurnOutcome:
    announce = asked.announce
    watch = _Watch(bench, run_id, announce)
    folder = Path(bench.settings.reports.folder) / run_id
    _make_folder(folder)
    if is_resumed:
        announce(f"taking up the interrupted run {run_id}")
    _refresh(bench, watch, asked)
    with watch.step("candles", "candles") as step:
        until_ns = step.result["until_ns"] if step.is_done else asked.until_ns
        universe = gather_candles(
            bench.settings, data=asked.data, symbols=asked.symbols, until_ns=until_ns
        )
        _describe(bench, run_id, universe)
        step.finish({"until_ns": universe.end_ns})
    bench = charged(bench, run_id, universe)
    notes = (*universe.notes, *slippage_notes(bench))
    for line in (describe(universe), *notes):
        announce(line)
    hold_out_ns = hold_out_start(universe, bench.settings.validation.holdout_frac)
    with watch.step("sweep", "backtests of every strategy"):
        swept = _sweep(bench, universe, run_id, folder, hold_out_ns)
    with watch.step("models", "models: train, walk forward, judge"):
        learned, not_trained = _learn(bench, universe, run_id, hold_out_ns, asked)
        if bench.settings.monitoring.monitor_gpu_utilization:
            log_gpu_use()
    keep_promises(folder, learned)
    trader = choose_trader(bench, universe, swept, learned, hold_out_ns)
    with watch.step("paper", f"paper trading of the hold-out: {trader.name}"):
        rehearsal = rehearse(
            bench,
            universe,
            trader,
            run_id=run_id,
            start_ns=hold_out_ns,
            expected=development_trades(bench, universe, trader, learned, hold_out_ns),
            should_stop=asked.should_stop,
        )
    return TurnOutcome(
        run_id,
        folder,
        universe,
        hold_out_ns,
        swept,
        learned,
        rehearsal,
        watch.seconds,
        is_resumed,
        peak_memory_mb() if bench.settings.monitoring.track_memory_usage else None,
        (*notes, *dict.fromkeys(note for model in learned for note in model.left_out)),
        reused(universe),
        not_trained,
    )


def _refresh(bench: Workbench, watch: _Watch, asked: _Asked) -> None:
    """Bring a downloaded store up to date, once a run; what failed is said and the run goes on."""
    if not asked.refresh or asked.data is not None:
        return
    with watch.step("refresh", "new candles") as step:
        notes = () if step.is_done else refresh_store(bench.settings, asked.symbols)
        step.finish({"notes": list(notes)})
    for note in notes:
        asked.announce(note)


def _make_folder(folder: Path) -> None:
    """At the start, so that a folder that cannot be written is known before the work.

    What a killed start of the run had begun to write there is removed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f".*{TEMPORARY_SUFFIX}"):
            leftover.unlink()
    except OSError as error:
        raise StorageError(
            f"{folder} must be writable, was not: {error.strerror}; set reports.folder"
        ) from error


def _forget(folder: Path) -> None:
    """A failed run is never taken up: without its page, what it kept for that is of no use."""
    if (folder / "report.html").exists() or not folder.is_dir():
        return
    (folder / SWEEP_FILE).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _describe(bench: Workbench, run_id: str, universe: Universe) -> None:
    """Write down which candles a run works on; a run taken up must find those it began with."""
    before, now = bench.journal.run(run_id).data_fingerprint, fingerprint(universe)
    if before not in ("", now):
        raise _OtherCandlesError(
            f"run {run_id} must go on with the candles it began with, they changed"
        )
    bench.journal.describe_run(run_id, data_fingerprint=now, is_simulated=universe.is_simulated)


def reused(universe: Universe) -> tuple[str, ...]:
    """What an earlier run had done already, in words."""
    found = []
    stored = sum(o.status is ImportStatus.ALREADY_STORED for o in universe.outcomes)
    if stored:
        found.append(f"re-used the stored candles of {stored} files")
    elif not universe.outcomes and not universe.is_simulated:
        found.append("re-used stored candles")
    if kernels_were_cached():
        found.append("re-used compiled kernels")
    return tuple(found)


def fingerprint(universe: Universe) -> str:
    """sha256 over the candles of every pair."""
    digest = hashlib.sha256()
    for bars in universe.bars:
        digest.update(bars.fingerprint.encode())
    return digest.hexdigest()


def hold_out_start(universe: Universe, fraction: float) -> int:
    """The UTC midnight at which the last `fraction` of the look-back window begins."""
    first = max(universe.start_ns, min(int(bars.open_time[0]) for bars in universe.bars))
    start = universe.end_ns - fraction * (universe.end_ns - first)
    return (
        int(np.ceil(start / DAY_NS)) * DAY_NS
        if universe.end_ns - first > 10 * DAY_NS
        else int(start)
    )


def _sweep(
    bench: Workbench, universe: Universe, run_id: str, folder: Path, end_ns: int
) -> StrategySweep:
    """The sweep of this run: found again if an earlier start of it finished the work."""
    stored = folder / SWEEP_FILE
    if stored.exists():
        table = read_sweep(stored)
        return StrategySweep(table, rank_settings(table), (), 0)
    swept = run_sweep(universe, bench, end_ns=end_ns)
    record_trials(bench, run_id, swept.table)
    write_results(swept, results_folder(bench.settings, universe.is_simulated))
    content = io.BytesIO()
    swept.table.write_parquet(content)
    write_file(stored, content.getvalue())
    return swept


def read_sweep(stored: Path) -> pl.DataFrame:
    """The sweep that a run kept; StorageError if it is damaged."""
    try:
        return pl.read_parquet(stored)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise StorageError(f"{stored} must be readable, was not ({error}); delete it") from error


def _learn(
    bench: Workbench,
    universe: Universe,
    run_id: str,
    end_ns: int,
    asked: _Asked,
) -> tuple[tuple[Learned, ...], dict[str, str]]:
    """Each configured kind of model, and why one could not be trained on these candles."""
    announce = asked.announce
    if not asked.train:
        announce("no training is due")
        return (), {}
    if not bench.settings.schedule.is_enabled:
        announce("learning is off (learning_enabled or ml_integration.enabled)")
        return (), {}
    failed: dict[str, str] = {}
    examined: list[Examined] = []
    for recipe in recipes(bench, POOLED, universe.bars[0].symbol):
        chosen = [b for b in universe.bars if recipe.symbol in (POOLED, b.symbol)]
        with _refusal(recipe, failed, announce):
            examined.append(
                examine(
                    bench,
                    chosen,
                    recipe,
                    run_id=run_id,
                    start_ns=universe.start_ns,
                    end_ns=end_ns,
                    funding=universe.funding,
                )
            )
    found: dict[int, Learned] = {}
    # The best last: of several that pass under one name it is the one that stays in service.
    for place in sorted(range(len(examined)), key=lambda k: _sharpe(examined[k])):
        one = examined[place]
        with _refusal(one.recipe, failed, announce):
            found[place] = conclude(bench, one, run_id)
            announce(f"  {one.recipe.name}: {found[place].verdict.brief}")
        for reason in one.left_out:
            announce(f"  {one.recipe.name}: left out: {reason}")
    return tuple(found[place] for place in sorted(found)), failed


def _sharpe(examined: Examined) -> float:
    sharpe = examined.pooled.sharpe
    return -np.inf if sharpe is None else sharpe


@contextmanager
def _refusal(
    recipe: AnyRecipe, failed: dict[str, str], announce: Callable[[str], None]
) -> Iterator[None]:
    """A model that these candles do not allow is said and left out; a leak fails the run."""
    try:
        yield
    except LeakError:
        raise
    except (DataError, ModelError) as error:
        announce(f"  {recipe.name}: not trained: {error}")
        _LOG.info("%s not trained: %s", recipe.name, error)
        failed[recipe.name] = str(error)


def choose_trader(
    bench: Workbench,
    universe: Universe,
    swept: StrategySweep,
    learned: Sequence[Learned],
    hold_out_ns: int,
) -> Trader:
    """The best promoted model of this turn, else the champion in service, else the best strategy."""
    promoted = [model for model in learned if model.promoted and model.version is not None]
    if promoted:
        best = max(promoted, key=lambda model: model.pooled.sharpe or 0.0)
        return model_trader(bench, best, best.exits(bench))
    champion = champion_trader(bench, universe, hold_out_ns)
    return champion or best_strategy_trader(bench, best_setting(swept.ranking), learned)


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, MiB."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
