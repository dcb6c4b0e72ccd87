"""One `on_bar` strategy in Python: bars a second of process time, with few and with many fills."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.rows import claim, row
from crypto_bot.core import Bars
from crypto_bot.engine import SizingOptions, exits_for, simulate
from crypto_bot.market import SimulationOptions, simulate_market
from crypto_bot.orders import DeclaredSignals, OnBarStrategy, OrderAccount, simulate_on_bar
from crypto_bot.orders.desk import OrderDesk
from crypto_bot.strategies import get_strategy

BARS = 105_120
"""A year of five-minute candles."""
LIVE_BARS = 5_000
TIMES = 7
SIZING = SizingOptions(initial_cash=10_000_000.0)


class Cross(OnBarStrategy):
    """Hold one unit while the fast average is above the slow one."""

    def features(self) -> tuple[str, ...]:
        return "sma_40", "sma_100"

    def on_bar(self, context: Any) -> None:
        fast, slow = context.features
        if fast > slow:
            if not context.position:
                context.buy(1.0)
        elif context.position:
            context.close_position()


class Guarded(Cross):
    """The same, with a stop, a target and a trailing stop: what rests must be watched."""

    def on_bar(self, context: Any) -> None:
        fast, slow = context.features
        if fast > slow:
            if not context.position:
                context.buy(1.0, stop_loss_frac=0.01, take_profit_frac=0.02, trailing_frac=0.015)
        elif context.position:
            context.close_position()


def run() -> list[dict[str, Any]]:
    """Speed of backtests, of one live bar, and in how many bars the engine was entered."""
    bars = simulate_market(SimulationOptions(symbols=1, bars=BARS))[0]
    rows = []
    for strategy, at_least in ((Cross, 0.6), (Guarded, None)):
        result = simulate_on_bar(bars, strategy(), sizing=SIZING)
        seconds = process_seconds(
            lambda kind=strategy: simulate_on_bar(bars, kind(), sizing=SIZING)
        )
        name = f"on_bar: {strategy.__name__}, {BARS:,} bars, {len(result.fills):,} fills"
        rows.append(row(name, BARS / seconds / 1e6, "M bars/s", at_least=at_least))
        entered = entries(bars, strategy())
        rows.append(row(f"{name}: bars in which the engine was entered", entered, "bars"))
    return [*rows, equal_row(bars), live_row(bars)]


def process_seconds(work: Callable[[], Any]) -> float:
    """Median process time of several calls."""
    times = []
    for _ in range(TIMES):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return statistics.median(times)


def entries(bars: Bars, strategy: OnBarStrategy) -> int:
    """How often the compiled step was called."""
    calls, match = 0, OrderDesk.match

    def counted(desk: OrderDesk, last: int) -> int:
        nonlocal calls
        calls += 1
        return match(desk, last)

    OrderDesk.match = counted  # type: ignore[method-assign]
    try:
        simulate_on_bar(bars, strategy, sizing=SIZING)
    finally:
        OrderDesk.match = match  # type: ignore[method-assign]
    return calls


def equal_row(bars: Bars) -> dict[str, Any]:
    """Whether a declared strategy asked bar by bar trades as `simulate`."""
    strategy, short = get_strategy("sma_cross"), bars[:10_000]
    exits = exits_for(strategy)
    fast = simulate(short, strategy.signals_on(short), exits=exits)
    slow = simulate_on_bar(short, DeclaredSignals(strategy))
    same = fast.trades.tobytes() == slow.trades.tobytes()
    return claim("on_bar: sma_cross as DeclaredSignals trades as simulate", same)


def live_row(bars: Bars) -> dict[str, Any]:
    """One closed bar through `OrderAccount`, features included."""
    history, rest = bars[:1_000], list(bars[1_000 : 1_000 + LIVE_BARS])
    account = OrderAccount(bars.symbol, bars.timeframe, Cross(), sizing=SIZING, history=history)
    begin = time.process_time()
    for bar in rest:
        account.on_bar(bar)
    seconds = time.process_time() - begin
    return row("on_bar: one live bar through OrderAccount", seconds / len(rest) * 1e6, "us")
