"""Barriers by hand: which is touched first, what an outage or a quiet market leaves unsaid."""

import math

import numpy as np
import pytest

from crypto_bot.core import Bars
from crypto_bot.core.errors import ConfigError
from crypto_bot.core.timeframes import DAY_NS, MINUTE_NS
from crypto_bot.labels import TripleBarrierOptions, trailing_volatility, triple_barrier_labels

STEP = 0.01
WARM = 40
"""Bars that alternate by STEP, so that the volatility is about STEP when the scene begins."""


def scene(highs, lows, closes, *, missing=()):
    """A settled market that closes at 100, then these bars around it."""
    alternating = 100.0 * np.exp(STEP / 2 * (-1.0) ** np.arange(WARM))
    alternating[-1] = 100.0
    close = np.concatenate((alternating, closes))
    high = np.concatenate((alternating, highs))
    low = np.concatenate((alternating, lows))
    rows = np.array([row for row in range(len(close)) if row - WARM not in missing])
    times = 20_000 * DAY_NS + 5 * MINUTE_NS * rows
    prices = (np.clip(close, low, high), high, low, close)
    return Bars("BTC/USDT", "5m", times, *(price[rows] for price in prices), np.ones(len(rows)))


def labelled(highs, lows, closes, missing=(), **options):
    """Value and end, in bars after the decision, of the last settled bar."""
    chosen = TripleBarrierOptions(horizon_bars=4, volatility_bars=10, **options)
    labels = triple_barrier_labels(scene(highs, lows, closes, missing=missing), chosen)
    if not labels.is_labelled[WARM - 1]:
        return None
    return int(labels.values[WARM - 1]), int(labels.end_bar[WARM - 1]) - (WARM - 1)


QUIET = ([100.1] * 4, [99.9] * 4, [100.0, 100.0, 100.0, 100.05])
# Two deviations of four bars lie about 2 * STEP from 100.


def changed(bar, *, high=None, low=None):
    highs, lows, closes = (list(values) for values in QUIET)
    highs[bar] = high or highs[bar]
    lows[bar] = low or lows[bar]
    return highs, lows, closes


def test_the_first_barrier_touched_decides_and_ends_the_label():
    assert labelled(*changed(1, high=104.0)) == (1, 2)
    assert labelled(*changed(2, low=96.0)) == (-1, 3)
    assert labelled(*changed(3, high=104.0)) == (1, 4)


def test_if_one_bar_touches_both_the_stop_came_first():
    assert labelled(*changed(1, high=104.0, low=96.0)) == (-1, 2)


def test_the_decision_bar_itself_touches_nothing():
    bars = scene(*QUIET)
    wide = Bars(
        "BTC/USDT",
        "5m",
        bars.open_time,
        bars.open,
        np.where(np.arange(len(bars)) == WARM - 1, 200.0, bars.high),
        np.where(np.arange(len(bars)) == WARM - 1, 50.0, bars.low),
        bars.close,
        bars.volume,
    )
    options = TripleBarrierOptions(horizon_bars=4, volatility_bars=10)
    assert triple_barrier_labels(wide, options).values[WARM - 1] == 0


def test_a_vertical_touch_is_flat_or_the_sign_of_the_return():
    assert labelled(*QUIET) == (0, 4)
    assert labelled(*QUIET, vertical_touch="sign") == (1, 4)
    level = (*QUIET[:2], [100.0] * 4)
    assert labelled(*level, vertical_touch="sign") == (0, 4)


def test_the_barriers_lie_at_deviations_of_the_whole_horizon():
    bars = scene(*QUIET)
    volatility = trailing_volatility(bars.close, bars.open_time, bars.interval_ns, 10)[WARM - 1]
    for deviations in (0.5, 1.0, 3.0):
        level = 100.0 * math.exp(deviations * volatility * math.sqrt(4))
        above, below = changed(2, high=level * 1.000001), changed(2, high=level * 0.999999)
        assert labelled(*above, upper_deviations=deviations) == (1, 3)
        assert labelled(*below, upper_deviations=deviations) == (0, 4)


def test_an_outage_on_the_way_hides_the_answer_even_after_a_touch():
    for missing in (0, 1, 2, 3):
        assert labelled(*changed(0, high=104.0), missing=(missing,)) is None


def test_the_tail_is_unlabelled_even_where_a_barrier_was_touched():
    highs, lows, closes = changed(0, high=104.0)
    assert labelled(highs[:3], lows[:3], closes[:3]) is None


def test_a_market_without_moves_has_no_barriers():
    options = TripleBarrierOptions(volatility_bars=5)
    times = 20_000 * DAY_NS + 5 * MINUTE_NS * np.arange(3000)
    close = np.full(3000, 7.0)
    close[:100] = 7.0 + 0.1 * np.random.default_rng(0).random(100)
    bars = Bars("BTC/USDT", "5m", times, close, close, close, close, np.ones(3000))
    labels = triple_barrier_labels(bars, options)
    assert labels.is_labelled[10:80].all()
    assert not labels.is_labelled[300:].any()


def test_the_volatility_leaves_out_returns_across_an_outage():
    close = np.array([100.0, 101.0, 100.0, 150.0, 151.0, 150.0])
    steps = np.array([0, 1, 2, 9, 10, 11])
    found = trailing_volatility(close, 60 * steps, 60, 2)
    returns = np.diff(np.log(close))[[0, 1]]
    assert np.isnan(found[:2]).all()
    weights = np.array([1 - 2 / 3, 1.0])
    mean = np.average(returns, weights=weights)
    squares = np.sum(weights * (returns - mean) ** 2)
    correction = weights.sum() - (weights**2).sum() / weights.sum()
    assert found[2] == pytest.approx(math.sqrt(squares / correction), rel=1e-12)
    assert found[3] == found[2]


def test_wrong_options_are_named():
    with pytest.raises(ConfigError, match="upper_deviations must be greater than 0"):
        TripleBarrierOptions(upper_deviations=0)
    with pytest.raises(ConfigError, match="vertical_touch must be 'flat' or 'sign'"):
        TripleBarrierOptions(vertical_touch="up")
