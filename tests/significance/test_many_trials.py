"""Effective trials, overfitting, snooping: worthless trials look worthless, however alike they are."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError, DataError, MissingExtra
from crypto_bot.significance import (
    SnoopingOptions,
    deflated_sharpe,
    effective_trials,
    expected_maximum_sharpe,
    probability_of_backtest_overfitting,
    return_moments,
    step_m,
    superior_predictive_ability,
)

PERIODS = 365


def trials_of(seed, clusters, members, rho, periods=PERIODS):
    """Worthless trials: `clusters` of `members` each, correlated by `rho` within a cluster."""
    random = np.random.default_rng(seed)
    shared = np.repeat(random.standard_t(5, size=(periods, clusters)), members, axis=1)
    own = random.standard_t(5, size=(periods, clusters * members))
    return (rho**0.5 * shared + (1 - rho) ** 0.5 * own) * 0.01


def test_identical_trials_are_one_whatever_their_size():
    one = trials_of(0, 1, 1, 0.0)
    found = effective_trials(np.repeat(one, 50, axis=1) * np.arange(1, 51))
    assert (found.count, found.clusters, found.trials) == (1, 1, 50)
    assert found.cluster_variance is None
    assert found.labels.tolist() == [0] * 50


@pytest.mark.parametrize("count", [2, 10, 100])
def test_independent_trials_are_as_many_as_there_are_within_a_tenth(count):
    for seed in range(5):
        found = effective_trials(trials_of(seed, count, 1, 0.0))
        assert found.clusters == count
        assert 0.9 * count <= found.count <= count
        assert found.variance >= 1 / (PERIODS - 1)
        if count == 100:
            assert found.variance * PERIODS == pytest.approx(1.0, abs=0.4)


def test_blocks_of_trials_are_found_and_numbered_in_order():
    order = np.random.default_rng(1).permutation(60)
    returns = trials_of(3, 6, 10, 0.8)[:, order]
    found = effective_trials(returns)
    assert found.clusters == 6
    assert found.silhouette > 0.4
    block = order // 10
    for k in range(6):
        assert len(set(block[found.labels == k].tolist())) == 1
    first = [found.labels.tolist().index(k) for k in range(6)]
    assert first == sorted(first)
    assert 6 < found.count < 30


def test_two_ideas_and_their_variations_are_told_apart_even_where_all_are_alike():
    random = np.random.default_rng(2)
    market = random.normal(size=(PERIODS, 1))
    ideas = np.repeat(market + 0.6 * random.normal(size=(PERIODS, 2)), 10, axis=1)
    found = effective_trials(ideas + 0.05 * random.normal(size=(PERIODS, 20)))
    assert found.clusters == 2


@pytest.mark.parametrize(
    ("clusters", "members", "rho"), [(60, 1, 0.0), (1, 60, 0.3), (1, 60, 0.9), (10, 6, 0.9)]
)
def test_deflation_by_effective_trials_is_the_luck_that_the_best_of_them_had(
    clusters, members, rho
):
    best, deflation = [], []
    for seed in range(40):
        returns = trials_of(seed, clusters, members, rho)
        best.append((returns.mean(axis=0) / returns.std(axis=0, ddof=1)).max())
        found = effective_trials(returns)
        deflation.append(expected_maximum_sharpe(found.count, found.variance))
    error = np.std(best, ddof=1) / 40**0.5
    assert np.mean(deflation) > np.mean(best) - 3 * error
    assert np.mean(deflation) < np.mean(best) + 3 * error + 0.15 * PERIODS**-0.5 * 2.5


def test_the_best_of_many_alike_trials_is_not_believed_and_a_planted_one_is():
    believed = 0
    for seed in range(30):
        returns = trials_of(seed, 10, 5, 0.7)
        found = effective_trials(returns)
        best = returns[:, (returns.mean(axis=0) / returns.std(axis=0)).argmax()]
        moments = return_moments(best)
        believed += (
            deflated_sharpe(moments, trials=found.count, trial_variance=found.variance) > 0.95
        )
    assert believed <= 2
    returns[:, 0] += 0.004
    found = effective_trials(returns)
    moments = return_moments(returns[:, 0])
    assert deflated_sharpe(moments, trials=found.count, trial_variance=found.variance) > 0.95


def test_the_variance_is_that_over_trials_freed_of_what_they_share():
    returns = trials_of(3, 1, 8, 0.8) + np.linspace(-0.004, 0.004, 8)
    sharpes = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
    correlation = np.corrcoef(returns, rowvar=False)
    mean = (correlation.sum() - 8) / 56
    assert effective_trials(returns).variance == pytest.approx(sharpes.var(ddof=1) / (1 - mean))


def test_chance_likeness_of_short_records_makes_no_clusters():
    for seed in range(3):
        returns = trials_of(seed, 40, 1, 0.0, periods=20)
        assert np.sort(np.corrcoef(returns, rowvar=False).ravel())[-41] > 0.5
        assert effective_trials(returns).clusters >= 39


def test_trials_that_never_traded_are_left_out():
    returns = np.column_stack([np.zeros(PERIODS), trials_of(0, 2, 1, 0.0), np.zeros(PERIODS)])
    found = effective_trials(returns)
    assert (found.count, found.trials) == (2, 2)
    assert found.labels.tolist() == [-1, 0, 1, -1]
    alone = effective_trials(returns[:, :2])
    assert (alone.count, alone.variance, alone.clusters) == (1, None, 1)


def test_the_same_trials_give_the_same_answer():
    returns = trials_of(4, 5, 4, 0.6)
    one, two = effective_trials(returns), effective_trials(returns.copy())
    assert np.array_equal(one.labels, two.labels)
    assert (one.count, one.variance, one.silhouette) == (two.count, two.variance, two.silhouette)


def test_broken_trials_are_refused_by_name():
    returns = trials_of(0, 3, 1, 0.0)
    with pytest.raises(DataError, match=r"at least 10 periods and 1 trial, was \(5, 3\)"):
        effective_trials(returns[:5])
    with pytest.raises(ConfigError, match="alike must be between 0 and 1, was 1"):
        effective_trials(returns, alike=1.0)
    broken = returns.copy()
    broken[7, 2] = np.nan
    for function in (effective_trials, probability_of_backtest_overfitting):
        with pytest.raises(DataError, match="was nan at period 7 of trial 2"):
            function(broken)
    with pytest.raises(DataError, match="returns must be finite"):
        superior_predictive_ability(broken)
    with pytest.raises(DataError, match="trials must be at most 3000"):
        effective_trials(np.zeros((10, 3001)))


def test_worthless_trials_are_overfitted_half_of_the_time():
    found = [
        probability_of_backtest_overfitting(trials_of(seed, 30, 1, 0.0), groups=10)
        for seed in range(60)
    ]
    mean = np.mean([each.probability for each in found])
    assert mean == pytest.approx(0.5, abs=0.08)
    assert np.mean([each.degradation_slope for each in found]) < 0.0
    assert np.mean([each.probability_of_loss for each in found]) == pytest.approx(0.5, abs=0.1)


def test_a_trial_that_is_truly_best_is_never_overfitted():
    returns = trials_of(1, 40, 1, 0.0)
    returns[:, 17] += 0.01
    found = probability_of_backtest_overfitting(returns)
    assert found.probability == 0.0
    assert found.probability_of_loss == 0.0
    assert found.halvings == 12_870


def test_halvings_equal_a_plain_loop_over_the_rows():
    from itertools import combinations

    from scipy.stats import rankdata

    returns = trials_of(5, 7, 1, 0.0, periods=45) + 3.0
    parts = np.array_split(np.arange(45), 6)
    logits = []
    for chosen in combinations(range(6), 3):
        first = np.concatenate([parts[k] for k in chosen])
        other = np.setdiff1d(np.arange(45), first)
        best = (returns[first].mean(axis=0) / returns[first].std(axis=0, ddof=1)).argmax()
        after = returns[other].mean(axis=0) / returns[other].std(axis=0, ddof=1)
        rank = rankdata(after)[best] / 8
        logits.append(np.log(rank / (1 - rank)))
    found = probability_of_backtest_overfitting(returns, groups=6)
    assert found.logits == pytest.approx(logits)


def test_halves_that_cannot_be_made_are_refused():
    returns = trials_of(0, 3, 1, 0.0)
    for groups in (3, 2, 22):
        with pytest.raises(ConfigError, match=r"groups must be even and 4 \.\. 20"):
            probability_of_backtest_overfitting(returns, groups=groups)
    with pytest.raises(DataError, match="at least 32 periods for 16 groups and 2 trials"):
        probability_of_backtest_overfitting(returns[:31])
    with pytest.raises(DataError, match="2 trials"):
        probability_of_backtest_overfitting(returns[:, :1])


def test_snooping_tests_believe_the_planted_trial_and_none_of_the_worthless():
    options = SnoopingOptions(resamples=300)
    returns = trials_of(3, 20, 1, 0.0)
    noise = superior_predictive_ability(returns, options=options)
    assert noise.lower <= noise.consistent <= noise.upper
    assert noise.consistent > 0.05
    assert step_m(returns, options=options) == ()
    returns[:, [3, 11]] += 0.005
    assert superior_predictive_ability(returns, options=options).consistent < 0.01
    assert step_m(returns, options=options) == (3, 11)
    # A benchmark with the same gain leaves nothing to be believed.
    held = np.random.default_rng(9).normal(0.005, 0.001, PERIODS)
    assert superior_predictive_ability(returns, held, options).consistent > 0.05
    assert step_m(returns, held, options) == ()


def test_p_values_of_worthless_trials_are_spread_and_seldom_small():
    options = SnoopingOptions(resamples=100)
    found = [
        superior_predictive_ability(trials_of(seed, 10, 1, 0.0), options=options).consistent
        for seed in range(30)
    ]
    assert np.mean(found) == pytest.approx(0.5, abs=0.2)
    assert np.mean(np.array(found) < 0.05) < 0.2


def test_snooping_tests_are_seeded_and_leave_out_trials_equal_to_the_benchmark():
    returns = trials_of(6, 5, 1, 0.0)
    options = SnoopingOptions(resamples=200)
    wider = np.column_stack([np.zeros(PERIODS), returns])
    assert superior_predictive_ability(wider, options=options) == superior_predictive_ability(
        returns, options=options
    )
    wider[:, 4] += 0.01
    assert step_m(wider, options=options) == (4,)
    with pytest.raises(DataError, match="must differ from the benchmark"):
        step_m(np.zeros((30, 2)))
    with pytest.raises(DataError, match="benchmark must have 365 periods, was"):
        step_m(returns, np.zeros(3))
    with pytest.raises(DataError, match="at least 20 periods and 1 trial"):
        step_m(returns[:10])


def test_without_arch_the_install_line_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "arch.bootstrap", None)
    with pytest.raises(MissingExtra, match=r"arch must be installed.*crypto-bot\[stats\]"):
        superior_predictive_ability(trials_of(0, 2, 1, 0.0))
