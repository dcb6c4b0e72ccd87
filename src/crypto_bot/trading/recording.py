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
    """What the risk limits did to a decision."""

    BLOCKED_ENTRY = "blocked_entry"
    CLOSED = "closed"


@dataclass(frozen=True)
class Intervention:
    """A decision that the risk limits changed.

    Attributes
    ----------
    symbol : str
    bar : int          index of the deciding bar in the session's stretch
    time_ns : int      its close
    step : Step        an entry that was not sent, or a position closed by the kill switch
    limit : str        option that bit
    reason : str       limit, its value and the value met
    """

    symbol: str
    bar: int
    time_ns: int
    step: Step
    limit: str
    reason: str


class SessionRecord:
    """Buffers a session's records and keeps their order: an order is durable before it is sent.

    Parameters
    ----------
    journal : Journal | None    None keeps nothing on disk
    run_id : str                what an earlier start under this id wrote is not written again
    batch : int                 decisions and fills written together

    Notes
    -----
    A decision that a limit changed is written before the next order; others may wait for company.
    So after a kill -9 a close up to the last written order either has its decision written, or was
    not touched by a limit: a limit that no longer bites cannot rewrite the past.
    """

    def __init__(self, journal: Journal | None, run_id: str, *, batch: int) -> None:
        self._journal = journal
        self._run_id = run_id
        self._batch = batch
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
        """True up to the last close whose orders an earlier start of this run wrote."""
        return time_ns <= self._acted_until_ns

    def recorded(self, symbol: str, bar_close_ns: int) -> Decision | None:
        """The decision an earlier start of this run wrote for this bar, if any."""
        return self._known_decisions.get((symbol, bar_close_ns))

    def add_decision(self, decision: Decision) -> None:
        """Keep a decision for the next write.

        Raises DataError when an earlier start of the run decided otherwise on the same bar.
        """
        known = self._known_decisions.get((decision.symbol, decision.bar_close_ns))
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
            known = self._known_fills.get(fill.client_id)
            if known is None:
                self._fills.append(fill)
            elif known != fill:
                raise DataError(_changed("fill", fill.client_id, self._run_id))

    def commit_orders(self, orders: Sequence[Order]) -> None:
        """Make orders, and what the limits changed before them, durable. Only then are they sent."""
        for order in orders:
            known = self._known_orders.get(order.client_id)
            if known is not None and known != order:
                raise DataError(_changed("order", order.client_id, self._run_id))
        fresh = [order for order in orders if order.client_id not in self._known_orders]
        if self._journal is not None and fresh:
            if self._has_changed_decision:
                self._write_decisions(self._journal)
            self._journal.record_orders(self._run_id, fresh)

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
