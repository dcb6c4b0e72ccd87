"""The rivals as they come, nothing set up to be like us, on a few candles."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import backtrader as bt
    import pandas as pd
    import vectorbt as vbt
    from backtesting import Backtest, Strategy

from crypto_bot.core import Bars
from crypto_bot.core.timeframes import DAY_NS, HOUR_NS
from crypto_bot.engine import CostOptions, SizingOptions
from crypto_bot.orders import Context, OnBarStrategy, simulate_on_bar
from judges.settings import FREE

CASH = 1_000.0
Script = Callable[[Any, int], object]
"""What is asked for at the close of a bar, given the strategy (or our context) and its number."""


class Outcome(NamedTuple):
    """Fills as (bar, signed quantity, price), equity at the closes seen, and the bars of the calls."""

    fills: list[tuple[int, float, float]]
    equity: list[float]
    calls: list[int]


class Closed(NamedTuple):
    """A closed trade of backtesting.py."""

    entry_bar: int
    exit_bar: int
    quantity: float
    entry_price: float
    exit_price: float


def buy(who: Any, quantity: float) -> None:
    """A market order; ours calls the size a quantity."""
    who.buy(**_sized(who, quantity))


def sell(who: Any, quantity: float) -> None:
    """A market order; ours calls the size a quantity."""
    who.sell(**_sized(who, quantity))


def _sized(who: Any, quantity: float) -> dict[str, float]:
    return {"quantity" if isinstance(who, Context) else "size": quantity}


def candles(*rows: tuple[float, ...]) -> Bars:
    """Hourly bars of these open, high, low and close."""
    values = np.array(rows, np.float64)
    times = 20_000 * DAY_NS + np.arange(len(values)) * HOUR_NS
    return Bars("BTC/USDT", "1h", times, *values.T, np.ones(len(values)))


def ours(bars: Bars, script: Script, costs: CostOptions = FREE, cash: float = CASH) -> Outcome:
    """What our orders do."""
    calls: list[int] = []

    class Scripted(OnBarStrategy):
        def on_bar(self, context: Any) -> None:
            calls.append(context.index)
            script(context, context.index)

    sizing = SizingOptions(initial_cash=cash)
    result = simulate_on_bar(bars, Scripted(), costs=costs, sizing=sizing)
    columns = (result.fills[name].tolist() for name in ("bar", "quantity", "price"))
    return Outcome(list(zip(*columns, strict=True)), result.equity.tolist(), calls)


def backtrader(
    bars: Bars,
    script: Script,
    cash: float = CASH,
    slippage: float = 0.0,
    prepare: Script = lambda strategy, bar: None,
) -> Outcome:
    """What backtrader's broker does; `prepare` is called before the run, for indicators."""

    class Scripted(bt.Strategy):
        def __init__(self) -> None:
            self.outcome = Outcome([], [], [])
            prepare(self, -1)

        def next(self) -> None:
            bar = len(self.data) - 1
            self.outcome.equity.append(self.broker.get_value())
            self.outcome.calls.append(bar)
            script(self, bar)

        def notify_order(self, order: bt.Order) -> None:
            if order.status == order.Completed:
                done = order.executed
                self.outcome.fills.append((len(self.data) - 1, done.size, done.price))

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bt.feeds.PandasData(dataname=bars.to_pandas().tz_localize(None)))
    cerebro.broker.setcash(cash)
    cerebro.broker.set_slippage_perc(slippage)
    cerebro.addstrategy(Scripted)
    outcome: Outcome = cerebro.run()[0].outcome
    return outcome


def backtesting(
    bars: Bars,
    script: Script,
    cash: float = CASH,
    prepare: Script = lambda strategy, bar: None,
    **options: Any,
) -> tuple[list[Closed], list[float], list[int]]:
    """backtesting.py's closed trades, equity at every close, and the bars of the calls."""
    calls: list[int] = []

    class Scripted(Strategy):
        def init(self) -> None:
            prepare(self, -1)

        def next(self) -> None:
            calls.append(len(self.data) - 1)
            script(self, calls[-1])

    frame = bars.to_pandas().tz_localize(None)
    frame.columns = [name.capitalize() for name in frame.columns]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        statistics = Backtest(frame, Scripted, cash=cash, **options).run()
    trades = [
        Closed(row.EntryBar, row.ExitBar, row.Size, row.EntryPrice, row.ExitPrice)
        for row in statistics["_trades"].itertuples()
    ]
    return trades, statistics["_equity_curve"]["Equity"].tolist(), calls


def vectorbt(bars: Bars, entries: list[int], exits: list[int]) -> list[tuple[int, int, float]]:
    """vectorbt's orders (bar, side, price) of these entry and exit bars."""
    flags = np.zeros((2, len(bars)), bool)
    flags[0, entries] = flags[1, exits] = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signals = (pd.Series(bars.close), pd.Series(flags[0]), pd.Series(flags[1]))
        records = vbt.Portfolio.from_signals(*signals, init_cash=CASH).orders.values
    return [(int(o["idx"]), 1 if o["side"] == 0 else -1, float(o["price"])) for o in records]
