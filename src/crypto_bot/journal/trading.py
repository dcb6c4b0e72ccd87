"""Decisions, orders and fills: written down, then acted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from crypto_bot.core.errors import StorageError
from crypto_bot.core.orders import Fill, Order, OrderType, Side
from crypto_bot.journal import tables
from crypto_bot.journal.ledger import Ledger, Row, add_once, matching
from crypto_bot.journal.records import Decision

_DECISION_KEY = ("run_id", "symbol", "bar_close_ns")
_FILL_KEY = ("client_id", "filled_at_ns", "quantity", "price")


class TradingLedger(Ledger):
    """What a session wanted, ordered and got. Every method may be repeated after a crash."""

    def record_decisions(self, run_id: str, decisions: Sequence[Decision]) -> int:
        """Add decisions, one a run, symbol and bar; gives how many were new.

        StorageError when a bar already holds another decision: nothing of the batch is then written.
        """
        rows = [_decision_row(run_id, decision) for decision in decisions]
        return self._add_once(tables.decisions, rows, _DECISION_KEY)

    def record_orders(self, run_id: str, orders: Sequence[Order]) -> int:
        """Make orders durable: when this returns they survive anything but the loss of the disk.

        Only then may they leave for a broker. The same order again changes nothing and counts 0;
        another order under a used `client_id` raises StorageError and nothing is written.
        """
        rows = [_order_row(run_id, order) for order in orders]
        _require_distinct(rows)
        return self._add_once(tables.orders, rows, ("client_id",))

    def record_fills(self, run_id: str, fills: Sequence[Fill]) -> int:
        """Add fills of orders the journal holds; a fill given again counts 0."""
        rows = [_fill_row(run_id, fill) for fill in fills]
        return self._add_once(tables.fills, rows, _FILL_KEY)

    def record_close(
        self,
        run_id: str,
        *,
        decisions: Sequence[Decision] = (),
        orders: Sequence[Order] = (),
        fills: Sequence[Fill] = (),
    ) -> int:
        """Everything a session writes at one close, in one transaction: all of it, or nothing.

        The same again changes nothing; StorageError as in the three methods above. Gives how many
        decisions were new.
        """
        rows = [_order_row(run_id, order) for order in orders]
        _require_distinct(rows)
        wanted = [_decision_row(run_id, decision) for decision in decisions]
        filled = [_fill_row(run_id, fill) for fill in fills]
        if not (rows or wanted or filled):
            return 0
        with self._writing() as connection:
            new = add_once(connection, tables.decisions, wanted, _DECISION_KEY)
            add_once(connection, tables.orders, rows, ("client_id",))
            add_once(connection, tables.fills, filled, _FILL_KEY)
        return new

    def decisions(self, run_id: str, symbol: str | None = None) -> list[Decision]:
        """The decisions of a run by time, then symbol."""
        table = tables.decisions
        query = matching(table, {"run_id": run_id, "symbol": symbol})
        rows = self._read(query.order_by(table.c.bar_close_ns, table.c.symbol))
        return [Decision(**_without_run(row)) for row in rows]

    def orders(self, run_id: str, symbol: str | None = None) -> list[Order]:
        """The orders of a run by time."""
        table = tables.orders
        query = matching(table, {"run_id": run_id, "symbol": symbol})
        rows = self._read(query.order_by(table.c.created_at_ns, table.c.client_id))
        return [
            Order(
                **{**_without_run(row), "side": Side(row["side"]), "type": OrderType(row["type"])}
            )
            for row in rows
        ]

    def fills(self, run_id: str, symbol: str | None = None) -> list[Fill]:
        """The fills of a run by time."""
        table = tables.fills
        query = matching(table, {"run_id": run_id, "symbol": symbol})
        rows = self._read(query.order_by(table.c.filled_at_ns, table.c.number))
        return [Fill(**{**_without_run(row), "side": Side(row["side"])}) for row in rows]


def _decision_row(run_id: str, decision: Decision) -> Row:
    return {
        "run_id": run_id,
        "symbol": decision.symbol,
        "bar_close_ns": int(decision.bar_close_ns),
        "direction": int(decision.direction),
        "score": float(decision.score),
        "reason": decision.reason,
        "detail": decision.detail,
    }


def _fill_row(run_id: str, fill: Fill) -> Row:
    return {"run_id": run_id, **asdict(fill), "side": Side(fill.side).value}


def _order_row(run_id: str, order: Order) -> Row:
    side, kind = Side(order.side).value, OrderType(order.type).value
    return {"run_id": run_id, **asdict(order), "side": side, "type": kind}


def _require_distinct(rows: Sequence[Row]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row["client_id"] in seen:
            raise StorageError(
                f"orders {row['client_id']} must be written once, was twice in one batch"
            )
        seen.add(row["client_id"])


def _without_run(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in ("run_id", "number")}
