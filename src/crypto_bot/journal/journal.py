"""`Journal`: one database holding every ledger."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from crypto_bot.core.errors import StorageError
from crypto_bot.core.timeframes import Clock, SystemClock
from crypto_bot.journal.alarms import AlarmLedger
from crypto_bot.journal.database import Durability, database_url, open_database
from crypto_bot.journal.faults import shown, storage_errors
from crypto_bot.journal.leases import LeaseLedger
from crypto_bot.journal.messages import MessageLedger
from crypto_bot.journal.postgresql import read_every_page
from crypto_bot.journal.runs import RunLedger
from crypto_bot.journal.trading import TradingLedger
from crypto_bot.journal.trials import TrialLedger


def _token() -> str:
    return secrets.token_hex(3)


class Journal(RunLedger, TrialLedger, TradingLedger, LeaseLedger, MessageLedger, AlarmLedger):
    """The durable memory of every run.

    Parameters
    ----------
    location : str or Path     a file, `sqlite:///file`, `sqlite://` (in memory) or `postgresql://...`
    clock : Clock              where 'now' comes from
    durability : Durability    what a returned call survives; POWER_LOSS unless told otherwise
    new_token : callable       the six hex digits of a run id

    Raises
    ------
    ConfigError     a URL of another kind of database
    MissingExtra    a PostgreSQL URL without its driver
    StorageError    a folder that cannot be written, a damaged file, a server that is not there,
                    another program's database, or a schema of a newer version

    Notes
    -----
    Safe from several threads and several processes; a child process opens its own. Times are int64
    UTC ns. A journal of an older version is migrated as it opens, with every row it holds.

    >>> with Journal("sqlite://") as journal:
    ...     run_id = journal.start_run("demo", {"seed": 42})
    ...     journal.finish_run(run_id, "done", {"promoted": False})
    ...     journal.run(run_id).summary
    {'promoted': False}
    """

    def __init__(
        self,
        location: str | Path,
        *,
        clock: Clock | None = None,
        durability: Durability = Durability.POWER_LOSS,
        new_token: Callable[[], str] = _token,
    ) -> None:
        self._url = database_url(location)
        self._clock = clock if clock is not None else SystemClock()
        self._new_token = new_token
        self._engine = open_database(self._url, durability, self._clock.now_ns())

    def __repr__(self) -> str:
        return f"Journal({shown(self._url)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back; the journal can be opened again."""
        self._engine.dispose()

    def require_intact(self) -> None:
        """Read the whole database and raise StorageError where it is damaged.

        SQLite checks every page and index of the file. A PostgreSQL server compares the checksum of
        every page of our tables as it reads them (its indexes and other tables are its own affair).
        """
        with storage_errors(self._url), self._engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                read_every_page(connection)
                return
            fault = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
        if fault != "ok":
            raise StorageError(
                f"{shown(self._url)} must be an intact SQLite file, was damaged ({fault}); save what "
                f"is readable by: sqlite3 {shown(self._url)} .recover | sqlite3 mended.sqlite"
            )
