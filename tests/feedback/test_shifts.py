"""Drift that is more than chance, on rows that resemble the one before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from crypto_bot.core.errors import DataError
from crypto_bot.features import S0_FEATURES, compute_features, level_features
from crypto_bot.features.drift import kolmogorov_smirnov
from crypto_bot.feedback import (
    Sample,
    WatchOptions,
    effective_rows,
    holm,
    kolmogorov_p_value,
    shifts,
)
from crypto_bot.market import SimulationOptions, simulate_market
from drifting_streams import STEP_NS, dependent, sample, split

OPTIONS = WatchOptions()
REFERENCE, LIVE = 5_000, 576


@pytest.mark.parametrize(("before", "after"), [(200, 200), (3_000, 250), (15, 40)])
def test_distance_and_chance_are_those_of_scipy(before, after):
    rng = np.random.default_rng(before)
    for gap in (0.0, 0.1, 0.3, 0.6):
        left, right = rng.normal(size=before), rng.normal(gap, 1, after)
        theirs = stats.ks_2samp(left, right, method="asymp")
        if before >= 200:
            assert kolmogorov_smirnov(left, right) == pytest.approx(theirs.statistic, abs=1e-12)
        ours = kolmogorov_p_value(theirs.statistic, before, after)
        assert ours == pytest.approx(theirs.pvalue, rel=0.15, abs=0.02)


def test_holm_is_the_textbook_adjustment():
    assert holm([0.01, 0.04, None, 0.03, 0.005]) == pytest.approx([0.03, 0.06, None, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(("memory", "low", "high"), [(0.0, 1_500, 4_000), (0.9, 80, 260)])
def test_rows_that_remember_the_last_are_worth_fewer(memory, low, high):
    """Of an AR(1) series about rows * (1 - m) / (1 + m) are independent: 210 of 4,000 at m = 0.9."""
    values = dependent(np.random.default_rng(1), 4_000, 1, memory)[:, 0]
    times = np.arange(4_000) * STEP_NS
    assert low <= effective_rows(times, values) <= high


def test_symbols_that_move_together_are_worth_one():
    one = dependent(np.random.default_rng(2), 3_000, 1, 0.5)[:, 0]
    times = np.arange(3_000) * STEP_NS
    alone = effective_rows(times, one)
    assert effective_rows(np.tile(times, 10), np.tile(one, 10)) == pytest.approx(alone)
    apart = dependent(np.random.default_rng(3), 3_000, 10, 0.5)
    assert effective_rows(np.repeat(times, 10), apart.ravel()) > 4 * alone


def test_nothing_known_is_worth_nothing_and_a_constant_one_row():
    times = np.arange(100) * STEP_NS
    assert effective_rows(times, np.full(100, np.nan)) == 0.0
    assert effective_rows(times, np.ones(100)) == 1.0


def test_under_a_day_nothing_is_said():
    values = np.random.default_rng(4).normal(size=(6_000, 1))
    values[-280:] += 3
    (short,) = shifts(("a",), *split(values, 280))
    assert short.p_value is None
    assert short.psi > 1
    assert not short.has_moved(0.25, 0.001)
    values[-300:] += 3
    (day,) = shifts(("a",), *split(values, 300))
    assert day.has_moved(0.25, 0.001)


def test_a_certain_but_small_shift_is_no_drift():
    values = np.random.default_rng(5).normal(size=(40_000, 1))
    values[-20_000:] += 0.2
    (found,) = shifts(("a",), *split(values, 20_000))
    assert found.p_value < 1e-6
    assert not found.has_moved(OPTIONS.psi_strong, OPTIONS.ks_p_value)


def test_matrices_must_have_a_column_a_name():
    good = sample(np.zeros((10, 2)))
    with pytest.raises(DataError, match=r"live must be \(10, 2\), was \(10, 1\)"):
        shifts(("a", "b"), good, Sample(good.time_ns, good.values[:, :1]))


def looks(markets):
    """Per market: share of features that drifted, and share by a test that thinks rows independent."""
    corrected, naive = [], []
    for pairs in markets:
        names = [n for n in S0_FEATURES if n not in level_features(pairs[0][:1_500], S0_FEATURES)]
        values = [compute_features(bars, names).values[-REFERENCE - LIVE :] for bars in pairs]
        times = [bars.close_time[-REFERENCE - LIVE :] for bars in pairs]
        reference, live = (
            Sample(
                np.concatenate([each[part] for each in times]),
                np.concatenate([each[part] for each in values]),
            )
            for part in (slice(None, REFERENCE), slice(REFERENCE, None))
        )
        found = shifts(names, reference, live)
        known = [s for s in found if s.p_value is not None]
        moved = [s.has_moved(OPTIONS.psi_strong, OPTIONS.ks_p_value) for s in known]
        corrected.append(np.mean(moved))
        rows = len(reference.time_ns), len(live.time_ns)
        naive.append(np.mean([kolmogorov_p_value(s.ks, *rows) < 0.001 for s in found]))
    return np.array(corrected), np.array(naive)


def market(seed):
    return simulate_market(
        SimulationOptions(symbols=2, timeframe="5m", bars=8_000, seed=seed, edge_strength=0.0)
    )


def stormy(bars):
    """The same candles, from the session on with six times the moves."""
    start = len(bars) - LIVE
    power = np.ones(len(bars))
    power[start:] = 6.0
    moves = np.diff(np.log(bars.close), prepend=np.log(bars.open[0])) * power
    close = bars.open[0] * np.exp(np.cumsum(moves))
    inside = {
        name: close * (getattr(bars, name) / bars.close) ** power
        for name in ("open", "high", "low")
    }
    return replace(bars, close=close, **inside)


def test_candles_without_change_raise_no_alarm_and_would_without_the_correction():
    corrected, naive = looks(market(seed) for seed in range(16))
    assert np.sum(corrected >= OPTIONS.drifted_features_frac) <= 1
    assert np.mean(naive >= OPTIONS.drifted_features_frac) > 0.8


def test_a_change_of_regime_is_found():
    """Six of eight here: a market that only moves faster leaves features without a scale as they are."""
    corrected, _ = looks([stormy(bars) for bars in market(seed)] for seed in range(8))
    assert np.mean(corrected >= OPTIONS.drifted_features_frac) >= 0.6
