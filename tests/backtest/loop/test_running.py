"""The loop on a fast clock: turns in their own process, every candle decided, clean stops."""

from __future__ import annotations

import threading

import pytest

from backtest.loop.markets import LIVE, loop_in
from crypto_bot.backtest.loop.live import KIND as LIVE_KIND
from crypto_bot.backtest.loop.running import run_loop
from crypto_bot.backtest.turn import KIND
from crypto_bot.journal import RunStatus


def closes(journal, run_id):
    return [step for step in journal.steps(run_id) if step.name.startswith("close ")]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A loop that was stopped after twelve closes, and one that went on for another twelve."""
    folder = tmp_path_factory.mktemp("loop")
    found = []
    start_ns = None
    for _ in range(2):
        with loop_in(folder, start_ns=start_ns, refresh_interval_hours=1000) as loop:
            seen = 0

            def count(report, lateness_s, loop=loop):
                nonlocal seen
                seen += 1
                if seen == 12:
                    loop.stop.set()

            timer = threading.Timer(400, loop.stop.set)
            timer.start()
            summary = run_loop(
                loop.bench, loop.stop, feed=loop.feed, announce=loop.announce, on_close=count
            )
            timer.cancel()
            start_ns = loop.bench.clock.now_ns()
            found.append((summary, loop.lines))
    with loop_in(folder, start_ns=start_ns) as loop:
        yield found, loop.bench.journal


def test_a_turn_is_made_first_and_then_every_candle_is_decided(ran):
    (first, lines), _ = ran[0]
    assert first["turns"] == 1
    assert any(line.startswith("turn: the first turn") for line in lines)
    assert any(line.startswith("trading: ") for line in lines)
    assert lines[-1] == "stopped after 1 turns"


def test_a_restart_goes_on_with_the_session(ran):
    found, journal = ran
    (run,) = journal.runs(LIVE_KIND)
    assert any(f"run {run.id} goes on" in line for line in found[1][1])
    steps = closes(journal, run.id)
    assert len(steps) == 24
    assert all(step.status is RunStatus.DONE for step in steps)
    names = [step.name for step in steps]
    assert len(set(names)) == 24
    decisions = journal.decisions(run.id)
    keys = [(decision.symbol, decision.bar_close_ns) for decision in decisions]
    assert len(set(keys)) == len(keys) >= 24 * 3
    assert [run.status for run in journal.runs(KIND)] == [RunStatus.DONE]
    assert LIVE["top_pairs_count"] == 3
