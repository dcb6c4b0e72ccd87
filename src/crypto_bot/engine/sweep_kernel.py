"""The fast path of `sweep`: positions of one setting after another, judged without visiting closes.

A position's equity is linear in the close: its sum over closes comes from prefix sums, its marks at
the ends of days from those closes alone, and the extreme closes of wide blocks bound it. Only a
position that by those bounds may make a new peak or trough is walked, and of it only the blocks of
16 bars that may.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from crypto_bot.core.arrays import PerBar
from crypto_bot.engine.account import NO_REASON
from crypto_bot.engine.blocks import BLOCK_BITS, WIDE_BITS, Market, Marks
from crypto_bot.engine.event_kernel import (
    Positions,
    WalkState,
    room_for_positions,
    start_walk,
    walk_positions,
)
from crypto_bot.engine.metrics import (
    Drawdown,
    Tally,
    daily_ratios,
    end_drawdown,
    mark_drawdown,
    start_drawdown,
)
from crypto_bot.engine.rules import MatchingRules
from crypto_bot.engine.sides import Runs, Sides, Words, find_runs, room_for_runs
from crypto_bot.engine.uncounted import inlined, uncounted

_ROWS = 128
"""Positions found before they are judged: they stay in the nearest cache."""


class Scratch(NamedTuple):
    """Room that is used again for every setting."""

    runs: Runs
    found: Positions
    closes: PerBar  # (rows,): sum of the closes of each position
    before: PerBar  # (rows,): cash before each
    best: PerBar  # (rows,): the equity of its closes lies between these
    worst: PerBar
    daily: PerBar  # (days,): equity at the end of each day


class Book(NamedTuple):
    """The sums so far; closes before `marked` and days before `day` are done."""

    marked: int
    day: int
    cash: float
    quantity: float  # of a position still open at the end
    equity_sum: float
    held_closes: int
    traded: float
    fees: float
    trades: int
    wins: int
    profit: float
    loss: float
    drawdown: Drawdown


def tally_sides(
    market: Market, marks: Marks, sides: Sides, initial_cash: float, rules: MatchingRules
) -> npt.NDArray[np.float64]:
    """Simulate every setting's sides.

    Parameters
    ----------
    market : Market           with levels where an exit hangs on a price
    marks : Marks
    sides : Sides             of bars that lie one word or more
    initial_cash : float      quote
    rules : MatchingRules     plain ones, see `is_plain`

    Returns
    -------
    float64 (settings, len(Tally._fields))    equal to the sums of `simulate` to 1e-9
    """
    scratch = Scratch(
        room_for_runs(len(market.close)),
        room_for_positions(_ROWS),
        np.empty(_ROWS),
        np.empty(_ROWS),
        np.empty(_ROWS),
        np.empty(_ROWS),
        np.empty(len(marks.day_ends)),
    )
    return sweep_kernel(market, marks, *sides, start_walk(initial_cash), rules, scratch)


@njit(cache=True, nogil=True)
def sweep_kernel(
    market: Market,
    marks: Marks,
    up: Words,
    down: Words,
    start: WalkState,
    rules: MatchingRules,
    scratch: Scratch,
) -> npt.NDArray[np.float64]:
    """Every setting's sums, float64 (settings, len(Tally._fields))."""
    tallies = np.empty((len(up), 14))
    for setting in range(len(up)):
        sums = _tally_setting(market, marks, up[setting], down[setting], start, rules, scratch)
        for place, value in enumerate(sums):
            tallies[setting, place] = value
    return tallies


@uncounted
def _tally_setting(
    market: Market,
    marks: Marks,
    up: Words,
    down: Words,
    state: WalkState,
    rules: MatchingRules,
    scratch: Scratch,
) -> Tally:
    bars, initial_cash = len(market.close), state.cash
    count = find_runs(up, down, bars, scratch.runs)
    drawdown = start_drawdown(initial_cash)
    book = Book(0, 0, initial_cash, 0.0, 0.0, 0, 0.0, 0.0, 0, 0, 0.0, 0.0, drawdown)
    while not state.is_over:
        rows, state = walk_positions(market, scratch.runs, count, state, rules, scratch.found)
        book = _book_positions(market, marks, book, rows, scratch)
    return _close_book(market, marks, book, initial_cash, scratch.daily)


@uncounted
def _book_positions(market: Market, marks: Marks, book: Book, rows: int, scratch: Scratch) -> Book:
    """Add positions to the book, and the flat closes before each."""
    found, daily = scratch.found, scratch.daily
    marked, day, cash, quantity = book.marked, book.day, book.cash, 0.0
    equity_sum, held_closes, traded, fees = 0.0, 0, 0.0, 0.0
    trades, wins, profit, loss = rows, 0, 0.0, 0.0
    # Read by themselves first: these wait for memory, and so wait together.
    for row in range(rows):
        first, until = found.entry_bar[row], found.exit_bar[row]
        scratch.closes[row] = marks.close_sums[until] - marks.close_sums[first]
    for row in range(rows):
        scratch.before[row] = cash
        first, until = found.entry_bar[row], found.exit_bar[row]
        if first > marked:
            day = _mark_days(marks, day, first, cash, 0.0, daily)
            equity_sum += cash * (first - marked)
        quantity, held = found.quantity[row], found.cash[row]
        entry_fee, exit_fee = found.entry_fee[row], found.exit_fee[row]
        entry_price, price = found.entry_price[row], found.exit_price[row]
        scratch.best[row], scratch.worst[row] = _bounds(market, first, until, held, quantity)
        day = _mark_days(marks, day, until, held, quantity, daily)
        equity_sum += held * (until - first) + quantity * scratch.closes[row]
        held_closes += until - first
        marked, cash = until, held + (quantity * price - exit_fee)
        traded += abs(quantity) * (entry_price + price)
        fees += entry_fee + exit_fee
        if found.reason[row] == NO_REASON:
            trades -= 1
            break
        pnl = (price - entry_price) * quantity - (entry_fee + exit_fee)
        wins += 1 if pnl > 0.0 else 0
        profit += max(pnl, 0.0)
        loss += max(-pnl, 0.0)
    is_open = trades < rows
    return Book(
        marked,
        day,
        cash,
        quantity if is_open else 0.0,
        book.equity_sum + equity_sum,
        book.held_closes + held_closes,
        book.traded + traded,
        book.fees + fees,
        book.trades + trades,
        book.wins + wins,
        book.profit + profit,
        book.loss + loss,
        _mark_positions(market, book, rows, cash, daily[book.day : day], scratch),
    )


@uncounted
def _close_book(
    market: Market, marks: Marks, book: Book, initial_cash: float, daily: PerBar
) -> Tally:
    """Mark what is flat at the end; the sums of the whole."""
    bars, drawdown = len(market.close), book.drawdown
    equity_sum = book.equity_sum
    if book.marked < bars:
        _mark_days(marks, book.day, bars, book.cash, 0.0, daily)
        drawdown = mark_drawdown(drawdown, book.marked, book.cash)
        equity_sum += book.cash * (bars - book.marked)
    drawdown = end_drawdown(drawdown, bars - 1)
    sharpe, sortino = daily_ratios(daily, initial_cash)
    return Tally(
        book.cash + book.quantity * market.close[bars - 1],
        equity_sum,
        float(book.held_closes),
        book.traded,
        book.fees,
        float(book.trades),
        float(book.wins),
        book.profit,
        book.loss,
        drawdown.worst_frac,
        drawdown.worst_quote,
        float(drawdown.worst_bars),
        sharpe,
        sortino,
    )


@inlined
def _mark_days(
    marks: Marks,
    day: int,
    until: int,
    cash: float,
    quantity: float,
    daily: PerBar,
) -> int:
    """Equity at the ends of the days whose last close is before `until`; the next day."""
    while day < len(daily) and marks.day_ends[day] < until:
        daily[day] = cash + quantity * marks.day_closes[day]
        day += 1
    return day


@inlined
def _bounds(
    market: Market, first: int, until: int, cash: float, quantity: float
) -> tuple[float, float]:
    """What the equity of closes first .. until - 1 lies between, the highest first."""
    block, last = first >> WIDE_BITS, (until - 1) >> WIDE_BITS
    high, low = market.wide_close_high[block], market.wide_close_low[block]
    while block < last:
        block += 1
        high = max(high, market.wide_close_high[block])
        low = min(low, market.wide_close_low[block])
    if quantity < 0.0:
        high, low = low, high
    return cash + quantity * high, cash + quantity * low


@uncounted
def _mark_positions(
    market: Market, book: Book, rows: int, after: float, known: PerBar, scratch: Scratch
) -> Drawdown:
    """Mark every close of the positions and of the flat stretches before them.

    `known` are some of those marks. While none makes a new peak their order is of no interest, and
    the lowest of them spares a look at most positions.
    """
    found, before, best, worst = scratch.found, scratch.before, scratch.best, scratch.worst
    drawdown, marked = book.drawdown, book.marked
    highest, lowest = after, math.inf
    for row in range(rows):
        highest = max(highest, max(best[row], before[row]))
    for mark in known:
        lowest = min(lowest, mark)
    if highest <= drawdown.peak and lowest < drawdown.trough:
        drawdown = mark_drawdown(drawdown, marked, lowest)
    for row in range(rows):
        first, until = found.entry_bar[row], found.exit_bar[row]
        if first > marked:
            drawdown = mark_drawdown(drawdown, marked, before[row])
        if best[row] > drawdown.peak or worst[row] < drawdown.trough:
            drawdown = _mark_closes(
                market, drawdown, first, until, found.cash[row], found.quantity[row]
            )
        marked = until
    return drawdown


@uncounted
def _mark_closes(
    market: Market, drawdown: Drawdown, first: int, until: int, cash: float, quantity: float
) -> Drawdown:
    """Mark closes first .. until - 1 of a position."""
    best, worst = market.block_close_high, market.block_close_low
    if quantity < 0.0:
        best, worst = worst, best
    while first < until:
        block = first >> BLOCK_BITS
        end = min((block + 1) << BLOCK_BITS, until)
        if (
            cash + quantity * best[block] > drawdown.peak
            or cash + quantity * worst[block] < drawdown.trough
        ):
            for bar in range(first, end):
                equity = cash + quantity * market.close[bar]
                if equity > drawdown.peak or equity < drawdown.trough:
                    drawdown = mark_drawdown(drawdown, bar, equity)
        first = end
    return drawdown
