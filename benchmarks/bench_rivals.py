"""Rivals: published backtesters beside ours, the same jobs in the same run; a ratio counts only where results agree.

Each rival lives in a Python of its own that this benchmark makes (see `benchmarks/rivals/room.py`).
Both sides are timed warm, medians; bars are counted alike. A rival that cannot be installed leaves
its target unmet and says why.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rivals.room import NotMeasured, Rival, ask
from benchmarks.rows import row
from crypto_bot.core import Bars, Signals
from crypto_bot.core.timeframes import MINUTE_NS
from crypto_bot.engine import CostOptions, SizingOptions, simulate, sweep

BARS = 105_120
FAST, SLOW = tuple(range(4, 36)), tuple(range(40, 200, 5))
PAIRS = [(fast, slow) for fast in FAST for slow in SLOW]
RIVAL_PAIRS = [(fast, slow) for fast in FAST[::4] for slow in SLOW[::8]]
RUNS = 3
SHORT = 21_024
"""Bars for the slow ones."""
CLOSE_ENOUGH = 1e-6
CASH, FEE, SLIPPAGE = 100_000.0, 0.001, 0.0005
ON_BAR = {"fast": 20, "slow": 80, "quantity": 10}

VECTORBT = Rival("vectorbt", "vectorbt[rust]==1.2.0", "vectorbt_sweep.py")
RAPTORBT = Rival("raptorbt", "raptorbt==0.13.4 numpy==2.4.6", "raptorbt_single.py")
BACKTRADER = Rival("backtrader", "backtrader==1.9.78.123 pandas==3.1.1", "backtrader_on_bar.py")
BACKTESTING = Rival("backtesting.py", "backtesting==0.6.6 pandas==3.1.1", "backtesting_on_bar.py")
NAUTILUS = Rival("nautilus_trader", "nautilus_trader==1.221.0", "nautilus_on_bar.py")
ON_BAR_RIVALS = ((BACKTRADER, SHORT, 40), (NAUTILUS, SHORT, 20), (BACKTESTING, BARS, 4))


def market(length: int = BARS) -> Bars:
    """A seeded random walk of 5m candles in millionths; each opens where the one before closed."""
    rng = np.random.default_rng(3)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.002, length))), 6)
    opened = np.concatenate([[100.0], close[:-1]])
    high = np.round(np.maximum(opened, close) * (1 + rng.exponential(0.001, length)), 6)
    low = np.round(np.minimum(opened, close) / (1 + rng.exponential(0.001, length)), 6)
    times = (20_000 * 288 + np.arange(length)) * 5 * MINUTE_NS
    return Bars("BTC/USDT", "5m", times, opened, high, low, close, np.full(length, 1_000.0))


def run() -> list[dict[str, Any]]:
    """Sweep, single backtest, `on_bar`."""
    bars = market()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        rows = [*sweep_rows(bars, place), *single_rows(bars, place)]
        for rival, length, times in ON_BAR_RIVALS:
            rows += on_bar_rows(rival, bars[:length], times, place)
    return rows


def sweep_rows(
    bars: Bars,
    place: Path,
    pairs: Sequence[tuple[int, int]] = PAIRS,
    rival_pairs: Sequence[tuple[int, int]] = RIVAL_PAIRS,
) -> list[dict[str, Any]]:
    """Ours on all the pairs, vectorbt's faster engine on some of them: long only, all in."""
    name, at_least = f"rivals: sweep of {len(pairs):,} SMA pairs, times vectorbt 1.2.0", 500
    costs = CostOptions(taker_fee_frac=FEE, maker_fee_frac=FEE, slippage_frac=SLIPPAGE)
    sizing = SizingOptions(allow_short=False, initial_cash=CASH)

    def ours(wanted: Sequence[tuple[int, int]]) -> Any:
        grid = [{"fast": fast, "slow": slow} for fast, slow in wanted]
        return sweep([bars], ["sma_cross"], grids={"sma_cross": grid}, costs=costs, sizing=sizing)

    job = {**_account(bars), "slippage": SLIPPAGE, "pairs": rival_pairs, "runs": 2}
    try:
        answer = ask(VECTORBT, bars, job, place)
    except NotMeasured as reason:
        return [_missing(name, at_least, reason)]
    table = ours(rival_pairs).table
    seconds, rows = _median_seconds(lambda: ours(pairs)), []
    speed = len(bars) * len(pairs) / 1e6 / seconds
    best, agree = 0.0, True
    for engine, figures in answer.items():
        same = _same(table["final_equity"], table["trades"], figures["equity"], figures["trades"])
        theirs = len(bars) * len(rival_pairs) / 1e6 / _median(figures["warm"])
        best, agree = max(best, theirs), agree and same
        label = f"rivals: vectorbt 1.2.0, {engine} engine, {len(rival_pairs)} of these pairs"
        rows.append(row(label, theirs, "M bar-combinations/s"))
        rows.append(row(f"{label}, first call", figures["first"], "s"))
    rows.append(row(f"{name}, ours", speed, "M bar-combinations/s"))
    return [*rows, _ratio(name, speed / best, at_least, agree)]


def single_rows(bars: Bars, place: Path) -> list[dict[str, Any]]:
    """One backtest on given signals, every metric: ours and raptorbt's."""
    name, at_least = f"rivals: one backtest of {len(bars):,} bars, times raptorbt 0.13.4", 8
    direction = _above(bars)
    costs = CostOptions(taker_fee_frac=FEE, maker_fee_frac=FEE, slippage_frac=SLIPPAGE)
    sizing = SizingOptions(allow_short=False, initial_cash=CASH)
    signals = Signals(direction, direction.astype(np.float64))
    job = {**_account(bars), "slippage": SLIPPAGE, "direction": direction.tolist(), "runs": 30}
    try:
        answer = ask(RAPTORBT, bars, job, place)
    except NotMeasured as reason:
        return [_missing(name, at_least, reason)]

    def ours() -> Any:
        return simulate(bars, signals, costs=costs, sizing=sizing).metrics

    metrics = ours()
    seconds = _median_seconds(ours, 30)
    speed, theirs = (len(bars) / 1e6 / s for s in (seconds, _median(answer["warm"])))
    agree = _same([metrics.final_equity], [metrics.trades], [answer["equity"]], [answer["trades"]])
    return [
        row(f"rivals: raptorbt 0.13.4, one backtest of {len(bars):,} bars", theirs, "M bars/s"),
        row(f"{name}, ours", speed, "M bars/s"),
        _ratio(name, speed / theirs, at_least, agree),
    ]


def on_bar_rows(rival: Rival, bars: Bars, at_least: float, place: Path) -> list[dict[str, Any]]:
    """A strategy in Python, bar by bar: ours and a rival's on as many bars."""
    label = rival.requirement.split(" ", 1)[0].replace("==", " ")
    name = f"rivals: on_bar over {len(bars):,} bars, times {label}"
    try:
        answer = ask(rival, bars, {**_account(bars), **ON_BAR}, place)
    except NotMeasured as reason:
        return [_missing(name, at_least, reason)]
    work = on_bar_work(bars)
    result = work()
    seconds = _median_seconds(work)
    speed, theirs = (len(bars) / 1e6 / s for s in (seconds, _median(answer["warm"])))
    equity, trades = result.metrics.final_equity, result.metrics.trades
    agree = _same([equity], [trades], [answer["equity"]], [answer["trades"]])
    return [
        row(f"rivals: {label}, on_bar over {len(bars):,} bars", theirs, "M bars/s"),
        row(f"{name}, ours", speed, "M bars/s"),
        _ratio(name, speed / theirs, at_least, agree),
    ]


def on_bar_work(bars: Bars) -> Callable[[], Any]:
    """The rivals' strategy as an `OnBarStrategy`: the same averages, the same orders."""
    from crypto_bot.orders import OnBarStrategy, simulate_on_bar

    fast, slow, quantity = ON_BAR["fast"], ON_BAR["slow"], float(ON_BAR["quantity"])

    class Cross(OnBarStrategy):
        """Hold `quantity` while the fast average is above the slow one."""

        name = "cross"

        def features(self) -> tuple[str, ...]:
            return (f"sma_{fast}", f"sma_{slow}")

        def on_bar(self, context: Any) -> None:
            quick, calm = context.features
            if quick > calm:
                if context.position == 0.0:
                    context.buy(quantity=quantity)
            elif context.position != 0.0:
                context.close_position()

    costs = CostOptions(taker_fee_frac=FEE, maker_fee_frac=FEE, slippage_frac=0.0)
    sizing = SizingOptions(initial_cash=CASH)
    return lambda: simulate_on_bar(bars, Cross(), costs=costs, sizing=sizing)


def _above(bars: Bars) -> np.ndarray:
    """1 while the fast average is above the slow one."""
    from crypto_bot.strategies import get_strategy

    strategy = get_strategy("sma_cross", fast=ON_BAR["fast"], slow=ON_BAR["slow"])
    return np.maximum(strategy.signals_on(bars).direction, 0).astype(np.int8)


def _account(bars: Bars) -> dict[str, Any]:
    return {"cash": CASH, "fee": FEE, "bar_ns": bars.interval_ns, "runs": RUNS}


def _same(
    equity: Sequence[float], trades: Sequence[int], rival: Sequence[float], closed: Sequence[int]
) -> bool:
    return bool(np.allclose(equity, rival, rtol=CLOSE_ENOUGH, atol=0)) and list(trades) == list(
        closed
    )


def _median(seconds: Sequence[float]) -> float:
    return sorted(seconds)[len(seconds) // 2]


def _median_seconds(work: Callable[[], Any], runs: int = RUNS) -> float:
    """Of warm calls: the first one is not counted."""
    work()
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return _median(taken)


def _ratio(name: str, value: float, at_least: float, agree: bool) -> dict[str, Any]:
    """A ratio between different answers is none."""
    said = name if agree else f"{name} (results DIFFER)"
    return row(said, value, "x", at_least=at_least, needs=agree)


def _missing(name: str, at_least: float, reason: NotMeasured) -> dict[str, Any]:
    return row(f"{name} (not measured: {reason})", 0.0, "x", at_least=at_least)
