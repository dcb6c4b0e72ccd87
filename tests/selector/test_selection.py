"""The selector beside all strategies: better where there is something to know, and no claim elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crypto_bot.backtest.selecting import verdict
from crypto_bot.core.errors import DataError
from crypto_bot.engine import CostOptions, SizingOptions
from crypto_bot.market import SimulationOptions, simulate_market
from crypto_bot.portfolio import PortfolioOptions
from crypto_bot.selector import (
    HOLD,
    MIX,
    SELECTOR,
    SelectorOptions,
    collect_candidates,
    compare_selection,
    rotation_p_value,
    select_out_of_sample,
)
from crypto_bot.splits import WalkForwardOptions
from crypto_bot.strategies import get_strategy

NAMES = ("momentum_bot", "sma_cross", "mean_bot")
FREE = CostOptions(taker_fee_frac=0, maker_fee_frac=0, slippage_frac=0)


def entries(*, symbols, bars=6_000, seed=4, costs=None, **planted):
    market = simulate_market(
        SimulationOptions(symbols=symbols, timeframe="1h", bars=bars, seed=seed, **planted)
    )
    start = int(market[0].open_time[500])
    strategies = [get_strategy(name) for name in NAMES]
    return collect_candidates(market, strategies, start_ns=start, costs=costs)


@pytest.fixture(scope="module")
def with_edge():
    """Momentum earns inside the pattern only, a tenth of the time; mean reversion loses always."""
    selection = select_out_of_sample(entries(symbols=10, edge_strength=1.0, edge_share=0.1))
    return selection, compare_selection(selection)


@pytest.fixture(scope="module")
def without_edge():
    return select_out_of_sample(entries(symbols=4, bars=4_000))


def test_where_a_strategy_works_in_one_regime_only_the_selector_beats_the_equal_mix(with_edge):
    _, comparison = with_edge
    chosen, mix = (comparison.account(name).result.metrics for name in (SELECTOR, MIX))
    assert comparison.difference.low > 0.0
    assert comparison.luck < 0.01
    assert chosen.sharpe > mix.sharpe + 0.5
    assert chosen.total_return > mix.total_return
    assert "not by luck" in verdict(comparison)
    assert 0.4 < comparison.taken / comparison.entries < 0.9
    assert comparison.mean_chance == pytest.approx(comparison.base_rate, abs=0.03)


def test_what_it_leaves_out_loses_and_a_losing_strategy_is_shown_losing(with_edge):
    selection, comparison = with_edge
    returns = selection.candidates.trades["return_frac"]
    tested = selection.is_tested & (selection.candidates.known_at_ns >= 0)
    assert returns[tested & selection.is_taken].mean() > 0.02
    assert returns[tested & ~selection.is_taken].mean() < 0.0
    assert comparison.account("mean_bot").result.metrics.total_return < -0.3
    table = comparison.table()
    assert table["account"].to_list() == [SELECTOR, MIX, *NAMES, HOLD]


def test_without_an_edge_nothing_is_claimed(without_edge):
    comparison = compare_selection(without_edge)
    assert comparison.luck is None or comparison.luck > 0.05
    assert comparison.mean_chance == pytest.approx(comparison.base_rate, abs=0.05)
    assert comparison.taken < 0.1 * comparison.entries
    assert "not by luck" not in verdict(comparison)


def test_without_an_edge_and_without_costs_the_difference_to_the_mix_is_none():
    selection = select_out_of_sample(entries(symbols=4, bars=4_000, costs=FREE))
    comparison = compare_selection(selection, costs=FREE)
    assert comparison.difference.low < 0.0 < comparison.difference.high
    assert comparison.mean_chance == pytest.approx(comparison.base_rate, abs=0.05)
    assert "not by luck" not in verdict(comparison)


def test_a_fold_learns_only_from_trades_that_ended_before_its_first_entry(with_edge):
    selection, _ = with_edge
    dataset = selection.rows.dataset
    for split in selection.splits:
        judged = selection.candidates.decided_at_ns[selection.fold == split.fold]
        assert dataset.label_end_ns[split.train].max() < judged.min()
    before = selection.candidates.decided_at_ns < selection.start_ns
    assert np.isnan(selection.chance[before]).all()
    assert not selection.is_taken[before].any()


def test_what_came_later_changes_no_earlier_choice(without_edge):
    candidates = without_edge.candidates
    third = without_edge.splits[2].test_start_ns
    later = candidates.known_at_ns >= third
    trades = candidates.trades.copy()
    trades["return_frac"][later] = -trades["return_frac"][later]
    other = select_out_of_sample(replace(candidates, trades=trades))
    early = candidates.decided_at_ns < third
    np.testing.assert_array_equal(without_edge.chance[early], other.chance[early])
    np.testing.assert_array_equal(without_edge.is_taken[early], other.is_taken[early])
    known = early & np.isfinite(other.chance)
    assert known.sum() > 50
    assert not np.array_equal(without_edge.chance[~early], other.chance[~early])


def test_the_same_seed_gives_the_same_selection(without_edge):
    again = select_out_of_sample(without_edge.candidates)
    assert again.chance.tobytes() == without_edge.chance.tobytes()
    files = [selector.files for selector in without_edge.selectors]
    assert [selector.files for selector in again.selectors] == files


def test_taking_everything_is_the_equal_mix(without_edge):
    everything = replace(without_edge, is_taken=without_edge.is_tested)
    comparison = compare_selection(everything)
    assert comparison.luck is None
    assert verdict(comparison).startswith("nothing shows")
    unlimited = compare_selection(
        everything,
        limits=PortfolioOptions(max_open_positions=1_000),
        sizing=SizingOptions(fraction=0.01),
    )
    chosen, mix = (unlimited.account(name).result.equity for name in (SELECTOR, MIX))
    np.testing.assert_allclose(chosen, mix, rtol=1e-5)


def test_holding_pays_its_costs_and_earns_what_the_pairs_did(without_edge):
    comparison = compare_selection(without_edge, costs=FREE)
    held = comparison.account(HOLD).result
    assert held.metrics.total_return == pytest.approx(held.metrics.buy_and_hold_return, abs=0.03)
    paid = compare_selection(without_edge).account(HOLD).result
    lost = held.metrics.final_equity - paid.metrics.final_equity
    assert 0 < lost < 0.01 * held.metrics.final_equity
    assert held.metrics.trades == 0


def test_choices_moved_in_time_tell_skill_from_luck():
    random = np.random.default_rng(1)
    returns = random.standard_normal(3_000)
    assert rotation_p_value(returns, returns > 0.5) < 0.001
    lucky = [rotation_p_value(returns, random.random(3_000) < 0.3) for _ in range(20)]
    assert 0.3 < np.mean(lucky) < 0.7
    blocks = np.repeat(random.standard_normal(60), 50) + 0.1 * random.standard_normal(3_000)
    clustered = [
        rotation_p_value(blocks, np.roll(np.arange(3_000) < 600, shift)) <= 0.05
        for shift in range(0, 3_000, 100)
    ]
    assert np.mean(clustered) < 0.15
    assert rotation_p_value(returns, np.ones(3_000, np.bool_)) is None
    assert rotation_p_value(returns, np.zeros(3_000, np.bool_)) is None
    assert rotation_p_value(np.array([1.0, 0.0, 0.0]), np.array([True, False, False])) == 1 / 3


def test_a_history_too_short_for_its_folds_is_refused_by_name(without_edge):
    with pytest.raises(DataError, match="must be at least 100, were"):
        select_out_of_sample(without_edge.candidates, walk=WalkForwardOptions(folds=15))
    with pytest.raises(DataError, match="must be at least 5000, were"):
        select_out_of_sample(without_edge.candidates, SelectorOptions(minimum_trades=5_000))
