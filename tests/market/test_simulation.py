"""The simulated market looks like a market, holds no edge, and holds one when asked."""

from __future__ import annotations

import time

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError
from crypto_bot.market import SimulationOptions, resample, simulate_market


@pytest.fixture(scope="module")
def market():
    return simulate_market(SimulationOptions(seed=11))


@pytest.fixture(scope="module")
def returns(market):
    return np.array([np.diff(np.log(bars.close)) for bars in market])


def autocorrelation(values, lag):
    return float(np.corrcoef(values[lag:], values[:-lag])[0, 1])


def test_same_options_give_the_same_candles_and_another_seed_others(market):
    again = simulate_market(SimulationOptions(seed=11))
    assert [b.fingerprint for b in again] == [b.fingerprint for b in market]
    other = simulate_market(SimulationOptions(seed=12, symbols=1))
    assert other[0].fingerprint != market[0].fingerprint


def test_a_pair_does_not_depend_on_how_many_others_there_are(market):
    few = simulate_market(SimulationOptions(seed=11, symbols=3))
    assert [b.fingerprint for b in few] == [b.fingerprint for b in market[:3]]


def test_every_pair_is_marked_simulated_and_has_its_own_name(market):
    assert all(bars.is_simulated for bars in market)
    assert len({bars.symbol for bars in market}) == 20
    assert simulate_market(SimulationOptions(symbols=21, bars=20))[20].symbol == "SIM21/USDT"


def test_tails_are_fat(returns):
    centred = returns - returns.mean(axis=1, keepdims=True)
    kurtosis = (centred**4).mean(axis=1) / returns.var(axis=1) ** 2
    assert kurtosis.min() > 6


def test_volatility_clusters_for_days(returns):
    by_lag = {
        lag: np.mean([autocorrelation(np.abs(pair), lag) for pair in returns])
        for lag in (1, 12, 100)
    }
    assert by_lag[1] > 0.15
    assert by_lag[12] > 0.12
    assert by_lag[100] > 0.05


def test_returns_themselves_do_not_repeat(returns):
    for lag in (1, 2, 5, 20):
        assert abs(np.mean([autocorrelation(pair, lag) for pair in returns])) < 0.03


def test_pairs_move_together(returns):
    correlation = np.corrcoef(returns)[np.triu_indices(20, 1)]
    assert 0.25 < correlation.mean() < 0.8
    assert correlation.min() > 0.1


def test_volume_follows_volatility(market):
    for bars in market:
        size = np.log(bars.high / bars.low + 1e-9)
        assert np.corrcoef(np.log(bars.volume), size)[0, 1] > 0.4


def test_yearly_volatility_is_that_of_the_options():
    calm = simulate_market(SimulationOptions(symbols=1, annual_volatility=0.2, bars=100_000))[0]
    wild = simulate_market(SimulationOptions(symbols=1, annual_volatility=0.8, bars=100_000))[0]
    yearly = [np.std(np.diff(np.log(b.close))) * np.sqrt(105_120) for b in (calm, wild)]
    assert yearly[1] > 2 * yearly[0]
    assert 0.6 < yearly[1] < 1.4


def test_outages_hit_all_pairs_in_the_same_hours_and_prices_move_on(market):
    assert all(np.array_equal(bars.open_time, market[0].open_time) for bars in market)
    missing = np.diff(market[0].open_time) // market[0].interval_ns - 1
    assert (missing > 0).sum() >= 1
    row = int(np.flatnonzero(missing)[0])
    assert all(bars.open[row + 1] != bars.close[row] for bars in market)
    whole = simulate_market(SimulationOptions(symbols=1, outages_per_year=0))[0]
    assert len(whole) == 25_920


def test_bars_open_where_the_last_closed_and_resample_without_surprise(market):
    bars = market[1]
    is_next = np.diff(bars.open_time) == bars.interval_ns
    np.testing.assert_allclose(bars.open[1:][is_next], bars.close[:-1][is_next])
    assert len(resample(bars, "1d")) > 85


@pytest.mark.parametrize("timeframe", ["1m", "15m", "1h", "4h", "1d", "1w", "7m"])
def test_any_timeframe_can_be_simulated(timeframe):
    made = simulate_market(SimulationOptions(symbols=2, bars=600, timeframe=timeframe))
    assert [bars.timeframe for bars in made] == [timeframe] * 2


def momentum_earnings(bars, cost_frac=0.002):
    """Log return of a plain momentum rule, decided at one close and held from the next bar."""
    close = np.log(bars.close)
    moves = np.diff(close, prepend=close[0])
    momentum = close - np.roll(close, 8)
    usual = np.convolve(np.abs(moves), np.ones(48) / 48)[: len(close)] * np.sqrt(8) * 1.25
    score = momentum / np.maximum(usual, 1e-9)
    side, held = 0.0, np.zeros(len(close))
    for t in range(50, len(close) - 1):
        if side == 0 and abs(score[t]) > 2:
            side = np.sign(score[t])
        elif side * score[t] < 0.3:
            side = 0.0
        held[t + 1] = side
    return float((held * moves).sum() - cost_frac * np.abs(np.diff(held)).sum())


def test_without_an_edge_momentum_pays_its_costs_for_nothing(market):
    assert np.mean([momentum_earnings(bars, cost_frac=0.0) for bars in market]) == pytest.approx(
        0, abs=0.35
    )
    assert max(momentum_earnings(bars) for bars in market) < 0


def test_a_strong_planted_edge_earns_after_costs_and_grows_with_its_size():
    earned = [
        np.mean(
            [
                momentum_earnings(b)
                for b in simulate_market(SimulationOptions(edge_strength=size, symbols=6))
            ]
        )
        for size in (0.1, 0.5, 1.0)
    ]
    assert earned[0] < 0.5 < earned[1] < earned[2]


def test_the_planted_pattern_is_announced_by_volume_and_its_drift_is_the_stated_size():
    options = SimulationOptions(edge_strength=1.0, symbols=1, bars=60_000, outages_per_year=0)
    quiet = simulate_market(options.replace(edge_strength=0.0))[0]
    planted = simulate_market(options)[0]
    extra = np.log(planted.close / planted.open) - np.log(quiet.close / quiet.open)
    is_on = np.abs(extra) > 1e-4
    assert is_on.mean() == pytest.approx(options.edge_share, abs=0.08)
    quote = planted.volume * planted.close / (quiet.volume * quiet.close)
    assert np.median(quote[is_on]) > 2.5
    assert np.median(quote[~is_on]) == pytest.approx(1.0, abs=0.01)
    typical = np.abs(np.log(quiet.close / quiet.open))[is_on].mean()
    assert np.abs(extra[is_on]).mean() == pytest.approx(typical / 0.75, rel=0.15)


@pytest.mark.parametrize(
    ("name", "value"),
    [("bars", 3), ("timeframe", "5x"), ("start", "January"), ("edge_strength", -1), ("symbols", 0)],
)
def test_impossible_options_are_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=name):
        SimulationOptions(**{name: value})


def test_twenty_pairs_of_ninety_days_are_made_in_under_three_seconds(market):
    started = time.process_time()
    simulate_market(SimulationOptions(seed=99))
    assert time.process_time() - started < 3
