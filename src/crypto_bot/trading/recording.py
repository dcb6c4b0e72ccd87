"""What a session writes down, and what an earlier start of the same run wrote before it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from crypto_bot.core.errors import DataError
from crypto_bot.core.orders import Fill, Order
from crypto_bot.core.timeframes import iso_time
from crypto_bot.journal import Decision, Journal


class Step(StrEnum):
    """What was done to a decision by a limit, by hand, or because it came too late."""

    BLOCKED_ENTRY = "blocked_entry"
    """the entry was not sent; an exit decided with it was"""
    CLOSED = "closed"
    """what was held was sent to the market"""
    SHRUNK = "shrunk"
    """the entry was sent at a share of its size"""
    MISSED = "missed"
    """decided too late for the price it would have met: nothing was sent"""


@dataclass(frozen=True)
class Intervention:
    """A decision that was not carried out as it was made.

    Attributes
    ----------
    symbol : str
    bar : int          index of the deciding bar in the session's stretch
    time_ns : int      its close
    step : Step        what was done to it
    limit : str        option that bit, or who asked for it
    reason : str       limit, its value and the value met
    frac : float       share of its size that an entry was sent with
    """

    symbol: str
    bar: int
    time_ns: int
    step: Step
    limit: str
    reason: str
    frac: float = 1.0


class SessionRecord:
    """Buffers a session's records and keeps their order: an order is durable before it is sent.

    Parameters
    ----------
    journal : Journal | None    None keeps nothing on disk
    run_id : str                what an earlier start under this id wrote is not written again
    batch : int                 decisions and fills written together
    is_live : bool              each close is one transaction, written before its orders are sent

    Notes
    -----
    What an earlier start wrote is forgotten here once it has been repeated.

    A decision that a limit changed is written before the next order; others may wait for company.
    So after a kill -9 a close up to the last written order either has its decision written, or was
    not touched by a limit: a limit that no longer bites cannot rewrite the past.
    """

    def __init__(
        self, journal: Journal | None, run_id: str, *, batch: int, is_live: bool = False
    ) -> None:
        self._journal = journal
        self._run_id = run_id
        self._batch = batch
        self._is_live = is_live
        self._decisions: list[Decision] = []
        self._fills: list[Fill] = []
        self._known_decisions: dict[tuple[str, int], Decision] = {}
        self._known_orders: dict[str, Order] = {}
        self._known_fills: dict[str, Fill] = {}
        self._has_changed_decision = False
        if journal is not None:
            self._known_decisions = {
                (known.symbol, known.bar_close_ns): known for known in journal.decisions(run_id)
            }
            self._known_orders = {known.client_id: known for known in journal.orders(run_id)}
            self._known_fills = {known.client_id: known for known in journal.fills(run_id)}
        self._acted_until_ns = max(
            (known.created_at_ns for known in self._known_orders.values()), default=-1
        )

    def was_acted_on(self, time_ns: int) -> bool:
        """True up to the last close whose orders an earlier start of this run wrote.

        Never of a live run, which writes decisions and orders together.
        """
        return not self._is_live and time_ns <= self._acted_until_ns

    def last_closes(self) -> dict[str, int]:
        """The last close decided by an earlier start, by symbol, as far as not repeated yet."""
        closes: dict[str, int] = {}
        for symbol, close_ns in self._known_decisions:
            closes[symbol] = max(close_ns, closes.get(symbol, close_ns))
        return closes

    def recorded(self, symbol: str, bar_close_ns: int) -> Decision | None:
        """The decision an earlier start of this run wrote for this bar, if any."""
        return self._known_decisions.get((symbol, bar_close_ns))

    def add_decision(self, decision: Decision) -> None:
        """Keep a decision for the next write.

        Raises DataError when an earlier start of the run decided otherwise on the same bar.
        """
        known = self._known_decisions.pop((decision.symbol, decision.bar_close_ns), None)
        if known is None:
            self._decisions.append(decision)
            self._has_changed_decision |= bool(decision.detail)
            return
        before, now = (known.direction, known.score), (decision.direction, decision.score)
        if before != now:
            raise DataError(
                f"{decision.symbol} decision at {iso_time(decision.bar_close_ns)} must repeat run "
                f"{self._run_id}'s direction and score {before}, was {now}; candles, features or "
                "model have changed: start a new run"
            )

    def add_fills(self, fills: Sequence[Fill]) -> None:
        """Keep fills for the next write; raises DataError when the run already had others."""
        for fill in fills:
            known = self._known_fills.pop(fill.client_id, None)
            if known is None:
                self._fills.append(fill)
            elif known != fill:
                raise DataError(_changed("fill", fill.client_id, self._run_id))

    def commit_orders(self, orders: Sequence[Order]) -> None:
        """Make orders, and what the limits changed before them, durable. Only then are they sent."""
        known = [self._known_orders.pop(order.client_id, None) for order in orders]
        for order, before in zip(orders, known, strict=True):
            if before is not None and before != order:
                raise DataError(_changed("order", order.client_id, self._run_id))
        fresh = [order for order, before in zip(orders, known, strict=True) if before is None]
        if self._journal is None:
            return
        if self._is_live:
            self._write_close(self._journal, fresh)
        elif fresh:
            if self._has_changed_decision:
                self._write_decisions(self._journal)
            self._journal.record_orders(self._run_id, fresh)

    def _write_close(self, journal: Journal, orders: Sequence[Order]) -> None:
        decisions, fills = self._decisions, self._fills
        self._decisions, self._fills = [], []
        new = journal.record_close(self._run_id, decisions=decisions, orders=orders, fills=fills)
        if new < len(decisions):
            raise DataError(
                f"run {self._run_id} must be written by one session, found {len(decisions) - new} "
                f"decisions of {iso_time(decisions[0].bar_close_ns)} already there; stop the other "
                "session, or start a new run"
            )

    def end_of_bar(self) -> None:
        """Write what has piled up once there is enough of it."""
        if len(self._decisions) + len(self._fills) >= self._batch:
            self.flush()

    def flush(self) -> None:
        """Write everything that is still in memory."""
        if self._journal is None:
            self._decisions.clear()
            self._fills.clear()
            return
        self._write_decisions(self._journal)
        if self._fills:
            self._journal.record_fills(self._run_id, self._fills)
            self._fills.clear()

    def _write_decisions(self, journal: Journal) -> None:
        if self._decisions:
            journal.record_decisions(self._run_id, self._decisions)
            self._decisions.clear()
        self._has_changed_decision = False


def _changed(what: str, client_id: str, run_id: str) -> str:
    return (
        f"{what} {client_id} must repeat run {run_id}'s, was another; candles, costs, exits or "
        "sizing have changed: start a new run"
    )
