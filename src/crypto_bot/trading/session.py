"""`PaperSession`: bars in time order through features, decision, risk limits, broker and journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from pydantic import Field, field_validator

from crypto_bot.core.arrays import PerBar, PerBarTime, PerTrade
from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import ConfigError
from crypto_bot.core.options import Options
from crypto_bot.core.orders import Fill, Order, Side
from crypto_bot.core.progress import progress
from crypto_bot.core.timeframes import Clock, ReplayClock
from crypto_bot.engine.options import CostOptions, ExitOptions, SizingOptions
from crypto_bot.engine.settling import settled_bars
from crypto_bot.journal import Decision, Journal
from crypto_bot.trading.broker import ENTRY, EXIT, leg_of
from crypto_bot.trading.lane import Lane, decide_all
from crypto_bot.trading.recording import Intervention, SessionRecord, Step
from crypto_bot.trading.risk import (
    Blocked,
    EntryIntent,
    RiskGuard,
    RiskLimits,
    RiskState,
    mark_risk_state,
    open_risk_state,
)
from crypto_bot.trading.twin import TradedSymbol, joined


class PaperOptions(Options):
    """How a paper session trades. `sizing.initial_cash` is what EACH symbol's account opens with."""

    mode: str = Field(default="paper", description="paper is the only mode there is")
    costs: CostOptions = Field(default=CostOptions(), description="fees and slippage")
    exits: ExitOptions = Field(default=ExitOptions(), description="stops, targets, time exits")
    sizing: SizingOptions = Field(default=SizingOptions(), description="size of an entry")
    limits: RiskLimits = Field(default=RiskLimits(), description="what blocks an entry")
    journal_batch: int = Field(
        default=5_000, ge=1, description="decisions and fills written to the journal together"
    )

    @field_validator("mode")
    @classmethod
    def _only_paper(cls, mode: str) -> str:
        if mode != "paper":
            raise ValueError(
                "be paper: live trading is not available, orders never leave this machine"
            )
        return mode


@dataclass(frozen=True, eq=False)
class PaperResult:
    """What a paper session came to.

    Attributes
    ----------
    run_id : str
    trades : symbol -> TRADE (trades,)     as `simulate` lists them; an open position last
    times_ns : int64 (times,)              every close at which some symbol had a bar
    equity : float64 (times,)              all accounts together, quote
    initial_cash : float                   all accounts together, quote
    decisions : int                        symbol-bars decided
    orders : tuple[Order, ...]             sent, in order
    fills : tuple[Fill, ...]               in order
    blocked : tuple[Intervention, ...]     what the risk limits changed, with reasons
    is_complete : bool                     False when it was stopped; the same run id goes on
    is_simulated : bool                    the candles were
    """

    run_id: str
    trades: dict[str, PerTrade]
    times_ns: PerBarTime
    equity: PerBar
    initial_cash: float
    decisions: int
    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]
    blocked: tuple[Intervention, ...]
    is_complete: bool
    is_simulated: bool


Asked: TypeAlias = tuple[Lane, Decision, tuple[Order, ...]]
"""A lane, its decision at one close, and the orders that follow."""


class PaperSession:
    """Trade closed bars of many symbols on paper, exactly as the backtest would.

    Parameters
    ----------
    symbols : Sequence[TradedSymbol]      at least one, each symbol once; all stretches of one run
    options : PaperOptions
    journal : Journal | None              None: nothing is written down
    run_id : str                          a run of the journal; an id used before is continued
    guard : RiskGuard | None              None: one for `options.limits`; keep it to pull its switch
    clock : Clock | None                  what 'now' is to the limits; None: the close being replayed
    should_stop : callable                asked before every close; True ends the session cleanly

    Raises
    ------
    ConfigError    for live mode, no symbol or one twice, or a feature that never settles
    DataError      for an empty stretch, or a history that does not precede its stretch
    ModelError     if a model was trained on other features

    Notes
    -----
    At each close, symbols in the order given: every account is carried through its bar, then every
    decision is made, then the limits look at the entries (exits decided at the same close already
    count), then the orders are written down, and only then sent. They fill at the next open.

    Each symbol has an account of its own with `options.sizing.initial_cash`; limits judge the sum.
    Continuing a run replays it from its start, checks that everything written before is repeated,
    and writes what is missing. Limits are not asked again about what is already written.
    """

    def __init__(
        self,
        symbols: Sequence[TradedSymbol],
        *,
        options: PaperOptions | None = None,
        journal: Journal | None = None,
        run_id: str = "paper",
        guard: RiskGuard | None = None,
        clock: Clock | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._options = PaperOptions() if options is None else options
        self._run_id = run_id
        self._guard = RiskGuard(self._options.limits) if guard is None else guard
        self._replay_clock = ReplayClock()
        self._clock: Clock = self._replay_clock if clock is None else clock
        self._should_stop = should_stop
        self._lanes = _open_lanes(symbols, self._options, run_id)
        self._is_simulated = any(traded.bars.is_simulated for traded in symbols)
        self._record = SessionRecord(journal, run_id, batch=self._options.journal_batch)
        self._closes, first_ns = _merged_closes([traded.bars for traded in symbols], self._lanes)
        self._cash = self._options.sizing.initial_cash * len(self._lanes)
        self._risk = open_risk_state(self._cash, first_ns)
        self._times: list[int] = []
        self._equity: list[float] = []
        self._decisions = 0
        self._orders: list[Order] = []
        self._fills: list[Fill] = []
        self._blocked: list[Intervention] = []

    @property
    def guard(self) -> RiskGuard:
        """Holds the limits; `guard.kill(reason)` closes everything at the next open."""
        return self._guard

    def run(self) -> PaperResult:
        """Replay the stretches to their end, or until asked to stop; again: go on from there."""
        done = len(self._times)
        with progress("paper session", total=len(self._closes) - done) as shown:
            for time_ns, lanes in self._closes[done:]:
                if self._should_stop():
                    break
                self._close_of_bars(time_ns, lanes)
                shown.advance()
        self._record.flush()
        return self._result()

    def _close_of_bars(self, time_ns: int, lanes: Sequence[Lane]) -> None:
        self._replay_clock.set(time_ns)
        for lane in lanes:
            fills = lane.take_bar()
            if fills:
                self._fills += fills
                self._record.add_fills(fills)
        self._mark(time_ns)
        asked = [
            (lane, decision, lane.broker.intents(decision.direction, decision.score, lane.known()))
            for lane, decision in zip(lanes, decide_all(lanes, time_ns), strict=True)
        ]
        self._act(self._limited(time_ns, asked))
        self._decisions += len(lanes)
        self._record.end_of_bar()

    def _mark(self, time_ns: int) -> None:
        brokers = [lane.broker for lane in self._lanes]
        exposures = [broker.exposure_quote for broker in brokers]
        equity = sum(broker.equity_quote for broker in brokers)
        self._risk = mark_risk_state(
            self._risk,
            equity_quote=equity,
            exposure_quote=sum(exposures),
            open_positions=sum(exposure > 0 for exposure in exposures),
            now_ns=time_ns,
        )
        self._times.append(time_ns)
        self._equity.append(equity)

    def _limited(self, time_ns: int, asked: Sequence[Asked]) -> list[Asked]:
        """The decisions after the risk limits: entries dropped, or positions closed, with reasons."""
        killed = self._guard.killed_because()
        state = self._risk
        for lane, _, orders in asked:
            if orders and leg_of(orders[0]) == EXIT:
                state = _without(state, lane.broker.exposure_quote)
        allowed: list[Asked] = []
        for lane, decision, orders in asked:
            step = self._step(lane, time_ns, orders, state, killed)
            if step is None:
                if any(leg_of(order) == ENTRY for order in orders):
                    state = _with(state, _notional(lane, orders))
                allowed.append((lane, decision, orders))
                continue
            self._blocked.append(step)
            allowed.append((lane, _noted(decision, step), _obeying(lane, orders, step)))
        return allowed

    def _step(
        self,
        lane: Lane,
        time_ns: int,
        orders: Sequence[Order],
        state: RiskState,
        killed: str | None,
    ) -> Intervention | None:
        """What the limits do to this decision; as written, where an earlier start wrote it."""
        known = self._record.recorded(lane.symbol, time_ns)
        if known is not None:
            if not known.detail:
                return None
            step, limit = Step(known.detail["step"]), str(known.detail["limit"])
            return Intervention(lane.symbol, lane.index, time_ns, step, limit, known.reason)
        if self._record.was_acted_on(time_ns):
            return None
        entry = next((order for order in orders if leg_of(order) == ENTRY), None)
        if entry is not None:
            intent = EntryIntent(
                symbol=lane.symbol,
                direction=1 if entry.side is Side.BUY else -1,
                notional_quote=_notional(lane, orders),
                last_close_ns=time_ns,
                interval_ns=lane.interval_ns,
                model_trained_until_ns=lane.trained_until_ns,
            )
            verdict = self._guard.check(intent, state, self._clock)
            if not isinstance(verdict, Blocked):
                return None
            return Intervention(
                lane.symbol,
                lane.index,
                time_ns,
                Step.BLOCKED_ENTRY,
                verdict.limit,
                verdict.reason,
            )
        if killed is None or orders or lane.broker.exposure_quote == 0:
            return None
        reason = f"{lane.symbol} position must be closed, kill switch was on: {killed}"
        return Intervention(lane.symbol, lane.index, time_ns, Step.CLOSED, "kill_switch", reason)

    def _act(self, allowed: Sequence[Asked]) -> None:
        """Write decisions and orders down, then send the orders."""
        for _, decision, _ in allowed:
            self._record.add_decision(decision)
        orders = [order for _, _, asked in allowed for order in asked]
        if not orders:
            return
        self._record.commit_orders(orders)
        for lane, _, asked in allowed:
            if asked:
                lane.broker.submit(asked)
        self._orders += orders

    def _result(self) -> PaperResult:
        return PaperResult(
            run_id=self._run_id,
            trades={lane.symbol: lane.broker.trades() for lane in self._lanes},
            times_ns=np.array(self._times, np.int64),
            equity=np.array(self._equity),
            initial_cash=self._cash,
            decisions=self._decisions,
            orders=tuple(self._orders),
            fills=tuple(self._fills),
            blocked=tuple(self._blocked),
            is_complete=len(self._times) == len(self._closes),
            is_simulated=self._is_simulated,
        )


def _open_lanes(
    symbols: Sequence[TradedSymbol], options: PaperOptions, run_id: str
) -> tuple[Lane, ...]:
    names = [traded.bars.symbol for traded in symbols]
    if not names:
        raise ConfigError("symbols must hold at least one, was empty")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"symbols must differ, was {twice[0]} more than once")
    for traded in symbols:
        joined(traded)
        settled_bars(traded.maker.feature_names, traded.bars.timeframe)
    costs, exits, sizing = options.costs, options.exits, options.sizing
    return tuple(
        Lane(traded, costs=costs, exits=exits, sizing=sizing, run_id=run_id) for traded in symbols
    )


def _merged_closes(
    stretches: Sequence[Bars], lanes: Sequence[Lane]
) -> tuple[list[tuple[int, list[Lane]]], int]:
    """Every close in order of time with the lanes that have a bar there, and the earliest open."""
    times = np.concatenate([bars.close_time for bars in stretches])
    numbers = np.repeat(np.arange(len(lanes)), [len(bars) for bars in stretches])
    order = np.lexsort((numbers, times))
    closes, starts = np.unique(times[order], return_index=True)
    groups = np.split(numbers[order], starts[1:])
    merged = [
        (time_ns, [lanes[number] for number in group.tolist()])
        for time_ns, group in zip(closes.tolist(), groups, strict=True)
    ]
    return merged, min(int(bars.open_time[0]) for bars in stretches)


def _obeying(lane: Lane, orders: Sequence[Order], step: Intervention) -> tuple[Order, ...]:
    """The orders that remain: exits always do."""
    if step.step is Step.CLOSED:
        return lane.broker.closing_intents("kill_switch")
    return tuple(order for order in orders if leg_of(order) == EXIT)


def _noted(decision: Decision, step: Intervention) -> Decision:
    return replace(
        decision, reason=step.reason, detail={"step": step.step.value, "limit": step.limit}
    )


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
