"""What every feature owes; each known one, registered ones included, is enrolled by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from crypto_bot.core import OHLCV, Bars
from crypto_bot.core.timeframes import timeframe_ns
from crypto_bot.features import Feature, compute_features, feature
from crypto_bot.features.catalogue import ALIASES
from crypto_bot.features.own import own_features
from features.sample_bars import LAGGED, LONGER, every_name, flat_bars, random_bars, rough_bars

NAMES = every_name()
BARS = random_bars(2600, seed=11)
FORGOTTEN = 1e-9
OF_LONGER_BARS = (*LONGER, *(name for name in LAGGED if "@" in name))

Compute = Callable[[Bars], np.ndarray]


def of(name: str) -> Compute:
    return lambda bars: compute_features(bars, [name]).values[:, 0]


def known(name: str) -> Feature:
    return feature(name, BARS.timeframe)


def joined(first: Bars, then: Bars) -> Bars:
    """`then`, at its times, directly after `first`."""
    shift = then.open_time[0] - first.close_time[-1]
    columns = {c: np.concatenate([getattr(first, c), getattr(then, c)]) for c in OHLCV}
    times = np.concatenate([first.open_time + shift, then.open_time])
    return replace(first, open_time=times, **columns)


def continued(first: Bars, then: Bars) -> Bars:
    """`then` directly after `first`, which keeps its times."""
    shift = first.close_time[-1] - then.open_time[0]
    return joined(first, replace(then, open_time=then.open_time + shift))


def sees_the_future(compute: Compute, bars: Bars) -> bool:
    """Whether other bars after t, wilder ones or none at all, change any value up to t."""
    whole = compute(bars)
    for t in (1, 40, 333, len(bars) - 2):
        other = continued(bars[: t + 1], rough_bars(len(bars) - t - 1, seed=t))
        for changed in (compute(other)[: t + 1], compute(bars[: t + 1])):
            if not np.array_equal(changed, whole[: t + 1], equal_nan=True):
                return True
    return False


@pytest.mark.parametrize("name", NAMES)
def test_no_value_depends_on_a_later_bar(name):
    assert not sees_the_future(of(name), BARS[:700])


def test_the_law_catches_a_feature_that_peeks_one_bar_ahead():
    def peeking(bars: Bars) -> np.ndarray:
        values = of("sma_10")(bars)
        return np.concatenate([values[1:], values[-1:]])

    assert sees_the_future(peeking, BARS[:700])


def test_the_law_catches_a_feature_scaled_by_the_whole_history():
    assert sees_the_future(lambda bars: bars.close / bars.close.mean(), BARS[:700])


@pytest.mark.parametrize("name", NAMES)
def test_warmup_is_the_exact_number_of_leading_nan(name):
    is_missing = np.isnan(of(name)(BARS))
    warmup = known(name).warmup_bars
    assert not is_missing[warmup:].any()
    if "@" not in name:
        assert is_missing[:warmup].all()


@pytest.mark.parametrize("name", [name for name in NAMES if known(name).settled_bars is not None])
@pytest.mark.parametrize("before", ["calm", "wild", "dear"])
def test_a_settled_value_has_forgotten_where_the_bars_began(name, before):
    past = {
        "calm": random_bars(333, seed=1),
        "wild": random_bars(333, seed=2, volatility=0.1),
        "dear": random_bars(333, seed=3, price=1_000.0),
    }[before]
    settled = known(name).settled_bars
    assert settled is not None
    assert known(name).warmup_bars <= settled < len(BARS) - 100
    short, long = of(name)(BARS)[settled:], of(name)(joined(past, BARS))[len(past) + settled :]
    # Beside its own size counts its usual one: a difference of prices may pass through 0.
    size = np.maximum(np.abs(short), np.sqrt(np.mean(short**2)))
    assert (np.abs(long - short) <= FORGOTTEN * size).all()


def test_a_value_that_never_settles_says_so():
    built_in = [name for name in NAMES if name not in own_features()]
    assert [name for name in built_in if known(name).settled_bars is None] == ["obv"]
    apart = of("obv")(BARS[1:]) - of("obv")(BARS)[1:]
    assert np.abs(apart).min() > 0


@pytest.mark.parametrize("name", OF_LONGER_BARS)
def test_a_longer_feature_is_defined_and_settled_in_time_wherever_the_bars_begin(name):
    whole, found = of(name)(BARS), known(name)
    every = timeframe_ns(name.partition("@")[2].partition("~")[0]) // BARS.interval_ns
    for first in range(1, every + 1):
        part = of(name)(BARS[first : first + found.settled_bars + every])
        assert not np.isnan(part[found.warmup_bars :]).any()
        kept = whole[first:][: len(part)][found.settled_bars :]
        np.testing.assert_allclose(part[found.settled_bars :], kept, rtol=FORGOTTEN, atol=1e-12)


@pytest.mark.parametrize("name", OF_LONGER_BARS)
def test_bars_that_follow_within_the_same_longer_bar_change_nothing_before_them(name):
    bars = BARS[:240]
    whole = of(name)(bars)
    for t in range(100, 220, 7):
        wild = rough_bars(len(bars) - t - 1, seed=t)
        other = replace(continued(bars[: t + 1], wild), open_time=bars.open_time)
        assert np.array_equal(of(name)(other)[: t + 1], whole[: t + 1], equal_nan=True)


def test_the_law_catches_a_longer_bar_that_is_known_when_it_opens():
    """The daily close joined by its stamp, which is midnight: seen all day before it exists."""

    def leaking(bars: Bars) -> np.ndarray:
        longer = bars.open_time // (5 * bars.interval_ns)
        last = np.searchsorted(longer, longer, side="right") - 1
        return bars.close[last]

    assert sees_the_future(leaking, BARS[:700])
    assert not sees_the_future(of("close@5m"), BARS[:700])


@pytest.mark.parametrize("name", NAMES)
def test_a_feature_reads_the_columns_it_names_and_no_other(name):
    """But `is_trending`: the regime reads volume, though not for its first rule."""
    other = random_bars(len(BARS), seed=99)
    low, high = np.minimum(other.low, BARS.low), np.maximum(other.high, BARS.high)
    swapped = {"low": low, "high": high, "open": other.open, "volume": other.volume}
    inputs = known(name).inputs
    values = of(name)(BARS)
    for column in ("open", "volume", "high", "low"):
        changed = of(name)(replace(BARS, **{column: _inside(column, swapped[column])}))
        is_same = np.array_equal(changed, values, equal_nan=True)
        if not (name == "is_trending" and column == "volume"):
            assert is_same == (column not in inputs), column


def _inside(column: str, values: np.ndarray) -> np.ndarray:
    """Opens must stay between low and high."""
    return np.clip(values, BARS.low, BARS.high) if column == "open" else values


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "bars",
    [
        flat_bars(300),
        flat_bars(300, volume=1.0),
        rough_bars(900, 3),
        rough_bars(900, 4),
        rough_bars(1, 5),
        BARS[:0],
    ],
    ids=["no volume", "flat", "rough", "other rough", "one bar", "none"],
)
def test_no_value_is_ever_infinite(name, bars):
    values = of(name)(bars)
    assert len(values) == len(bars)
    assert not np.isinf(values).any()


@pytest.mark.parametrize("name", NAMES)
def test_a_definition_is_written_in_words(name):
    definition = feature(name).definition
    assert len(definition) > 8
    assert "{" not in definition


@pytest.mark.parametrize("alias", ALIASES)
def test_a_short_name_is_the_definition_it_stands_for(alias):
    assert feature(alias).node == feature(ALIASES[alias]).node
