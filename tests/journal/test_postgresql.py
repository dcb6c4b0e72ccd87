"""What only a server can do to a journal: go away, come back, cut connections, refuse."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

import postgres_server
from crypto_bot.core import Order, OrderType, Side
from crypto_bot.core.errors import DataError, StorageError
from crypto_bot.journal import Decision, Journal, LeaseHeld, Trial
from postgres_server import LOCKED_USER, PostgresServer

WRITER = """
import sys
from crypto_bot.core import Order, OrderType, Side
from crypto_bot.core.errors import StorageError
from crypto_bot.journal import Journal
journal = Journal(sys.argv[1])
run_id = journal.start_run("writer")
try:
    for number in range(1_000_000):
        order = Order(f"o-{number}", "BTC/USDT", Side.BUY, OrderType.MARKET, 1.0, number)
        journal.record_orders(run_id, [order])
        print(order.client_id, flush=True)
except StorageError as error:
    print(error, file=sys.stderr)
"""


@pytest.fixture
def journal(schema_url):
    with Journal(schema_url) as opened:
        yield opened


def cut_every_connection(server: PostgresServer) -> None:
    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'crypto-bot'"
    )


def test_the_server_syncs_every_commit_as_one_in_earnest_does(journal):
    with journal._writing() as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert connection.exec_driver_sql(f"SHOW {setting}").scalar() == "on"


def test_what_was_acknowledged_survives_a_crash_of_the_server(server, schema_url):
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, schema_url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        acknowledged = {process.stdout.readline().strip() for _ in range(50)}
        server.crash()
        rest, told = process.communicate()
    acknowledged |= set(rest.split())
    assert "must be reachable, was not" in told
    server.start()
    with Journal(schema_url) as journal:
        journal.require_intact()
        (run,) = journal.unfinished_runs()
        assert acknowledged <= {order.client_id for order in journal.orders(run.id)}


def test_an_open_journal_goes_on_when_the_server_is_back(server, journal):
    run_id = journal.start_run("demo")
    server.stop()
    with pytest.raises(StorageError, match=r"must be reachable, was not: .* try again") as caught:
        journal.finish_run(run_id, "done")
    assert "\n" not in str(caught.value)
    server.start()
    journal.finish_run(run_id, "done")
    assert journal.run(run_id).status == "done"


def test_a_server_restarted_between_two_calls_is_not_even_noticed(server, journal):
    run_id = journal.start_run("demo")
    server.stop()
    server.start()
    journal.finish_run(run_id, "done")


def test_a_connection_cut_in_the_middle_leaves_nothing_half_written(postgresql, journal):
    run_id = journal.start_run("demo")
    order = Order("o", "BTC/USDT", Side.BUY, OrderType.MARKET, 1.0, 1)

    def change() -> None:
        with journal._writing() as connection:
            connection.exec_driver_sql("UPDATE runs SET kind = 'half'")
            cut_every_connection(postgresql)
            connection.exec_driver_sql("UPDATE runs SET status = 'half'")

    with pytest.raises(StorageError, match="must be reachable, was not"):
        change()
    assert (journal.run(run_id).kind, journal.run(run_id).status) == ("demo", "running")
    assert journal.record_orders(run_id, [order]) == 1


def test_the_lock_of_a_writer_that_was_cut_off_is_free_at_once(postgresql, schema_url, journal):
    def vanish() -> None:
        with journal._writing() as connection:
            cut_every_connection(postgresql)
            with Journal(schema_url) as other:
                other.start_run("demo")
            connection.exec_driver_sql("SELECT 1")

    with pytest.raises(StorageError, match="must be reachable"):
        vanish()


def test_waiting_for_another_writer_ends(schema_url, monkeypatch, journal):
    monkeypatch.setattr("crypto_bot.journal.faults.BUSY_S", 0.1)
    told = "must be free, was held by another process"
    with (
        Journal(schema_url) as waiting,
        journal._writing(),
        pytest.raises(StorageError, match=told),
    ):
        waiting.start_run("demo")
    with Journal(schema_url) as waiting:
        waiting.start_run("demo")


def test_readers_do_not_wait_for_a_writer(schema_url, journal):
    run_id = journal.start_run("demo")
    with Journal(schema_url) as reader, journal._writing() as connection:
        connection.exec_driver_sql("UPDATE runs SET kind = 'half'")
        assert reader.run(run_id).kind == "demo"


def test_silence_is_measured_by_the_servers_clock(schema_url, journal, monkeypatch):
    lease = journal.take_lease("loop", lease_s=60)
    with journal._writing() as connection:
        connection.exec_driver_sql("UPDATE leases SET process = 'elsewhere:1:2'")
    monkeypatch.setattr("time.time_ns", lambda: lease.renewed_at_ns + 10**15)
    with Journal(schema_url) as other, pytest.raises(LeaseHeld, match=r"try again in (60|59) s"):
        other.take_lease("loop", lease_s=60)


def test_two_schemas_of_a_server_do_not_wait_for_each_other(postgresql, journal):
    with Journal(postgresql.new_schema("another_journal")) as other, journal._writing():
        other.start_run("demo")


@pytest.mark.parametrize(
    "form", ["user:hidden@127.0.0.1:1/name", "127.0.0.1:1/name?password=hidden"]
)
def test_a_server_that_does_not_answer_is_named_without_its_password(form):
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'crypto-bot[pg]'")
    with pytest.raises(StorageError, match=r"must be reachable, was not: .*; start it") as caught:
        Journal(f"postgresql://{form}")
    assert "hidden" not in str(caught.value)


def test_a_wrong_and_a_missing_password_name_where_it_belongs(postgresql, monkeypatch):
    postgresql.execute(f"CREATE ROLE {LOCKED_USER} LOGIN PASSWORD 'right'")
    url = postgresql.url().replace("postgres@", f"{LOCKED_USER}@", 1)
    told = r"must let us in, did not .*; give the password by PGPASSWORD or ~/\.pgpass"
    monkeypatch.setenv("PGPASSFILE", os.devnull)
    with pytest.raises(StorageError, match=told):
        Journal(url)
    monkeypatch.setenv("PGPASSWORD", "hidden")
    with pytest.raises(StorageError, match=told) as caught:
        Journal(url)
    assert "hidden" not in str(caught.value)
    monkeypatch.setenv("PGPASSWORD", "right")
    with pytest.raises(StorageError, match=r"must be writable, was not \(permission denied"):
        Journal(url)


def test_a_database_and_a_schema_that_are_not_there_are_named(postgresql):
    with pytest.raises(StorageError, match=r"must exist, did not .*make it: createdb"):
        Journal(postgresql.url().replace("/postgres?", "/nowhere?"))
    with pytest.raises(StorageError, match=r"must name a schema that exists, .* CREATE SCHEMA"):
        Journal(postgresql.url("nowhere"))


def test_a_server_that_takes_no_writes_is_refused(schema_url):
    read_only = schema_url.replace("options=", "options=-cdefault_transaction_read_only%3Don%20")
    with pytest.raises(StorageError, match=r"must be writable, was not .*read-only"):
        Journal(read_only)


@pytest.mark.parametrize(
    ("state", "told"),
    [("53100", "must have room, was on a full disk"), ("XX001", "must be intact, was damaged")],
)
def test_faults_of_the_servers_disk_are_told_apart(journal, state, told):
    run_id = journal.start_run("demo")

    def change() -> None:
        with journal._writing() as connection:
            connection.exec_driver_sql("UPDATE runs SET kind = 'half'")
            fault = f"RAISE EXCEPTION 'no' USING ERRCODE = '{state}'"
            connection.exec_driver_sql(f"DO $$ BEGIN {fault}; END $$")

    with pytest.raises(StorageError, match=told):
        change()
    assert journal.run(run_id).kind == "demo"


def test_a_damaged_page_is_found(server, schema_url):
    with Journal(schema_url) as journal:
        run_id = journal.start_run("demo")
        journal.record_decisions(run_id, [Decision("A/B", bar, 1, 0.5) for bar in range(2000)])
        journal.require_intact()
        with journal._writing() as connection:
            path = connection.exec_driver_sql("SELECT pg_relation_filepath('decisions')").scalar()
        server.stop()
        with (server.folder / "data" / path).open("r+b") as file:
            file.seek(5 * 8192 + 4000)
            file.write(b"\xa5" * 100)
        server.start()
        with pytest.raises(StorageError, match=r"must be intact, was damaged \(invalid page"):
            journal.require_intact()
        journal.run(run_id)  # the rest still answers


def test_texts_the_server_cannot_hold_are_refused_and_nothing_of_the_batch_is_written(journal):
    run_id = journal.start_run("demo")
    good = Trial("A/B", "5m", "rsi", {}, {})
    for symbol, told in (("x" * 65, "value too long"), ("a\0b", "must accept this")):
        with pytest.raises(StorageError, match=told):
            journal.record_trials(run_id, [good, Trial(symbol, "5m", "rsi", {}, {})])
    with pytest.raises(DataError, match="None for undefined numbers"):
        journal.record_decisions(run_id, [Decision("A/B", 1, 1, float("nan"))])
    assert journal.trials_count() == len(journal.decisions(run_id)) == 0


STARTER = """
import sys
sys.path.insert(0, sys.argv[1])
from postgres_server import PostgresServer
print(PostgresServer().folder, flush=True)
sys.stdin.read()
"""


def test_the_server_ends_with_the_tests_that_started_it(postgresql):
    sources = str(Path(postgres_server.__file__).parent)
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, sources],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        folder = Path(starter.stdout.readline().strip())
        pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        starter.kill()
    moment = threading.Event()
    for _ in range(400):
        if not folder.exists() and not psutil.pid_exists(pid):
            return
        moment.wait(0.05)
    pytest.fail("the server outlived its tests")
