"""Chosen entries in a shared account: the strategies' own trades, or none in their place."""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.core import ExitReason
from crypto_bot.engine import CostOptions, ExitOptions, Reentry, SizingOptions
from crypto_bot.market import SimulationOptions, simulate_market
from crypto_bot.portfolio import PortfolioOptions, simulate_portfolio
from crypto_bot.selector import collect_candidates, entry_slots
from crypto_bot.strategies import get_strategy

BARS = simulate_market(SimulationOptions(symbols=2, timeframe="1h", bars=2_000, seed=8))
FIELDS = ("entry_time", "exit_time", "direction", "entry_price", "exit_price", "exit_reason")
EXITS = {
    "signals": ExitOptions(),
    "stops": ExitOptions(stop_loss_frac=0.01, take_profit_frac=0.02, trailing_stop_frac=0.015),
    "times": ExitOptions(max_holding_bars=5, cooldown_bars=2, stop_loss_atr=2.0),
    "at once again": ExitOptions(stop_loss_frac=0.004, reentry=Reentry.WHILE_SIGNAL),
}
MANY = PortfolioOptions(max_open_positions=1_000)
SMALL = SizingOptions(fraction=0.001)


def found(exits, names=("sma_cross", "mean_bot", "each_bar")):
    strategies = [get_strategy(name) for name in names]
    return collect_candidates(
        BARS, strategies, exits=exits, sizing=SMALL, start_ns=int(BARS[0].open_time[500])
    )


def traded(candidates, is_chosen, start_ns, sizing=SMALL, limits=MANY, score=None):
    score = np.ones(len(candidates)) if score is None else score
    slots = entry_slots(candidates, is_chosen, score, start_ns)
    result = simulate_portfolio(slots, sizing=sizing, options=limits)
    return slots, result


def told(name, value):
    """What ends a trade at a signal: whether the other side is entered then is another slot's matter."""
    is_reverse = name == "exit_reason" and value == ExitReason.REVERSE
    return int(ExitReason.SIGNAL) if is_reverse else value


def rows_of(candidates, rows):
    return sorted(
        (candidates.slots[candidates.slot[row]].name,
         candidates.slots[candidates.slot[row]].bars.symbol,
         *(told(name, candidates.trades[row][name].item()) for name in FIELDS))
        for row in rows
    )  # fmt: skip


def rows_in(slots, result):
    return sorted(
        (slot.name, slot.bars.symbol, *(trade[name].item() for name in FIELDS))
        for slot, trades in zip(slots, result.trades, strict=True)
        for trade in trades
    )


@pytest.mark.parametrize("exits", EXITS.values(), ids=EXITS)
def test_all_entries_taken_are_the_trades_of_the_strategies_own_accounts(exits):
    candidates = found(exits)
    start = int(BARS[0].close_time[700])
    late = np.flatnonzero(candidates.decided_at_ns >= start)
    slots, result = traded(candidates, np.ones(len(candidates), np.bool_), start)
    assert rows_in(slots, result) == rows_of(candidates, late)
    assert len(late) > 100


@pytest.mark.parametrize("exits", EXITS.values(), ids=EXITS)
def test_an_entry_left_out_changes_no_other_trade(exits):
    candidates = found(exits)
    chosen = np.random.default_rng(3).random(len(candidates)) < 0.4
    slots, result = traded(candidates, chosen, 0)
    assert rows_in(slots, result) == rows_of(candidates, np.flatnonzero(chosen))


def test_an_entry_refused_for_want_of_cash_is_not_made_a_bar_later():
    candidates = found(EXITS["at once again"])
    one = PortfolioOptions(max_open_positions=1)
    slots, result = traded(candidates, np.ones(len(candidates), np.bool_), 0, limits=one)
    assert len(result.refusals) > 50
    allowed = {row[:3] for row in rows_of(candidates, range(len(candidates)))}
    made = {row[:3] for row in rows_in(slots, result)}
    assert made < allowed


def test_cash_that_an_entry_left_out_would_have_bound_is_free_for_others():
    candidates = found(EXITS["signals"], ("sma_cross", "mean_bot"))
    sizing, one = SizingOptions(fraction=1.0), PortfolioOptions(max_open_positions=1)
    everything = np.ones(len(candidates), np.bool_)
    slots, result = traded(candidates, everything, 0, sizing, one)
    others = candidates.strategy == 1
    less_slots, less = traded(candidates, others, 0, sizing, one)
    of_others = {row[:3] for row in rows_in(slots, result) if row[0] == "mean_bot"}
    assert {row[:3] for row in rows_in(less_slots, less)} > of_others


def test_the_higher_score_is_served_first():
    candidates = found(EXITS["signals"], ("sma_cross", "each_bar"))
    one = PortfolioOptions(max_open_positions=1)
    everything = np.ones(len(candidates), np.bool_)
    counts = []
    for favourite in (0, 1):
        score = np.where(candidates.strategy == favourite, 0.9, 0.1)
        slots, result = traded(candidates, everything, 0, limits=one, score=score)
        counts.append(sum(row[0] == "sma_cross" for row in rows_in(slots, result)))
    assert counts[0] > counts[1]


def test_accounts_that_enter_nothing_have_the_same_closes():
    candidates = found(EXITS["signals"])
    start = int(BARS[0].close_time[700])
    none = np.zeros(len(candidates), np.bool_)
    _, all_of_it = traded(candidates, ~none, start)
    slots, nothing = traded(candidates, none, start)
    np.testing.assert_array_equal(nothing.times_ns, all_of_it.times_ns)
    assert nothing.times_ns[0] == start
    assert {slot.bars.symbol for slot in slots} == {bars.symbol for bars in BARS}
    assert nothing.metrics.trades == 0


def test_costs_are_charged_as_in_any_account():
    candidates = found(EXITS["signals"])
    everything = np.ones(len(candidates), np.bool_)
    slots = entry_slots(candidates, everything, np.ones(len(candidates)), 0)
    free = simulate_portfolio(
        slots,
        costs=CostOptions(taker_fee_frac=0, maker_fee_frac=0, slippage_frac=0),
        sizing=SMALL,
        options=MANY,
    )
    dear = simulate_portfolio(slots, sizing=SMALL, options=MANY)
    assert free.metrics.final_equity > dear.metrics.final_equity
