"""From wanted sides to positions, visiting only bars where something happens.

What the matching step does to a plain account between two events needs no visit. The next wish to
leave is the start of a run; a stop, target or trailing stop is passed only in a block of bars whose
extremes reach it; an account is ruined only in a block whose extreme closes ruin it. Prices, sizes,
levels and fees come from the same compiled functions, in the same order, as in `advance` and
`decide`, so that every position equals the bar-by-bar one to the last bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import Index, PerBar
from crypto_bot.core.orders import ExitReason
from crypto_bot.engine.account import NO_REASON
from crypto_bot.engine.blocks import WIDE_BITS, Market
from crypto_bot.engine.first_touch import Exit, first_touch, is_without_levels
from crypto_bot.engine.rules import FLAT, NEVER, PERCENT, MatchingRules
from crypto_bot.engine.sides import Runs
from crypto_bot.engine.sizing import entry_quantity
from crypto_bot.engine.uncounted import inlined, uncounted

_SIGNAL = int(ExitReason.SIGNAL)
_REVERSE = int(ExitReason.REVERSE)
_STOP = int(ExitReason.STOP)
_TIME = int(ExitReason.TIME)


class Positions(NamedTuple):
    """Round trips in order, one a row; the last may be open."""

    entry_bar: Index
    exit_bar: Index  # of the exit's fill, or as many as there are bars: closes before it are held
    quantity: PerBar  # signed
    entry_price: PerBar
    entry_fee: PerBar
    exit_price: PerBar  # 0 if open
    exit_fee: PerBar
    cash: PerBar  # while held
    reason: npt.NDArray[np.int8]
    is_at_open: npt.NDArray[np.bool_]
    best: PerBar  # the equity of its closes lies between these
    worst: PerBar


class WalkState(NamedTuple):
    """Where a walk stands between two positions."""

    bar: int  # flat: the first close that may enter; else the bar of the entry
    run: int  # of a bar not after it
    side: int  # of a reversal's entry still to be filled; 0: flat
    wait: int  # closes that may not enter after a refused reversal
    cash: float
    refused: int
    ambiguous: int
    is_over: bool


def room_for_positions(rows: int) -> Positions:
    """Room for this many positions."""
    return Positions(
        np.empty(rows, np.int64),
        np.empty(rows, np.int64),
        np.empty(rows),
        np.empty(rows),
        np.empty(rows),
        np.empty(rows),
        np.empty(rows),
        np.empty(rows),
        np.empty(rows, np.int8),
        np.empty(rows, np.bool_),
        np.empty(rows),
        np.empty(rows),
    )


def start_walk(cash: float) -> WalkState:
    """A flat account before the first close."""
    return WalkState(0, 0, 0, 0, float(cash), 0, 0, False)


@uncounted
def walk_positions(
    market: Market,
    runs: Runs,
    count: int,
    state: WalkState,
    rules: MatchingRules,
    found: Positions,
) -> tuple[int, WalkState]:
    """Trade on until the room is full or the bars are over.

    Parameters
    ----------
    market : Market
    runs : Runs
    count : int              of the runs
    state : WalkState        `start_walk`, or what the call before returned
    rules : MatchingRules    plain ones
    found : Positions        receives the positions

    Returns
    -------
    int          how many were written
    WalkState    go on from here, unless it is over
    """
    bars = len(market.close)
    bar, run, side, wait, cash, refused, ambiguous, is_over = state
    row = 0
    if side == 0 and not is_over and _is_straight(rules):
        row, bar, run, cash, is_over = _walk_straight(
            market, runs, count, bar, run, cash, rules, found
        )
    while row < len(found.entry_bar) and not is_over:
        if side == 0:
            bar, run = _next_entry(runs, count, bar, run, rules)
            if bar >= bars - 1:
                is_over = True
                break
            side, bar, wait = runs.side[run] + 0, bar + 1, 0
        price = market.open[bar] * (1.0 + side * rules.slippage_frac)
        size = entry_quantity(cash, price, rules)
        if size == 0.0:
            refused += 1
            side, bar, is_over = 0, bar + wait, cash <= 0.0
            continue
        quantity = side * size
        fee = size * price * rules.taker_fee_frac
        cash -= quantity * price + fee
        found.entry_bar[row], found.entry_price[row] = bar, price
        found.quantity[row], found.entry_fee[row], found.cash[row] = quantity, fee, cash
        end, run, best, worst = _find_exit(
            market, runs, count, bar, run, side, price, cash, quantity, rules
        )
        fee = size * end.price * end.fee_frac
        found.exit_bar[row], found.exit_price[row], found.exit_fee[row] = end.bar, end.price, fee
        found.reason[row], found.is_at_open[row] = end.reason, end.is_at_open
        found.best[row], found.worst[row] = best, worst
        row += 1
        cash += quantity * end.price - fee
        ambiguous += 1 if end.is_ambiguous else 0
        bar = end.bar
        is_reversed = end.reason == _REVERSE
        is_over = end.is_last or (cash <= 0.0 and not is_reversed)
        if is_reversed:
            side, wait = -side, rules.cooldown_bars
        else:
            side, bar = 0, bar + rules.cooldown_bars
    return row, WalkState(bar, run, side, wait, cash, refused, ambiguous, is_over)


@inlined
def _is_straight(rules: MatchingRules) -> bool:
    """Whether nothing but the next run ends a position, so that the runs are the positions."""
    return (
        rules.signal_exit != NEVER
        and rules.max_holding_bars == 0
        and rules.cooldown_bars == 0
        and rules.method == PERCENT
        and rules.quantity_step == 0.0
        and rules.needs_new_signal
        and is_without_levels(rules)
    )


@uncounted
def _walk_straight(
    market: Market,
    runs: Runs,
    count: int,
    bar: int,
    run: int,
    cash: float,
    rules: MatchingRules,
    found: Positions,
) -> tuple[int, int, int, float, bool]:
    """`walk_positions` of a flat account where the runs are the positions.

    Stops before a position that is refused or may be ruined: `walk_positions` looks closer. Returns
    how many were written, and the bar, run and cash to go on with unless all is over.
    """
    bars = len(market.close)
    row = 0
    while runs.start[run] < bar:
        run += 1
    while row < len(found.entry_bar):
        while run < count and not _can_enter(runs.side[run], rules):
            run += 1
        first = runs.start[run] + 1
        if first >= bars:
            return row, bar, run, cash, True
        side = runs.side[run] + 0
        price = market.open[first] * (1.0 + side * rules.slippage_frac)
        size = entry_quantity(cash, price, rules)
        quantity = side * size
        fee = size * price * rules.taker_fee_frac
        held = cash - (quantity * price + fee)
        later = run + 1
        while later < count and runs.side[later] != -side and (rules.signal_exit != FLAT):
            later += 1
        until = min(runs.start[later] + 1, bars)
        best, worst = _bounds(market, first, until, held, quantity)
        if size == 0.0 or worst <= 0.0:
            return row, first - 1, run, cash, False
        found.entry_bar[row], found.entry_price[row] = first, price
        found.quantity[row], found.entry_fee[row], found.cash[row] = quantity, fee, held
        found.best[row], found.worst[row] = best, worst
        is_open = until == bars
        price = 0.0 if is_open else market.open[until] * (1.0 - side * rules.slippage_frac)
        fee = size * price * rules.taker_fee_frac
        reason = _REVERSE if runs.side[later] == -side and _can_enter(-side, rules) else _SIGNAL
        found.exit_bar[row], found.exit_price[row], found.exit_fee[row] = until, price, fee
        found.reason[row], found.is_at_open[row] = NO_REASON if is_open else reason, True
        cash = held + (quantity * price - fee)
        row, run = row + 1, later
        if cash <= 0.0 and reason != _REVERSE:
            return row, bar, run, cash, True
    return row, runs.start[run], run, cash, False


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
    one, other = cash + quantity * high, cash + quantity * low
    return max(one, other), min(one, other)


@inlined
def _can_enter(side: int, rules: MatchingRules) -> bool:
    return side > 0 or (side < 0 and rules.allow_short)


@inlined
def _next_entry(
    runs: Runs, count: int, bar: int, run: int, rules: MatchingRules
) -> tuple[int, int]:
    """The first close from `bar` on that may enter a flat account, past the last if none; its run."""
    if bar >= runs.start[count]:
        return bar, run
    while runs.start[run + 1] <= bar:
        run += 1
    is_late = rules.needs_new_signal and runs.start[run] < bar
    while run < count and (is_late or not _can_enter(runs.side[run], rules)):
        run, is_late = run + 1, False
    return max(bar, runs.start[run]), run


@inlined
def _find_exit(
    market: Market,
    runs: Runs,
    count: int,
    bar: int,
    run: int,
    side: int,
    entry_price: float,
    cash: float,
    quantity: float,
    rules: MatchingRules,
) -> tuple[Exit, int, float, float]:
    """How a position entered at the open of `bar` ends, a run not after that, and its `_bounds`."""
    bars = len(market.close)
    decided, later_run, reason = _exit_decision(runs, count, bar, bars, run, side, rules)
    end = first_touch(market, bar, min(decided, bars - 1), side, entry_price, rules)
    until = min(end.bar, decided + 1, bars)
    best, worst = _bounds(market, bar, until, cash, quantity)
    ruin = until if worst > 0.0 else _first_ruin(market, bar, until, cash, quantity)
    is_ruined = ruin < until
    if is_ruined:
        decided, reason = ruin, _STOP
    elif end.bar <= decided:
        return end, run, best, worst
    if decided + 1 >= bars:
        end = Exit(bars, 0.0, 0.0, NO_REASON, True, False, True)
        return end, later_run, best, worst
    price = market.open[decided + 1] * (1.0 - side * rules.slippage_frac)
    fee_frac = rules.taker_fee_frac
    end = Exit(decided + 1, price, fee_frac, reason, True, False, is_ruined)
    return end, later_run, best, worst


@inlined
def _exit_decision(
    runs: Runs, count: int, bar: int, bars: int, run: int, side: int, rules: MatchingRules
) -> tuple[int, int, int]:
    """The close from `bar` on that ends a position entered there, a run not after it, and why."""
    limit = bars
    if rules.max_holding_bars > 0:
        limit = min(bars, bar + rules.max_holding_bars - 1)
    if rules.signal_exit == NEVER:
        return limit, run, _TIME
    while runs.start[run + 1] <= bar:
        run += 1
    begun = run
    while run < count and runs.side[run] != -side:
        if runs.side[run] == 0 and rules.signal_exit == FLAT:
            break
        run += 1
    signal = max(bar, runs.start[run])
    if signal > limit or run == count:
        return limit, begun, _TIME
    is_reversed = runs.side[run] == -side and _can_enter(-side, rules)
    return signal, run, _REVERSE if is_reversed else _SIGNAL


@inlined
def _first_ruin(market: Market, bar: int, until: int, cash: float, quantity: float) -> int:
    """The first close before `until` that leaves no equity; `until` where none does."""
    worst = market.wide_close_high if quantity < 0.0 else market.wide_close_low
    while bar < until:
        block = bar >> WIDE_BITS
        end = min((block + 1) << WIDE_BITS, until)
        if cash + quantity * worst[block] <= 0.0:
            while bar < end:
                if cash + quantity * market.close[bar] <= 0.0:
                    return bar
                bar += 1
        bar = end
    return until
