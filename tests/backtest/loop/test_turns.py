"""The part that turns: one process at a time, ended when it takes too long, alarms settled."""

from __future__ import annotations

import pytest

from backtest.tiny import bench_in
from crypto_bot.backtest.loop import turns as module
from crypto_bot.backtest.loop.turn_process import TurnEnd
from crypto_bot.backtest.loop.turns import Turns, TurnsAsked
from crypto_bot.backtest.turn import KIND
from crypto_bot.core.timeframes import HOUR_NS


class Process:
    """Stands for a turn's process: works until it is told how it ended."""

    made: list[Process] = []

    def __init__(self, request, announce):
        self.request, self.outcome, self.is_ended, self.pid = request, None, False, 1
        Process.made.append(self)

    def poll(self):
        return self.outcome

    def end(self, seconds):
        self.is_ended = True


@pytest.fixture
def turning(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TurnProcess", Process)
    Process.made = []
    with bench_in(tmp_path, **{"loop.step_deadline_minutes": 1.0}) as bench:
        said, ended = [], []
        yield (
            bench,
            Turns(bench, TurnsAsked(), announce=said.append, on_end=ended.append),
            said,
            ended,
        )


def test_one_turn_at_a_time_and_its_end_is_told(turning):
    bench, turns, _, ended = turning
    now = bench.clock.now_ns()
    turns.tick(now)
    turns.tick(now + 1)
    (process,) = Process.made
    assert process.request.train
    assert process.request.refresh
    run_id = bench.journal.start_run(KIND)
    bench.journal.finish_run(run_id, "done")
    process.outcome = TurnEnd(run_id, promoted=True, error="")
    turns.tick(now + 2)
    assert ended == [process.outcome]
    assert turns.completed == 1
    assert not turns.is_working


def test_a_training_that_was_asked_for_is_settled_by_a_turn_that_trained(turning):
    bench, turns, _, _ = turning
    run_id = bench.journal.start_run(KIND)
    alarm = bench.journal.raise_alarm(run_id, "GLOBAL", "feature_drift", "retrain", {})
    turns.tick(bench.clock.now_ns())
    Process.made[0].outcome = TurnEnd(run_id, promoted=False, error="")
    turns.tick(bench.clock.now_ns())
    assert [each.number for each in bench.journal.open_alarms()] == [alarm.number]
    turns.tick(bench.clock.now_ns())
    with bench.journal.step(run_id, "train lightgbm"):
        pass
    Process.made[-1].outcome = TurnEnd(run_id, promoted=False, error="")
    turns.tick(bench.clock.now_ns())
    assert bench.journal.open_alarms() == []


def test_a_step_that_takes_too_long_is_ended_and_taken_up_later(turning):
    bench, turns, said, ended = turning
    now = bench.clock.now_ns()
    turns.tick(now)
    run_id = bench.journal.start_run(KIND)
    with bench.journal.step(run_id, "sweep"):
        turns.tick(now)
        assert not Process.made[0].is_ended
        turns.tick(now + HOUR_NS)
    assert Process.made[0].is_ended
    assert "step 'sweep' must end within loop.step_deadline_minutes" in ended[0].error
    assert any("turn ended" in line for line in said)
    assert not turns.is_working


def test_a_stop_ends_the_turn_at_work(turning):
    _, turns, _, _ = turning
    turns.tick(0)
    turns.close()
    assert Process.made[0].is_ended
    assert not turns.is_working
    turns.close()
