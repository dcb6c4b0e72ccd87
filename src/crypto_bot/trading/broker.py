"""The paper broker: one symbol's account moved by the backtest's own step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

import numpy as np

from crypto_bot.core.arrays import PerTrade
from crypto_bot.core.bars import Bar, symbol_slug
from crypto_bot.core.errors import ConfigError, DataError, Rejected
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.orders import ExitReason, Fill, Order, OrderType, Position, Side
from crypto_bot.core.timeframes import SECOND_NS, timeframe_ns
from crypto_bot.engine.financing import YEAR_NS
from crypto_bot.engine.ledger import fill_rows, round_trips
from crypto_bot.engine.matching import (
    AccountState,
    BarEvents,
    FillEvent,
    advance,
    decide,
    market_slippage,
    open_account,
)
from crypto_bot.engine.rules import UNASKED, Known, MatchingRules
from crypto_bot.engine.shrinking import advance_shrunk, shrunk_rules
from crypto_bot.engine.sizing import kelly_fraction, sized_quantity
from crypto_bot.trading.port import ENTRY, EXIT, PROTECT


class PaperBroker:
    """Simulated fills for one symbol, by the same compiled step as the backtest.

    Parameters
    ----------
    symbol : str
    timeframe : str
    rules : MatchingRules      from `engine.matching_rules`
    cash_quote : float         > 0, what the account opens with
    run_id : str               first part of every client id
    funding : FundingRates     of a perpetual, as far as known; None: nobody pays
    kept_trades : int          closed trades remembered, at least; None: all of them

    Notes
    -----
    Bars are numbered from the first one given. A client id is run, symbol, close of the deciding
    bar in Unix seconds, and leg, so a replay asks for the same orders under the same ids. The
    quantity of an entry order is an estimate at the close; the fill says what the open allowed.
    """

    def __init__(
        self,
        symbol: str,
        timeframe: str,
        rules: MatchingRules,
        *,
        cash_quote: float,
        run_id: str,
        funding: FundingRates | None = None,
        kept_trades: int | None = None,
    ) -> None:
        if not cash_quote > 0:
            raise ConfigError(f"{symbol} cash_quote must be > 0, was {cash_quote}")
        self._symbol = symbol
        self._timeframe = timeframe
        self._rules = rules
        self._prefix = f"{run_id}-{symbol_slug(symbol)}"
        self._interval_ns = timeframe_ns(timeframe)
        self._funding = funding
        self._account = open_account(cash_quote)
        self._kept_trades = kept_trades
        self._bars_seen = 0
        self._open_time = 0
        self._close = 0.0
        self._fill_rows: list[tuple[Any, ...]] = []
        self._fill_times: dict[int, int] = {}
        self._entry_frac = 1.0
        self._intended: dict[str, tuple[str, int]] = {}
        self._frac_intended = 1.0
        self._ids: dict[str, str] = {}
        self._guards = _guards_in_words(rules)

    @property
    def symbol(self) -> str:
        return self._symbol

    @property
    def account(self) -> AccountState:
        """The account as the matching step keeps it."""
        return self._account

    @property
    def bars_seen(self) -> int:
        """Bars given so far; the last one has index `bars_seen - 1` in the trades."""
        return self._bars_seen

    @property
    def equity_quote(self) -> float:
        return self._account.equity

    @property
    def exposure_quote(self) -> float:
        return abs(self._account.quantity) * self._close

    def position(self) -> Position:
        held = self._account.quantity
        return Position(self._symbol, held, self._account.entry_price if held else 0.0)

    def on_bar(self, bar: Bar) -> tuple[Fill, ...]:
        """Fill what was submitted at this bar's open, then stops and targets inside it.

        Raises DataError when the bar is not newer than the one before.
        """
        if self._bars_seen and bar.open_time <= self._open_time:
            raise DataError(
                f"{self._symbol} open_time must increase, was {bar.open_time} after "
                f"{self._open_time}; give each closed bar once"
            )
        before, index, frac = self._account, self._bars_seen, self._entry_frac
        due = self._due(bar.open_time)
        self._bars_seen, self._open_time, self._close = index + 1, bar.open_time, bar.close
        self._intended.clear()
        self._entry_frac = 1.0
        if frac == 1.0:
            self._account, events = advance(before, index, *bar[1:5], *due, False, self._rules)
        else:
            rules = shrunk_rules(self._rules, frac)
            self._account, events = advance_shrunk(before, index, *bar[1:5], *due, frac, rules)
        rows = fill_rows(index, events)
        if not rows:
            return ()
        self._remember(rows, index)
        return self._fills(bar, events, was_exit_pending=before.pending_exit != 0)

    def _remember(self, rows: Sequence[tuple[Any, ...]], index: int) -> None:
        """Keep fills for `trades`; beyond twice as many as wanted, the oldest half goes."""
        self._fill_rows += rows
        self._fill_times[index] = self._open_time
        most = self._kept_trades
        if most is None or len(self._fill_rows) < 4 * most:
            return
        del self._fill_rows[: 2 * most]
        kept = {row[0] for row in self._fill_rows}
        self._fill_times = {bar: at for bar, at in self._fill_times.items() if bar in kept}

    def _due(self, open_time: int) -> tuple[float, float]:
        """Funding and interest rates due at this open, as `conditions_of` has them."""
        if not self._bars_seen:
            return 0.0, 0.0
        before = self._open_time
        borrow_due = self._rules.borrow_rate_annual_frac * ((open_time - before) / YEAR_NS)
        if self._funding is None:
            return 0.0, borrow_due
        first, last = np.searchsorted(self._funding.time_ns, (before, open_time), side="right")
        return sum(self._funding.rate[first:last].tolist(), 0.0), borrow_due

    def intents(self, direction: int, score: float, known: Known = UNASKED) -> tuple[Order, ...]:
        """Orders for the next open that this decision at the last close asks for.

        Call once a bar, after `on_bar`. `known` is what the rules ask about this bar. The exit of a reversal comes before its entry; an entry is
        followed by its protective order when the rules have a stop, target or trailing stop.
        """
        after = decide(self._account, direction, score, known, self._rules)
        self._intended.clear()
        self._frac_intended = 1.0
        if not (after.pending_exit or after.pending_entry):
            self._account = after
            return ()
        self._account = after._replace(pending_exit=0, pending_entry=0)
        orders = [self._exit_order(after.pending_exit)] if after.pending_exit else []
        if after.pending_entry:
            orders += self._entry_orders(after.pending_entry)
        return tuple(orders)

    def closing_intents(self, reason: str) -> tuple[Order, ...]:
        self._intended.clear()
        if self._account.quantity == 0.0:
            return ()
        return (self._exit_order(int(ExitReason.SIGNAL), reason),)

    def shrunk(self, orders: Sequence[Order], frac: float) -> tuple[Order, ...]:
        """Intended orders with the entry, and what protects it, at a share 0..1 of their size.

        The fill takes this share of what the rules size at the open.
        """
        if not 0.0 <= frac <= 1.0:
            raise ConfigError(f"{self._symbol} frac must be within 0..1, was {frac}")
        self._frac_intended = frac
        return tuple(
            order
            if self._intended[order.client_id][0] == EXIT
            else replace(order, quantity=order.quantity * frac)
            for order in orders
        )

    def submit(self, orders: Sequence[Order]) -> None:
        """Arm orders intended at the last close; those of that close not given here are dropped.

        Raises Rejected for an order that the last close did not intend, or an entry without the
        protective order that was intended with it.
        """
        given = {order.client_id for order in orders}
        foreign = sorted(given - self._intended.keys())
        if foreign:
            raise Rejected(
                f"{self._symbol} order must come from the last intents, was {foreign[0]}"
            )
        legs = {self._intended[client_id][0] for client_id in given}
        if self._guards and ENTRY in legs and PROTECT not in legs:
            raise Rejected(f"{self._symbol} entry must come with its protective order, came alone")
        for client_id in given:
            leg, value = self._intended[client_id]
            self._ids[leg] = client_id
            if leg == EXIT:
                self._account = self._account._replace(pending_exit=value)
            elif leg == ENTRY:
                self._account = self._account._replace(pending_entry=value)
                self._entry_frac = self._frac_intended
        self._intended.clear()

    def trades(self) -> PerTrade:
        """TRADE (trades,): round trips so far; one still open ends the list, at the last close."""
        times = {**self._fill_times, self._bars_seen - 1: self._open_time}
        bars = np.array(sorted(times), np.int64)
        open_time = np.array([times[bar] for bar in bars.tolist()], np.int64)
        place = {bar: row for row, bar in enumerate(bars.tolist())}
        found = round_trips(
            [(place[row[0]], *row[1:]) for row in self._fill_rows],
            open_time,
            open_time + self._interval_ns,
            self._close,
            self._account.financing,
        )
        found["entry_bar"] = bars[found["entry_bar"]]
        found["exit_bar"] = np.where(found["exit_bar"] < 0, -1, bars[found["exit_bar"]])
        return found

    def to_state(self) -> dict[str, Any]:
        """Everything needed to go on later, as JSON values."""
        return {
            "symbol": self._symbol,
            "timeframe": self._timeframe,
            "prefix": self._prefix,
            "rules": _plain_rules(self._rules),
            "account": self._account._asdict(),
            "bars_seen": self._bars_seen,
            "open_time": self._open_time,
            "close": self._close,
            "fills": [list(row) for row in self._fill_rows],
            "fill_times": [list(pair) for pair in self._fill_times.items()],
            "entry_frac": self._entry_frac,
            "ids": dict(self._ids),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `to_state` was taken.

        Raises DataError when the state belongs to another symbol, run or set of rules.
        """
        own = self.to_state()
        for name in ("symbol", "timeframe", "prefix", "rules"):
            if state[name] != own[name]:
                raise DataError(
                    f"{self._symbol} account state must have {name} {own[name]}, was {state[name]}; "
                    "start a new run to change it"
                )
        account = dict(state["account"])
        self._account = AccountState(**{**account, "known": Known(*account["known"])})
        self._bars_seen, self._open_time = int(state["bars_seen"]), int(state["open_time"])
        self._close, self._entry_frac = float(state["close"]), float(state["entry_frac"])
        self._fill_rows = [tuple(row) for row in state["fills"]]
        self._fill_times = dict(state["fill_times"])
        self._ids, self._intended = dict(state["ids"]), {}

    def _exit_order(self, reason: int, words: str | None = None) -> Order:
        held = self._account.quantity
        words = ExitReason(reason).name.lower() if words is None else words
        side = Side.SELL if held > 0 else Side.BUY
        return self._order(EXIT, reason, side, OrderType.MARKET, abs(held), words)

    def _entry_orders(self, direction: int) -> list[Order]:
        size = self._estimated_size(direction)
        towards, away = (Side.BUY, Side.SELL) if direction > 0 else (Side.SELL, Side.BUY)
        orders = [self._order(ENTRY, direction, towards, OrderType.MARKET, size, "signal")]
        if self._guards:
            orders.append(self._order(PROTECT, 0, away, OrderType.STOP, size, self._guards))
        return orders

    def _estimated_size(self, direction: int) -> float:
        """The entry's quantity if the next bar opened at this close."""
        account, rules = self._account, self._rules
        known = account.known
        price = self._close * (1.0 + direction * market_slippage(0.0, known, rules))
        sums = (account.trades, account.wins, account.win_sum, account.loss_sum)
        kelly = kelly_fraction(*sums, rules)
        return float(
            sized_quantity(
                account.equity, price, known.atr, known.volatility, kelly, float("inf"), rules
            )
        )

    def _order(
        self, leg: str, value: int, side: Side, kind: OrderType, quantity: float, reason: str
    ) -> Order:
        decided_at_ns = self._open_time + self._interval_ns
        client_id = f"{self._prefix}-{decided_at_ns // SECOND_NS}-{leg}"
        self._intended[client_id] = (leg, value)
        return Order(client_id, self._symbol, side, kind, quantity, decided_at_ns, reason=reason)

    def _fills(self, bar: Bar, events: BarEvents, *, was_exit_pending: bool) -> tuple[Fill, ...]:
        close_ns = bar.open_time + self._interval_ns
        places = (
            # At the open either the order of the last close fills, or a gap beyond a stop or target.
            (EXIT if was_exit_pending else PROTECT, events.exit_open, bar.open_time),
            (ENTRY, events.entry_open, bar.open_time),
            (PROTECT, events.exit_inside, close_ns),
        )
        return tuple(
            self._fill(leg, event, time_ns) for leg, event, time_ns in places if event.quantity != 0
        )

    def _fill(self, leg: str, event: FillEvent, time_ns: int) -> Fill:
        return Fill(
            client_id=self._ids[leg],
            symbol=self._symbol,
            side=Side.BUY if event.quantity > 0 else Side.SELL,
            quantity=abs(event.quantity),
            price=event.price,
            fee_quote=event.fee,
            filled_at_ns=time_ns,
            reason=ENTRY if leg == ENTRY else ExitReason(event.reason).name.lower(),
        )


def _guards_in_words(rules: MatchingRules) -> str:
    """What may close a position inside a bar, the venue's liquidation included; "" if nothing."""
    distances = {
        "stop": rules.stop_loss_frac,
        "target": rules.take_profit_frac,
        "trailing": rules.trailing_stop_frac,
        "stop_atr": rules.stop_loss_atr,
        "target_atr": rules.take_profit_atr,
        "trailing_atr": rules.trailing_stop_atr,
    }
    guards = [f"{name} {value:g}" for name, value in distances.items() if isfinite(value)]
    if rules.maintenance_margin_frac > 0.0:
        guards.append(f"liquidation at margin {rules.maintenance_margin_frac:g}")
    return ", ".join(guards)


def _plain_rules(rules: MatchingRules) -> dict[str, Any]:
    """Infinite distances as None: JSON has no infinity."""
    return {
        name: None if isinstance(value, float) and not isfinite(value) else value
        for name, value in rules._asdict().items()
    }
