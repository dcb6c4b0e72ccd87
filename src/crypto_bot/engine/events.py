"""A backtest of plain rules from event to event: the same result as bar by bar, to the last bit.

The account is followed by the event kernel; between two fills quantity and cash stand still, so
equity is written stretch by stretch as the same expression the matching step marks it with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from crypto_bot.core.arrays import PerBar, PerBarDirection
from crypto_bot.core.bars import Bars
from crypto_bot.engine.account import NO_REASON
from crypto_bot.engine.blocks import Market, prepare_market
from crypto_bot.engine.event_kernel import (
    Positions,
    WalkState,
    room_for_positions,
    start_walk,
    walk_positions,
)
from crypto_bot.engine.first_touch import has_levels
from crypto_bot.engine.ledger import FILL
from crypto_bot.engine.rules import MatchingRules
from crypto_bot.engine.sides import (
    Runs,
    Words,
    empty_sides,
    find_runs,
    pack_directions,
    room_for_runs,
)
from crypto_bot.engine.uncounted import uncounted
from crypto_bot.engine.walk import Walked

_ROWS = 256


def walk_events(
    bars: Bars, direction: PerBarDirection, rules: MatchingRules, initial_cash: float
) -> Walked:
    """Trade the directions by plain rules; equal to `walk` to the last bit.

    Parameters
    ----------
    bars : Bars                 at least one
    direction : int8 (bars,) in {-1, 0, +1}
    rules : MatchingRules       plain ones, see `is_plain`
    initial_cash : float        quote
    """
    sides = empty_sides(1, len(bars))
    pack_directions(direction, sides.up[0], sides.down[0])
    equity, position, fills, refused, ambiguous = _replay(
        prepare_market(bars, with_levels=has_levels(rules)),
        sides.up[0],
        sides.down[0],
        start_walk(initial_cash),
        rules,
        room_for_runs(len(bars)),
        room_for_positions(_ROWS),
    )
    return Walked(equity, position, fills, refused, 0.0, ambiguous, 0)


@njit(cache=True, nogil=True)
def _replay(
    market: Market,
    up: Words,
    down: Words,
    state: WalkState,
    rules: MatchingRules,
    runs: Runs,
    found: Positions,
) -> tuple[PerBar, PerBar, npt.NDArray[Any], int, int]:
    bars = len(market.close)
    equity, position = np.empty(bars), np.empty(bars)
    fills, count = np.empty(2 * len(found.entry_bar), FILL), 0
    marked, runs_found = 0, find_runs(up, down, bars, runs)
    while not state.is_over:
        cash = state.cash
        rows, state = walk_positions(market, runs, runs_found, state, rules, found)
        if count + 2 * rows > len(fills):
            fills = np.concatenate((fills, np.empty(len(fills), FILL)))
        count = _record_fills(found, rows, fills, count)
        marked = _write_equity(market.close, found, rows, cash, marked, equity, position)
    equity[marked:] = state.cash
    position[marked:] = 0.0
    return equity, position, fills[:count].copy(), state.refused, state.ambiguous


@uncounted
def _record_fills(found: Positions, rows: int, fills: npt.NDArray[Any], count: int) -> int:
    """Write the fills of the positions from row `count` on; returns the next row."""
    for row in range(rows):
        fill = fills[count]
        fill.bar, fill.is_at_open, fill.reason = found.entry_bar[row], True, NO_REASON
        fill.quantity, fill.price = found.quantity[row], found.entry_price[row]
        fill.fee, fill.financing = found.entry_fee[row], 0.0
        count += 1
        if found.reason[row] == NO_REASON:
            break
        fill = fills[count]
        fill.bar, fill.is_at_open = found.exit_bar[row], found.is_at_open[row]
        fill.quantity, fill.price = -found.quantity[row], found.exit_price[row]
        fill.fee, fill.financing, fill.reason = found.exit_fee[row], 0.0, found.reason[row]
        count += 1
    return count


@uncounted
def _write_equity(
    close: PerBar,
    found: Positions,
    rows: int,
    cash: float,
    marked: int,
    equity: PerBar,
    position: PerBar,
) -> int:
    """Write equity and position from bar `marked` to the last exit, and return that bar."""
    for row in range(rows):
        first, until, quantity = found.entry_bar[row], found.exit_bar[row], found.quantity[row]
        for bar in range(marked, first):
            equity[bar], position[bar] = cash, 0.0
        held = found.cash[row]
        for bar in range(first, until):
            equity[bar] = held + quantity * close[bar]
            position[bar] = quantity
        cash = held + (quantity * found.exit_price[row] - found.exit_fee[row])
        marked = until
    return marked
