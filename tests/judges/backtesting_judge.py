"""Our rules given to backtesting.py: its orders, its broker, its fractional trading.

Its units are whole, so prices are scaled until one unit is a trillionth of a coin, or the venue's
quantity step where the setting has one. It wants prices of stops and targets, and sizes that are no
fraction of equity, when the order is placed: the strategy is told the next open for that, and for
nothing else.
"""

from __future__ import annotations

import warnings

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from backtesting import Strategy
    from backtesting.lib import FractionalBacktest, crossover

from crypto_bot.core import Bars
from crypto_bot.engine import SizingMethod
from judges.settings import Setting, wish
from judges.verdict import Trip, Verdict

FINEST = 1e-12
OPEN = -1


class Wanting(Strategy):
    """Turns the wanted side of each close into orders for the next open."""

    setting: Setting
    direction: np.ndarray
    opens: np.ndarray

    def init(self) -> None:
        self.before, self.peak = 0, 0.0

    def wanted(self, bar: int) -> int:
        """The side wanted at the close of `bar`."""
        return int(self.direction[bar])

    def next(self) -> None:
        bar = len(self.data) - 1
        side = int(np.sign(self.position.size))
        if side:
            self.follow(bar, side)
        last = self.closed_trades[-1].exit_bar if self.closed_trades else -1_000_000
        held = bar - self.trades[0].entry_bar + 1 if side else 0
        wanted = self.wanted(bar)
        leaves, enters = wish(
            side, wanted, self.before, self.setting, held=held, since_exit=bar - last + 1
        )
        self.before = wanted
        if bar + 1 == len(self.opens):
            return
        if enters:
            self.enter(enters, self.opens[bar + 1] * (1 + enters * self._broker._spread))
        elif leaves:
            self.position.close()

    def follow(self, bar: int, side: int) -> None:
        """Draw the trailing stop along behind the best price so far."""
        trade, distance = self.trades[0], self.setting.exits.trailing_stop_frac
        if not distance:
            return
        best = self.data.High[-1] if side > 0 else self.data.Low[-1]
        before = trade.entry_price if trade.entry_bar == bar else self.peak
        self.peak = max(before, best) if side > 0 else min(before, best)
        trade.sl = self.peak * (1 - side * distance)

    def enter(self, side: int, price: float) -> None:
        """One order; an open trade is closed before it at the same open (exclusive orders)."""
        exits, sizing = self.setting.exits, self.setting.sizing
        size = sizing.fraction
        if sizing.method is SizingMethod.FIXED_QUOTE:
            size = float(int(sizing.quote / price))
        distance = exits.stop_loss_frac or exits.trailing_stop_frac
        stop = price * (1 - side * distance) if distance else None
        profit = exits.take_profit_frac
        target = price * (1 + side * profit) if profit else None
        place = self.buy if side > 0 else self.sell
        # Its default size is all of the equity; 1.0 would be one unit.
        place(sl=stop, tp=target, **({} if size == 1.0 else {"size": size}))


class OwnSmaCross(Wanting):
    """Averages registered with the library, crossed by its own `crossover`."""

    def init(self) -> None:
        super().init()
        values = self.setting.parameters
        self.fast = self.I(lambda x: x.s.rolling(values["fast"]).mean(), self.data.Close)
        self.slow = self.I(lambda x: x.s.rolling(values["slow"]).mean(), self.data.Close)
        self.side = 0

    def wanted(self, bar: int) -> int:
        if bar < self.setting.settled:
            return 0
        if self.side == 0:
            self.side = 1 if self.fast[-1] > self.slow[-1] else -1
        elif crossover(self.fast, self.slow):
            self.side = 1
        elif crossover(self.slow, self.fast):
            self.side = -1
        return self.side


class OwnChannel(Wanting):
    """Highest high and lowest low of the bars before, registered with the library."""

    def init(self) -> None:
        super().init()
        length = self.setting.parameters["bars"]
        self.high = self.I(lambda x: x.s.rolling(length).max().shift(1), self.data.High)
        self.low = self.I(lambda x: x.s.rolling(length).min().shift(1), self.data.Low)

    def wanted(self, bar: int) -> int:
        close = self.data.Close[-1]
        return int(close > self.high[-1]) - int(close < self.low[-1])


def judge(
    bars: Bars,
    direction: np.ndarray | None,
    setting: Setting,
    strategy: type[Wanting] = Wanting,
    spread: float = 0.0,
) -> Verdict:
    """What backtesting.py makes of it."""
    unit = setting.costs.quantity_step or FINEST
    frame = bars.to_pandas().tz_localize(None)
    frame.columns = [name.capitalize() for name in frame.columns]
    told = {"setting": setting, "direction": direction, "opens": bars.open * unit}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message=".*canceled the")
        test = FractionalBacktest(
            frame,
            type(strategy.__name__, (strategy,), told),
            cash=setting.sizing.initial_cash,
            commission=setting.costs.taker_fee_frac,
            spread=spread,
            exclusive_orders=True,
            fractional_unit=unit,
        )
        statistics = test.run()
    closed = statistics["_trades"].sort_values("EntryBar")
    trips = [
        Trip(row.EntryBar, row.ExitBar, int(np.sign(row.Size)), abs(row.Size), row.EntryPrice,
             row.ExitPrice, row.Commission)
        for row in closed.itertuples()
    ]  # fmt: skip
    fee = setting.costs.taker_fee_frac
    for trade in statistics["_strategy"].trades:
        quantity, price = abs(trade.size) * unit, trade.entry_price / unit
        side = int(np.sign(trade.size))
        fees = quantity * price * fee
        trips.append(
            Trip(trade.entry_bar, OPEN, side, quantity, price, float(bars.close[-1]), fees)
        )
    equity = statistics["_equity_curve"]["Equity"].to_numpy().copy()
    return Verdict(trips, float(equity[-1]), equity)
