"""Order scripts in two tongues: `OnBarStrategy` of ours and `bt.Strategy`, order for order the same.

backtrader in its ordinary set-up: `next` at a close, orders act from the next bar on. What a script
wants is in a table of sides by bar, so that both are asked about orders and nothing else.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import backtrader as bt

from crypto_bot.core import Bars
from crypto_bot.engine import CostOptions, SizingOptions
from crypto_bot.orders import OnBarStrategy, simulate_on_bar

CASH = 100_000.0


class Fill(NamedTuple):
    """One fill; quantity is signed."""

    bar: int
    quantity: float
    price: float
    fee: float


class Account(NamedTuple):
    """Every fill in order, and equity at every close."""

    fills: list[Fill]
    equity: np.ndarray


class Ours(OnBarStrategy):
    """A script of ours; `sides` is the table, `size` the quantity of an entry."""

    def __init__(self, sides: np.ndarray, size: float, interval_ns: int) -> None:
        super().__init__()
        self.sides, self.size, self.interval_ns = sides.tolist(), size, interval_ns

    def on_bar(self, context: Any) -> None:
        side = self.sides[context.index]
        self.act(context, side, context.buy if side > 0 else context.sell)

    def act(self, context: Any, side: int, enter: Callable[..., int]) -> None:
        """Ask for orders at this close."""
        raise NotImplementedError


class Theirs(bt.Strategy):
    """The same script for backtrader."""

    params = (("sides", None), ("size", 0.0))

    def __init__(self) -> None:
        self.fills: list[Fill] = []
        self.equity: list[float] = []
        self.working: set[int] = set()

    def next(self) -> None:
        self.bar = len(self.data) - 1
        self.equity.append(self.broker.get_value())
        side = int(self.p.sides[self.bar])
        self.act(side, self.buy if side > 0 else self.sell)

    def act(self, side: int, enter: Callable[..., Any]) -> None:
        """Ask for orders at this close."""
        raise NotImplementedError

    def valid(self, bars: int) -> Any:
        """A moment between the open of the bar `bars` from now and the one after."""
        return bt.num2date(self.data.datetime[0] + (bars + 0.5) * self.step)

    def start(self) -> None:
        times = self.data.datetime.array
        self.step = times[1] - times[0]

    def notify_order(self, order: bt.Order) -> None:
        assert order.status not in (order.Margin, order.Rejected), "refused by backtrader"
        (self.working.add if order.alive() else self.working.discard)(order.ref)
        if order.status == order.Completed:
            done = order.executed
            self.fills.append(Fill(len(self.data) - 1, done.size, done.price, done.comm))


def our_account(bars: Bars, script: Ours, costs: CostOptions) -> Account:
    """What our matching step makes of the script."""
    result = simulate_on_bar(bars, script, costs=costs, sizing=SizingOptions(initial_cash=CASH))
    columns = (result.fills[name].tolist() for name in ("bar", "quantity", "price", "fee"))
    return Account([Fill(*row) for row in zip(*columns, strict=True)], result.equity)


def their_account(bars: Bars, script: type[Theirs], costs: CostOptions, **values: Any) -> Account:
    """What backtrader's broker makes of it."""
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bt.feeds.PandasData(dataname=bars.to_pandas().tz_localize(None)))
    cerebro.broker.setcash(CASH)
    cerebro.broker.setcommission(commission=costs.taker_fee_frac)
    cerebro.broker.set_slippage_perc(costs.slippage_frac, slip_out=True)
    cerebro.addstrategy(script, **values)
    (run,) = cerebro.run()
    return Account(run.fills, np.array(run.equity))


# A limit entry that waits three bars, with the stop and target it brings.


class OurBracket(Ours):
    def act(self, context, side, enter):
        if side and not context.position and not context.orders:
            price = context.close * (1 - side * 0.001)
            enter(
                self.size,
                limit=price,
                good_till_bars=3,
                stop_loss=price * (1 - side * 0.02),
                take_profit=price * (1 + side * 0.02),
            )


class TheirBracket(Theirs):
    def act(self, side, enter):
        if side and not self.position and not self.working:
            price = self.data.close[0] * (1 - side * 0.001)
            outer = price * (1 - side * 0.02), price * (1 + side * 0.02)
            bracket = self.buy_bracket if side > 0 else self.sell_bracket
            bracket(
                size=self.p.size,
                price=price,
                exectype=bt.Order.Limit,
                valid=self.valid(3),
                stopprice=outer[0],
                stopargs={"valid": None},
                limitprice=outer[1],
                limitargs={"valid": None},
            )


# Stops on both sides of the market of which one cancels the other; left at the market.


class OurBreakout(Ours):
    def act(self, context, side, enter):
        if context.position:
            if context.bars_held == 8:
                context.close_position()
        elif side and not context.orders:
            terms = {"good_till_ns": context.time_ns + 6 * self.interval_ns}
            above = context.buy(self.size, stop=context.close * 1.006, **terms)
            below = context.sell(self.size, stop=context.close * 0.994, **terms)
            context.oco(above, below)


class TheirBreakout(Theirs):
    def act(self, side, enter):
        if self.position:
            if self.bar - self.fills[-1].bar + 1 == 8:
                self.close()
        elif side and not self.working:
            close, terms = self.data.close[0], {"exectype": bt.Order.Stop, "valid": self.valid(6)}
            above = self.buy(size=self.p.size, price=close * 1.006, **terms)
            self.sell(size=self.p.size, price=close * 0.994, oco=above, **terms)


# A stop that becomes a limit order, with the stop and target it brings.


class OurStopLimit(Ours):
    def act(self, context, side, enter):
        if side and not context.position and not context.orders:
            trigger = context.close * (1 + side * 0.002)
            enter(
                self.size,
                stop=trigger,
                limit=trigger * (1 + side * 0.0005),
                good_till_bars=4,
                stop_loss=trigger * (1 - side * 0.025),
                take_profit=trigger * (1 + side * 0.03),
            )


class TheirStopLimit(Theirs):
    def act(self, side, enter):
        if side and not self.position and not self.working:
            trigger = self.data.close[0] * (1 + side * 0.002)
            bracket = self.buy_bracket if side > 0 else self.sell_bracket
            bracket(
                size=self.p.size,
                price=trigger,
                plimit=trigger * (1 + side * 0.0005),
                exectype=bt.Order.StopLimit,
                valid=self.valid(4),
                stopprice=trigger * (1 - side * 0.025),
                stopargs={"valid": None},
                limitprice=trigger * (1 + side * 0.03),
                limitargs={"valid": None},
            )


# Market orders: bought in parts, halved, reversed.


class OurParts(Ours):
    def act(self, context, side, enter):
        held = context.position
        if side * held < 0.0:
            context.reverse(self.size)
        elif side and abs(held) < 3 * self.size:
            enter(self.size)
        elif not side and held and context.index % 7 == 0:
            context.close_position(0.5)


class TheirParts(Theirs):
    def act(self, side, enter):
        held = self.position.size
        if side * held < 0.0:
            self.close()
            enter(size=self.p.size)
        elif side and abs(held) < 3 * self.p.size:
            enter(size=self.p.size)
        elif not side and held and self.bar % 7 == 0:
            (self.sell if held > 0 else self.buy)(size=abs(held) / 2)


# A limit order drawn along behind the market, then a stop and a target paired by hand.


class OurDrawn(Ours):
    def act(self, context, side, enter):
        waiting = context.orders
        if context.position:
            if not waiting:
                entry = context.entry_price
                terms = {"reduce_only": True}
                stop = context.sell(self.size, stop=entry * 0.985, **terms)
                context.oco(stop, context.sell(self.size, limit=entry * 1.015, **terms))
        elif not waiting:
            context.buy(self.size, limit=context.close * 0.997)
        elif side < 0:
            context.cancel(waiting[0].order_id)
        elif side > 0:
            context.replace(waiting[0].order_id, limit=context.close * 0.997)


class TheirDrawn(Theirs):
    def __init__(self):
        super().__init__()
        self.order = None

    def act(self, side, enter):
        price = self.data.close[0] * 0.997
        terms = {"size": self.p.size, "exectype": bt.Order.Limit}
        if self.position:
            if not self.working:
                entry = self.position.price
                stop = self.sell(size=self.p.size, exectype=bt.Order.Stop, price=entry * 0.985)
                self.sell(price=entry * 1.015, oco=stop, **terms)
        elif not self.working:
            self.order = self.buy(price=price, **terms)
        elif side:
            self.cancel(self.order)
            if side > 0:
                self.order = self.buy(price=price, **terms)


# Our trailing stop, which hangs on the best price, against a stop drawn along by hand.


class OurTrail(Ours):
    def act(self, context, side, enter):
        held = context.position
        if not held and side:
            enter(self.size)
        elif held and not context.orders:
            leave = context.sell if held > 0 else context.buy
            leave(self.size, trailing_frac=0.006, reduce_only=True)


class HandDrawnTrail(Theirs):
    def __init__(self):
        super().__init__()
        self.order, self.best = None, 0.0

    def act(self, side, enter):
        held = self.position.size
        if not held:
            if side:
                enter(size=self.p.size)
            return
        if not self.working:
            self.best = self.data.close[0]
        else:
            self.cancel(self.order)
            best = (max, self.data.high[0]) if held > 0 else (min, self.data.low[0])
            self.best = best[0](self.best, best[1])
        leave, away = (self.sell, -0.006) if held > 0 else (self.buy, 0.006)
        level = self.best * (1 + away)
        self.order = leave(size=self.p.size, exectype=bt.Order.Stop, price=level)


# backtrader's trailing stop, which hangs on the close, against a stop that we replace by hand.


class OurReplaced(Ours):
    def act(self, context, side, enter):
        held, waiting = context.position, context.orders
        if not held and side:
            enter(self.size)
        elif held:
            level = context.close * (0.994 if held > 0 else 1.006)
            if not waiting:
                leave = context.sell if held > 0 else context.buy
                leave(self.size, stop=level, reduce_only=True)
            elif (level - waiting[0].stop_price) * held > 0:
                context.replace(waiting[0].order_id, stop=level)


class TheirTrail(Theirs):
    def act(self, side, enter):
        held = self.position.size
        if not held and side:
            enter(size=self.p.size)
        elif held and not self.working:
            leave = self.sell if held > 0 else self.buy
            leave(size=self.p.size, exectype=bt.Order.StopTrail, trailpercent=0.006)


SCRIPTS = {
    "limit bracket": (OurBracket, TheirBracket),
    "stops either side, one cancels the other": (OurBreakout, TheirBreakout),
    "stop-limit bracket": (OurStopLimit, TheirStopLimit),
    "parts": (OurParts, TheirParts),
    "drawn limit": (OurDrawn, TheirDrawn),
    "trailing stop": (OurTrail, HandDrawnTrail),
    "stop replaced at each close": (OurReplaced, TheirTrail),
}
