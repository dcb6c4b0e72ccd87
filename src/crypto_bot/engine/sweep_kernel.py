"""The fast path of `sweep`: the semantics of `simulate`, visiting only bars where something happens.

Signal runs are skipped eight bars a word. A position's equity is linear in the close, so its daily
marks and its sum need no visit, and a block of bars whose extreme closes make neither a new peak
nor a new trough is skipped whole; so is a block whose extremes touch no stop or target.
Prices, sizes and levels come from the same compiled functions as in `advance`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

from crypto_bot.core.arrays import Index, PerBar, PerBarDirection
from crypto_bot.core.bars import Bars
from crypto_bot.engine.matching import (
    FLAT,
    NEVER,
    NO_REASON,
    MatchingRules,
    entry_quantity,
    protective_exit,
)
from crypto_bot.engine.metrics import (
    Drawdown,
    Tally,
    daily_ratios,
    day_ends,
    end_drawdown,
    mark_drawdown,
    start_drawdown,
)

_BLOCK_BITS = 5
_BLOCK = 1 << _BLOCK_BITS
_WORD_BITS = 3
_EVERY_BYTE = 0x0101010101010101


_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


def _uncounted(function: _Kernel) -> _Kernel:
    """Compile without numba's reference counts, for functions that allocate nothing.

    One atomic count per array and call, contended by all threads, took five sixths of the time.
    """
    compiler: Any = njit
    compiled: _Kernel = compiler(cache=True, nogil=True, _nrt=False)(function)
    return compiled


class Market(NamedTuple):
    """Prices of one symbol and what the kernel asks of them again and again."""

    open: PerBar
    high: PerBar
    low: PerBar
    close: PerBar
    close_sums: PerBar  # (bars + 1,): sum of the closes before each bar
    block_high: PerBar  # (blocks,): highest high of each block of bars
    block_low: PerBar
    block_close_high: PerBar
    block_close_low: PerBar
    day_ends: Index


class Book(NamedTuple):
    """Marks made so far; closes before `marked` are done."""

    marked: int
    day: int
    equity_sum: float
    held_closes: int
    drawdown: Drawdown


class Touch(NamedTuple):
    """The first stop or target hit; bar -1 where none is."""

    bar: int
    price: float
    fee_frac: float


def prepare_market(bars: Bars) -> Market:
    """What `sweep_kernel` reads of the bars."""
    starts = np.arange(0, len(bars), _BLOCK)
    return Market(
        bars.open,
        bars.high,
        bars.low,
        bars.close,
        np.concatenate(([0.0], np.cumsum(bars.close))),
        np.maximum.reduceat(bars.high, starts),
        np.minimum.reduceat(bars.low, starts),
        np.maximum.reduceat(bars.close, starts),
        np.minimum.reduceat(bars.close, starts),
        day_ends(bars.close_time),
    )


def direction_room(columns: int, bars: int) -> npt.NDArray[np.int8]:
    """Room for the directions of many settings, int8 (columns, bars rounded up to whole words)."""
    return np.zeros((columns, -(-bars >> _WORD_BITS) << _WORD_BITS), np.int8)


@njit(cache=True, nogil=True)
def sweep_kernel(
    market: Market, directions: npt.NDArray[np.int8], cash: float, rules: MatchingRules
) -> npt.NDArray[np.float64]:
    """Simulate every column of directions.

    Parameters
    ----------
    market : Market
    directions : int8 (columns, words * 8)    from `direction_room`; bytes past the bars are ignored
    cash : float                              initial, quote
    rules : MatchingRules

    Returns
    -------
    float64 (columns, len(Tally._fields))     equal to the sums of `simulate`
    """
    tallies = np.empty((len(directions), 14))
    daily = np.empty(len(market.day_ends))
    for column in range(len(directions)):
        direction = directions[column]
        sums = _trade(market, direction, direction.view(np.int64), daily, cash, rules)
        for place, value in enumerate(sums):
            tallies[column, place] = value
    return tallies


@_uncounted
def _trade(
    market: Market,
    direction: PerBarDirection,
    words: Index,
    daily: PerBar,
    initial_cash: float,
    rules: MatchingRules,
) -> Tally:
    bars = len(market.close)
    book = Book(0, 0, 0.0, 0, start_drawdown(initial_cash))
    cash, quantity = initial_cash, 0.0
    traded = fees = profit = loss = 0.0
    trades = wins = 0
    side, t, wait = 0, 0, 0
    while True:
        if side == 0:
            t = _next_entry(direction, words, t, bars, rules)
            if t >= bars - 1:
                break
            side, t, wait = direction[t] + 0, t + 1, 0
        # An entry at the open of t.
        entry_price = market.open[t] * (1.0 + side * rules.slippage_frac)
        size = entry_quantity(cash, entry_price, rules)
        if size == 0.0:
            side, t = 0, t + wait
            if cash <= 0.0:
                break
            continue
        book, _ = _mark(market, daily, book, t, cash, 0.0)
        quantity = side * size
        entry_fee = size * entry_price * rules.taker_fee_frac
        cash -= quantity * entry_price + entry_fee
        traded += size * entry_price
        fees += entry_fee
        # Until the signal, the time, a stop or target, ruin, or the end of the data.
        decided = _exit_decision(direction, words, t, bars, side, rules)
        touch = _first_touch(market, t, min(decided, bars - 1), side, entry_price, rules)
        until = touch.bar if touch.bar >= 0 else min(decided + 1, bars)
        book, ruin = _mark(market, daily, book, until, cash, quantity)
        if ruin >= 0:
            touch = Touch(-1, 0.0, 0.0)
        t = book.marked
        if touch.bar < 0 and t >= bars:
            break
        price, fee_frac = touch.price, touch.fee_frac
        if touch.bar < 0:
            price = market.open[t] * (1.0 - side * rules.slippage_frac)
            fee_frac = rules.taker_fee_frac
        fee = size * price * fee_frac
        cash += quantity * price - fee
        traded += size * price
        fees += fee
        pnl = (price - entry_price) * quantity - (entry_fee + fee)
        trades += 1
        if pnl > 0.0:
            wins += 1
            profit += pnl
        else:
            loss -= pnl
        quantity = 0.0
        if ruin >= 0 or cash <= 0.0:
            break
        reverses = touch.bar < 0 and direction[decided] == -side and rules.signal_exit != NEVER
        if reverses and (side < 0 or rules.allow_short):
            side, wait = -side, rules.cooldown_bars
        else:
            side, t = 0, t + rules.cooldown_bars
    book, _ = _mark(market, daily, book, bars, cash, quantity)
    drawdown = end_drawdown(book.drawdown, bars - 1)
    sharpe, sortino = daily_ratios(daily, initial_cash)
    return Tally(
        cash + quantity * market.close[bars - 1],
        book.equity_sum,
        float(book.held_closes),
        traded,
        fees,
        float(trades),
        float(wins),
        profit,
        loss,
        drawdown.worst_frac,
        drawdown.worst_quote,
        float(drawdown.worst_bars),
        sharpe,
        sortino,
    )


@_uncounted
def _mark(
    market: Market, daily: PerBar, book: Book, until: int, cash: float, quantity: float
) -> tuple[Book, int]:
    """Mark the closes up to `until`, or up to the first with equity <= 0 of a position (its bar)."""
    first = book.marked
    if until <= first:
        return book, -1
    close = market.close
    drawdown, ruin = book.drawdown, -1
    if quantity == 0.0:
        drawdown = mark_drawdown(drawdown, first, cash)
    else:
        drawdown, ruin = _mark_drawdowns(market, drawdown, first, until, cash, quantity)
        until = ruin + 1 if ruin >= 0 else until
    day = book.day
    while day < len(daily) and market.day_ends[day] < until:
        daily[day] = cash + quantity * close[market.day_ends[day]]
        day += 1
    closes = until - first
    equity_sum = cash * closes + quantity * (market.close_sums[until] - market.close_sums[first])
    held = closes if quantity != 0.0 else 0
    return Book(until, day, book.equity_sum + equity_sum, book.held_closes + held, drawdown), ruin


@_uncounted
def _mark_drawdowns(
    market: Market, drawdown: Drawdown, first: int, until: int, cash: float, quantity: float
) -> tuple[Drawdown, int]:
    best, worst = market.block_close_high, market.block_close_low
    if quantity < 0.0:
        best, worst = worst, best
    while first < until:
        block = first >> _BLOCK_BITS
        end = min((block + 1) << _BLOCK_BITS, until)
        if (
            cash + quantity * best[block] > drawdown.peak
            or cash + quantity * worst[block] < drawdown.trough
        ):
            for bar in range(first, end):
                equity = cash + quantity * market.close[bar]
                if equity > drawdown.peak or equity < drawdown.trough:
                    drawdown = mark_drawdown(drawdown, bar, equity)
                    if equity <= 0.0:
                        return drawdown, bar
        first = end
    return drawdown, -1


@_uncounted
def _next_entry(
    direction: PerBarDirection, words: Index, t: int, bars: int, rules: MatchingRules
) -> int:
    """The first close from t on that decides an entry of a flat account; `bars` where none does."""
    while t < bars:
        wanted = direction[t]
        can_enter = wanted > 0 or (wanted < 0 and rules.allow_short)
        if can_enter and (not rules.needs_new_signal or t == 0 or wanted != direction[t - 1]):
            return t
        t = _next_other(direction, words, t, bars)
    return bars


@_uncounted
def _exit_decision(
    direction: PerBarDirection, words: Index, t: int, bars: int, side: int, rules: MatchingRules
) -> int:
    """The first close from t on whose signal or count of bars ends a position entered at t."""
    limit = bars
    if rules.max_holding_bars > 0:
        limit = min(bars, t + rules.max_holding_bars - 1)
    if rules.signal_exit == NEVER:
        return limit
    while t < limit:
        if direction[t] == -side or (direction[t] == 0 and rules.signal_exit == FLAT):
            return t
        t = _next_other(direction, words, t, bars)
    return limit


@_uncounted
def _next_other(direction: PerBarDirection, words: Index, t: int, bars: int) -> int:
    """The first bar after t with another direction than at t; `bars` where none has."""
    run = direction[t] * _EVERY_BYTE if direction[t] >= 0 else -1
    word = t >> _WORD_BITS
    # Bytes below t are earlier bars: machines that run this are little-endian.
    other = (words[word] ^ run) & (-1 << ((t & 7) << 3))
    while other == 0:
        word += 1
        if word << _WORD_BITS >= bars:
            return bars
        other = words[word] ^ run
    t = word << _WORD_BITS
    while other & 0xFF == 0:
        other >>= 8
        t += 1
    return min(t, bars)


@_uncounted
def _first_touch(
    market: Market, first: int, last: int, side: int, entry_price: float, rules: MatchingRules
) -> Touch:
    """The first stop or target hit in bars first .. last by a position entered at first's open."""
    stop_frac, trailing_frac = rules.stop_loss_frac, rules.trailing_stop_frac
    is_trailing = trailing_frac < np.inf
    if not is_trailing and stop_frac == np.inf and rules.take_profit_frac == np.inf:
        return Touch(-1, 0.0, 0.0)
    target = entry_price * (1.0 + side * rules.take_profit_frac)
    stop = entry_price * (1.0 - side * stop_frac)
    bar, peak = first, entry_price
    while bar <= last:
        reason, price, fee_frac, _ = protective_exit(
            side,
            bar == first,
            entry_price,
            peak,
            market.open[bar],
            market.high[bar],
            market.low[bar],
            rules,
        )
        if reason != NO_REASON:
            return Touch(bar, price, fee_frac)
        # The next bar to look at touches stop or target, or moves the peak of a trailing stop.
        if side > 0:
            peak = max(peak, market.high[bar])
            lower = max(stop, peak * (1.0 - trailing_frac))
            upper = min(target, peak) if is_trailing else target
        else:
            peak = min(peak, market.low[bar])
            upper = min(stop, peak * (1.0 + trailing_frac))
            lower = max(target, peak) if is_trailing else target
        bar = _next_outside(market, bar + 1, last, lower, upper)
    return Touch(-1, 0.0, 0.0)


@_uncounted
def _next_outside(market: Market, bar: int, last: int, lower: float, upper: float) -> int:
    """The first bar with low <= lower or high >= upper; last + 1 where none has."""
    while bar <= last:
        block = bar >> _BLOCK_BITS
        end = min((block + 1) << _BLOCK_BITS, last + 1)
        if market.block_low[block] <= lower or market.block_high[block] >= upper:
            while bar < end:
                if market.low[bar] <= lower or market.high[bar] >= upper:
                    return bar
                bar += 1
        bar = end
    return last + 1
