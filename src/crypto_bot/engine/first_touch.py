"""The first stop or target that a position touches, found by the extremes of blocks of bars."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crypto_bot.core.arrays import PerBar
from crypto_bot.engine.account import NO_REASON, plain_levels, touched_exit
from crypto_bot.engine.blocks import BLOCK_BITS, Market
from crypto_bot.engine.rules import MatchingRules
from crypto_bot.engine.uncounted import inlined


class Exit(NamedTuple):
    """How a position ends: at `bar`, which is past the last one where it stays open."""

    bar: int
    price: float
    fee_frac: float
    reason: int
    is_at_open: bool
    is_ambiguous: bool
    is_last: bool  # nothing is entered again: ruin, or the end of the bars


def has_levels(rules: MatchingRules) -> bool:
    """Whether an exit hangs on a price, so that the market's blocks of highs and lows are read."""
    distances = (rules.stop_loss_frac, rules.take_profit_frac, rules.trailing_stop_frac)
    return min(distances) < np.inf


@inlined
def is_without_levels(rules: MatchingRules) -> bool:
    """Whether no exit hangs on a price."""
    return (
        rules.stop_loss_frac == np.inf
        and rules.take_profit_frac == np.inf
        and rules.trailing_stop_frac == np.inf
    )


@inlined
def _furthest(
    best: PerBar, block_best: PerBar, bar: int, end: int, sign: float, furthest: float
) -> float:
    """The largest of `furthest` and sign times the best prices of bars bar .. end - 1.

    Those after the first block fill whole blocks.
    """
    begun = min(end, ((bar >> BLOCK_BITS) + 1) << BLOCK_BITS)
    for place in range(bar, begun):
        furthest = max(furthest, best[place] * sign)
    for block in range(begun >> BLOCK_BITS, end >> BLOCK_BITS):
        furthest = max(furthest, block_best[block] * sign)
    return furthest


@inlined
def first_touch(
    market: Market, first: int, last: int, side: int, entry_price: float, rules: MatchingRules
) -> Exit:
    """The first stop or target hit in bars first .. last by a position entered at first's open.

    Prices times the side are compared, so that one comparison serves both. `bound` is at least the
    best price so far: that one itself is looked up only where a block may touch a level.
    """
    untouched = Exit(len(market.close) + 1, 0.0, 0.0, NO_REASON, False, False, False)
    if is_without_levels(rules):
        return untouched
    sign = float(side)
    best, block_best, block_worst = market.high, market.block_high, market.block_low
    if side < 0:
        best, block_best, block_worst = market.low, market.block_low, market.block_high
    stop = entry_price * (1.0 - side * rules.stop_loss_frac) * sign
    target = entry_price * (1.0 + side * rules.take_profit_frac) * sign
    trailing = 1.0 - side * rules.trailing_stop_frac
    bar, known, peak, bound = first, first, entry_price * sign, entry_price * sign
    while bar <= last:
        block = bar >> BLOCK_BITS
        end = min((block + 1) << BLOCK_BITS, last + 1)
        highest, lowest = block_best[block] * sign, block_worst[block] * sign
        bound = max(bound, highest)
        if lowest > stop and lowest > bound * trailing and highest < target:
            bar = end
            continue
        peak = _furthest(best, block_best, known, bar, sign, peak)
        while bar < end:
            levels = plain_levels(side, entry_price, peak * sign, rules)
            reason, price, fee_frac, is_at_open, is_ambiguous = touched_exit(
                side,
                bar == first,
                levels,
                rules.slippage_frac,
                market.open[bar],
                market.high[bar],
                market.low[bar],
                False,
                rules,
            )
            if reason != NO_REASON:
                return Exit(bar, price, fee_frac, reason, is_at_open, is_ambiguous, False)
            peak = max(peak, best[bar] * sign)
            bar += 1
        known, bound = bar, peak
    return untouched
