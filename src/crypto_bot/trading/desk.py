"""The one routine of a close: accounts, decisions, limits, journal, orders; replayed and live alike."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from crypto_bot.core.bars import Bar
from crypto_bot.core.orders import Fill, Order, Side
from crypto_bot.core.timeframes import Clock
from crypto_bot.journal import Decision
from crypto_bot.trading.curve import EquityCurve
from crypto_bot.trading.lane import Lane, decide_all
from crypto_bot.trading.paper import PaperResult
from crypto_bot.trading.port import ENTRY, EXIT, leg_of
from crypto_bot.trading.recording import Intervention, SessionRecord, Step
from crypto_bot.trading.risk import (
    Blocked,
    EntryIntent,
    RiskGuard,
    RiskState,
    mark_risk_state,
    open_risk_state,
)
from crypto_bot.trading.standing import Standing

Asked: TypeAlias = tuple[Lane, Decision, tuple[Order, ...]]
"""A lane, its decision at one close, and the orders that follow."""
Taken: TypeAlias = tuple[Lane, Bar]
"""A lane and the closed bar it is given."""
MISSED = "missed: decided late"


@dataclass(frozen=True)
class Dealt:
    """What one close came to: symbol-bars decided, orders sent, fills of the bars taken."""

    decided: int
    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]


class Desk:
    """Accounts of all lanes under one set of limits and one journal.

    Parameters
    ----------
    lanes : Sequence[Lane]
    cash : float             all accounts together, quote
    record : SessionRecord
    guard : RiskGuard
    clock : Clock            what 'now' is to the limits
    standing : Standing      what was asked by hand or by an alarm
    kept : int | None        orders, fills, interventions and equity values remembered; None: all
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        *,
        cash: float,
        record: SessionRecord,
        guard: RiskGuard,
        clock: Clock,
        standing: Standing | None = None,
        kept: int | None = None,
    ) -> None:
        self.lanes = tuple(lanes)
        self.cash = cash
        self.guard = guard
        self.standing = Standing() if standing is None else standing
        self._record = record
        self._clock = clock
        self._risk: RiskState | None = None
        self._equity = EquityCurve(kept)
        self._decisions = 0
        self._orders: deque[Order] = deque(maxlen=kept)
        self._fills: deque[Fill] = deque(maxlen=kept)
        self._changed: deque[Intervention] = deque(maxlen=kept)

    @property
    def closes(self) -> int:
        """Closes dealt with so far."""
        return len(self._equity)

    def close(
        self, time_ns: int, taken: Sequence[Taken], late: Sequence[Taken] = (), *, opened_ns: int
    ) -> Dealt:
        """Deal with one close.

        Parameters
        ----------
        time_ns : int                the close
        taken : Sequence[Taken]      lanes whose bar closes now, in the order limits are to see them
        late : Sequence[Taken]       bars decided too late for the open that followed them: accounts
                                     are carried through them, stops and targets rest, nothing is sent
        opened_ns : int              when the day of the first close began for the limits

        Notes
        -----
        Late bars first, then: every account is carried through its bar, every decision is made, the
        limits look at the entries (exits decided at the same close already count), decisions and
        orders are written down, and only then are the orders sent.
        """
        fills = [fill for lane, bar in late for fill in self._carry(lane, bar, time_ns)]
        fills += [fill for lane, bar in taken for fill in self._take(lane, bar)]
        self._mark(time_ns, opened_ns)
        lanes = [lane for lane, _ in taken]
        asked = [
            (lane, decision, lane.broker.intents(decision.direction, decision.score, lane.known()))
            for lane, decision in zip(lanes, decide_all(lanes, time_ns), strict=True)
        ]
        orders = self._act(self._limited(time_ns, asked))
        self._decisions += len(taken) + len(late)
        self._record.end_of_bar()
        return Dealt(len(taken) + len(late), tuple(orders), tuple(fills))

    def _take(self, lane: Lane, bar: Bar) -> tuple[Fill, ...]:
        fills = lane.take_bar(bar)
        if fills:
            self._fills += fills
            self._record.add_fills(fills)
        return fills

    def _carry(self, lane: Lane, bar: Bar, time_ns: int) -> tuple[Fill, ...]:
        """Take a bar whose time to act is over; its decision is written down as missed."""
        fills = self._take(lane, bar)
        close_ns = bar.open_time + lane.interval_ns
        (decision,) = decide_all([lane], close_ns)
        orders = lane.broker.intents(decision.direction, decision.score, lane.known())
        if orders:
            missed = Intervention(lane.symbol, lane.index, close_ns, Step.MISSED, "late", MISSED)
            self._changed.append(missed)
        detail: dict[str, object] = {"step": Step.MISSED.value, "limit": "late"}
        if close_ns != time_ns:
            detail["at_ns"] = time_ns
        self._record.add_decision(replace(decision, reason=MISSED, detail=detail))
        return fills

    def _mark(self, time_ns: int, opened_ns: int) -> None:
        brokers = [lane.broker for lane in self.lanes]
        exposures = [broker.exposure_quote for broker in brokers]
        equity = sum(broker.equity_quote for broker in brokers)
        before = open_risk_state(self.cash, opened_ns) if self._risk is None else self._risk
        self._risk = mark_risk_state(
            before,
            equity_quote=equity,
            exposure_quote=sum(exposures),
            open_positions=sum(exposure > 0 for exposure in exposures),
            now_ns=time_ns,
        )
        self._equity.add(time_ns, equity)

    def _limited(self, time_ns: int, asked: Sequence[Asked]) -> list[Asked]:
        """The decisions after limits and wishes: entries dropped or shrunk, or positions closed."""
        killed = self.guard.killed_because()
        state = self._risk
        if state is None or not asked:
            return []
        for lane, _, orders in asked:
            if orders and leg_of(orders[0]) == EXIT:
                state = _without(state, lane.broker.exposure_quote)
        allowed: list[Asked] = []
        for lane, decision, orders in asked:
            step = self._step(lane, time_ns, orders, state, killed)
            if step is not None:
                self._changed.append(step)
                decision, orders = _noted(decision, step), _obeying(lane, orders, step)
            if any(leg_of(order) == ENTRY for order in orders):
                state = _with(state, _notional(lane, orders))
            allowed.append((lane, decision, orders))
        return allowed

    def _step(
        self,
        lane: Lane,
        time_ns: int,
        orders: Sequence[Order],
        state: RiskState,
        killed: str | None,
    ) -> Intervention | None:
        """What is done to this decision; as written, where an earlier start wrote it."""
        known = self._record.recorded(lane.symbol, time_ns)
        if known is not None:
            if not known.detail:
                return None
            step, limit = Step(known.detail["step"]), str(known.detail["limit"])
            frac = float(known.detail.get("frac", 1.0))
            return Intervention(lane.symbol, lane.index, time_ns, step, limit, known.reason, frac)
        if self._record.was_acted_on(time_ns):
            return None
        entry = next((order for order in orders if leg_of(order) == ENTRY), None)
        if entry is not None:
            return self._entry_step(lane, time_ns, entry, _notional(lane, orders), state)
        if orders or lane.broker.exposure_quote == 0:
            return None
        closing = self.standing.of(lane.symbol).closing
        if killed is not None:
            limit, reason = "kill_switch", f"kill switch was on: {killed}"
        elif closing:
            limit, reason = "session_closing", f"the session is: {closing}"
        else:
            return None
        reason = f"{lane.symbol} position must be closed, {reason}"
        return Intervention(lane.symbol, lane.index, time_ns, Step.CLOSED, limit, reason)

    def _entry_step(
        self, lane: Lane, time_ns: int, entry: Order, notional: float, state: RiskState
    ) -> Intervention | None:
        wish, symbol = self.standing.of(lane.symbol), lane.symbol
        intent = EntryIntent(
            symbol=symbol,
            direction=1 if entry.side is Side.BUY else -1,
            notional_quote=notional * wish.frac,
            last_close_ns=time_ns,
            interval_ns=lane.interval_ns,
            model_trained_until_ns=lane.trained_until_ns,
        )
        verdict = self.guard.check(intent, state, self._clock)
        step, frac = Step.BLOCKED_ENTRY, 1.0
        if isinstance(verdict, Blocked):
            limit, reason = verdict.limit, verdict.reason
        elif wish.closing:
            limit = "session_closing"
            reason = f"{symbol} entry must go to a new session, this one is closing: {wish.closing}"
        elif wish.aside:
            limit = "stand_aside"
            reason = f"{symbol} entry must wait until trading is resumed, stood aside: {wish.aside}"
        elif wish.frac < 1.0:
            limit, frac = "shrink", wish.frac
            step = Step.SHRUNK if frac > 0.0 else Step.BLOCKED_ENTRY
            reason = f"{symbol} entry must be {frac:g} of its size: {wish.shrunk}"
        else:
            return None
        return Intervention(symbol, lane.index, time_ns, step, limit, reason, frac)

    def _act(self, allowed: Sequence[Asked]) -> list[Order]:
        """Write decisions and orders down, then send the orders."""
        for _, decision, _ in allowed:
            self._record.add_decision(decision)
        orders = [order for _, _, asked in allowed for order in asked]
        self._record.commit_orders(orders)
        for lane, _, asked in allowed:
            if asked:
                lane.broker.submit(asked)
        self._orders += orders
        return orders

    def result(self, run_id: str, *, is_complete: bool, is_simulated: bool) -> PaperResult:
        """What it has come to so far."""
        return PaperResult(
            run_id=run_id,
            trades={lane.symbol: lane.broker.trades() for lane in self.lanes},
            times_ns=self._equity.times(),
            equity=self._equity.values(),
            initial_cash=self.cash,
            decisions=self._decisions,
            orders=tuple(self._orders),
            fills=tuple(self._fills),
            blocked=tuple(self._changed),
            is_complete=is_complete,
            is_simulated=is_simulated,
        )


def _obeying(lane: Lane, orders: Sequence[Order], step: Intervention) -> tuple[Order, ...]:
    """The orders that remain: exits always do."""
    if step.step is Step.CLOSED:
        return lane.broker.closing_intents(step.limit)
    if step.step is Step.SHRUNK:
        return lane.broker.shrunk(orders, step.frac)
    return tuple(order for order in orders if leg_of(order) == EXIT)


def _noted(decision: Decision, step: Intervention) -> Decision:
    detail: dict[str, object] = {"step": step.step.value, "limit": step.limit}
    if step.step is Step.SHRUNK:
        detail["frac"] = step.frac
    return replace(decision, reason=step.reason, detail=detail)


def _notional(lane: Lane, orders: Sequence[Order]) -> float:
    return sum(order.quantity for order in orders if leg_of(order) == ENTRY) * lane.close


def _with(state: RiskState, notional_quote: float) -> RiskState:
    return state._replace(
        exposure_quote=state.exposure_quote + notional_quote,
        open_positions=state.open_positions + 1,
    )


def _without(state: RiskState, exposure_quote: float) -> RiskState:
    return state._replace(
        exposure_quote=state.exposure_quote - exposure_quote,
        open_positions=state.open_positions - 1,
    )
