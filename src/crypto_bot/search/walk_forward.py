"""Would the search itself have earned? Search what is past, trade the next stretch, and so on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from crypto_bot.core.arrays import PerBar, PerBarTime
from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.orders import Signals
from crypto_bot.core.timeframes import DAY_NS, DAYS_PER_YEAR, iso_time
from crypto_bot.engine import (
    BacktestResult,
    CostOptions,
    ExitOptions,
    SignalExit,
    SizingOptions,
    exits_for,
    settled_bars,
    simulate,
)
from crypto_bot.engine.metrics import daily_ratios, day_ends
from crypto_bot.search.exits import changed_exits
from crypto_bot.search.space import Setting
from crypto_bot.search.study import OnTrial, SearchPlan, SearchResult, plan_on, run_plan
from crypto_bot.strategies import get_strategy

MODES = ("expanding", "rolling")


@dataclass(frozen=True)
class Stretch:
    """What an account earned on unseen candles.

    Attributes
    ----------
    time_ns : int64 (bars,)      closes, of all symbols together
    growth : float64 (bars,)     mean over the symbols of equity / initial cash
    total_return, annual_return, sharpe, max_drawdown    as of `engine.Metrics`, of `growth`
    trades, win_rate             over all symbols; a position open at a window's end counts as closed
    """

    time_ns: PerBarTime = field(repr=False)
    growth: PerBar = field(repr=False)
    total_return: float
    annual_return: float | None
    sharpe: float | None
    max_drawdown: float
    trades: int
    win_rate: float | None

    def summary(self) -> dict[str, Any]:
        """The numbers alone, JSON-ready."""
        names = ("total_return", "annual_return", "sharpe", "max_drawdown", "trades", "win_rate")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, eq=False)
class Window:
    """One step: what was found in the past, and what it earned next.

    Attributes
    ----------
    start_ns, end_ns : int      the unseen stretch
    setting : Setting | None    the winner of the past; None: nothing traded enough, so no trade
    past_value : float | None   its value in the past, by the objective
    study : str                 the search of the past
    results : tuple             one backtest a symbol that has bars there
    """

    start_ns: int
    end_ns: int
    setting: Setting | None
    past_value: float | None
    study: str
    results: tuple[BacktestResult, ...] = field(repr=False)

    def summary(self) -> dict[str, Any]:
        """JSON-ready."""
        returns = [result.metrics.total_return for result in self.results]
        return {
            "start": iso_time(self.start_ns),
            "end": iso_time(self.end_ns),
            "parameters": None if self.setting is None else dict(self.setting.parameters),
            "exits": None if self.setting is None else changed_exits(self.setting.exits),
            "past_value": self.past_value,
            "total_return": float(np.mean(returns)) if returns else 0.0,
            "trades": sum(len(result.trades) for result in self.results),
        }


@dataclass(frozen=True, eq=False)
class WalkForward:
    """A search put to the test on what it never saw.

    Attributes
    ----------
    windows : tuple of Window
    stitched : Stretch        the windows one after the other, one account a symbol
    holding : Stretch         the same candles bought at their second open and held
    """

    windows: tuple[Window, ...]
    stitched: Stretch
    holding: Stretch

    @property
    def results(self) -> tuple[BacktestResult, ...]:
        """Every backtest of every window."""
        return tuple(result for window in self.windows for result in window.results)


def walk_forward(
    found: SearchResult | SearchPlan,
    *,
    folds: int = 4,
    mode: str = "expanding",
    store: Path | str | None = None,
    on_trial: OnTrial | None = None,
) -> WalkForward:
    """Repeat the search on each past and trade its winner on what came next.

    Parameters
    ----------
    found : SearchResult or SearchPlan    what is repeated: method, trials, seed, space, costs
    folds : int        the span is cut into folds + 1 equal pieces of time; all but the first are
                       traded
    mode : str         'expanding': search all that went before; 'rolling': the piece before alone
    store, on_trial    as for `search`; every past is a study of its own

    Raises
    ------
    ConfigError    for folds below 1 or an unknown mode
    DataError      where the candles are too few to be cut so

    Notes
    -----
    A past ends with the bar that closes when the window opens; features read it, orders do not. A
    position still open at a window's end is sold at its last close, slippage and taker fee paid;
    the next window begins with what is left. A past in which no setting traded enough is followed
    by no trade. Nothing is chosen by what a window earned.
    """
    plan = found.plan if isinstance(found, SearchResult) else found
    if folds < 1:
        raise ConfigError(f"folds must be at least 1, was {folds}")
    if mode not in MODES:
        raise ConfigError(f"mode must be one of {', '.join(MODES)}, was {mode!r}")
    cuts = _cuts(plan, folds)
    cash = {bars.symbol: plan.sizing.initial_cash for bars in plan.bars}
    windows = []
    for number in range(1, folds + 1):
        past_ns = cuts[0] if mode == "expanding" else cuts[number - 1]
        start_ns, end_ns = cuts[number], cuts[number + 1]
        past = [bars.closed_by(start_ns) for bars in plan.bars]
        known = [bars for bars in past if len(bars.between(past_ns, None))]
        if not known:
            raise DataError(
                f"candles must reach into every past, had none before {iso_time(start_ns)}"
            )
        searched = run_plan(plan_on(plan, known, past_ns), store=store, on_trial=on_trial)
        board = searched.leaderboard(1)
        setting = searched.best_setting() if len(board) else None
        results = _traded(plan, setting, start_ns, end_ns, cash)
        value = board["value"][0] if len(board) else None
        windows.append(Window(start_ns, end_ns, setting, value, searched.study, tuple(results)))
    return WalkForward(tuple(windows), _stitched(plan, windows), _holding(plan, cuts))


def _cuts(plan: SearchPlan, folds: int) -> list[int]:
    first = min(int(bars.open_time[0]) for bars in plan.bars)
    first = first if plan.start_ns is None else max(first, plan.start_ns)
    last = max(int(bars.close_time[-1]) for bars in plan.bars)
    piece = (last - first) // (folds + 1)
    interval = max(bars.interval_ns for bars in plan.bars)
    if piece < 2 * interval:
        raise DataError(
            f"candles must span {2 * (folds + 1)} bars for {folds} folds, spanned "
            f"{max(last - first, 0) // interval}; take fewer folds"
        )
    return [first + number * piece for number in range(folds + 1)] + [last]


def _traded(
    plan: SearchPlan, setting: Setting | None, start_ns: int, end_ns: int, cash: dict[str, float]
) -> list[BacktestResult]:
    """The winner on the unseen stretch of every symbol; `cash` is carried from window to window."""
    results = []
    for bars in plan.bars:
        seen = bars.closed_by(end_ns)
        unseen = seen.between(start_ns, None)
        if not len(unseen) or setting is None or cash[bars.symbol] <= 0.0:
            continue
        strategy = get_strategy(plan.space.strategy, **setting.parameters)
        result = simulate(
            unseen,
            _signals(strategy, seen, len(unseen)),
            costs=plan.costs,
            exits=exits_for(strategy, setting.exits),
            sizing=plan.sizing.replace(initial_cash=cash[bars.symbol]),
            funding=plan.funding.get(bars.symbol),
            history=seen[: len(seen) - len(unseen)],
        )
        results.append(result)
        cash[bars.symbol] = max(_sold(result), 0.0)
    return results


def _signals(strategy: Any, seen: Bars, length: int) -> Signals:
    """Directions of the last `length` bars, 0 where a feature still depends on where data began."""
    first = len(seen) - length
    waiting = settled_bars(strategy.features(), seen.timeframe) - first
    if waiting >= length:
        return Signals(np.zeros(length, np.int8), np.zeros(length))
    whole = strategy.signals_on(seen)
    direction, score = whole.direction[first:].copy(), whole.score[first:].copy()
    direction[: max(waiting, 0)], score[: max(waiting, 0)] = 0, 0.0
    return Signals(direction, score)


def _sold(result: BacktestResult) -> float:
    """Equity after selling what is still held at the last close, slippage and taker fee paid."""
    quantity, close = float(result.position[-1]), float(result.bars.close[-1])
    side = 1.0 if quantity > 0 else -1.0
    price = close * (1.0 - side * result.costs.slippage_frac)
    fee = abs(quantity) * price * result.costs.taker_fee_frac
    return float(result.equity[-1]) - abs(quantity) * abs(close - price) - fee


def _stitched(plan: SearchPlan, windows: Sequence[Window]) -> Stretch:
    """The windows' equity one after the other, per symbol, then the mean over the symbols."""
    curves: dict[str, list[tuple[PerBarTime, PerBar]]] = {b.symbol: [] for b in plan.bars}
    pnl = []
    for window in windows:
        for result in window.results:
            equity = result.equity / plan.sizing.initial_cash
            equity[-1] = _sold(result) / plan.sizing.initial_cash
            curves[result.bars.symbol].append((result.bars.close_time, equity))
            pnl.append(result.trades["pnl_quote"])
    times = _times(plan, windows[0].start_ns)
    return _stretch(times, curves, np.concatenate([*pnl, np.empty(0)]))


def _holding(plan: SearchPlan, cuts: Sequence[int]) -> Stretch:
    curves: dict[str, list[tuple[PerBarTime, PerBar]]] = {}
    pnl = []
    for bars in plan.bars:
        unseen = bars.between(cuts[1], None)
        if not len(unseen):
            continue
        result = hold(
            unseen,
            plan.costs,
            plan.sizing.initial_cash,
            plan.funding.get(bars.symbol),
        )
        curves[bars.symbol] = [(unseen.close_time, result.equity / plan.sizing.initial_cash)]
        pnl.append(result.trades["pnl_quote"])
    return _stretch(_times(plan, cuts[1]), curves, np.concatenate([*pnl, np.empty(0)]))


def hold(
    bars: Bars, costs: CostOptions, cash: float, funding: FundingRates | None = None
) -> BacktestResult:
    """Buy everything at the second open and hold to the end, entry costs and funding included."""
    always = Signals(np.ones(len(bars), np.int8), np.ones(len(bars)))
    exits = ExitOptions(signal_exit=SignalExit.NEVER)
    sizing = SizingOptions(initial_cash=cash)
    return simulate(bars, always, costs=costs, exits=exits, sizing=sizing, funding=funding)


def _times(plan: SearchPlan, start_ns: int) -> PerBarTime:
    closes = [bars.between(start_ns, None).close_time for bars in plan.bars]
    return np.unique(np.concatenate(closes))


def _stretch(
    times: PerBarTime, curves: dict[str, list[tuple[PerBarTime, PerBar]]], pnl: PerBar
) -> Stretch:
    growth = np.zeros(len(times))
    for pieces in curves.values():
        moments = np.concatenate([np.empty(0, np.int64), *(moment for moment, _ in pieces)])
        values = np.concatenate([np.ones(1), *(value for _, value in pieces)])
        growth += values[np.searchsorted(moments, times, side="right")]
    growth /= max(len(curves), 1)
    peak = np.maximum.accumulate(np.maximum(growth, 1.0))
    sharpe, _ = daily_ratios(growth[day_ends(times)], 1.0)
    years = (int(times[-1]) - int(times[0])) / (DAY_NS * DAYS_PER_YEAR)
    ends = max(float(growth[-1]), 0.0)
    return Stretch(
        time_ns=times,
        growth=growth,
        total_return=float(growth[-1] - 1.0),
        annual_return=float(ends ** (1.0 / years) - 1.0) if years > 0 else None,
        sharpe=None if np.isnan(sharpe) else float(sharpe),
        max_drawdown=float((1.0 - growth / peak).max()),
        trades=len(pnl),
        win_rate=float(np.mean(pnl > 0)) if len(pnl) else None,
    )
