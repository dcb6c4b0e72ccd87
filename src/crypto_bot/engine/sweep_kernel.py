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
from crypto_bot.engine.blocks import BLOCK_BITS, Market, Marks
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
from crypto_bot.engine.uncounted import uncounted

_ROWS = 512
"""Positions found before they are judged: they stay in the nearest cache."""


class Scratch(NamedTuple):
    """Room that is used again for every setting."""

    runs: Runs
    found: Positions
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
        np.empty(len(marks.day_closes)),
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
    return _close_book(market, book, initial_cash, scratch.daily)


@uncounted
def _book_positions(market: Market, marks: Marks, book: Book, rows: int, scratch: Scratch) -> Book:
    """Add positions to the book, and the flat closes before each."""
    if rows == 0:
        return book
    found = scratch.found
    traded, fees, wins, profit, loss = 0.0, 0.0, 0, 0.0, 0.0
    is_open = found.reason[rows - 1] == NO_REASON
    closed = rows - 1 if is_open else rows
    for row in range(rows):
        size = abs(found.quantity[row])
        traded += size * (found.entry_price[row] + found.exit_price[row])
        fees += found.entry_fee[row] + found.exit_fee[row]
    for row in range(closed):
        fee = found.entry_fee[row] + found.exit_fee[row]
        pnl = (found.exit_price[row] - found.entry_price[row]) * found.quantity[row] - fee
        wins += 1 if pnl > 0.0 else 0
        profit += max(pnl, 0.0)
        loss += max(-pnl, 0.0)
    marked, day, cash, equity_sum, held_closes, drawdown = _mark_positions(
        market, marks, book, rows, scratch
    )
    return Book(
        marked,
        day,
        cash,
        found.quantity[rows - 1] if is_open else 0.0,
        book.equity_sum + equity_sum,
        book.held_closes + held_closes,
        book.traded + traded,
        book.fees + fees,
        book.trades + closed,
        book.wins + wins,
        book.profit + profit,
        book.loss + loss,
        drawdown,
    )


@uncounted
def _close_book(market: Market, book: Book, initial_cash: float, daily: PerBar) -> Tally:
    """Mark what is flat at the end; the sums of the whole."""
    bars, drawdown = len(market.close), book.drawdown
    equity_sum = book.equity_sum
    if book.marked < bars:
        daily[book.day :] = book.cash
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


@uncounted
def _mark_positions(
    market: Market, marks: Marks, book: Book, rows: int, scratch: Scratch
) -> tuple[int, int, float, float, int, Drawdown]:
    """Mark every close of the positions and of the flat stretches before them.

    While no position may make a new peak, the order of the marks is of no interest: those at the
    ends of days and of the flat stretches come first, and the lowest of them spares a look at most
    positions.
    """
    found, daily = scratch.found, scratch.daily
    marked, day, cash, drawdown = book.marked, book.day, book.cash, book.drawdown
    equity_sum, held_closes = 0.0, 0
    since, lowest = 0, math.inf
    for row in range(rows):
        first, until = found.entry_bar[row], found.exit_bar[row]
        quantity, held = found.quantity[row], found.cash[row]
        closes = marks.close_sums[until] - marks.close_sums[first]
        equity_sum += cash * (first - marked) + (held * (until - first) + quantity * closes)
        held_closes += until - first
        if first > marked:
            if cash > drawdown.peak:
                drawdown = _mark_lows(market, drawdown, lowest, since, row, found)
                drawdown = mark_drawdown(drawdown, marked, cash)
                since, lowest = row, math.inf
            lowest = min(lowest, cash)
        may_rise = found.best[row] > drawdown.peak
        if may_rise:
            drawdown = _mark_lows(market, drawdown, lowest, since, row, found)
            drawdown = _mark_closes(market, drawdown, first, until, held, quantity)
        while marks.day_ends[day] < until:
            mark = cash if marks.day_ends[day] < first else held + quantity * marks.day_closes[day]
            daily[day] = mark
            lowest = min(lowest, mark)
            day += 1
        if may_rise:
            since, lowest = row + 1, math.inf
        marked, cash = until, held + (quantity * found.exit_price[row] - found.exit_fee[row])
    drawdown = _mark_lows(market, drawdown, lowest, since, rows, found)
    return marked, day, cash, equity_sum, held_closes, drawdown


@uncounted
def _mark_lows(
    market: Market, drawdown: Drawdown, lowest: float, since: int, rows: int, found: Positions
) -> Drawdown:
    """Mark positions since .. rows - 1, none of which makes a peak; `lowest` is one of their marks."""
    if lowest < drawdown.trough:
        drawdown = mark_drawdown(drawdown, 0, lowest)
    for row in range(since, rows):
        if found.worst[row] < drawdown.trough:
            drawdown = _mark_closes(
                market,
                drawdown,
                found.entry_bar[row],
                found.exit_bar[row],
                found.cash[row],
                found.quantity[row],
            )
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
