"""Our rules given to backtrader: orders of its own broker, filled by it.

Set up as cheat-on-open: the strategy is asked once the next open is known and before anything
fills, so that a stop can hang on the real fill price and be alive in the entry bar. What it wants
it takes from the close before. Slippage may leave the bar's range (`slip_out`), as ours does.
"""

from __future__ import annotations

import warnings

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import backtrader as bt

from crypto_bot.core import Bars
from crypto_bot.engine import SizingMethod
from judges.settings import Setting, wish
from judges.verdict import Verdict, paired


class Wanting(bt.Strategy):
    """Turns the wanted side of each close into backtrader's orders at the next open."""

    params = (("setting", None), ("direction", None))

    def __init__(self) -> None:
        self.fills: list[tuple[int, float, float, float]] = []
        self.equity: dict[int, float] = {}
        self.protection: list[bt.Order] = []
        self.before, self.peak, self.entry_price, self.entry_bar = 0, 0.0, 0.0, -1
        self.exit_bar = -1_000_000

    def wanted(self, bar: int) -> int:
        """The side wanted at the close of `bar`."""
        return int(self.p.direction[bar])

    def next_open(self) -> None:
        bar = len(self.data) - 2
        if bar < 0:
            return
        size = self.position.size
        side = (size > 0) - (size < 0)
        if side:
            best = self.data.high[-1] if side > 0 else self.data.low[-1]
            self.peak = max(self.peak, best) if side > 0 else min(self.peak, best)
        wanted = self.wanted(bar)
        held, since_exit = bar - self.entry_bar + 1, bar - self.exit_bar + 1
        leaves, enters = wish(
            side, wanted, self.before, self.p.setting, held=held, since_exit=since_exit
        )
        self.before = wanted
        cash = self.broker.get_cash()
        if leaves:
            self.unprotect()
            self.close()
            price = self.slipped(-side)
            cash += size * price - abs(size) * price * self.p.setting.costs.taker_fee_frac
        if enters:
            self.enter(enters, cash)
        elif side and not leaves and self.p.setting.exits.trailing_stop_frac:
            self.unprotect()
            self.protect(size)

    def slipped(self, side: int) -> float:
        """The price a market order of this side fills at."""
        return self.data.open[0] * (1 + side * self.p.setting.costs.slippage_frac)

    def enter(self, side: int, cash: float) -> None:
        """A market order for what the sizing rule says, and its protection."""
        price, sizing = self.slipped(side), self.p.setting.sizing
        most = cash / (price * (1 + self.p.setting.costs.taker_fee_frac))
        is_fixed = sizing.method is SizingMethod.FIXED_QUOTE
        size = side * (min(sizing.quote / price, most) if is_fixed else sizing.fraction * most)
        self.order(size)
        self.entry_price = self.peak = price
        self.entry_bar = len(self.data) - 1
        self.protect(size)

    def order(self, size: float, **kind: object) -> bt.Order:
        """A buy for a positive size, a sale for a negative one."""
        return (self.buy if size > 0 else self.sell)(size=abs(size), **kind)

    def protect(self, size: float) -> None:
        """Stop first, then the target that it cancels."""
        exits, side = self.p.setting.exits, 1 if size > 0 else -1
        levels = []
        if exits.stop_loss_frac:
            levels.append(self.entry_price * (1 - side * exits.stop_loss_frac))
        if exits.trailing_stop_frac:
            levels.append(self.peak * (1 - side * exits.trailing_stop_frac))
        stop = None
        if levels:
            level = max(levels) if side > 0 else min(levels)
            stop = self.order(-size, exectype=bt.Order.Stop, price=level)
            self.protection.append(stop)
        if exits.take_profit_frac:
            target = self.entry_price * (1 + side * exits.take_profit_frac)
            kind = {"exectype": bt.Order.Limit, "price": target, "oco": stop}
            self.protection.append(self.order(-size, **kind))

    def unprotect(self) -> None:
        """Withdraw stop and target."""
        for order in self.protection:
            self.cancel(order)
        self.protection = []

    def notify_order(self, order: bt.Order) -> None:
        assert order.status not in (order.Margin, order.Rejected), "refused by backtrader"
        if order.status == order.Completed:
            done, bar = order.executed, len(self.data) - 1
            self.fills.append((bar, done.size, done.price, done.comm))
            if not self.position:
                self.exit_bar, self.protection = bar, []

    def prenext(self) -> None:
        self.next()

    def next(self) -> None:
        self.equity[len(self.data) - 1] = self.broker.get_value()


class OwnSmaCross(Wanting):
    """The averages are backtrader's."""

    def __init__(self) -> None:
        super().__init__()
        values = self.p.setting.parameters
        self.fast = bt.indicators.SMA(self.data.close, period=values["fast"])
        self.slow = bt.indicators.SMA(self.data.close, period=values["slow"])

    def wanted(self, bar: int) -> int:
        fast, slow = self.fast[0], self.slow[0]
        return 0 if bar < self.p.setting.settled else (fast > slow) - (fast < slow)


class OwnRsi(Wanting):
    """Wilder's RSI is backtrader's."""

    def __init__(self) -> None:
        super().__init__()
        self.rsi = bt.indicators.RSI_Safe(
            self.data.close, period=self.p.setting.parameters["window"]
        )

    def wanted(self, bar: int) -> int:
        values, rsi = self.p.setting.parameters, self.rsi[0]
        side = (rsi < values["oversold"]) - (rsi > values["overbought"])
        return 0 if bar < self.p.setting.settled else side


def judge(
    bars: Bars, direction: np.ndarray, setting: Setting, strategy: type[Wanting] = Wanting
) -> Verdict:
    """What backtrader makes of it."""
    run = run_cerebro(bars, strategy, setting=setting, direction=direction)
    equity = np.array([run.equity.get(bar, np.nan) for bar in range(len(bars))])
    return Verdict(paired(run.fills, float(bars.close[-1])), float(equity[-1]), equity)


def run_cerebro(bars: Bars, strategy: type[bt.Strategy], **parameters: object) -> bt.Strategy:
    """The strategy after its run, on backtrader's own feed and broker."""
    setting = parameters["setting"]
    cerebro = bt.Cerebro(stdstats=False, cheat_on_open=True)
    cerebro.adddata(bt.feeds.PandasData(dataname=bars.to_pandas().tz_localize(None)))
    cerebro.broker.set_coo(True)
    cerebro.broker.setcash(setting.sizing.initial_cash)
    cerebro.broker.setcommission(commission=setting.costs.taker_fee_frac)
    cerebro.broker.set_slippage_perc(setting.costs.slippage_frac, slip_out=True)
    cerebro.addstrategy(strategy, **parameters)
    return cerebro.run()[0]
