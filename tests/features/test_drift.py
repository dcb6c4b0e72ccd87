"""PSI: zero where nothing moved, large where everything did, honest about small samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core.errors import DataError
from crypto_bot.features import (
    DriftLevel,
    feature_drift,
    kolmogorov_smirnov,
    level_features,
    population_stability_index,
)
from paper_markets import market


def normal(count, mean=0.0, seed=1):
    return np.random.default_rng(seed).normal(mean, 1.0, count)


def test_a_worked_example():
    # Two bins of the training median: shares 0.5/0.5 become 0.25/0.75 (counts 50 and 150 of 200).
    training, live = np.repeat([1.0, 2.0, 3.0, 4.0], 50), np.repeat([1.0, 4.0], [50, 150])
    shares = np.array([50.5, 150.5]) / 201
    expected = np.sum((shares - 0.5) * np.log(shares / 0.5))
    assert population_stability_index(training, live, bins=2) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("mean", "level"),
    [(0.0, DriftLevel.STABLE), (0.4, DriftLevel.MODERATE), (1.0, DriftLevel.STRONG)],
)
def test_levels_follow_how_far_the_mean_moved(mean, level):
    training, live = normal(5000)[:, None], normal(2000, mean, 2)[:, None]
    (found,) = feature_drift(["x"], training, live)
    assert found.level is level


def test_a_constant_feature_that_stays_is_stable_and_one_that_moves_is_not():
    assert population_stability_index(np.ones(500), np.ones(500)) == pytest.approx(0.0)
    assert population_stability_index(np.ones(500), np.full(500, 2.0)) > 1
    assert population_stability_index(np.ones(500), np.full(500, 0.0)) > 1


def test_mass_that_leaves_a_repeated_value_is_seen_on_either_side():
    training = np.concatenate((np.zeros(600), normal(400)))
    below = np.concatenate((np.full(600, -0.01), normal(400, seed=3)))
    assert population_stability_index(training, below) > 1


def test_too_few_finite_rows_cannot_be_told():
    live = np.concatenate((normal(199), np.full(400, np.nan)))
    assert population_stability_index(normal(1000), live) is None
    (found,) = feature_drift(["x"], normal(1000)[:, None], live[:, None])
    assert found.level is DriftLevel.UNKNOWN


def test_the_most_moved_feature_comes_first_and_the_unknown_last():
    training = np.column_stack([normal(600)] * 3)
    live = np.column_stack([normal(600), np.full(600, np.nan), normal(600, 2.0)])
    assert [found.name for found in feature_drift("abc", training, live)] == ["c", "a", "b"]


def test_a_matrix_without_a_column_per_name_is_refused():
    with pytest.raises(DataError, match=r"live must be \(rows, 1\), was \(300, 2\)"):
        feature_drift(["x"], np.ones((300, 1)), np.ones((300, 2)))
    with pytest.raises(DataError, match="bins must be >= 2, was 1"):
        population_stability_index(np.ones(300), np.ones(300), bins=1)


@given(
    seed=st.integers(0, 10_000),
    shift=st.floats(-3, 3),
    scale=st.floats(0.1, 1000),
    levels=st.integers(1, 40),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_psi_is_never_negative_and_does_not_depend_on_units(seed, shift, scale, levels):
    rng = np.random.default_rng(seed)
    training = np.round(rng.normal(size=400) * levels)
    live = np.round((rng.normal(size=300) + shift) * levels)
    found = population_stability_index(training, live)
    assert found >= 0
    # A power of two scales exactly: order and ties stay as they were.
    factor = 2.0 ** np.round(np.log2(scale))
    assert population_stability_index(training * factor, live * factor) == pytest.approx(found)


def test_features_that_carry_a_level_are_told_from_relative_ones():
    names = ("sma_10", "rsi_14", "atr_14", "volume_sma_20", "bb_upper", "ema_30", "adx_14")
    bars = market("A/USDT", 1_200, 1)
    assert level_features(bars, names) == (
        "sma_10",
        "atr_14",
        "volume_sma_20",
        "bb_upper",
        "ema_30",
    )


def test_the_largest_gap_is_that_of_scipy():
    from scipy.stats import ks_2samp

    training, live = normal(700), np.round(normal(300, 0.3, seed=2), 1)
    found = kolmogorov_smirnov(training, live)
    assert found == pytest.approx(ks_2samp(training, live).statistic, abs=1e-12)
    assert kolmogorov_smirnov(training, training) == 0.0
    assert kolmogorov_smirnov(normal(1000), normal(100)) is None


def test_drift_carries_both_distances():
    training, live = normal(500), normal(500, 1.0, seed=2)
    (found,) = feature_drift(["x"], training[:, None], live[:, None])
    assert found.ks == kolmogorov_smirnov(training, live)
