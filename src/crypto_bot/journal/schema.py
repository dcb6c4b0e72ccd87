"""The schema and its version: made on first use, brought up to date, refused when it is newer."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, delete, insert, inspect, select, update
from sqlalchemy.engine import URL

from crypto_bot.core.errors import StorageError
from crypto_bot.journal import tables
from crypto_bot.journal.faults import shown
from crypto_bot.journal.tables import SCHEMA_VERSION

SCRIPTS = Path(__file__).parent / "migrations"


def require_schema(connection: Connection, url: URL, now_ns: int) -> None:
    """See to it that the database holds today's schema, inside the caller's transaction.

    An empty database gets it, an older one is migrated with every row it holds. StorageError for a
    newer one and for the database of another program. An error on the way leaves the database as it
    was, once the transaction is rolled back.
    """
    present = set(inspect(connection).get_table_names())
    if not present:
        _make(connection, now_ns)
        return
    if tables.journal_schema.name not in present:
        raise StorageError(
            f"{shown(url)} must be a journal of this program, was another database with tables "
            f"{', '.join(sorted(present)[:5])}; name another {_kind(url)}"
        )
    version = connection.execute(select(tables.journal_schema.c.version)).scalar()
    if version == SCHEMA_VERSION:
        return
    if version is None or not 1 <= version < SCHEMA_VERSION:
        raise StorageError(
            f"{shown(url)} must have schema version {SCHEMA_VERSION} or an older one, was {version}; "
            f"open it with the newer crypto-bot that wrote it, or name another {_kind(url)}"
        )
    migrate(connection, version)


def migrate(connection: Connection, version: int) -> None:
    """Bring the tables of an older `version` up to SCHEMA_VERSION by alembic's revisions."""
    from alembic import command
    from alembic.config import Config

    tables.alembic_version.create(connection, checkfirst=True)  # schema 1 was made without it
    connection.execute(delete(tables.alembic_version))
    _write_revision(connection, version)
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision_of(SCHEMA_VERSION))
    connection.execute(update(tables.journal_schema).values(version=SCHEMA_VERSION))


def revision_of(version: int) -> str:
    """Alembic's name of a schema version.

    >>> revision_of(2)
    '0002'
    """
    return f"{version:04d}"


def _make(connection: Connection, now_ns: int) -> None:
    tables.metadata.create_all(connection, checkfirst=False)
    made = {"version": SCHEMA_VERSION, "created_at_ns": now_ns}
    connection.execute(insert(tables.journal_schema).values(made))
    _write_revision(connection, SCHEMA_VERSION)


def _write_revision(connection: Connection, version: int) -> None:
    connection.execute(insert(tables.alembic_version).values(version_num=revision_of(version)))


def _kind(url: URL) -> str:
    return "file" if url.get_backend_name() == "sqlite" else "database or schema"
