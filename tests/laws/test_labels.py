"""Laws of every kind of label; a new kind enrols itself through `label_kinds`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core import Bars
from crypto_bot.core.timeframes import DAY_NS, timeframe_ns
from crypto_bot.labels import UNLABELLED, label_kinds, make_labels

VARIANTS = {
    "NextUpOptions": [{}, {"horizon_bars": 1}, {"horizon_bars": 40}],
    "ThreeClassOptions": [
        {},
        {"horizon_minutes": 90, "hold_threshold": 0.0},
        {"horizon_minutes": 7},
    ],
}
KINDS = [
    pytest.param(kind(**values), id=f"{kind.__name__} {values}")
    for kind in label_kinds()
    for values in VARIANTS.get(kind.__name__, [{}])
]


@st.composite
def markets(draw):
    """A random walk with outages and many equal closes."""
    count = draw(st.integers(1, 160))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    timeframe = draw(st.sampled_from(["1m", "5m", "1h"]))
    steps = np.flatnonzero(rng.random(count + 40) > draw(st.sampled_from([0.0, 0.1])))[:count]
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.002, len(steps)))), 1)
    return walk(close, steps, timeframe)


def walk(close, steps, timeframe):
    open_time = 20_000 * DAY_NS + timeframe_ns(timeframe) * steps.astype(np.int64)
    volume = np.ones(len(steps))
    return Bars("BTC/USDT", timeframe, open_time, close, close, close, close, volume)


laws = settings(deadline=None, derandomize=True, max_examples=40)


@pytest.mark.parametrize("options", KINDS)
@laws
@given(bars=markets())
def test_shapes_classes_and_the_unlabelled_are_marked(options, bars):
    labels = make_labels(bars, options)
    known = labels.is_labelled
    assert labels.values.dtype == np.int8
    assert labels.end_bar.dtype == labels.end_time_ns.dtype == np.int64
    assert known.dtype == np.bool_
    assert all(
        len(a) == len(bars) for a in (labels.values, labels.end_bar, labels.end_time_ns, known)
    )
    assert set(labels.values[known].tolist()) <= set(labels.classes)
    assert list(labels.classes) == sorted(labels.classes)
    assert (labels.values[~known] == UNLABELLED).all()
    assert (labels.end_bar[~known] == -1).all()
    assert (labels.end_time_ns[~known] == -1).all()


@pytest.mark.parametrize("options", KINDS)
@laws
@given(bars=markets())
def test_a_label_is_decided_later_by_a_bar_that_exists(options, bars):
    labels = make_labels(bars, options)
    rows = np.flatnonzero(labels.is_labelled)
    ends = labels.end_bar[rows]
    assert (ends > rows).all()
    assert (labels.end_time_ns[rows] == bars.close_time[ends]).all()
    horizon_ns = labels.definition["horizon_bars"] * bars.interval_ns
    assert (labels.end_time_ns[rows] - bars.close_time[rows] <= horizon_ns).all()
    late = bars.close_time + horizon_ns > bars.close_time[-1]
    assert not labels.is_labelled[late].any()


@pytest.mark.parametrize("options", KINDS)
@laws
@given(bars=markets(), cut=st.floats(0, 1))
def test_decided_labels_do_not_change_when_more_bars_arrive(options, bars, cut):
    seen = max(1, int(cut * len(bars)))
    early, late = make_labels(bars[:seen], options), make_labels(bars, options)
    known = np.flatnonzero(early.is_labelled)
    for name in ("values", "end_bar", "end_time_ns", "is_labelled"):
        assert (getattr(early, name)[known] == getattr(late, name)[known]).all()
    newly = np.flatnonzero(late.is_labelled[:seen] & ~early.is_labelled)
    assert (late.end_bar[newly] >= seen).all()


@pytest.mark.parametrize("options", KINDS)
@laws
@given(bars=markets(), where=st.floats(0, 1))
def test_a_label_reads_only_from_its_bar_to_its_end(options, bars, where):
    labels = make_labels(bars, options)
    rows = np.flatnonzero(labels.is_labelled)
    if rows.size == 0:
        return
    row = int(rows[min(int(where * rows.size), rows.size - 1)])
    close = bars.close * 3.0
    close[row : labels.end_bar[row] + 1] = bars.close[row : labels.end_bar[row] + 1]
    steps = (bars.open_time - 20_000 * DAY_NS) // bars.interval_ns
    assert (
        make_labels(walk(close, steps, bars.timeframe), options).values[row] == labels.values[row]
    )


@pytest.mark.parametrize("options", KINDS)
def test_the_definition_is_complete_and_plain(options):
    bars = walk(np.linspace(1, 2, 10), np.arange(10), "5m")
    definition = make_labels(bars, options).definition
    wanted = {"name", "horizon_minutes", "effective_horizon_minutes", "hold_threshold"}
    assert wanted <= set(definition)
    assert all(isinstance(value, str | int | float) for value in definition.values())
    assert definition["effective_horizon_minutes"] >= definition["horizon_minutes"]
