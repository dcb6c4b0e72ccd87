"""Leases: one process at a time may do a named thing, and a dead one does not block the next."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, update

from crypto_bot.core.errors import ConfigError, StorageError
from crypto_bot.core.timeframes import SECOND_NS
from crypto_bot.journal import tables
from crypto_bot.journal.ledger import Ledger, Row, insert_new, matching
from crypto_bot.journal.processes import host_name, identity, is_alive, is_here


class LeaseHeld(StorageError):  # noqa: N818 - a state, not a fault
    """Another process holds the lease; the message names it and the way out."""


class LeaseLost(StorageError):  # noqa: N818 - a state, not a fault
    """The lease is another's by now: stop at once, and write nothing more under it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to do a named thing; `fence` grows with every taking, so a late one is known."""

    name: str
    fence: int
    pid: int
    host: str
    taken_at_ns: int
    renewed_at_ns: int
    lease_s: float


class LeaseLedger(Ledger):
    """Who may do what, for how long."""

    def take_lease(self, name: str, *, lease_s: float) -> Lease:
        """Take a lease that is free, or whose holder is gone.

        Parameters
        ----------
        name : str        what may be done by one only, such as the loop of a store
        lease_s : float   a holder of another machine that is silent so long is taken for dead, > 0

        Raises
        ------
        ConfigError    a `lease_s` that is not positive
        LeaseHeld      the holder is at work; says which process, where, since when, and the way out

        Notes
        -----
        A holder on this machine is looked up: dead, it is followed at once; alive, it is left alone
        however long it is silent, so no change of the clock takes the lease from it or keeps it for
        a dead one. A holder elsewhere cannot be looked up and is followed after `lease_s` (the
        holder's own, when that is longer) without `renew_lease`. Silence is measured by one clock,
        the database server's on PostgreSQL. A renewal later than now, as a clock set back leaves it,
        is brought back to now, so silence is at most counted anew and never goes on for ever.
        """
        if not lease_s > 0:
            raise ConfigError(f"lease_s must be > 0, was {lease_s!r}")
        with self._writing() as connection:
            now_ns = self._now_ns(connection)
            row = _row_of(connection, name)
            refusal = _why_held(row, now_ns, lease_s)
            if refusal is not None:
                if row["renewed_at_ns"] > now_ns:
                    _write(connection, name, {"renewed_at_ns": now_ns})
            else:
                row = _taken(row, now_ns, lease_s)
                _write(connection, name, row)
        if refusal is not None:
            raise LeaseHeld(refusal)
        return _lease(row)

    def renew_lease(self, lease: Lease) -> Lease:
        """Say that the holder is alive; LeaseLost when the lease is another's by now."""
        with self._writing() as connection:
            row = _ours(connection, lease)
            change = {"renewed_at_ns": self._now_ns(connection)}
            _write(connection, lease.name, change)
        return _lease({**row, **change})

    def release_lease(self, lease: Lease) -> None:
        """Give the lease back; LeaseLost when it is another's by now."""
        with self._writing() as connection:
            _ours(connection, lease)
            _write(connection, lease.name, {"is_held": False})

    def lease(self, name: str) -> Lease | None:
        """The lease as it stands, its holder dead or alive; None when it is free."""
        rows = self._read(matching(tables.leases, {"name": name, "is_held": True}))
        return _lease(rows[0]) if rows else None


def _row_of(connection: Connection, name: str) -> Row:
    """The lease's row, made at its first taking."""
    free = {
        "name": name,
        "fence": 0,
        "is_held": False,
        "pid": 0,
        "process": "",
        "host": "",
        "taken_at_ns": 0,
        "renewed_at_ns": 0,
        "lease_s": 0.0,
    }
    insert_new(connection, tables.leases, [free], ("name",))
    return dict(connection.execute(matching(tables.leases, {"name": name})).mappings().one())


def _why_held(row: Mapping[str, Any], now_ns: int, lease_s: float) -> str | None:
    """Why the lease cannot be taken, with the way out; None when it can."""
    if not row["is_held"]:
        return None
    since = datetime.fromtimestamp(row["taken_at_ns"] // SECOND_NS, tz=UTC)
    held = (
        f"lease {row['name']} must be free, was held by process {row['pid']} on {row['host']} "
        f"since {since:%Y-%m-%d %H:%M:%S}Z"
    )
    if is_here(row["process"]):
        if not is_alive(row["pid"], row["process"]):
            return None
        return f"{held}; let it end, or stop it: kill {row['pid']}"
    patience_s = max(lease_s, row["lease_s"])
    silent_s = max(0, now_ns - row["renewed_at_ns"]) / SECOND_NS
    if silent_s >= patience_s:
        return None
    return (
        f"{held}; stop it there, or, if that machine is gone, try again in "
        f"{patience_s - silent_s:.0f} s"
    )


def _taken(row: Row, now_ns: int, lease_s: float) -> Row:
    return {
        **row,
        "fence": row["fence"] + 1,
        "is_held": True,
        "pid": os.getpid(),
        "process": identity(os.getpid()),
        "host": host_name(),
        "taken_at_ns": now_ns,
        "renewed_at_ns": now_ns,
        "lease_s": float(lease_s),
    }


def _ours(connection: Connection, lease: Lease) -> Row:
    query = matching(tables.leases, {"name": lease.name})
    row = connection.execute(query).mappings().first()
    if row is None or not row["is_held"] or row["fence"] != lease.fence:
        holder = "given back"
        if row is not None and row["is_held"]:
            holder = f"taken over by process {row['pid']} on {row['host']}"
        raise LeaseLost(
            f"lease {lease.name} must still be ours under number {lease.fence}, was {holder}; "
            "stop what rests on it and take it anew"
        )
    return dict(row)


def _write(connection: Connection, name: str, values: Row) -> None:
    table = tables.leases
    connection.execute(update(table).where(table.c.name == name), values)


def _lease(row: Mapping[str, Any]) -> Lease:
    return Lease(**{name: row[name] for name in Lease.__dataclass_fields__})
