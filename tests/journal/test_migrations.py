"""A journal of an older schema opens with every row it held, or stays exactly as it was."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, select

from crypto_bot.core.errors import StorageError
from crypto_bot.journal import Journal, RunStatus, TrialKind
from crypto_bot.journal.database import database_url
from crypto_bot.journal.schema import SCRIPTS
from crypto_bot.journal.tables import SCHEMA_VERSION, metadata

SCHEMA_1 = Path(__file__).with_name("schema_1.sql")
"""A journal as crypto-bot 0.1.0 wrote it, of every kind of row one or two."""
OLD_TABLES = sorted(set(metadata.tables) - {"leases", "messages", "alarms", "alembic_version"})
OPENER = """
import sys
from crypto_bot.journal import Journal
journal = Journal(sys.argv[1])
print(len(journal.runs()), "alembic" in sys.modules)
"""
KILLED = """
import os, signal, sys
from alembic import command
upgrade = command.upgrade
def then_die(*arguments):
    upgrade(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
command.upgrade = then_die
from crypto_bot.journal import Journal
Journal(sys.argv[1])
"""


@pytest.fixture
def engine(location):
    made = create_engine(database_url(location))
    yield made
    made.dispose()


@pytest.fixture
def old(engine):
    """A place that holds a journal of schema 1."""
    write_schema_1(engine)
    return engine


def write_schema_1(engine: Engine) -> None:
    """The frozen rows; in the frozen tables on SQLite, in revision 1's on PostgreSQL."""
    rows = [line for line in SCHEMA_1.read_text().splitlines() if line.startswith("INSERT")]
    if engine.dialect.name == "sqlite":
        connection = sqlite3.connect(str(engine.url.database))
        connection.executescript(SCHEMA_1.read_text())
        connection.close()
        return
    run_revisions(engine, "0001")
    order = ("journal_schema", "runs", "orders", "")
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
        for row in sorted(
            rows, key=lambda row: [f'"{name}"' in row for name in order], reverse=True
        ):
            connection.exec_driver_sql(
                booleans(row) if '"runs"' in row or '"trials"' in row else row
            )
        for name in ("trials", "feedback", "fills", "model_events"):
            connection.exec_driver_sql(
                f"SELECT setval('{name}_number_seq', (SELECT max(number) FROM {name}))"
            )


def booleans(row: str) -> str:
    """SQLite keeps False as 0; it stands before the summary of a run and the date of a trial."""
    return re.sub(r",([01]),('\{|1769)", lambda found: f",'{found[1]}',{found[2]}", row)


def run_revisions(engine: Engine, target: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, target)


def contents(engine: Engine) -> dict[str, list[dict[str, object]]]:
    """Every row of the tables of schema 1."""
    with engine.connect() as connection:
        return {
            name: [
                dict(row)
                for row in connection.execute(
                    select(*(c for c in metadata.tables[name].c if c.name != "process"))
                ).mappings()
            ]
            for name in OLD_TABLES
            if name != "journal_schema"
        }


def shape(engine: Engine) -> set[object]:
    """Everything the database knows about its tables, columns, indexes and triggers."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            names = connection.exec_driver_sql(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).scalars()
            columns = {
                (name, *row[1:])
                for name in list(names)
                for row in connection.exec_driver_sql(f"PRAGMA table_info({name})")
            }
            rest = connection.exec_driver_sql(
                "SELECT type, name, sql FROM sqlite_master WHERE type <> 'table'"
            )
            uniques = {
                (name, tuple(row[2:4]))
                for name in metadata.tables
                for row in connection.exec_driver_sql(f"PRAGMA index_list({name})")
            }
            keys = {
                (name, tuple(row[2:5]))
                for name in metadata.tables
                for row in connection.exec_driver_sql(f"PRAGMA foreign_key_list({name})")
            }
            return columns | {tuple(row) for row in rest} | uniques | keys
        columns = connection.exec_driver_sql(
            "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, "
            "column_default FROM information_schema.columns WHERE table_schema = current_schema()"
        )
        rest = connection.exec_driver_sql(
            "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = current_schema() "
            "UNION SELECT conrelid::regclass::text, pg_get_constraintdef(c.oid) FROM pg_constraint c "
            "WHERE connamespace = current_schema()::regnamespace "
            "UNION SELECT tgrelid::regclass::text, pg_get_triggerdef(t.oid) FROM pg_trigger t "
            "JOIN pg_class r ON r.oid = tgrelid WHERE NOT tgisinternal "
            "AND relnamespace = current_schema()::regnamespace"
        )
        schemas = re.compile(r"test_[0-9a-f]{32}\.")
        return {tuple(schemas.sub("", str(value)) for value in row) for row in [*columns, *rest]}


def version(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.exec_driver_sql("SELECT version FROM journal_schema").scalar_one()


def test_an_older_journal_opens_with_every_row_it_held(old, location):
    before = contents(old)
    assert all(before.values())
    with Journal(location) as journal:
        assert contents(old) == before
        assert version(old) == SCHEMA_VERSION
        last = journal.last_run("integrated", status="done")
        assert journal.step_result(last.id, "refresh") == {"candles": 12}
        assert journal.trials_count(run_id=last.id, kind=TrialKind.MODEL) == 1
        assert journal.run("20260131T120000Z-000002").status is RunStatus.RUNNING
        journal.release_lease(journal.take_lease("loop", lease_s=60))
        journal.record_feedback(last.id, journal.feedback())
        assert len(journal.feedback()) == 2


def test_an_older_journal_becomes_what_a_new_one_is(old, location, tmp_path, request):
    Journal(location).close()
    migrated = shape(old)
    if old.dialect.name == "sqlite":
        place = str(tmp_path / "new.sqlite")
    else:
        place = request.getfixturevalue("postgresql").new_schema(f"test_{'0' * 32}")
    Journal(place).close()
    fresh = create_engine(database_url(place))
    try:
        assert migrated == shape(fresh)
    finally:
        if old.dialect.name == "postgresql":
            with fresh.begin() as connection:
                connection.exec_driver_sql(f"DROP SCHEMA test_{'0' * 32} CASCADE")
        fresh.dispose()


def test_the_revisions_alone_make_what_a_new_journal_is(engine, location, tmp_path):
    run_revisions(engine, "head")
    by_revisions = shape(engine)
    with engine.begin() as connection:
        for name in reversed(metadata.sorted_tables):
            connection.exec_driver_sql(f"DROP TABLE {name.name}")
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("DROP FUNCTION refuse_trial_change")
    Journal(location).close()
    assert shape(engine) == by_revisions


def test_trials_stay_add_only_after_a_migration(old, location):
    Journal(location).close()
    with (
        pytest.raises(Exception, match="trials are only ever added"),
        old.begin() as connection,
    ):
        connection.exec_driver_sql("DELETE FROM trials")


@pytest.mark.parametrize("other", [0, SCHEMA_VERSION + 1, 99])
def test_a_schema_this_program_does_not_know_is_refused_untouched(engine, location, other):
    Journal(location).close()
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE journal_schema SET version = {other}")
    told = f"must have schema version {SCHEMA_VERSION} or an older one, was {other}; open it with"
    with pytest.raises(StorageError, match=told):
        Journal(location)
    assert version(engine) == other


def test_a_migration_that_fails_leaves_the_older_schema_as_it_was(old, location):
    with old.begin() as connection:  # the last thing revision 2 makes is in the way
        connection.exec_driver_sql("CREATE TABLE alarms (title TEXT)")
    rows, looks = contents(old), shape(old)
    with pytest.raises(StorageError, match=r"alarms.* already exists"):
        Journal(location)
    assert (contents(old), shape(old), version(old)) == (rows, looks, 1)
    with old.begin() as connection:
        connection.exec_driver_sql("DROP TABLE alarms")
    Journal(location).close()
    assert version(old) == SCHEMA_VERSION


def test_a_kill_in_the_middle_of_a_migration_leaves_the_older_schema(old, location):
    rows = contents(old)
    killed = subprocess.run([sys.executable, "-c", KILLED, location], check=False)
    assert killed.returncode == -9
    assert (contents(old), version(old)) == (rows, 1)
    Journal(location).close()
    assert (contents(old), version(old)) == (rows, SCHEMA_VERSION)


def test_processes_that_open_an_older_journal_at_once_all_find_it_migrated(old, location):
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, location], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    said = [opener.communicate()[0].split() for opener in openers]
    assert [opener.returncode for opener in openers] == [0, 0, 0]
    assert [words[0] for words in said] == ["2", "2", "2"]
    assert sum(words[1] == "True" for words in said) == 1  # one migrated, the others waited


def test_a_journal_of_today_is_opened_without_the_migrations(location):
    Journal(location).close()
    said = subprocess.run(
        [sys.executable, "-c", OPENER, location], capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["0", "False"]
