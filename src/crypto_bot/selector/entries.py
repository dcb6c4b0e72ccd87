"""Chosen entries as slots of a shared account: each as its strategy made it, or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from crypto_bot.core.arrays import Index, Mask, PerRow, PerTrade
from crypto_bot.core.bars import OHLCV, Bars
from crypto_bot.core.orders import ExitReason, Signals
from crypto_bot.engine import Reentry, SignalExit
from crypto_bot.portfolio import Slot
from crypto_bot.selector.candidates import Candidates

_DECIDED = (ExitReason.SIGNAL, ExitReason.REVERSE)
"""Exits decided at the close before them; the others happen inside a bar or by themselves."""


def entry_slots(
    candidates: Candidates, is_chosen: Mask, score: PerRow, start_ns: int
) -> list[Slot]:
    """Slots that enter and leave where the strategies' own accounts did, for chosen entries only.

    Parameters
    ----------
    is_chosen : bool (entries,)
    score : float64 (entries,)    0..1; ranks entries that compete for cash
    start_ns : int                the first decision; bars that closed before are history

    Notes
    -----
    A strategy's account goes on as if nothing had been left out: an entry that is left out is no
    position here, its cash is free for others, and the strategy's next entry is the one its own
    account made next. Stops and targets hang on the fill of the shared account. Trades of one
    strategy and symbol that follow without a flat close between them lie in two slots of that name,
    so that an entry refused for want of cash is not made a bar later; a reversal is told as a signal.
    """
    slots: list[Slot] = []
    empty: dict[str, Slot] = {}
    is_chosen = is_chosen & (candidates.decided_at_ns >= start_ns)
    cuts = _cuts(candidates, start_ns)
    for number, slot in enumerate(candidates.slots):
        if slot.bars.symbol not in cuts:
            continue
        cut, first = cuts[slot.bars.symbol]
        exits = slot.exits.replace(
            signal_exit=SignalExit.FLAT, reentry=Reentry.NEW_SIGNAL, cooldown_bars=0
        )
        cut = replace(cut, name=slot.name, exits=exits, funding=slot.funding)
        rows = np.flatnonzero((candidates.slot == number) & is_chosen)
        if not len(rows):
            empty[slot.bars.symbol] = cut
        begin, end = _stretches(slot, candidates.trades[rows], first)
        side = candidates.trades["direction"][rows]
        for lane in _lanes(begin, end) if len(rows) else ():
            direction, rank = np.zeros(len(cut.bars), np.int8), np.zeros(len(cut.bars))
            for k in lane:
                direction[begin[k] : end[k]] = side[k]
                rank[begin[k] : end[k]] = score[rows[k]]
            slots.append(replace(cut, signals=Signals(direction, rank)))
    # Every symbol stays, so that accounts have the same closes, whatever they enter.
    traded = {slot.bars.symbol for slot in slots}
    return [*slots, *(cut for symbol, cut in empty.items() if symbol not in traded)]


def _cuts(candidates: Candidates, start_ns: int) -> dict[str, tuple[Slot, int]]:
    """Per symbol a slot without signals from `start_ns` on, and how many bars lie before it."""
    found: dict[str, tuple[Slot, int]] = {}
    for slot in candidates.slots:
        first = int(np.searchsorted(slot.bars.close_time, start_ns))
        if slot.bars.symbol in found or first == len(slot.bars):
            continue
        bars = slot.bars[first:]
        none = Signals(np.zeros(len(bars), np.int8), np.zeros(len(bars)))
        history = _joined(slot.history, slot.bars[:first])
        found[slot.bars.symbol] = replace(slot, bars=bars, history=history, signals=none), first
    return found


def _joined(before: Bars | None, after: Bars) -> Bars | None:
    """All candles before the cut: ATR and the like settle on them as in the strategy's own account."""
    if before is None or not len(after):
        return after if before is None and len(after) else before
    columns: dict[str, Any] = {
        name: np.concatenate((getattr(before, name), getattr(after, name)))
        for name in ("open_time", *OHLCV)
    }
    return replace(after, **columns)


def _stretches(slot: Slot, trades: PerTrade, first: int) -> tuple[Index, Index]:
    """Bars (first one, one after the last) at whose close each trade's direction is wanted."""
    is_decided = np.isin(trades["exit_reason"], [int(reason) for reason in _DECIDED])
    end = np.where(trades["exit_bar"] < 0, len(slot.bars), trades["exit_bar"] - is_decided)
    return trades["entry_bar"] - 1 - first, end - first


def _lanes(begin: Index, end: Index) -> list[list[int]]:
    """Trades in order, over one or two slots, a flat close before each that has one before it."""
    lanes: list[list[int]] = [[]]
    for k in range(len(begin)):
        free = [lane for lane in lanes if not lane or end[lane[-1]] < begin[k]]
        if not free:
            lanes.append([])
            free = lanes[-1:]
        free[0].append(k)
    return lanes
