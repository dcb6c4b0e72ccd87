"""Sharpe statistics against the papers' formulas and figures, the bootstrap, and luck refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.significance import (
    BootstrapOptions,
    ReturnMoments,
    Statistic,
    bootstrap_interval,
    deflated_sharpe,
    expected_maximum_sharpe,
    probabilistic_sharpe,
    return_moments,
    stationary_rows,
    trial_variance,
)

PAPER = ReturnMoments(sharpe=2.5 / math.sqrt(250), skew=-3.0, kurtosis=10.0, observations=1250)


def test_the_worked_example_of_bailey_and_lopez_de_prado_2014():
    variance = 0.5 / 250
    assert expected_maximum_sharpe(100, variance) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(PAPER, trials=100, trial_variance=variance) == pytest.approx(
        0.9004, abs=5e-5
    )


def test_the_papers_counterfactuals_fewer_trials_or_normal_returns_are_believed():
    # Same paper: with 46 trials the strategy is just significant at 95 %; normal returns need fewer.
    assert deflated_sharpe(PAPER, trials=46, trial_variance=0.5 / 250) == pytest.approx(
        0.9505, abs=5e-4
    )
    normal = ReturnMoments(PAPER.sharpe, 0.0, 3.0, PAPER.observations)
    assert deflated_sharpe(normal, trials=88, trial_variance=0.5 / 250) == pytest.approx(
        0.9505, abs=5e-4
    )


@given(
    st.floats(-0.5, 0.5),
    st.floats(-2, 2),
    st.floats(0, 8),
    st.integers(5, 3000),
    st.floats(-0.3, 0.3),
)
@settings(deadline=None, derandomize=True, max_examples=100)
def test_probabilistic_sharpe_equals_the_formula(sharpe, skew, excess, observations, benchmark):
    kurtosis = 1 + skew**2 + excess
    deviation = math.sqrt((1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2) / (observations - 1))
    moments = ReturnMoments(sharpe, skew, kurtosis, observations)
    found = probabilistic_sharpe(moments, benchmark=benchmark)
    assert found == pytest.approx(stats.norm.cdf((sharpe - benchmark) / deviation), abs=1e-12)


def test_probabilistic_sharpe_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(5)
    truth, below = 0.1, 0
    for returns in random.standard_t(5, size=(1500, 250)) / math.sqrt(5 / 3) + truth:
        below += probabilistic_sharpe(return_moments(returns), benchmark=truth) < 0.05
    assert 0.03 < below / 1500 < 0.075


def test_the_expected_maximum_is_that_of_simulated_worthless_trials():
    best = np.random.default_rng(0).normal(0, 0.05, size=(4000, 200)).max(axis=1).mean()
    assert expected_maximum_sharpe(200, 0.05**2) == pytest.approx(best, rel=0.02)


def test_one_trial_deflates_nothing_and_more_trials_deflate_more():
    assert expected_maximum_sharpe(1, 0.01) == 0.0
    levels = [
        deflated_sharpe(PAPER, trials=n, trial_variance=0.002) for n in (1, 2, 10, 100, 10_000)
    ]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] == probabilistic_sharpe(PAPER)


@pytest.mark.parametrize(("trials", "variance"), [(0, 0.1), (10, -1.0), (10, math.nan)])
def test_impossible_trial_counts_and_variances_are_refused(trials, variance):
    with pytest.raises(ConfigError, match="must be"):
        expected_maximum_sharpe(trials, variance)


def test_moments_are_those_of_scipy_and_undefined_without_deviation():
    returns = np.random.default_rng(1).standard_t(4, 300) * 0.01
    found = return_moments(returns)
    assert found.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert found.skew == pytest.approx(stats.skew(returns))
    assert found.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False))
    assert return_moments(np.full(50, 0.01)) is None
    assert return_moments(np.array([0.1, 0.2])) is None
    with pytest.raises(DataError, match="returns must be finite, was nan at row 1"):
        return_moments(np.array([0.1, np.nan, 0.2]))


def test_moments_that_no_series_can_have_are_refused():
    with pytest.raises(DataError, match="must allow a variance"):
        probabilistic_sharpe(ReturnMoments(1.0, 3.0, 1.0, 100))


def test_trial_variance_is_per_day_and_leaves_out_trials_without_trades():
    assert trial_variance([1.0, 2.0, None, 3.0, math.nan]) == pytest.approx(1.0 / 365)
    assert trial_variance([1.0, None]) is None


def test_luck_is_refused_the_best_of_a_hundred_random_strategies_is_not_believed():
    believed = 0
    for seed in range(40):
        returns = np.random.default_rng(seed).standard_t(5, size=(100, 365)) * 0.01
        sharpes = returns.mean(axis=1) / returns.std(axis=1, ddof=1)
        best = returns[sharpes.argmax()]
        moments = return_moments(best)
        assert probabilistic_sharpe(moments) > 0.95  # looks significant on its own
        variance = float(sharpes.var(ddof=1))
        believed += deflated_sharpe(moments, trials=100, trial_variance=variance) >= 0.95
    assert believed <= 2


def test_a_strong_planted_edge_is_believed_among_a_hundred_random_strategies():
    for seed in range(10):
        random = np.random.default_rng(seed)
        returns = random.standard_t(5, size=(100, 365)) * 0.01
        planted = random.normal(0.004, 0.012, 365)
        sharpes = np.append(
            returns.mean(axis=1) / returns.std(axis=1, ddof=1), planted.mean() / planted.std(ddof=1)
        )
        found = deflated_sharpe(
            return_moments(planted), trials=101, trial_variance=float(sharpes.var(ddof=1))
        )
        assert found > 0.95


def test_the_bootstrap_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    options = BootstrapOptions(resamples=300)
    for seed in range(200):
        returns = np.random.default_rng(seed).normal(0.001, 0.01, 120)
        interval = bootstrap_interval(returns, Statistic.MEAN, options)
        covered += interval.low <= 0.001 <= interval.high
    assert 0.88 <= covered / 200 <= 0.99


def test_the_bootstrap_is_wider_for_returns_that_stick_together():
    noise = np.random.default_rng(0).normal(0, 0.01, 400)
    sticky = np.convolve(noise, np.full(8, 1 / math.sqrt(8)), mode="valid")
    options = BootstrapOptions(mean_block=15)

    def width(returns):
        interval = bootstrap_interval(returns, Statistic.MEAN, options)
        return interval.high - interval.low

    assert width(sticky) > 1.7 * width(noise[: len(sticky)])


def test_the_bootstrap_is_seeded_and_reports_the_sharpe_per_year():
    returns = np.random.default_rng(2).normal(0.002, 0.01, 200)
    one = bootstrap_interval(returns, Statistic.SHARPE)
    assert one == bootstrap_interval(returns, Statistic.SHARPE)
    assert one != bootstrap_interval(returns, Statistic.SHARPE, BootstrapOptions(seed=1))
    assert one.estimate == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(365))
    assert one.low < one.estimate < one.high


def test_bootstrap_blocks_are_consecutive_rows_of_the_asked_mean_length():
    rows = stationary_rows(500, BootstrapOptions(resamples=400, mean_block=8))
    continues = (np.diff(rows, axis=1) % 500) == 1
    assert continues.mean() == pytest.approx(1 - 1 / 8, abs=0.01)
    assert np.bincount(rows.ravel(), minlength=500).min() > 200


def test_too_few_or_broken_returns_have_no_interval():
    for returns in (np.zeros(9), np.append(np.zeros(20), np.inf)):
        with pytest.raises(DataError, match="at least 10 finite values"):
            bootstrap_interval(returns)


def test_returns_without_deviation_have_a_sharpe_interval_of_zero():
    interval = bootstrap_interval(np.zeros(30), Statistic.SHARPE)
    assert (interval.low, interval.high, interval.share_not_positive) == (0.0, 0.0, 1.0)
