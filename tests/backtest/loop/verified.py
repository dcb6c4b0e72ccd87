"""What must hold in a folder in which a loop was killed again and again."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

from backtest.tiny import settings_in
from crypto_bot.backtest.loop.live import KIND as LIVE_KIND
from crypto_bot.backtest.turn import KIND
from crypto_bot.config import Settings
from crypto_bot.core.timeframes import time_of
from crypto_bot.journal import Journal, Run, RunStatus
from crypto_bot.market import BarStore
from crypto_bot.registry import ModelRegistry, Stage, open_registry


def verify(folder: Path, values: dict[str, object]) -> dict[str, int]:
    """Raise AssertionError where something was lost, done twice or left damaged; counts otherwise."""
    settings = settings_in(folder, values)
    with Journal(settings.journal.url) as journal:
        journal.require_intact()
        counts = verify_turns(journal) | verify_sessions(journal)
        counts["versions"] = verify_registry(settings, journal)
    verify_store(settings)
    assert not list(folder.rglob("*.partial")) or counts["unfinished"], "a finished loop left work"
    return counts


def verify_turns(journal: Journal) -> dict[str, int]:
    """Every turn that was begun was completed, except the newest; no trial counted twice."""
    runs = journal.runs(KIND)
    assert all(run.status is RunStatus.DONE for run in runs[1:]), [run.status for run in runs]
    for run in runs:
        names = [step.name for step in journal.steps(run.id)]
        assert len(set(names)) == len(names)
        trials = Counter(
            (trial.symbol, trial.timeframe, trial.strategy, str(trial.parameters), trial.kind)
            for trial in journal.trials(run_id=run.id)
        )
        assert set(trials.values()) <= {1}, "a trial was counted twice"
    return {"turns": len(runs), "unfinished": sum(run.status != RunStatus.DONE for run in runs)}


def verify_sessions(journal: Journal) -> dict[str, int]:
    """Every close of a session in the journal once, in order; orders and fills once."""
    closes = 0
    for run in journal.runs(LIVE_KIND):
        assert run.status is not RunStatus.FAILED, run.summary
        closes += verify_session(journal, run)
    return {"closes": closes}


def verify_session(journal: Journal, run: Run) -> int:
    steps = [step for step in journal.steps(run.id) if step.name.startswith("close ")]
    assert len({step.name for step in steps}) == len(steps)
    decisions = journal.decisions(run.id)
    keys = [(decision.symbol, decision.bar_close_ns) for decision in decisions]
    assert len(set(keys)) == len(keys), "a close was decided twice"
    by_symbol: dict[str, list[int]] = {}
    for symbol, close_ns in keys:
        by_symbol.setdefault(symbol, []).append(close_ns)
    for symbol, times in by_symbol.items():
        gaps = {after - before for before, after in pairwise(times)}
        assert gaps <= {300 * 10**9}, f"{symbol} missed a close of run {run.id}: {sorted(gaps)}"
    decided = {close_ns for _, close_ns in keys}
    for step in steps:
        if step.status is RunStatus.DONE and step.result["decided"]:
            assert time_of(step.name.removeprefix("close ")) in decided, "a decision was lost"
    orders = [order.client_id for order in journal.orders(run.id)]
    assert len(set(orders)) == len(orders), "an order was written twice"
    fills = [fill.client_id for fill in journal.fills(run.id)]
    assert len(set(fills)) == len(fills), "an order was filled twice"
    return len(steps)


def verify_registry(settings: Settings, journal: Journal) -> int:
    """Every version loads, no turn published twice, the champion log has no gap and no double."""
    count = 0
    for suffix in ("", "-simulated"):
        registry = open_registry(settings.registry.folder + suffix)
        for symbol in registry.symbols():
            count += verify_symbol(registry, symbol, journal)
    return count


def verify_symbol(registry: ModelRegistry, symbol: str, journal: Journal) -> int:
    ranked = registry.rank(symbol)
    assert all(summary.stage is not Stage.DAMAGED for summary in ranked)
    by_run = Counter(registry.load(symbol, summary.version)[1].run_id for summary in ranked)
    assert set(by_run.values()) == {1}, "a turn published twice"
    history = registry.history(symbol)
    assert [entry.number for entry in history] == list(range(1, len(history) + 1))
    assert all(b.previous == a.champion for a, b in pairwise(history))
    promoted = Counter(entry.version for entry in history if entry.action == "promote")
    assert set(promoted.values()) <= {1}, "a version was promoted twice"
    done = {run.id for run in journal.runs(KIND, status="done")}
    assert done <= set(by_run), "a completed turn's version was lost"
    return len(ranked)


def verify_store(settings: Settings) -> None:
    """Every stored series loads, in order, without a candle twice or missing."""
    store = BarStore(settings.data.store_folder)
    for entry in store.catalog():
        bars = store.load(entry.symbol, entry.timeframe)
        assert len(bars) == entry.bars if hasattr(entry, "bars") else len(bars) > 0
        assert (bars.open_time[1:] > bars.open_time[:-1]).all()
