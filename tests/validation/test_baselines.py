"""Random traders, buy and hold, break-even costs, class baselines, pooled evidence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core import Signals
from crypto_bot.core.errors import DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.engine import CostOptions, ExitOptions, SizingMethod, SizingOptions, simulate
from crypto_bot.gate import gather_evidence, judge, pool_results
from crypto_bot.significance import (
    RandomEntryOptions,
    break_even_cost_frac,
    buy_and_hold,
    random_entry_p_value,
)
from crypto_bot.significance.random_entries import (
    _random_returns,
    random_schedule,
    schedule_direction,
    simulate_schedule,
)
from crypto_bot.splits import WalkForwardOptions, split_dataset
from crypto_bot.validation import class_baseline, out_of_sample
from validation_rows import TREES, noise_dataset, walk_bars

FREE = CostOptions(taker_fee_frac=0, maker_fee_frac=0, slippage_frac=0)


def traded(bars, direction, **options):
    direction = np.asarray(direction, np.int8)
    return simulate(bars, Signals(direction, np.abs(direction).astype(np.float64)), **options)


def random_result(seed, bars=None, hold=15, **options):
    bars = walk_bars(600, seed) if bars is None else bars
    random = np.random.default_rng(seed)
    sides = random.integers(-1, 2, len(bars) // hold + 1)
    return traded(bars, np.repeat(sides, hold)[: len(bars)], **options)


def oracle_result(bars, hold=10):
    """Knows the sign of the next `hold` bars."""
    ahead = np.append(bars.open[hold + 1 :], np.full(hold + 1, bars.close[-1]))
    sides = np.sign(ahead - bars.open)[::hold]
    return traded(bars, np.repeat(sides, hold)[: len(bars)])


@given(
    seed=st.integers(0, 500),
    hold=st.integers(1, 40),
    fraction=st.sampled_from([0.1, 0.5, 1.0]),
    stop=st.sampled_from([None, 0.004]),
    method=st.sampled_from(list(SizingMethod)),
    allow_short=st.booleans(),
)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_random_traders_computed_at_their_fills_equal_the_engine_bar_by_bar(
    seed, hold, fraction, stop, method, allow_short
):
    if method is SizingMethod.RISK_TO_STOP:
        stop = 0.004
    sizing = SizingOptions(fraction=fraction, method=method, allow_short=allow_short)
    result = random_result(seed, hold=hold, sizing=sizing, exits=ExitOptions(stop_loss_frac=stop))
    if len(result.trades) == 0:
        return
    quick = _random_returns(result, 3, np.random.default_rng(seed))
    random = np.random.default_rng(seed)
    full = [
        simulate_schedule(result, random_schedule(result, random)).metrics.total_return
        for _ in range(3)
    ]
    assert quick.tolist() == full


@given(seed=st.integers(0, 300), hold=st.integers(2, 40))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_a_random_trader_makes_the_same_trades_at_other_moments(seed, hold):
    result = random_result(seed, hold=hold)
    if len(result.trades) == 0:
        return
    schedule = random_schedule(result, np.random.default_rng(seed))
    assert (np.diff(schedule.starts) >= schedule.lengths[:-1]).all()
    assert schedule.starts[0] >= 0
    assert schedule.starts[-1] + schedule.lengths[-1] <= len(result.bars)
    direction = schedule_direction(schedule, len(result.bars))
    exits = np.where(result.trades["exit_bar"] < 0, 600, result.trades["exit_bar"])
    held = exits - result.trades["entry_bar"]
    assert np.count_nonzero(direction) == held.sum()
    for side in (-1, 1):
        is_side = result.trades["direction"] == side
        assert np.count_nonzero(direction == side) == held[is_side].sum()


def test_a_trader_without_skill_is_as_good_as_chance_and_an_oracle_is_not():
    values = [random_entry_p_value(random_result(seed)).p_value for seed in range(40)]
    assert 0.25 < float(np.mean(values)) < 0.75
    assert np.count_nonzero(np.array(values) <= 0.05) <= 5
    found = random_entry_p_value(oracle_result(walk_bars(600, 3)))
    assert found.p_value == pytest.approx(1 / 201)
    assert found.total_return > found.mean_random_return


def test_several_symbols_are_judged_together_and_idle_ones_are_left_out():
    results = [oracle_result(walk_bars(600, seed, symbol=f"A{seed}/USDT")) for seed in (1, 2)]
    idle = traded(walk_bars(600, 9), np.zeros(600))
    assert random_entry_p_value(idle) is None
    options = RandomEntryOptions(permutations=50)
    both = random_entry_p_value([*results, idle], options)
    assert both.p_value == pytest.approx(1 / 51)
    assert both == random_entry_p_value(results, options)
    assert both.total_return == pytest.approx(np.mean([r.metrics.total_return for r in results]))


def test_always_in_the_market_is_no_better_than_chance():
    result = traded(walk_bars(600, 4, drift=0.001), np.ones(600))
    assert random_entry_p_value(result).p_value > 0.05


def test_buy_and_hold_pays_its_entry_and_holds_to_the_end():
    bars = walk_bars(300, 2)
    held = buy_and_hold(bars, costs=CostOptions())
    assert len(held.trades) == 1
    assert held.trades["exit_bar"][0] == -1
    paid = (1 + 0.001) * (1 + 0.001)
    assert held.metrics.final_equity == pytest.approx(
        100_000 * bars.close[-1] / bars.open[1] / paid
    )


def test_break_even_is_the_cost_at_which_nothing_is_left():
    result = oracle_result(walk_bars(600, 5))
    cost = break_even_cost_frac(result)
    assert cost > 0.001
    at_cost = CostOptions(taker_fee_frac=cost, maker_fee_frac=cost, slippage_frac=0)
    left = traded(result.bars, result.signals.direction, costs=at_cost).metrics.total_return
    assert left == pytest.approx(0.0, abs=1e-5)
    assert left >= 0
    losing = traded(result.bars, -result.signals.direction)
    assert break_even_cost_frac(losing) == 0.0
    assert break_even_cost_frac(traded(result.bars, np.zeros(600))) is None


def test_break_even_leaves_the_funding_charged():
    bars = walk_bars(600, 5)
    times = bars.open_time[4::12]
    paid = FundingRates(bars.symbol, times, np.full(len(times), 0.002))
    free = traded(bars, np.maximum(oracle_result(bars).signals.direction, 0))
    charged = simulate(
        bars,
        free.signals,
        costs=free.costs,
        exits=free.exits,
        sizing=free.sizing,
        funding=paid,
    )
    cost = break_even_cost_frac(charged)
    assert 0.0 < cost < break_even_cost_frac(free)
    at_cost = charged.costs.replace(taker_fee_frac=cost, maker_fee_frac=cost, slippage_frac=0.0)
    left = simulate(
        bars,
        free.signals,
        costs=at_cost,
        exits=free.exits,
        sizing=free.sizing,
        funding=paid,
    )
    assert left.metrics.total_return == pytest.approx(0.0, abs=1e-5)


def test_class_baseline_uses_the_training_shares_of_each_fold():
    data = noise_dataset(1200, skill=0.9)
    found = out_of_sample(data, TREES, split_dataset(data))
    scores = class_baseline(data, found)
    assert scores.rows == np.count_nonzero(found.is_tested)
    assert scores.accuracy > 0.85 > scores.majority_accuracy
    assert scores.balanced_accuracy > 0.85
    assert scores.majority_balanced_accuracy == pytest.approx(0.5, abs=0.05)
    assert scores.log_loss < 0.5 < scores.prior_log_loss
    assert scores.prior_log_loss == pytest.approx(math.log(2), abs=0.01)
    by_hand, came = [], []
    for split in found.splits:
        share = data.labels[split.train].mean()
        by_hand += [share if label else 1 - share for label in data.labels[split.test]]
        came += [(share > 0.5) == label for label in data.labels[split.test]]
    assert scores.prior_log_loss == pytest.approx(-np.log(by_hand).mean())
    assert scores.majority_accuracy == pytest.approx(np.mean(came))


def test_a_model_of_noise_does_not_beat_the_class_shares():
    data = noise_dataset(1200)
    scores = class_baseline(data, out_of_sample(data, TREES, split_dataset(data)))
    assert scores.log_loss > scores.prior_log_loss
    assert abs(scores.balanced_accuracy - 0.5) < 0.05


def test_one_symbol_pooled_is_the_engines_own_metrics():
    result = random_result(7, bars=walk_bars(4000, 7))
    pooled = pool_results([result])
    assert pooled.sharpe == pytest.approx(result.metrics.sharpe)
    assert pooled.max_drawdown == pytest.approx(result.metrics.max_drawdown)
    assert pooled.total_return == pytest.approx(result.metrics.total_return)
    assert pooled.win_rate == pytest.approx(result.metrics.win_rate)
    assert pooled.trades == result.metrics.trades


def test_symbols_of_different_spans_are_one_account():
    long = random_result(1, bars=walk_bars(2000, 1))
    short = random_result(2, bars=walk_bars(2000, 2, symbol="ETH/USDT")[500:900])
    pooled = pool_results([long, short])
    assert len(pooled.time_ns) == 2000
    assert pooled.equity[0] == long.equity[0] + 100_000
    assert pooled.equity[-1] == long.equity[-1] + short.equity[-1]
    assert pooled.total_return == pytest.approx(pooled.equity[-1] / 200_000 - 1)
    with pytest.raises(DataError, match="results must hold at least one backtest"):
        pool_results([])


def test_evidence_of_an_oracle_passes_the_gate_and_of_a_gambler_does_not():
    bars = walk_bars(6000, 8)
    data = noise_dataset(1200, skill=0.9)
    scores = class_baseline(data, out_of_sample(data, TREES, split_dataset(data)))
    options = {"trials": 50, "trial_variance": 0.01, "class_scores": scores}
    found = gather_evidence([oracle_result(bars)], **options)
    verdict = judge(found)
    assert verdict.promoted, verdict.reason
    assert found.is_simulated
    assert found.details["break_even_cost_frac"] > 0
    assert found.details["mean_daily_return_low"] > 0
    assert found.start_ns == bars.close_time[0]
    gambler = judge(gather_evidence([random_result(3, bars=bars)], **options))
    assert not gambler.promoted
    assert "random_entry_p" in gambler.reason


def test_without_trades_or_known_trials_nothing_is_promoted():
    idle = traded(walk_bars(3000, 1), np.zeros(3000))
    verdict = judge(gather_evidence([idle], trials=5, trial_variance=0.01))
    assert not verdict.promoted
    assert "trades must be at least 30, was 0" in verdict.reason
    oracle = oracle_result(walk_bars(6000, 8))
    unknown = gather_evidence([oracle], trials=5, trial_variance=None)
    assert unknown.deflated_sharpe is None
    assert unknown.details["probabilistic_sharpe"] > 0.95
    assert not judge(unknown).promoted


def test_the_options_of_random_traders_change_the_draw_and_nothing_else():
    result = random_result(5)
    one = random_entry_p_value(result, RandomEntryOptions(seed=1))
    two = random_entry_p_value(result, RandomEntryOptions(seed=2))
    assert one != two
    assert one.total_return == two.total_return
    assert abs(one.p_value - two.p_value) < 0.15
    assert WalkForwardOptions().folds == 5


def test_a_later_stretch_of_a_symbol_goes_on_with_what_the_earlier_one_left():
    bars = walk_bars(600, 5)
    first, second = (oracle_result(part) for part in (bars[:300], bars[300:]))
    grown = [each.equity[-1] / 100_000 for each in (first, second)]
    assert min(grown) > 1.05
    whole = pool_results([second, first])
    assert whole.equity[-1] == pytest.approx(100_000 * grown[0] * grown[1], rel=1e-9)
    assert np.array_equal(whole.equity[:300], first.equity)


def test_deflation_counts_what_the_trials_amount_to_where_that_is_known():
    result = oracle_result(walk_bars(600 * 12, 5))
    found = [
        gather_evidence([result], trials=50, trial_variance=0.5, effective_trials=effective)
        for effective in (None, 50, 2)
    ]
    counted = [each.deflated_sharpe for each in found]
    assert counted[0] == counted[1] < counted[2] < found[0].details["probabilistic_sharpe"]
    assert [each.effective_trials for each in found] == [50, 50, 2]
