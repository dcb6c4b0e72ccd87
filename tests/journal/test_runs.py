"""Runs and steps: one id, an honest status, and where to go on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from crypto_bot.core.errors import DataError
from crypto_bot.core.options import Options
from crypto_bot.core.timeframes import SECOND_NS, ReplayClock
from crypto_bot.journal import Journal, RunStatus

NOON_NS = 1_769_860_800 * SECOND_NS  # 2026-01-31T12:00:00Z


@pytest.fixture
def clock():
    return ReplayClock(NOON_NS)


@pytest.fixture
def journal(location, clock):
    tokens = (f"{number:06x}" for number in range(1, 1000))
    with Journal(location, clock=clock, new_token=lambda: next(tokens)) as opened:
        yield opened


def test_a_run_is_named_by_its_start_and_a_token(journal):
    assert journal.start_run("demo") == "20260131T120000Z-000001"


def test_ids_of_later_runs_sort_later(journal, clock):
    first = journal.start_run("demo")
    clock.set(NOON_NS + SECOND_NS)
    second = journal.start_run("demo")
    assert sorted([second, first]) == [first, second]


def test_a_run_keeps_its_configuration_and_its_end(journal, clock):
    class Some(Options):
        seed: int = 42

    run_id = journal.start_run("demo", Some(), data_fingerprint="abc", is_simulated=True)
    begun = journal.run(run_id)
    assert (begun.status, begun.pid, begun.config) == (RunStatus.RUNNING, os.getpid(), {"seed": 42})
    clock.set(NOON_NS + 5)
    journal.describe_run(run_id, data_fingerprint="def", is_simulated=False)
    journal.finish_run(run_id, "done", {"promoted": False})
    ended = journal.run(run_id)
    assert (ended.status, ended.finished_at_ns) == (RunStatus.DONE, NOON_NS + 5)
    assert (ended.data_fingerprint, ended.is_simulated) == ("def", False)
    assert ended.summary == {"promoted": False}
    assert ended.version


def test_runs_are_listed_newest_first(journal, clock):
    ids = []
    for number, kind in enumerate(("a", "b", "a")):
        clock.set(NOON_NS + number)
        ids.append(journal.start_run(kind))
    journal.finish_run(ids[0], RunStatus.DONE)
    assert [run.id for run in journal.runs()] == ids[::-1]
    assert [run.id for run in journal.runs("a", limit=1)] == [ids[2]]
    assert journal.last_run("a").id == ids[2]
    assert journal.last_run("a", status="done").id == ids[0]
    assert journal.last_run("none") is None


def test_unknown_runs_and_statuses_are_refused(journal):
    run_id = journal.start_run("demo")
    with pytest.raises(DataError, match="run_id must be a run of this journal, was 'x'"):
        journal.run("x")
    with pytest.raises(DataError, match="run_id must be a run of this journal"):
        journal.finish_run("x", "done")
    for status in ("running", "good"):
        with pytest.raises(DataError, match="status must be done, failed or interrupted"):
            journal.finish_run(run_id, status)


def test_values_that_are_no_json_are_refused_before_anything_is_written(journal):
    for config in ({"x": float("nan")}, {"x": float("inf")}, {"x": object()}):
        with pytest.raises(DataError, match="must hold JSON values"):
            journal.start_run("demo", config)
    assert journal.runs() == []


def test_a_run_of_a_living_process_is_left_alone(journal, clock):
    mine = journal.start_run("demo")
    clock.set(NOON_NS + 1)
    journal.start_run("demo")
    assert journal.run(mine).status is RunStatus.RUNNING
    assert journal.unfinished_runs() == []


def test_a_run_of_a_dead_process_becomes_interrupted_and_can_go_on(journal, location):
    code = (
        "import sys; from crypto_bot.journal import Journal\n"
        "journal = Journal(sys.argv[1]); print(journal.start_run('demo', {'seed': 1}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, location],
        capture_output=True,
        text=True,
        check=True,
    )
    dead = done.stdout.strip()
    assert journal.run(dead).status is RunStatus.RUNNING
    assert [run.id for run in journal.unfinished_runs("demo")] == [dead]
    assert journal.run(dead).status is RunStatus.INTERRUPTED
    journal.resume_run(dead)
    assert (journal.run(dead).status, journal.run(dead).pid) == (RunStatus.RUNNING, os.getpid())
    journal.finish_run(dead, "done")
    with pytest.raises(DataError, match="must be unfinished to go on, was done"):
        journal.resume_run(dead)


def test_a_process_that_took_a_dead_ones_number_is_not_mistaken_for_it(journal):
    run_id = journal.start_run("demo")
    with journal._writing() as connection:
        connection.exec_driver_sql("UPDATE runs SET process = 'a machine before:1:2'")
    assert [run.id for run in journal.unfinished_runs()] == [run_id]


def test_a_run_of_an_older_schema_is_known_by_the_date_its_process_began(journal):
    run_id = journal.start_run("demo")
    with journal._writing() as connection:
        connection.exec_driver_sql("UPDATE runs SET process = NULL")
    assert journal.unfinished_runs() == []
    with journal._writing() as connection:
        connection.exec_driver_sql("UPDATE runs SET process_started_at_ns = 12345")
    assert [run.id for run in journal.unfinished_runs()] == [run_id]


def test_a_clock_that_was_set_does_not_make_a_process_another(journal, monkeypatch):
    journal.start_run("demo")
    monkeypatch.setattr("psutil.Process.create_time", lambda self: 12345.0)
    assert journal.unfinished_runs() == []


TAKERS = """
import multiprocessing, os, sys
from crypto_bot.core.errors import DataError
from crypto_bot.journal import Journal
fork = multiprocessing.get_context("fork")
start, end = fork.Barrier(4), fork.Barrier(4)
def take_up():
    journal = Journal(sys.argv[1])
    start.wait(60)
    try:
        journal.resume_run(sys.argv[2])
        said = b"taken\\n"
    except DataError as error:
        assert "must not be at work" in str(error)
        said = b"refused\\n"
    os.write(1, said)
    end.wait(60)
takers = [fork.Process(target=take_up) for _ in range(4)]
for taker in takers:
    taker.start()
for taker in takers:
    taker.join()
"""


def test_a_dead_run_is_taken_up_by_one_of_many(journal, location):
    run_id = journal.start_run("demo")
    with journal._writing() as connection:
        connection.exec_driver_sql("UPDATE runs SET process = 'a machine before:1:2'")
    race = subprocess.run(
        [sys.executable, "-c", TAKERS, location, run_id],
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(race.stdout.split()) == ["refused"] * 3 + ["taken"]


STEPS = """
import os, signal, sys
from crypto_bot.journal import Journal
journal = Journal(sys.argv[1])
run_id = journal.start_run("loop")
with journal.step(run_id, "refresh") as step:
    step.finish({"candles": 12})
print(run_id, flush=True)
with journal.step(run_id, "train"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_step_is_interrupted_and_the_finished_ones_are_not_repeated(journal, location):
    done = subprocess.run(
        [sys.executable, "-c", STEPS, location], capture_output=True, text=True, check=False
    )
    run_id = done.stdout.strip()
    assert [run.id for run in journal.unfinished_runs("loop")] == [run_id]
    known = {step.name: (step.status, step.attempts) for step in journal.steps(run_id)}
    assert known == {"refresh": (RunStatus.DONE, 1), "train": (RunStatus.INTERRUPTED, 1)}
    journal.resume_run(run_id)
    assert journal.step_result(run_id, "refresh") == {"candles": 12}
    for name, was_done in (("refresh", True), ("train", False)):
        with journal.step(run_id, name) as step:
            assert step.is_done is was_done
    assert {step.name: step.attempts for step in journal.steps(run_id)} == {
        "refresh": 1,
        "train": 2,
    }


def test_the_result_of_a_step_that_is_not_done_is_refused(journal):
    run_id = journal.start_run("demo")
    with pytest.raises(
        DataError, match=f"step train of run {run_id} must be done, was never begun"
    ):
        journal.step_result(run_id, "train")
    with pytest.raises(ValueError, match="bad"), journal.step(run_id, "train"):
        raise ValueError("bad")
    with pytest.raises(DataError, match="must be done, was failed"):
        journal.step_result(run_id, "train")


def test_a_step_that_was_told_to_stop_is_interrupted_and_not_failed(journal):
    run_id = journal.start_run("demo")
    with pytest.raises(KeyboardInterrupt), journal.step(run_id, "train"):
        raise KeyboardInterrupt
    assert [step.status for step in journal.steps(run_id)] == [RunStatus.INTERRUPTED]


def test_a_run_of_another_machine_is_not_judged(journal):
    run_id = journal.start_run("demo")
    with journal._writing() as connection:
        connection.exec_driver_sql("UPDATE runs SET host = 'elsewhere', pid = 999999")
    assert journal.unfinished_runs() == []
    with pytest.raises(DataError, match="must not be at work, was running as process 999999"):
        journal.resume_run(run_id)


def test_a_finished_step_is_not_done_again(journal, clock):
    run_id = journal.start_run("demo")
    worked = []
    for _ in range(2):
        with journal.step(run_id, "train") as step:
            if not step.is_done:
                worked.append(1)
                step.finish({"rows": 10})
        assert step.result == {"rows": 10}
    assert worked == [1]
    (known,) = journal.steps(run_id)
    assert (known.name, known.status, known.attempts) == ("train", RunStatus.DONE, 1)


def test_a_failed_step_says_why_and_is_tried_again(journal):
    run_id = journal.start_run("demo")
    with pytest.raises(ValueError, match="bad"), journal.step(run_id, "train"):
        raise ValueError("bad")
    (failed,) = journal.steps(run_id)
    assert (failed.status, failed.result) == (RunStatus.FAILED, {"error": "ValueError: bad"})
    with journal.step(run_id, "train") as step:
        assert not step.is_done
        step.finish("ok")
    (known,) = journal.steps(run_id)
    assert (known.status, known.attempts, known.result) == (RunStatus.DONE, 2, "ok")


def test_a_step_of_no_run_is_refused(journal):
    with pytest.raises(DataError, match="must name a run"), journal.step("x", "train"):
        pass
