"""Full disks, folders without permission, damaged files: a clear error, and nothing lost."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from crypto_bot.core import Order, OrderType, Side
from crypto_bot.core.errors import StorageError
from crypto_bot.journal import Decision, Journal

DECISIONS = [Decision("A/B", bar, 1, 0.5, "x" * 100) for bar in range(5000)]
KILLED = """
import os, signal, sys
from crypto_bot.journal import Decision, Journal
journal = Journal(sys.argv[1])
run_id = journal.start_run("killed")
for bar in range(20):
    journal.record_decisions(run_id, [Decision("A/B", bar, 1, 0.5)])
os.kill(os.getpid(), signal.SIGKILL)
"""
LIMITED = """
import resource, signal, sys
from crypto_bot.core.errors import StorageError
from crypto_bot.journal import Decision, Journal
journal = Journal(sys.argv[1])
run_id = journal.start_run("limited")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
decisions = [Decision("A/B", bar, 1, 0.5, "x" * 100) for bar in range(5000)]
try:
    journal.record_decisions(run_id, decisions)
except StorageError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(len(journal.decisions(run_id)), journal.record_decisions(run_id, decisions))
"""


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Act as a user without rights where the tests are run by root, who has them all."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder():
    """A folder below one that everybody may enter; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def write_many(journal: Journal, prefix: str) -> None:
    run_id = journal.start_run(prefix)
    for number in range(6):
        order = Order(f"{prefix}-{number}", "BTC/USDT", Side.BUY, OrderType.MARKET, 1.0, number)
        journal.record_orders(run_id, [order])
        journal.raise_alarm(run_id, "BTC/USDT", "psi", "shrink", {"by": prefix})
        with journal.step(run_id, f"step {number}") as step:
            step.finish(number)
    journal.finish_run(run_id, "done")


def _write_many(location: str, prefix: str) -> None:
    with Journal(location) as journal:
        write_many(journal, prefix)


def test_eight_processes_write_at_once_and_all_of_it_is_there(location):
    spawn = multiprocessing.get_context("forkserver")
    spawn.set_forkserver_preload(["crypto_bot.journal"])
    writers = [spawn.Process(target=_write_many, args=(location, name)) for name in "abcdefgh"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
        assert writer.exitcode == 0
    with Journal(location) as journal:
        journal.require_intact()
        runs = journal.runs(status="done")
        assert {run.kind for run in runs} == set("abcdefgh")
        assert sum(len(journal.orders(run.id)) for run in runs) == 48
        assert {len(journal.steps(run.id)) for run in runs} == {6}
        assert len(journal.open_alarms()) == 1


def test_a_full_disk_is_named_and_keeps_what_was_written(tmp_path):
    with Journal(tmp_path / "j.sqlite") as journal:
        run_id = journal.start_run("demo")
        with journal._writing() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        with journal._engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 10}")
        with pytest.raises(StorageError, match=r"must have room, was on a full disk; free some"):
            journal.record_decisions(run_id, DECISIONS)
        assert journal.decisions(run_id) == []
        journal.finish_run(run_id, "failed")
        with journal._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        assert journal.record_decisions(run_id, DECISIONS) == len(DECISIONS)
        journal.require_intact()


def test_a_write_that_fails_in_the_middle_leaves_nothing_of_its_batch(tmp_path):
    path = tmp_path / "j.sqlite"
    said = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "j.sqlite must " in said[0]
    assert "disk" in said[0]
    assert said[1] == "0 5000"
    with Journal(path) as journal:
        journal.require_intact()


def test_a_folder_that_may_not_be_written_is_named(open_folder):
    open_folder.chmod(0o555)
    with (
        as_nobody(),
        pytest.raises(StorageError, match=r"must be writable, was not .* permissions"),
    ):
        Journal(open_folder / "j.sqlite")
    with as_nobody(), pytest.raises(StorageError, match="must be in a folder that can be made"):
        Journal(open_folder / "below" / "j.sqlite")


def test_a_journal_that_may_only_be_read_is_named_and_left_as_it_is(open_folder):
    path = open_folder / "j.sqlite"
    Journal(path).close()
    before = path.read_bytes()
    path.chmod(0o444)
    open_folder.chmod(0o555)
    with as_nobody(), pytest.raises(StorageError, match="must be writable, was not"):
        Journal(path)
    assert path.read_bytes() == before


def killed_journal(path: Path) -> Path:
    """A journal whose last rows are in its log only, because its process was killed."""
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    return path.with_name(f"{path.name}-wal")


def test_a_torn_log_costs_its_torn_end_and_nothing_before(tmp_path):
    path = tmp_path / "j.sqlite"
    log = killed_journal(path)
    content = log.read_bytes()
    log.write_bytes(content[: len(content) - 3000])
    with Journal(path) as journal:
        journal.require_intact()
        (run,) = journal.unfinished_runs()
        kept = [decision.bar_close_ns for decision in journal.decisions(run.id)]
        assert kept == list(range(19))


def test_a_lost_log_is_an_older_journal_and_never_a_broken_one(tmp_path):
    path = tmp_path / "j.sqlite"
    with Journal(path) as journal:
        old = journal.start_run("old")
    killed_journal(path).unlink()
    path.with_name(f"{path.name}-shm").unlink()
    with Journal(path) as journal:
        journal.require_intact()
        assert [run.id for run in journal.runs()] == [old]


def test_a_log_that_cannot_be_opened_is_named(tmp_path):
    path = tmp_path / "j.sqlite"
    Journal(path).close()
    path.with_name(f"{path.name}-wal").mkdir()
    with pytest.raises(StorageError, match="must be"):
        Journal(path)


def test_a_file_cut_short_is_found_and_left_for_recovery(tmp_path):
    path = tmp_path / "j.sqlite"
    with Journal(path) as journal:
        journal.record_decisions(journal.start_run("demo"), DECISIONS)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(StorageError, match=r"was damaged .*\.recover"), Journal(path) as journal:
        journal.require_intact()


def test_every_question_the_code_asks_is_answered_by_an_index(location):
    """Months of rows stay out of the way: no query walks a table that grows with every candle."""
    asked: list[tuple[str, object]] = []
    with Journal(location) as journal:
        run_id = journal.start_run("demo")

        @event.listens_for(journal._engine, "before_cursor_execute")
        def _note(_connection, _cursor, statement, parameters, _context, _many):
            if statement.startswith("SELECT") and "FROM" in statement:
                asked.append((statement, parameters))

        journal.unfinished_runs("demo")
        journal.runs("demo", status="done", limit=5)
        journal.runs(limit=5)
        journal.last_run("demo", status="done", tried="model")
        journal.steps(run_id)
        journal.decisions(run_id, "A/B")
        journal.orders(run_id)
        journal.fills(run_id)
        journal.due_messages(10**18)
        journal.open_alarms()
        journal.open_alarms("A/B", "shrink")
        journal.lease("loop")
        journal.model_events(run_id=run_id)
        journal.model_events(symbol="A/B")
        journal.feedback(run_id=run_id)
        journal.trials_count(run_id=run_id)
        journal.trials_count(symbol="A/B", timeframe="5m", strategy="rsi")
        noted = list(asked)
        with journal._engine.connect() as connection:
            is_server = connection.dialect.name == "postgresql"
            if is_server:  # with so few rows a walk is cheaper: ask what it would do with many
                connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            for statement, parameters in noted:
                words = "EXPLAIN " if is_server else "EXPLAIN QUERY PLAN "
                plan = connection.exec_driver_sql(words + statement, parameters).all()
                for row in plan:
                    step = str(row[-1])
                    is_walk = "Seq Scan on" in step or (
                        step.startswith("SCAN ") and "USING" not in step and "(" not in step
                    )
                    assert not is_walk, (statement, plan)
