"""Patterns of three candles drawn by hand, each with its mirror image."""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.core import Bars
from crypto_bot.features import compute_features
from reference.feature_twins import TWINS

MINUTE_NS = 60_000_000_000
DRAWN = {
    "three_bar_reversal": [(10, 12, 9, 11), (11, 11.5, 8, 9), (9, 13, 8.5, 12.5)],
    "three_outside": [(11, 12, 9, 10), (9.5, 12, 9, 11.5), (11, 13, 10, 12)],
    "three_soldiers": [(10, 12, 9, 11), (10.5, 13, 10, 12), (11, 14, 10.5, 13)],
}


def drawn(rows: list[tuple[float, ...]]) -> Bars:
    columns = np.array(rows, float).T
    return Bars("BTC/USDT", "1m", np.arange(len(rows)) * MINUTE_NS, *columns, np.ones(len(rows)))


def last(name: str, rows: list[tuple[float, ...]]) -> float:
    bars = drawn(rows)
    ours, twin = compute_features(bars, [name]).values[:, 0], TWINS[name](bars)
    assert np.array_equal(ours, twin, equal_nan=True)
    return float(ours[-1])


@pytest.mark.parametrize("name", DRAWN)
def test_a_pattern_is_found_and_its_mirror_image_is_the_reverse(name):
    mirrored = [(30 - o, 30 - low, 30 - high, 30 - c) for o, high, low, c in DRAWN[name]]
    assert last(name, DRAWN[name]) == 1.0
    assert last(name, mirrored) == -1.0


@pytest.mark.parametrize(
    ("name", "candle", "row"),
    [
        ("three_bar_reversal", 2, (9, 12, 8.5, 12)),
        ("three_bar_reversal", 1, (11, 11.5, 9, 9)),
        ("three_bar_reversal", 2, (9, 13, 8, 12.5)),
        ("three_outside", 1, (10, 12, 9, 11.5)),
        ("three_outside", 2, (11, 13, 10, 11.5)),
        ("three_outside", 0, (10, 12, 9, 11)),
        ("three_soldiers", 2, (12.5, 14, 10.5, 13)),
        ("three_soldiers", 1, (9.5, 13, 9, 12)),
        ("three_soldiers", 2, (11, 14, 10.5, 12)),
    ],
)
def test_one_candle_that_breaks_the_rule_makes_no_pattern(name, candle, row):
    rows = list(DRAWN[name])
    rows[candle] = row
    assert last(name, rows) == 0.0


def test_the_clock_turns_once_a_day_and_once_a_week():
    open_times = np.arange(8 * 24 * 4) * 15 * MINUTE_NS
    price = np.ones(len(open_times))
    bars = Bars("BTC/USDT", "15m", open_times, price, price, price, price, price)
    names = ["hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "minutes_to_funding"]
    table = compute_features(bars, names)
    for pair in (names[:2], names[2:4]):
        assert np.allclose((table.matrix(pair) ** 2).sum(axis=1), 1.0)
    six, monday = 6 * 4 - 1, 4 * 24 * 4 - 1
    assert np.allclose(table.values[six, :2], [1.0, 0.0])
    assert np.allclose(table.values[monday, 2:4], [0.0, 1.0])
    assert np.allclose(table.values[96:, :2], table.values[:-96, :2])
    assert np.allclose(table.values[672:, 2:4], table.values[:-672, 2:4])
    assert table.values[[0, 30, 31, 32], 4].tolist() == [465.0, 15.0, 480.0, 465.0]


def test_a_fractional_difference_does_not_know_the_price_level():
    from features.sample_bars import random_bars

    cheap, dear = random_bars(400, seed=2), random_bars(400, seed=2, price=70_000.0)
    ours, theirs = (
        compute_features(bars, ["fracdiff_40"]).values[281:, 0] for bars in (cheap, dear)
    )
    assert np.abs(ours).max() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
