"""The shared account, compiled: the matching step's parts, called in the order of a timeline."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from crypto_bot.core.arrays import Index, PerBar, PerBarDirection
from crypto_bot.engine.ledger import FILL
from crypto_bot.engine.matching import (
    AccountState,
    FillEvent,
    decide,
    enter_at_open,
    exit_at_open,
    mark_account,
    pay_financing,
    protect,
)
from crypto_bot.engine.rules import Known, MatchingRules
from crypto_bot.engine.walk import record_fill
from crypto_bot.portfolio.timeline import CLOSE, Timeline

POSITIONS, EXPOSURE, SYMBOL, EQUITY, SIZE = range(1, 6)
"""Why an entry was refused; `REFUSALS` has the words."""
_ROOM = 256


class Markets(NamedTuple):
    """Candles of every market behind one another; market m begins at first[m]."""

    open: PerBar
    high: PerBar
    low: PerBar
    close: PerBar
    funding_due: PerBar
    borrow_due: PerBar
    first: Index


class Intents(NamedTuple):
    """Signals of every slot behind one another; slot s begins at first[s].

    atr, volatility and mean_volume are empty where no slot's rules ask for them.
    """

    direction: PerBarDirection
    score: PerBar
    atr: PerBar
    volatility: PerBar
    mean_volume: PerBar
    first: Index
    market: Index  # of each slot


class Limits(NamedTuple):
    """`PortfolioOptions` as scalars; no limit is infinite."""

    max_open_positions: int
    max_symbol_exposure_frac: float
    max_exposure_frac: float


@njit(cache=True, nogil=True)
def rules_from(row: PerBar) -> MatchingRules:
    """The rules whose values, in order, are this row."""
    return MatchingRules(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9],
        row[10], row[11], row[12], row[13], row[14], int(row[15]), int(row[16]), int(row[17]),
        row[18] != 0.0, int(row[19]), row[20], row[21], row[22], row[23], row[24], row[25],
        int(row[26]), row[27], row[28], row[29], row[30] != 0.0, row[31] != 0.0, row[32] != 0.0,
        row[33] != 0.0, row[34] != 0.0,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def trade_together(
    markets: Markets,
    intents: Intents,
    timeline: Timeline,
    slots_of: Index,
    first_slot: Index,
    rules_rows: npt.NDArray[np.float64],
    limits: Limits,
    start: AccountState,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any], Index, Index, list[AccountState]]:
    """Carry every slot through every event.

    Parameters
    ----------
    slots_of, first_slot : int64    slots of market m: slots_of[first_slot[m] : first_slot[m + 1]]
    rules_rows : float64 (slots, fields of MatchingRules)
    start : AccountState            every slot's ledger begins with the whole account's cash

    Returns
    -------
    gains : float64 (close groups, slots)    what each slot has earned at each close
    fills : FILL (fills,) ; slots : int64 (fills,) ; refusals : int64 (rows, 3)
    states : list of AccountState, one a slot
    """
    slots = len(rules_rows)
    rules = [rules_from(rules_rows[slot]) for slot in range(slots)]
    states = [start for _ in range(slots)]
    mark = np.zeros(len(markets.first) - 1)
    closes = 0
    for group in range(len(timeline.group) - 1):
        closes += timeline.kind[timeline.group[group]] == CLOSE
    gains, row = np.empty((closes, slots)), 0
    fills, owner, filled = np.empty(_ROOM, FILL), np.empty(_ROOM, np.int64), 0
    refusals, refused = np.empty((_ROOM, 3), np.int64), 0
    queue, score = np.empty(slots, np.int64), np.zeros(slots)
    for group in range(len(timeline.group) - 1):
        begin, end = timeline.group[group], timeline.group[group + 1]
        is_close = timeline.kind[begin] == CLOSE
        waiting = 0
        for event in range(begin, end):
            market, bar = timeline.market[event], timeline.bar[event]
            place = markets.first[market] + bar
            mark[market] = markets.close[place] if is_close else markets.open[place]
            for index in range(first_slot[market], first_slot[market + 1]):
                slot = slots_of[index]
                if is_close:
                    states[slot], fill, is_at_open = _closed(
                        states[slot], bar, place, slot, markets, intents, rules[slot]
                    )
                    score[slot] = intents.score[intents.first[slot] + bar]
                else:
                    states[slot], fill = _opened(states[slot], place, markets, rules[slot])
                    is_at_open = True
                    if states[slot].pending_entry != 0:
                        queue[waiting] = slot
                        waiting += 1
                if fill.quantity != 0.0:
                    if filled == len(fills):
                        fills, owner = _longer(fills), _longer_index(owner)
                    owner[filled] = slot
                    filled = record_fill(fills, filled, bar, is_at_open, fill)
        if is_close:
            for slot in range(slots):
                gains[row, slot] = states[slot].equity - start.equity
            row += 1
            continue
        _rank(queue, waiting, score)
        for index in range(waiting):
            slot = queue[index]
            market = intents.market[slot]
            bar = _bar_of(timeline, begin, end, market)
            equity, most, reason = _allowance(
                slot, states, mark, intents.market, start.equity, limits, rules[slot]
            )
            state = states[slot]
            if most > 0.0:
                opened = markets.open[markets.first[market] + bar]
                state, fill = enter_at_open(state, bar, opened, equity, most, rules[slot])
                if fill.quantity != 0.0:
                    if filled == len(fills):
                        fills, owner = _longer(fills), _longer_index(owner)
                    owner[filled] = slot
                    filled = record_fill(fills, filled, bar, True, fill)
                    reason = 0
                elif reason == 0:
                    reason = SIZE
            states[slot] = _without_entry(state)
            if reason != 0:
                if refused == len(refusals):
                    refusals = np.concatenate((refusals, np.empty((refused, 3), np.int64)))
                refusals[refused, 0], refusals[refused, 1] = begin, slot
                refusals[refused, 2] = reason
                refused += 1
    return gains, fills[:filled].copy(), owner[:filled].copy(), refusals[:refused].copy(), states


@njit(cache=True, nogil=True)
def _closed(
    state: AccountState,
    bar: int,
    place: int,
    slot: int,
    markets: Markets,
    intents: Intents,
    rules: MatchingRules,
) -> tuple[AccountState, FillEvent, bool]:
    """A slot's bar has closed: stops and targets inside it, its value, its next orders."""
    high, low = markets.high[place], markets.low[place]
    state, fill, is_at_open, _, _ = protect(
        state, bar, markets.open[place], high, low, False, rules
    )
    close, own = markets.close[place], intents.first[slot] + bar
    state = mark_account(state, close)
    known = Known(
        close,
        intents.atr[own] if rules.uses_atr else 0.0,
        intents.volatility[own] if rules.uses_volatility else 0.0,
        intents.mean_volume[own] if rules.uses_volume else 0.0,
    )
    return decide(state, intents.direction[own], intents.score[own], known, rules), fill, is_at_open


@njit(cache=True, nogil=True)
def _opened(
    state: AccountState, place: int, markets: Markets, rules: MatchingRules
) -> tuple[AccountState, FillEvent]:
    """A slot's bar opens: what holding cost, then the exit decided at the last close."""
    open_ = markets.open[place]
    if rules.uses_finance:
        state = pay_financing(state, open_, markets.funding_due[place], markets.borrow_due[place])
    return exit_at_open(state, open_, rules)


@njit(cache=True, nogil=True)
def _rank(queue: Index, waiting: int, score: PerBar) -> None:
    """Highest score first; of equals the slot given first."""
    for index in range(1, waiting):
        slot, place = queue[index], index
        while place > 0 and (
            score[queue[place - 1]] < score[slot]
            or (score[queue[place - 1]] == score[slot] and queue[place - 1] > slot)
        ):
            queue[place] = queue[place - 1]
            place -= 1
        queue[place] = slot


@njit(cache=True, nogil=True)
def _bar_of(timeline: Timeline, begin: int, end: int, market: int) -> int:
    for event in range(begin, end):
        if timeline.market[event] == market:
            return int(timeline.bar[event])
    return -1


@njit(cache=True, nogil=True)
def _allowance(
    slot: int,
    states: list[AccountState],
    mark: PerBar,
    market: Index,
    cash: float,
    limits: Limits,
    rules: MatchingRules,
) -> tuple[float, float, int]:
    """Equity of the account, the most an entry of this slot may be worth, and why if nothing.

    Every ledger begins with the whole account's cash, so that a lone slot is an account.
    """
    equity = -cash * (len(states) - 1)
    exposure = of_symbol = 0.0
    held = 0
    for other in range(len(states)):
        quantity = states[other].quantity
        worth = quantity * mark[market[other]]
        equity += states[other].cash + worth
        exposure += abs(worth)
        held += quantity != 0.0
        if market[other] == market[slot]:
            of_symbol += abs(worth)
    if not equity > 0.0:
        return equity, 0.0, EQUITY
    if held >= limits.max_open_positions:
        return equity, 0.0, POSITIONS
    most = math.inf
    if exposure > 0.0 or limits.max_exposure_frac < 1.0:
        most = (limits.max_exposure_frac * equity - exposure) / (1.0 + rules.taker_fee_frac)
        if most <= 0.0:
            return equity, 0.0, EXPOSURE
    if limits.max_symbol_exposure_frac < math.inf:
        room = limits.max_symbol_exposure_frac * equity - of_symbol
        most = min(most, room / (1.0 + rules.taker_fee_frac))
        if most <= 0.0:
            return equity, 0.0, SYMBOL
    return equity, most, 0


@njit(cache=True, nogil=True)
def _without_entry(state: AccountState) -> AccountState:
    """The entry was filled or refused: it is not tried again."""
    return AccountState(
        state.cash,
        state.quantity,
        state.entry_price,
        state.entry_bar,
        state.entry_fee,
        state.entry_atr,
        state.financing,
        state.peak,
        state.bars_held,
        state.cooldown_left,
        state.previous_direction,
        state.pending_exit,
        0,
        state.known,
        state.equity,
        state.refused_entries,
        state.is_ruined,
        state.trades,
        state.wins,
        state.win_sum,
        state.loss_sum,
    )


@njit(cache=True, nogil=True)
def _longer(fills: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.concatenate((fills, np.empty(len(fills), FILL)))


@njit(cache=True, nogil=True)
def _longer_index(owner: Index) -> Index:
    return np.concatenate((owner, np.empty(len(owner), np.int64)))
