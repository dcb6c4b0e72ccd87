"""The stationary bootstrap and its block length beside those of `arch`; the minimum track record."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.significance import (
    BootstrapOptions,
    ReturnMoments,
    minimum_track_record,
    optimal_mean_block,
    probabilistic_sharpe,
    stationary_rows,
)


def autoregressive(phi, seed, periods=400):
    random = np.random.default_rng(seed)
    noise = random.standard_t(5, periods) * 0.01
    values = np.zeros(periods)
    for t in range(1, periods):
        values[t] = phi * values[t - 1] + noise[t]
    return values


@pytest.mark.parametrize(("phi", "block"), [(0.0, 5), (0.6, 12)])
def test_resampled_means_and_sharpes_are_distributed_as_archs(phi, block):
    from arch.bootstrap import StationaryBootstrap
    from scipy.stats import ks_2samp

    returns = autoregressive(phi, 1)
    resamples = 2_000
    ours = returns[stationary_rows(400, BootstrapOptions(resamples=resamples, mean_block=block))]
    judge = StationaryBootstrap(block, returns, seed=np.random.default_rng(7))
    theirs = np.array([data[0][0] for data in judge.bootstrap(resamples)])
    for statistic in (
        lambda drawn: drawn.mean(axis=1),
        lambda drawn: drawn.mean(axis=1) / drawn.std(axis=1, ddof=1),
    ):
        one, other = statistic(ours), statistic(theirs)
        error = math.hypot(one.std(), other.std()) / math.sqrt(resamples)
        assert abs(one.mean() - other.mean()) < 3.5 * error
        assert one.std() / other.std() == pytest.approx(1.0, abs=3.5 / math.sqrt(resamples))
        assert ks_2samp(one, other).pvalue > 0.001


@pytest.mark.parametrize("phi", [-0.5, 0.0, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("periods", [25, 60, 400])
def test_the_optimal_block_length_is_archs(phi, periods):
    from arch.bootstrap import optimal_block_length

    for seed in range(3):
        returns = autoregressive(phi, seed, periods)
        expected = float(optimal_block_length(returns)["stationary"].iloc[0])
        assert optimal_mean_block(returns) == pytest.approx(max(1.0, expected), rel=1e-9)


def test_a_block_length_needs_returns():
    assert optimal_mean_block(np.full(50, 0.1)) == 1.0
    for returns in (np.zeros(19), np.append(np.zeros(30), np.nan)):
        with pytest.raises(DataError, match="at least 20 finite values for a block length"):
            optimal_mean_block(returns)


@pytest.mark.parametrize(
    ("periods", "skew", "kurtosis", "years"),
    [(250, 0.0, 3.0, 2.73), (52, 0.0, 3.0, 2.83), (12, 0.0, 3.0, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_the_papers_track_records_of_an_annual_sharpe_of_2_against_1(
    periods, skew, kurtosis, years
):
    # Bailey & Lopez de Prado 2012: 95 % confidence, from daily, weekly and monthly returns.
    moments = ReturnMoments(2 / math.sqrt(periods), skew, kurtosis, 100)
    found = minimum_track_record(moments, benchmark=1 / math.sqrt(periods))
    assert found / periods == pytest.approx(years, abs=0.006)


def test_at_the_minimum_track_record_the_probability_is_the_confidence():
    moments = ReturnMoments(0.1, -1.0, 8.0, 100)
    periods = minimum_track_record(moments, benchmark=0.02, confidence=0.9)
    exact = ReturnMoments(0.1, -1.0, 8.0, round(periods))
    assert probabilistic_sharpe(exact, benchmark=0.02) == pytest.approx(0.9, abs=1e-3)
    assert minimum_track_record(moments, benchmark=0.1) is None
    with pytest.raises(ConfigError, match="confidence must be between"):
        minimum_track_record(moments, confidence=95)
