"""The order rules of `crypto_bot.orders` in plain Python, one bar at a time, nothing skipped.

Written from docs/orders.md, not from the compiled step: lists of objects, no arrays, no search.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

YEAR_NS = 365 * 86_400 * 10**9


@dataclass
class Ticket:
    """One order. side +1 or -1, 0: whatever closes; size_by as `SizeBy`'s names in lower case."""

    number: int
    kind: str
    side: int
    size_by: str
    size: float
    created: int
    limit: float | None = None
    stop: float | None = None
    trail_frac: float | None = None
    trail_distance: float | None = None
    best: float | None = None
    reduce_only: bool = False
    protects: int | None = None
    pair: int | None = None
    hang: tuple[str, float] | None = None
    till_bar: float = math.inf
    till_ns: float = math.inf
    reason: str = "signal"
    status: str = "working"
    why: str = ""
    triggered: bool = False
    active: int | None = None
    since: float | None = None
    part: int = -1
    filled: float = 0.0
    price: float | None = None

    def __post_init__(self):
        self.status = "working" if self.protects is None else "waiting"
        self.active = self.created + 1 if self.protects is None else None

    @property
    def is_open(self):
        return self.status in ("working", "waiting")

    @property
    def is_stop(self):
        if self.kind == "stop_limit":
            return not self.triggered
        return self.kind in ("stop", "trailing")

    @property
    def level(self):
        if not self.is_stop:
            return self.limit
        if self.kind != "trailing":
            return self.stop
        if self.trail_frac is not None:
            return self.best * (1 + self.side * self.trail_frac)
        return self.best + self.side * self.trail_distance

    @property
    def falls(self):
        """A falling price reaches it: a buy limit, a sell stop."""
        return (self.side < 0) == self.is_stop

    def reached_by(self, price):
        return price <= self.level if self.falls else price >= self.level


@dataclass
class Book:
    """An account and its orders; costs and sizing as the engine's options."""

    costs: object
    sizing: object
    cash: float
    maintenance: float = 0.0
    quantity: float = 0.0
    entry_price: float = 0.0
    entry_bar: int = -1
    opened_at: tuple = (-1, 0.0)
    bar: int = -1
    ruined: bool = False
    orders: list = field(default_factory=list)
    fills: list = field(default_factory=list)
    equity: list = field(default_factory=list)
    position: list = field(default_factory=list)
    paid: float = 0.0
    fees: float = 0.0
    realised: float = 0.0
    refused: int = 0

    # What a strategy asks for.

    def add(self, kind, side, size_by, size, **more):
        ticket = Ticket(len(self.orders), kind, side, size_by, size, self.bar, **more)
        self.orders.append(ticket)
        return ticket.number

    def cancel(self, number, status="cancelled", why="cancelled by the strategy"):
        ticket = self.orders[number]
        ticket.status, ticket.why = status, why
        for other in self.orders:
            if other.status == "waiting" and other.protects == number:
                other.status, other.why = "cancelled", "its entry was not filled"

    # One bar.

    def match(self, row, finer, known):
        """row: open high low close funding borrow close_ns; known: ATR / close and mean volume."""
        self.bar += 1
        self.row, self.known = row, known
        self.pay(row)
        for ticket in list(self.orders):
            if ticket.is_open and (self.bar > ticket.till_bar or row["close_ns"] > ticket.till_ns):
                self.cancel(ticket.number, "expired", "its time was up")
        self.at_open(row["open"])
        for part, (high, low) in enumerate([*finer, (row["high"], row["low"])]):
            while self.act_inside(high, low, part, is_whole=part == len(finer)):
                pass
        self.follow()
        equity = self.cash + self.quantity * row["close"]
        if equity <= 0 and not self.ruined:
            self.ruined = True
            for ticket in self.orders:
                if ticket.is_open:
                    self.cancel(ticket.number, why="the account is ruined")
            if self.quantity:
                self.add("market", 0, "held", 1.0, reduce_only=True, reason="stop")
        self.equity.append(equity)
        self.position.append(self.quantity)

    def pay(self, row):
        if self.quantity:
            value = self.quantity * row["open"]
            loan = -value if self.quantity < 0 else max(-self.cash, 0.0)
            due = value * row["funding"] + loan * row["borrow"]
            self.cash -= due
            self.paid += due

    def live(self):
        return [t for t in self.orders if t.status == "working" and t.active <= self.bar]

    def closes(self, ticket):
        return ticket.side * self.quantity < 0

    def is_new(self, ticket):
        return ticket.active == self.bar and ticket.since is not None

    def at_open(self, price):
        for ticket in self.live():
            leaves = ticket.reduce_only or self.closes(ticket)
            if ticket.kind == "market" and ticket.is_open and leaves:
                self.fill(ticket, price, slips=True, taker=True, at_open=True)
        while self.act_at_open(price, only_closing=True):
            pass
        for ticket in self.live():
            if ticket.kind == "market" and ticket.is_open:
                self.fill(ticket, price, slips=True, taker=True, at_open=True)
        while self.act_at_open(price, only_closing=False):
            pass

    def act_at_open(self, price, only_closing):
        ready = [
            (not t.is_stop, -abs(price - t.level), t.number)
            for t in self.live()
            if t.kind != "market"
            and not self.is_new(t)
            and (self.closes(t) or not only_closing)
            and t.reached_by(price)
        ]
        level = self.liquidation_level()
        # What was opened at this very open is liquidated inside the bar.
        is_carried = self.opened_at[0] < self.bar
        if only_closing and is_carried and level is not None:
            is_passed = (price - level) * self.quantity <= 0
        else:
            is_passed = False
        if is_passed:
            ready.append((False, -abs(price - level), math.inf))
        if not ready:
            return False
        number = min(ready)[2]
        if number == math.inf:
            self.liquidate(price, at_open=True)
            return True
        ticket = self.orders[number]
        if ticket.kind == "stop_limit" and not ticket.triggered:
            ticket.triggered, ticket.active, ticket.since, ticket.part = True, self.bar, price, -1
            if not ticket.reached_by(price):
                return True
        first_open = ticket.active == self.bar
        slips = ticket.is_stop
        self.fill(ticket, price, slips=slips, taker=slips or first_open, at_open=True)
        return True

    def fills_inside(self, ticket, high, low, part, is_whole):
        if ticket.kind == "market" or not ticket.reached_by(low if ticket.falls else high):
            return False
        if ticket.is_stop or not self.is_new(ticket) or ticket.reached_by(ticket.since):
            return True
        if not is_whole:
            return ticket.part < part
        # Certain only if the way from the open led over `since`, or the close is beyond.
        toward = (
            ticket.since <= self.row["open"] if ticket.falls else ticket.since >= self.row["open"]
        )
        return toward or ticket.reached_by(self.row["close"])

    def act_inside(self, high, low, part, is_whole):
        ready = []
        for ticket in self.live():
            if self.fills_inside(ticket, high, low, part, is_whole):
                helps = ticket.falls == (self.quantity < 0) and self.quantity != 0
                away = ticket.level - self.row["open"]
                away = -away if ticket.falls else away
                ready.append((helps, away, not ticket.is_stop, ticket.number))
        level = self.liquidation_level()
        if level is not None and (low <= level if self.quantity > 0 else high >= level):
            away = (self.row["open"] - level) * math.copysign(1, self.quantity)
            # Behind every stop at the same price.
            ready.append((False, away, 2, math.inf))
        if not ready:
            return False
        number = min(ready)[3]
        if number == math.inf:
            if self.opened_at[0] == self.bar:
                since = self.opened_at[1]
                level = min(level, since) if self.quantity > 0 else max(level, since)
            self.liquidate(level, at_open=False, part=part)
            return True
        ticket = self.orders[number]
        level, slips = ticket.level, ticket.is_stop
        taker = slips
        if self.is_new(ticket) and ticket.reached_by(ticket.since):
            level, taker = ticket.since, True
        if ticket.kind == "stop_limit" and not ticket.triggered:
            ticket.triggered, ticket.active, ticket.since, ticket.part = True, self.bar, level, part
            if not ticket.reached_by(level):
                return True
            slips = False
        self.fill(ticket, level, slips=slips, taker=taker, at_open=False, part=part)
        return True

    def liquidation_level(self):
        if not self.maintenance or not self.quantity:
            return None
        if self.quantity > 0:
            return max(-self.cash / (self.quantity * (1 - self.maintenance)), 0.0)
        return max(self.cash / (-self.quantity * (1 + self.maintenance)), 0.0)

    def liquidate(self, price, at_open, part=-1):
        side = -1 if self.quantity > 0 else 1
        number = self.add("liquidation", side, "held", 1.0, reduce_only=True, reason="liquidation")
        ticket = self.orders[number]
        ticket.created = ticket.active = self.bar
        self.fill(ticket, price, slips=True, taker=True, at_open=at_open, part=part)

    def follow(self):
        row = self.row
        for ticket in self.live():
            if ticket.kind == "trailing":
                extreme = row["high"] if ticket.side < 0 else row["low"]
                if self.is_new(ticket):
                    is_after = (
                        ticket.since >= row["open"]
                        if ticket.side < 0
                        else ticket.since <= row["open"]
                    )
                    extreme = extreme if is_after else row["close"]
                ticket.best = (
                    max(ticket.best, extreme) if ticket.side < 0 else min(ticket.best, extreme)
                )

    # One fill.

    def slippage(self, quantity):
        extra = self.costs.slippage_frac
        atr_frac, mean_volume = self.known
        if self.costs.slippage_atr_mult:
            extra += self.costs.slippage_atr_mult * atr_frac
        if self.costs.slippage_volume_mult:
            share = quantity / mean_volume if mean_volume > 0 else math.inf
            extra += min(self.costs.slippage_volume_mult * math.sqrt(share), 0.5)
        return min(extra, 0.99)

    def affordable(self, equity, price, held=0.0):
        lever, fee = self.sizing.leverage, self.costs.taker_fee_frac
        return (lever * equity - held * price) / (price * (1 + lever * fee))

    def wanted(self, ticket, side, price):
        if ticket.size_by == "quantity":
            return ticket.size
        if ticket.size_by == "quote":
            return ticket.size / price
        if ticket.size_by == "held":
            return ticket.size * abs(self.quantity)
        equity = self.cash + self.quantity * price
        share = ticket.size if ticket.size_by == "fraction" else self.sizing.fraction
        wanted = share * self.affordable(equity, price)
        wanted = 0.0 if wanted < 0 else wanted
        if ticket.size_by == "rule":
            # percent_of_equity, the one rule the twin knows; it floors and refuses by itself.
            wanted = self.floored(wanted, 0.0)
            small = wanted < self.costs.minimum_quantity
            if small or wanted * price < self.costs.minimum_notional_quote:
                wanted = 0.0
            wanted = max(wanted, 0.0)
        if self.quantity * side > 0:
            wanted = min(wanted, max(self.affordable(equity, price, abs(self.quantity)), 0.0))
        return wanted

    def floored(self, quantity, slack=1e-9):
        step = self.costs.quantity_step
        if math.isnan(quantity):
            # Slippage is not known yet: refused for that.
            return quantity
        return math.floor(quantity / step + slack) * step if step else quantity

    def fill(self, ticket, market, *, slips, taker, at_open, part=-1):
        side = ticket.side or (-1 if self.quantity > 0 else 1)
        held = self.quantity
        price = market * (1 + side * self.slippage(0.0)) if slips else market
        wanted = self.wanted(ticket, side, price)
        if slips and self.costs.slippage_volume_mult:
            price = market * (1 + side * self.slippage(wanted))
            wanted = self.wanted(ticket, side, price)
        fee_frac = self.costs.taker_fee_frac if taker else self.costs.maker_fee_frac
        reducing = 0.0
        if held * side < 0:
            is_all = wanted >= abs(held) * (1 - 1e-12)
            reducing = abs(held) if is_all else self.floored(wanted)
        if ticket.reduce_only and not reducing:
            self.refuse(
                ticket, "below the minimum quantity" if held * side < 0 else "nothing to reduce"
            )
            return
        opening = 0.0
        if not ticket.reduce_only and (reducing == 0 or reducing == abs(held)):
            opening = max(wanted - reducing, 0.0)
            if reducing and opening <= 1e-12 * wanted:
                opening = 0.0
            opening = self.floored(opening)
        if reducing:
            flips = opening > 0 and ticket.reason == "signal"
            self.reduce(
                ticket, reducing, price, fee_frac, "reverse" if flips else ticket.reason, at_open
            )
        if opening or not reducing:
            why = self.refusal(opening, opening + reducing, side, price)
            if why:
                opening = 0.0
                if reducing:
                    self.refused += 1
                    ticket.why = why
                else:
                    self.refuse(ticket, why)
                    return
        if opening:
            self.open(ticket, side * opening, price, market, fee_frac, at_open)
        ticket.status, ticket.filled, ticket.price = "filled", reducing + opening, price
        self.after_fill(ticket, held, opening, market, part)

    def refusal(self, opening, wanted, side, price):
        equity = self.cash + self.quantity * price
        held = abs(self.quantity) if self.quantity * side > 0 else 0.0
        if self.ruined:
            return "the account is ruined"
        if side < 0 and not self.sizing.allow_short:
            return "short not allowed"
        atr_frac, mean_volume = self.known
        needs = (
            (self.costs.slippage_atr_mult, atr_frac),
            (self.costs.slippage_volume_mult, mean_volume),
        )
        if any(is_used and not value > 0 for is_used, value in needs):
            return "ATR, volatility or volume not known yet"
        room = (
            max(self.affordable(equity, price, held), 0.0)
            if held
            else self.affordable(equity, price)
        )
        if equity <= 0 or opening > room * (1 + 1e-9):
            return "insufficient equity or margin"
        if not wanted > 0 or wanted < self.costs.minimum_quantity:
            return "below the minimum quantity"
        if wanted * price < self.costs.minimum_notional_quote:
            return "below the minimum notional"
        return ""

    def refuse(self, ticket, why):
        self.refused += 1
        self.cancel(ticket.number, "rejected", why)

    def note(self, ticket, quantity, price, fee, reason, at_open):
        self.fees += fee
        self.fills.append((self.bar, at_open, quantity, price, fee, reason, ticket.number))

    def reduce(self, ticket, size, price, fee_frac, reason, at_open):
        closed = math.copysign(size, self.quantity)
        fee = size * price * fee_frac
        self.cash += closed * price - fee
        self.realised += (price - self.entry_price) * closed
        self.quantity = 0.0 if size == abs(self.quantity) else self.quantity - closed
        self.note(ticket, -closed, price, fee, reason, at_open)

    def open(self, ticket, amount, price, market, fee_frac, at_open):
        fee = abs(amount) * price * fee_frac
        if self.quantity:
            whole = self.quantity + amount
            self.entry_price = (self.entry_price * self.quantity + price * amount) / whole
            self.quantity = whole
        else:
            self.entry_price, self.entry_bar, self.quantity = price, self.bar, amount
        self.cash -= amount * price + fee
        self.opened_at = (self.bar, market)
        self.note(ticket, amount, price, fee, "open", at_open)

    def after_fill(self, ticket, held, opening, market, part):
        for other in self.orders:
            if other.status == "waiting" and other.protects == ticket.number:
                if opening:
                    self.hang(other, ticket.price, opening, market, part)
                else:
                    other.status, other.why = "cancelled", "its entry was not filled"
        ended = held != 0 and self.quantity * held <= 0
        for other in self.orders:
            if other is ticket or not other.is_open:
                continue
            guards = (
                other.status == "working"
                and other.reduce_only
                and other.kind != "market"
                and other.side * held < 0
            )
            if ticket.kind == "liquidation":
                self.cancel(other.number, why="the account was liquidated")
            elif ticket.pair is not None and other.pair == ticket.pair:
                self.cancel(other.number, why="the other order of its pair was filled")
            elif ended and guards:
                self.cancel(other.number, why="the position it protects is closed")

    def hang(self, other, price, opening, market, part):
        other.status, other.size, other.size_by = "working", opening, "quantity"
        other.active, other.since, other.part, other.best = self.bar, market, part, price
        if other.hang is None:
            return
        how, far = other.hang
        away = -other.side if other.kind == "limit" else other.side
        level = price * (1 + away * far) if how == "fraction" else price + away * far
        if other.kind == "limit":
            other.limit = level
        else:
            other.stop = level
