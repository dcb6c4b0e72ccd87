"""Random scripts of orders, run through the platform's `Context` and through the plain twin alike."""

from __future__ import annotations

import numpy as np

from crypto_bot.orders import OnBarStrategy, OrderKind
from reference.order_reference import Book

STOPS = ("stop_loss_frac", "stop_loss_atr", "stop_loss")
TRAILS = ("trailing_frac", "trailing_atr", "trailing_distance")
TARGETS = ("take_profit_frac", "take_profit_atr", "take_profit")
DISTANCES = (0.003, 0.01, 0.03, 0.1)


def script_of(seed, bars, atr, *, calm=0.4):
    """Per bar a list of (verb, values); prices follow from the close that the strategy sees."""
    rng = np.random.default_rng(seed)
    script = []
    for t, close in enumerate(bars.close.tolist()):
        count = 0 if rng.random() < calm else int(rng.integers(1, 4))
        has_atr = bool(atr[t] > 0)
        script.append([_action(rng, close, has_atr, bars.close_time[t]) for _ in range(count)])
    return script


def _action(rng, close, has_atr, time_ns):
    verb = rng.choice(
        ["buy", "sell", "close", "reverse", "cancel", "replace", "oco", "time_exit"],
        p=[0.29, 0.29, 0.08, 0.06, 0.07, 0.12, 0.06, 0.03],
    )
    pick = int(rng.integers(0, 1_000))
    if verb in ("buy", "sell"):
        return verb, _entry(rng, 1 if verb == "buy" else -1, close, has_atr, int(time_ns))
    if verb == "close":
        return verb, float(rng.choice([0.3, 0.5, 1.0]))
    if verb == "reverse":
        return verb, _protection(rng, 0, close, has_atr) | {"fraction": float(rng.choice([0.4, 1]))}
    if verb == "replace":
        changes = {
            "limit": close * (1 + rng.normal(0, 0.02)),
            "stop": close * (1 + rng.normal(0, 0.02)),
            "trailing": float(rng.choice(DISTANCES)),
            "quantity": float(rng.choice([0.5, 2.0, 6.0])),
            "good_till_bars": int(rng.integers(1, 9)),
        }
        return verb, (pick, str(rng.choice(list(changes))), changes)
    return str(verb), pick


def _entry(rng, side, close, has_atr, time_ns):
    terms = _size(rng)
    away = abs(float(rng.normal(0, 0.02)))
    # Now and then on the wrong side: it is then reached at once.
    away = -away if rng.random() < 0.15 else away
    kind = rng.choice(
        ["market", "limit", "stop", "stop_limit", "trailing"], p=[0.4, 0.2, 0.15, 0.15, 0.1]
    )
    if kind in ("stop", "stop_limit"):
        terms["stop"] = close * (1 + side * away)
    if kind == "limit":
        terms["limit"] = close * (1 - side * away)
    if kind == "stop_limit":
        terms["limit"] = terms["stop"] * (1 + side * float(rng.normal(0.003, 0.01)))
    if kind == "trailing":
        name = rng.choice(["trailing_frac", "trailing_atr" if has_atr else "trailing_distance"])
        terms |= {"reduce_only": True, str(name): _distance(rng, str(name), close)}
    elif rng.random() < 0.2:
        terms["reduce_only"] = True
    elif rng.random() < 0.6:
        entry = terms.get("limit", terms.get("stop", close))
        terms |= _protection(rng, side, entry, has_atr)
    if rng.random() < 0.3:
        terms["good_till_bars"] = int(rng.integers(1, 8))
    elif rng.random() < 0.2:
        terms["good_till_ns"] = time_ns + int(rng.integers(1, 10**14))
    return terms


def _size(rng):
    name = rng.choice(["quantity", "quote", "fraction", "rule"], p=[0.25, 0.25, 0.35, 0.15])
    if name == "quantity":
        return {"quantity": float(rng.choice([0.4, 1.0, 3.0, 50.0]))}
    if name == "quote":
        return {"quote": float(rng.choice([50.0, 200.0, 5_000.0]))}
    return {} if name == "rule" else {"fraction": float(rng.choice([0.1, 0.5, 1.0]))}


def _distance(rng, name, close):
    far = float(rng.choice(DISTANCES))
    if name.endswith("_atr"):
        return 40.0 * far
    return far if name.endswith("_frac") else close * far


def _protection(rng, side, close, has_atr):
    terms = {}
    for names, chance in ((STOPS, 0.6), (TRAILS, 0.3), (TARGETS, 0.6)):
        allowed = [name for name in names if has_atr or not name.endswith("_atr")]
        name = str(rng.choice(allowed))
        if rng.random() > chance or (name in ("stop_loss", "take_profit") and side == 0):
            continue
        far = _distance(rng, name, close)
        if name == "stop_loss":
            far = close - side * far
        elif name == "take_profit":
            far = close + side * far
        terms[name] = far
    return terms


class Scripted(OnBarStrategy):
    """Asks the platform for what the script says."""

    waits_until_settled = False

    def __init__(self, script):
        super().__init__()
        self.script = script

    def on_bar(self, context):
        for verb, values in self.script[context.index]:
            getattr(self, verb)(context, values)

    def buy(self, context, terms):
        context.buy(**terms)

    def sell(self, context, terms):
        context.sell(**terms)

    def close(self, context, fraction):
        context.close_position(fraction)

    def reverse(self, context, terms):
        if context.position:
            context.reverse(**terms)

    def time_exit(self, context, pick):
        if context.position and context.bars_held >= 1 + pick % 5:
            context.close_position()

    def cancel(self, context, pick):
        if context.orders:
            assert context.cancel(context.orders[pick % len(context.orders)].order_id)

    def replace(self, context, values):
        pick, name, changes = values
        for order in context.orders:
            if order.order_id % 3 == pick % 3:
                for change in self.possible(order, name, changes):
                    assert context.replace(order.order_id, **change)

    def possible(self, order, name, changes):
        value = changes.get(name)
        if name == "limit" and order.kind in (OrderKind.LIMIT, OrderKind.STOP_LIMIT):
            yield {name: value}
        if name == "stop" and order.kind in (OrderKind.STOP, OrderKind.STOP_LIMIT):
            yield {name: value}
        if name == "trailing" and order.kind is OrderKind.TRAILING:
            yield {"trailing_frac": value}
        if name == "quantity" and order.status == 1:
            yield {name: value}
        if name == "good_till_bars":
            yield {name: value}

    def oco(self, context, pick):
        free = [each.order_id for each in context.orders if each.pair_id is None]
        if len(free) >= 2:
            context.oco(free[pick % (len(free) - 1)], free[-1])


class Plain:
    """The same script, on the twin."""

    def __init__(self, book, script, close, close_time, atr):
        self.book, self.script = book, script
        self.closes, self.close_time, self.atr_values = close, close_time, atr

    def on_bar(self):
        for verb, values in self.script[self.book.bar]:
            getattr(self, verb)(values)

    @property
    def index(self):
        return self.book.bar

    @property
    def atr(self):
        return self.atr_values[self.index]

    def open_orders(self):
        return [ticket for ticket in self.book.orders if ticket.is_open]

    def buy(self, terms):
        self.ask(1, terms)

    def sell(self, terms):
        self.ask(-1, terms)

    def close(self, fraction):
        side = -1 if self.book.quantity > 0 else 1 if self.book.quantity < 0 else 0
        self.book.add("market", side, "held", fraction, reduce_only=True)

    def reverse(self, terms):
        if self.book.quantity:
            side = -1 if self.book.quantity > 0 else 1
            self.book.add("market", side, "held", 1.0, reduce_only=True, reason="reverse")
            self.ask(side, terms)

    def time_exit(self, pick):
        if self.book.quantity and self.index - self.book.entry_bar + 1 >= 1 + pick % 5:
            self.close(1.0)

    def cancel(self, pick):
        ready = self.open_orders()
        if ready:
            self.book.cancel(ready[pick % len(ready)].number)

    def oco(self, pick):
        free = [ticket for ticket in self.open_orders() if ticket.pair is None]
        if len(free) >= 2:
            two = (free[pick % (len(free) - 1)], free[-1])
            for ticket in two:
                ticket.pair = min(each.number for each in two)

    def replace(self, values):
        pick, name, changes = values
        value = changes.get(name)
        for ticket in self.open_orders():
            if ticket.number % 3 != pick % 3:
                continue
            if name == "limit" and ticket.kind in ("limit", "stop_limit"):
                ticket.limit, ticket.hang = value, None
            elif name == "stop" and ticket.kind in ("stop", "stop_limit"):
                ticket.stop, ticket.hang = value, None
            elif name == "trailing" and ticket.kind == "trailing":
                ticket.trail_frac, ticket.trail_distance = value, None
            elif name == "quantity" and ticket.status == "working":
                ticket.size, ticket.size_by = value, "quantity"
            elif name == "good_till_bars":
                ticket.till_bar = self.index + value
            else:
                continue
            if ticket.status == "working":
                ticket.active, ticket.since = self.index + 1, None

    def ask(self, side, terms):
        size_by, size = "rule", 1.0
        if terms.get("reduce_only"):
            size_by = "held"
        for name in ("quantity", "quote", "fraction"):
            if name in terms:
                size_by, size = name, terms[name]
        limit, stop = terms.get("limit"), terms.get("stop")
        kind, reason = "market", "signal"
        if limit is not None:
            kind, reason = ("limit", "target") if stop is None else ("stop_limit", "stop")
        elif stop is not None:
            kind, reason = "stop", "stop"
        more = {"limit": limit, "stop": stop, "reduce_only": terms.get("reduce_only", False)}
        if "good_till_bars" in terms:
            more["till_bar"] = self.index + terms["good_till_bars"]
        if "good_till_ns" in terms:
            more["till_ns"] = terms["good_till_ns"]
        if more["reduce_only"]:
            for name in TRAILS:
                if name in terms:
                    kind, reason = "trailing", "trailing"
                    more |= self.trail(name, terms[name]) | {"best": self.closes[self.index]}
        entry = self.book.add(kind, side, size_by, size, reason=reason, **more)
        if not more["reduce_only"]:
            self.protect(entry, -side, terms)

    def trail(self, name, value):
        if name == "trailing_frac":
            return {"trail_frac": value}
        return {"trail_distance": value if name == "trailing_distance" else value * self.atr}

    def protect(self, entry, side, terms):
        waits = {"reduce_only": True, "protects": entry, "pair": entry}
        for name in (name for name in STOPS if name in terms):
            where = self.level(name, terms[name], "stop")
            self.book.add("stop", side, "quantity", 0.0, reason="stop", **where, **waits)
        for name in (name for name in TRAILS if name in terms):
            trail = self.trail(name, terms[name])
            self.book.add("trailing", side, "quantity", 0.0, reason="trailing", **trail, **waits)
        for name in (name for name in TARGETS if name in terms):
            where = self.level(name, terms[name], "limit")
            self.book.add("limit", side, "quantity", 0.0, reason="target", **where, **waits)

    def level(self, name, value, field):
        if name.endswith("_frac"):
            return {"hang": ("fraction", value)}
        if name.endswith("_atr"):
            return {"hang": ("distance", value * self.atr)}
        return {field: value}


def plain_book(bars, script, conditions, atr, finer, costs, sizing, maintenance):
    """The twin after all bars."""
    book = Book(costs, sizing, sizing.initial_cash, maintenance)
    closes = bars.close.tolist()
    plain = Plain(book, script, closes, bars.close_time.tolist(), atr)
    for t, bar in enumerate(bars):
        before = max(t - 1, 0)
        row = {
            "open": bar.open,
            "high": bar.high,
            "low": bar.low,
            "close": bar.close,
            "funding": float(conditions.funding_due[t]),
            "borrow": float(conditions.borrow_due[t]),
            "close_ns": int(bars.close_time[t]),
        }
        known = (
            float(conditions.atr[before]) / closes[before],
            float(conditions.mean_volume[before]),
        )
        inside = ()
        if finer is not None:
            part = finer.between(bar.open_time, int(bars.close_time[t]))
            inside = list(zip(part.high.tolist(), part.low.tolist(), strict=True))
        book.match(row, inside, known)
        plain.on_bar()
    return book
