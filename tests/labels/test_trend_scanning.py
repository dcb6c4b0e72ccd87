"""Trends by hand, and why a label ends with its longest horizon."""

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError
from crypto_bot.labels import TrendScanningOptions, scan_trends, trend_scanning_labels
from training.learnable_rows import plain_bars, walk


def test_a_straight_rise_is_up_a_straight_fall_down_and_flat_prices_neither():
    options = TrendScanningOptions(minimum_bars=3, maximum_bars=8)
    for slope, label in ((0.01, 1), (-0.01, -1), (0.0, 0)):
        labels = trend_scanning_labels(plain_bars(np.exp(slope * np.arange(20))), options)
        assert labels.values[:12].tolist() == [label] * 12
        assert labels.end_bar[:12].tolist() == list(range(8, 20))
        assert not labels.is_labelled[12:].any()


def test_the_horizon_is_where_the_trend_ends():
    line = np.concatenate((0.01 * np.arange(11), 0.1 - 0.02 * np.arange(1, 15)))
    noise = 0.0005 * np.random.default_rng(0).normal(size=len(line))
    scan = scan_trends(
        plain_bars(np.exp(line + noise)), TrendScanningOptions(minimum_bars=3, maximum_bars=14)
    )
    assert scan.horizon_bars[0] in (9, 10)
    assert scan.t_value[0] > 20
    assert scan.t_value[10] < -20


def test_a_weak_trend_is_class_0():
    bars = plain_bars(walk(400))
    values = {
        limit: trend_scanning_labels(bars, TrendScanningOptions(minimum_t=limit))
        for limit in (0.0, 4.0, 1000.0)
    }
    assert values[0.0].count(0) == 0
    assert 0 < values[4.0].count(0) < 380
    assert values[1000.0].count(0) == 380
    strong = values[4.0].values != 0
    assert (values[4.0].values[strong] == values[0.0].values[strong]).all()


def test_prices_behind_the_winning_horizon_decide_too_so_the_label_ends_behind_them():
    """What ends at the winning horizon would look further than it says."""
    options = TrendScanningOptions(minimum_bars=3, maximum_bars=12)
    close = np.exp(np.concatenate(([0.0, 0.010, 0.005, 0.02], np.full(9, 0.02))))
    before = scan_trends(plain_bars(close), options)
    assert before.t_value[0] > 2
    later = close.copy()
    at = int(before.horizon_bars[0]) + 1
    later[at:] = np.exp(-0.2 * np.arange(1, len(close) - at + 1))
    after = scan_trends(plain_bars(later), options)
    assert before.horizon_bars[0] < 12
    assert after.t_value[0] < -5
    assert trend_scanning_labels(plain_bars(close), options).end_bar[0] == 12


def test_horizons_in_the_wrong_order_are_refused():
    with pytest.raises(
        ConfigError, match=r"minimum_bars must be at most maximum_bars \(5\), was 9"
    ):
        TrendScanningOptions(minimum_bars=9, maximum_bars=5)
