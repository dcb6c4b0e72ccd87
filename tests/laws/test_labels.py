"""Laws of every kind of label; a new kind enrols itself through `label_kinds`."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core import Bars
from crypto_bot.core.timeframes import DAY_NS, timeframe_ns
from crypto_bot.labels import UNLABELLED, label_kinds, label_options, make_labels

CROSS = {"strategy": "sma_cross", "parameters": {"fast": 2, "slow": 5}}
VARIANTS = {
    "MetaLabelOptions": [
        CROSS,
        CROSS | {"exits": {"max_holding_bars": 6, "stop_loss_frac": 0.004}, "allow_short": False},
    ],
    "NextUpOptions": [{}, {"horizon_bars": 1}, {"horizon_bars": 40}],
    "ThreeClassOptions": [
        {},
        {"horizon_minutes": 90, "hold_threshold": 0.0},
        {"horizon_minutes": 7},
    ],
    "TrendScanningOptions": [
        {},
        {"minimum_bars": 2, "maximum_bars": 9, "step_bars": 3, "minimum_t": 0.0},
    ],
    "TripleBarrierOptions": [
        {"volatility_bars": 10},
        {"volatility_bars": 5, "horizon_bars": 1, "vertical_touch": "sign"},
        {"volatility_bars": 20, "horizon_bars": 30, "upper_deviations": 2, "lower_deviations": 0.4},
    ],
}
KINDS = [
    pytest.param(kind(**values), id=f"{kind.__name__} {values}")
    for kind in label_kinds()
    for values in VARIANTS.get(kind.__name__, [{}])
]
FORGETFUL = [case for case in KINDS if case.values[0].kind in ("next_up", "three_class")]
"""They read nothing before their own bar."""
BOUNDED = [
    case
    for case in KINDS
    if case.values[0].kind != "meta" or case.values[0].exits.max_holding_bars is not None
]


@st.composite
def markets(draw):
    """A random walk with outages and many equal closes."""
    count = draw(st.integers(1, 160))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    timeframe = draw(st.sampled_from(["1m", "5m", "1h"]))
    steps = np.flatnonzero(rng.random(count + 40) > draw(st.sampled_from([0.0, 0.02, 0.1])))
    steps = steps[:count]
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.002, len(steps)))), 1)
    return walk(close, steps, timeframe)


def walk(close, steps, timeframe):
    open_time = 20_000 * DAY_NS + timeframe_ns(timeframe) * steps.astype(np.int64)
    volume = np.ones(len(steps))
    high, low = close * 1.001, close * 0.9995
    return Bars("BTC/USDT", timeframe, open_time, close, high, low, close, volume)


def altered(bars, rows):
    """The same times, other prices in these rows."""
    factor = np.ones(len(bars))
    factor[rows] = np.random.default_rng(len(bars)).uniform(0.5, 2.0, len(factor[rows]))
    prices = {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")}
    return replace(bars, **prices)


def some_row(labels, where):
    rows = np.flatnonzero(labels.is_labelled)
    return None if rows.size == 0 else int(rows[min(int(where * rows.size), rows.size - 1)])


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
    arrays = [labels.values, labels.end_bar, labels.end_time_ns, known]
    if labels.side is not None:
        arrays.append(labels.side)
        assert labels.side.dtype == np.int8
        assert (np.abs(labels.side) == known).all()
    assert all(len(array) == len(bars) and not array.flags.writeable for array in arrays)
    assert set(labels.values[known].tolist()) <= set(labels.classes)
    assert list(labels.classes) == sorted(set(labels.classes))
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


@pytest.mark.parametrize("options", BOUNDED)
@laws
@given(bars=markets())
def test_a_horizon_is_kept_and_the_tail_is_unlabelled(options, bars):
    labels = make_labels(bars, options)
    rows = np.flatnonzero(labels.is_labelled)
    horizon = labels.definition["horizon_bars"]
    if options.kind == "meta":
        assert (labels.end_bar[rows] - rows <= horizon).all()
        return
    horizon_ns = horizon * bars.interval_ns
    assert (labels.end_time_ns[rows] - bars.close_time[rows] <= horizon_ns).all()
    late = bars.close_time + horizon_ns > bars.close_time[-1]
    assert not labels.is_labelled[late].any()
    # Nor is one labelled whose horizon ends in an outage.
    assert np.isin(bars.close_time[rows] + horizon_ns, bars.close_time).all()


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
    horizon = late.definition["horizon_bars"]
    is_past = late.end_bar[newly] >= seen
    if horizon is not None:
        is_past |= bars.close_time[newly] + horizon * bars.interval_ns > bars.close_time[seen - 1]
    assert is_past.all()


@pytest.mark.parametrize("options", KINDS)
@laws
@given(bars=markets(), where=st.floats(0, 1))
def test_nothing_after_the_end_of_a_label_changes_it(options, bars, where):
    labels = make_labels(bars, options)
    row = some_row(labels, where)
    if row is None:
        return
    end = int(labels.end_bar[row])
    again = make_labels(altered(bars, slice(end + 1, None)), options)
    done = np.flatnonzero(labels.is_labelled & (labels.end_bar <= end))
    assert row in done
    for name in ("values", "end_bar", "end_time_ns", "is_labelled"):
        assert (getattr(again, name)[done] == getattr(labels, name)[done]).all()


@pytest.mark.parametrize("options", FORGETFUL)
@laws
@given(bars=markets(), where=st.floats(0, 1))
def test_a_label_reads_only_from_its_bar_to_its_end(options, bars, where):
    labels = make_labels(bars, options)
    row = some_row(labels, where)
    if row is None:
        return
    other = altered(bars, slice(None, row))
    other = altered(other, slice(int(labels.end_bar[row]) + 1, None))
    assert make_labels(other, options).values[row] == labels.values[row]


@pytest.mark.parametrize("options", KINDS)
def test_the_definition_is_complete_plain_and_gives_the_options_back(options):
    bars = walk(np.linspace(1, 2, 10), np.arange(10), "5m")
    definition = make_labels(bars, options).definition
    wanted = {"name", "kind", "timeframe", "horizon_minutes", "effective_horizon_minutes"}
    assert wanted <= set(definition)
    assert json.loads(json.dumps(definition)) == definition
    assert label_options(definition) == options
    if definition["horizon_bars"] is not None:
        assert definition["effective_horizon_minutes"] >= definition["horizon_minutes"]
