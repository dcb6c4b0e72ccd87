"""Opening, refusing and surviving."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from crypto_bot.core import Order, OrderType, Side
from crypto_bot.core.errors import ConfigError, MissingExtra, StorageError
from crypto_bot.journal import Decision, Durability, Journal, tables

WRITER = """
import sys
from crypto_bot.core import Order, OrderType, Side
from crypto_bot.journal import Journal
journal, name = Journal(sys.argv[1]), sys.argv[2]
run_id = journal.start_run(name)
for number in range(int(sys.argv[3])):
    client_id = f"{name}-{number}"
    order = Order(client_id, "BTC/USDT", Side.BUY, OrderType.MARKET, 1.0, number)
    journal.record_orders(run_id, [order])
    print(client_id, flush=True)
"""


def writer(path, name: str, orders: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(orders)],
        stdout=subprocess.PIPE,
        text=True,
    )


def all_orders(journal: Journal) -> set[str]:
    return {order.client_id for run in journal.runs() for order in journal.orders(run.id)}


def test_what_was_acknowledged_survives_a_kill(tmp_path):
    path = tmp_path / "j.sqlite"
    with writer(path, "w", 1_000_000) as process:
        assert process.stdout is not None
        acknowledged = {process.stdout.readline().strip() for _ in range(200)}
        os.kill(process.pid, signal.SIGKILL)
        acknowledged |= {line.strip() for line in process.stdout if line.endswith("\n")}
    with Journal(path) as journal:
        journal.require_intact()
        assert len(acknowledged) >= 200
        assert acknowledged <= all_orders(journal)
        assert [run.kind for run in journal.unfinished_runs()] == ["w"]


def test_two_processes_write_at_once_from_the_first_moment(tmp_path):
    path = tmp_path / "new" / "j.sqlite"
    processes = [writer(path, name, 150) for name in ("a", "b")]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    with Journal(path) as journal:
        journal.require_intact()
        assert all_orders(journal) == {f"{name}-{n}" for name in "ab" for n in range(150)}


def test_threads_may_share_a_journal(tmp_path):
    with Journal(tmp_path / "j.sqlite") as journal:
        run_id = journal.start_run("demo")

        def write(symbol: int) -> int:
            return journal.record_decisions(
                run_id, [Decision(f"S{symbol}/USDT", bar, 1, 0.5) for bar in range(50)]
            )

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(write, range(8))) == 400
        assert len(journal.decisions(run_id)) == 400


def test_the_file_is_set_up_to_last(tmp_path):
    with Journal(f"sqlite:///{tmp_path / 'j.sqlite'}") as journal, journal._writing() as connection:
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


def test_replays_may_ask_for_less_than_a_power_cut(tmp_path):
    with (
        Journal(tmp_path / "j.sqlite", durability=Durability.PROCESS_DEATH) as journal,
        journal._writing() as connection,
    ):
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1


def test_a_journal_opens_again_with_all_it_held(tmp_path):
    with Journal(tmp_path / "j.sqlite") as journal:
        run_id = journal.start_run("demo")
    with Journal(tmp_path / "j.sqlite") as journal:
        assert [run.id for run in journal.runs()] == [run_id]
        assert "j.sqlite" in repr(journal)


def test_another_programs_database_is_refused_untouched(tmp_path):
    path = tmp_path / "other.sqlite"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    with pytest.raises(StorageError, match=r"must be a journal of this program, .* songs; name"):
        Journal(path)


def test_a_file_that_is_no_database_is_refused_with_a_way_out(tmp_path):
    path = tmp_path / "j.sqlite"
    path.write_bytes(b"not a database at all, just text\n" * 100)
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"intact SQLite file, was damaged .*\.recover"):
        Journal(path)
    assert path.read_bytes() == before


def test_a_damaged_page_is_found(tmp_path):
    path = tmp_path / "j.sqlite"
    with Journal(path) as journal:
        run_id = journal.start_run("demo")
        journal.record_decisions(run_id, [Decision("A/B", bar, 1, 0.5) for bar in range(5000)])
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = b"\xa5" * (len(content) - len(content) // 2)
    path.write_bytes(content)
    with Journal(path) as journal:
        with pytest.raises(StorageError, match="intact SQLite file, was damaged"):
            journal.require_intact()
        with pytest.raises(StorageError, match="intact SQLite file, was damaged"):
            journal.decisions(run_id)


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="must be in a folder that can be made"):
        Journal(tmp_path / "file" / "j.sqlite")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=r"folder must be writable, was not \(unable to open"):
        Journal(tmp_path / "folder")


def test_a_database_held_by_another_is_named_busy(tmp_path, monkeypatch):
    monkeypatch.setattr("crypto_bot.journal.faults.BUSY_S", 0.05)
    path = tmp_path / "j.sqlite"
    with Journal(path) as journal:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="must be free, was held by another process"):
            journal.start_run("demo")
        holder.close()


def test_other_kinds_of_database_are_refused():
    with pytest.raises(ConfigError, match="journal url must be sqlite or postgresql, was 'mysql'"):
        Journal("mysql://user:hidden@host/name")
    with pytest.raises(ConfigError, match="journal url must look like") as caught:
        Journal("postgresql://user:hidden@host:notaport/name")
    assert "hidden" not in str(caught.value)


def test_postgresql_without_its_driver_names_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"pip install 'crypto-bot\[pg\]'"):
        Journal("postgresql://host/name")


def test_the_tables_can_be_made_on_postgresql():
    dialect = postgresql.dialect()
    for table in tables.metadata.sorted_tables:
        text = str(CreateTable(table).compile(dialect=dialect))
        assert f"CREATE TABLE {table.name}" in text
    assert "number BIGSERIAL" in str(CreateTable(tables.trials).compile(dialect=dialect))


def test_a_journal_in_memory_works_the_same():
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("demo")
        order = Order("a", "BTC/USDT", Side.BUY, OrderType.MARKET, 1.0, 1)
        assert journal.record_orders(run_id, [order]) == 1
