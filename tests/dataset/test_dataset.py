"""Rows to learn from: which bars give one, in what order, and every dropped bar under its reason."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.dataset import build_dataset
from crypto_bot.features import (
    S0_FEATURES,
    compute_features,
    feature,
    forget_feature,
    register_feature,
)
from crypto_bot.labels import (
    MetaLabelOptions,
    NextUpOptions,
    ThreeClassOptions,
    TripleBarrierOptions,
    WeightOptions,
    average_uniqueness,
    make_labels,
)
from training.learnable_rows import MINUTES_NS, market, plain_bars, walk

FEW = ("rsi_14", "return_5", "sma_ratio")


def test_every_row_carries_its_own_bars_features_and_label():
    bars = market()
    data = build_dataset(bars, labels=ThreeClassOptions())
    assert data.features.flags.c_contiguous
    assert data.feature_names == S0_FEATURES
    assert data.classes == (-1, 0, 1)
    by_symbol = {each.symbol: each for each in bars}
    for k, symbol in enumerate(data.symbols):
        rows = data.symbol_index == k
        at, own = data.bar_index[rows], by_symbol[symbol]
        labels = make_labels(own, ThreeClassOptions())
        assert np.array_equal(data.features[rows], compute_features(own).values[at])
        assert np.array_equal(data.labels[rows], labels.values[at])
        assert np.array_equal(data.label_end_ns[rows], labels.end_time_ns[at])
        assert np.array_equal(data.decided_at_ns[rows], own.close_time[at])


def test_rows_are_sorted_by_time_then_symbol_whatever_order_the_bars_come_in():
    bars = market(3)
    data = build_dataset(bars, feature_names=FEW)
    key = list(zip(data.decided_at_ns.tolist(), data.symbol_index.tolist(), strict=True))
    assert key == sorted(key)
    assert data.symbols == tuple(sorted(each.symbol for each in bars))
    again = build_dataset(bars[::-1], feature_names=FEW)
    assert np.array_equal(again.features, data.features)
    assert again.fingerprint == data.fingerprint


@pytest.mark.parametrize("every", [1, 5, 7])
def test_each_bar_is_a_row_or_is_counted_under_one_reason(every):
    bars = market()
    data = build_dataset(bars, feature_names=FEW, sample_every_bars=every)
    assert len(data) + sum(data.dropped.values()) == sum(map(len, bars))
    assert set(data.dropped) == {"unsettled", "unlabelled", "not_sampled", "undefined"}


def test_the_tail_and_the_bars_before_an_outage_give_no_row():
    closes = walk(900)
    keep = np.r_[0:600, 603:900]
    data = build_dataset([plain_bars(closes, keep=keep)], feature_names=("return_5",))
    missing = {600, 601, 602}
    wanted = [
        row
        for row in range(900)
        if row not in missing and row >= 5 and row + 5 < 900 and row + 5 not in missing
    ]
    assert (data.decided_at_ns // (5 * MINUTES_NS) - 1).tolist() == wanted
    assert data.dropped["unlabelled"] == 5 + 3


def test_unsettled_rows_are_dropped():
    data = build_dataset([plain_bars(walk(900))], feature_names=("rsi_14",))
    assert data.dropped["unsettled"] == feature("rsi_14").settled_bars
    assert data.bar_index[0] == feature("rsi_14").settled_bars


def test_sampling_by_the_horizon_gives_labels_that_never_overlap_at_the_same_times_for_all():
    data = build_dataset(market(), feature_names=FEW, sample_every_bars=5)
    for k in range(2):
        rows = data.symbol_index == k
        assert (data.decided_at_ns[rows][1:] >= data.label_end_ns[rows][:-1]).all()
    times = [set(data.decided_at_ns[data.symbol_index == k].tolist()) for k in range(2)]
    assert times[0] == times[1]


def test_rows_without_volume_in_the_window_are_counted_as_undefined():
    volume = np.ones(600)
    volume[300:320] = 0.0
    bars = plain_bars(walk(600), volume)
    data = build_dataset([bars], feature_names=("volume_ratio", "return_5"))
    assert data.dropped["undefined"] == 11
    assert np.isfinite(data.features).all()


def test_a_feature_undefined_everywhere_is_named_with_its_cause():
    dead = plain_bars(walk(900), np.zeros(900), symbol="DEAD/USDT")
    message = "DEAD/USDT features must be defined.*volume_ratio is undefined on all.*volume is 0"
    with pytest.raises(DataError, match=message):
        build_dataset([plain_bars(walk(900)), dead], feature_names=("return_5", "volume_ratio"))
    with pytest.raises(DataError, match=r"stoch_k is undefined on all .*; prices are flat"):
        build_dataset([plain_bars(np.full(900, 7.0))], feature_names=("stoch_k",))


@pytest.mark.parametrize(
    "labels",
    [
        NextUpOptions(horizon_bars=900),
        ThreeClassOptions(horizon_minutes=5 * 900),
        TripleBarrierOptions(horizon_bars=900),
    ],
)
def test_a_horizon_longer_than_the_data_is_named(labels):
    message = "horizon must be shorter than the data, was 900 bars of 5m where BTC/USDT.*has 900"
    with pytest.raises(DataError, match=message):
        build_dataset([plain_bars(walk(900))], feature_names=FEW, labels=labels)


class Count(NamedTuple):
    """Bars seen."""

    bars: float


@pytest.fixture
def sometimes_infinite():
    @register_feature(
        "sometimes_infinite",
        inputs=["close"],
        start=Count(0.0),
        warmup_bars=0,
        settled_bars=0,
        definition="infinite at every 50th bar, no number at the 7 before",
    )
    def step(state, x):
        place = state.bars % 50.0
        value = np.nan if place > 42.0 else x[0]
        return Count(state.bars + 1.0), np.inf if place == 0.0 else value

    yield "sometimes_infinite"
    forget_feature("sometimes_infinite")


def test_rows_with_an_infinite_or_missing_feature_are_dropped_and_counted(sometimes_infinite):
    bars = plain_bars(walk(900))
    data = build_dataset([bars], feature_names=(sometimes_infinite, "return_5"))
    place = data.bar_index % 50
    assert ((place > 0) & (place <= 42)).all()
    candidates = np.arange(5, 895) % 50
    assert data.dropped["undefined"] == ((candidates == 0) | (candidates > 42)).sum()
    assert np.isfinite(data.features).all()


def test_rows_weigh_the_same_unless_told():
    data = build_dataset(market(), feature_names=FEW)
    assert (data.weights == 1.0).all()


@pytest.mark.parametrize("half_life_days", [None, 0.5])
def test_weights_are_uniqueness_a_symbol_and_age_over_all_to_a_mean_of_one(half_life_days):
    bars = market()
    options = WeightOptions(half_life_days=half_life_days)
    data = build_dataset(bars, feature_names=FEW, sample_every_bars=2, weights=options)
    wanted = np.empty(len(data))
    by_symbol = {each.symbol: each for each in bars}
    for k, symbol in enumerate(data.symbols):
        rows, own = data.symbol_index == k, by_symbol[symbol]
        ends = np.searchsorted(own.close_time, data.label_end_ns[rows])
        wanted[rows] = average_uniqueness(data.bar_index[rows], ends, len(own))
    if half_life_days is not None:
        age_days = (data.decided_at_ns.max() - data.decided_at_ns) / 86_400e9
        wanted *= 0.5 ** (age_days / half_life_days)
    assert data.weights == pytest.approx(wanted / wanted.mean())
    assert data.weights.mean() == pytest.approx(1.0)
    assert (data.weights > 0).all()


def test_age_alone_and_labels_that_never_overlap():
    data = build_dataset(market(), feature_names=FEW, sample_every_bars=5, weights=WeightOptions())
    assert data.weights == pytest.approx(np.ones(len(data)))
    old = WeightOptions(uniqueness=False, half_life_days=1.0)
    aged = build_dataset(market(), feature_names=FEW, weights=old)
    days = np.diff(aged.decided_at_ns) / 86_400e9
    assert aged.weights[1:] / aged.weights[:-1] == pytest.approx(2.0**days)


def test_a_dataset_of_meta_labels_has_one_row_a_trade():
    options = MetaLabelOptions(parameters={"fast": 3, "slow": 8})
    data = build_dataset(market(), feature_names=FEW, labels=options, minimum_rows=20)
    labelled = sum(make_labels(each, options).is_labelled.sum() for each in market())
    assert len(data) + data.dropped["unsettled"] >= labelled - 5
    assert data.label_definition["strategy"] == "sma_cross"


def test_the_rows_do_not_depend_on_how_many_threads_there_are(monkeypatch):
    many = build_dataset(market(4), weights=WeightOptions())
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    one = build_dataset(market(4), weights=WeightOptions())
    assert np.array_equal(many.features, one.features)
    assert np.array_equal(many.symbol_index, one.symbol_index)
    assert np.array_equal(many.weights, one.weights)


def test_labels_of_one_class_are_refused():
    with pytest.raises(DataError, match=r"at least two classes, were \{0: \d+, 1: 0\}"):
        build_dataset([plain_bars(np.full(900, 7.0))], feature_names=("return_5",))


def test_too_few_rows_are_refused_with_the_number_needed():
    bars = plain_bars(walk(60))
    message = r"at least 100 rows, was 50 of 60 bars \(5 unsettled, 5 unlabelled.*50 bars more"
    with pytest.raises(DataError, match=message):
        build_dataset([bars], feature_names=("return_5",))
    assert len(build_dataset([bars], feature_names=("return_5",), minimum_rows=50)) == 50


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("rsi_14", "obv"), "'obv' never does.*its twin 'obv_frac_20'"),
        (("rsi_14", "sma_5", "rsi_14"), r"each feature once, repeated \['rsi_14'\]"),
        ((), "each feature once"),
        (("rsi14",), "did you mean 'rsi_14'"),
    ],
)
def test_features_that_cannot_be_trained_on_are_refused(names, message):
    with pytest.raises(ConfigError, match=message):
        build_dataset(market(), feature_names=names)


def test_bars_that_do_not_belong_together_are_refused():
    with pytest.raises(DataError, match="at least one symbol"):
        build_dataset([])
    with pytest.raises(ConfigError, match=r"list of Bars, was .* alone; write \[bars\]"):
        build_dataset(market()[0])
    with pytest.raises(DataError, match="one Bars a symbol"):
        build_dataset([market()[0], market()[0]])
    hourly = market(1, 400, timeframe="1h")
    with pytest.raises(DataError, match=r"of one timeframe, had.*'1h', '5m'"):
        build_dataset([market()[1], *hourly])
    with pytest.raises(ConfigError, match="sample_every_bars must be at least 1"):
        build_dataset(market(), sample_every_bars=0)


def test_the_fingerprint_names_bars_features_labels_and_sampling():
    def fingerprint(bars=None, **options):
        settings = {"feature_names": FEW, "labels": NextUpOptions(), **options}
        return build_dataset(bars or market(), **settings).fingerprint

    assert fingerprint() == fingerprint()
    others = {
        fingerprint(market(1)),
        fingerprint(feature_names=FEW[::-1]),
        fingerprint(labels=NextUpOptions(horizon_bars=6)),
        fingerprint(sample_every_bars=2),
        fingerprint(weights=WeightOptions()),
        fingerprint(weights=WeightOptions(half_life_days=9)),
        fingerprint(),
    }
    assert len(others) == 7


def test_take_keeps_rows_together_and_order_is_required():
    data = build_dataset(market(), feature_names=FEW)
    some = data.take(np.arange(0, len(data), 3))
    assert np.array_equal(some.features, data.features[::3])
    assert np.array_equal(some.label_end_ns, data.label_end_ns[::3])
    assert some.class_counts() == data.take(np.arange(len(data)) % 3 == 0).class_counts()
    with pytest.raises(DataError, match="decided_at_ns must not decrease"):
        data.take(np.arange(len(data))[::-1])
    with pytest.raises(ValueError, match="read-only"):
        some.features[0, 0] = 1.0


def test_rows_side_by_side_are_the_dataset_s_own_and_rows_with_holes_are_copied():
    data = build_dataset(market(), feature_names=FEW)
    rows = np.arange(10, 60)
    is_taken = np.isin(np.arange(len(data)), rows)
    for index in (rows, is_taken):
        part = data.take(index)
        assert np.shares_memory(part.features, data.features)
        assert not part.features.flags.writeable
        assert part.features.flags.c_contiguous
        assert np.array_equal(part.decided_at_ns, data.decided_at_ns[rows])
    gaps = ([0, 1, 3], [0, 2, 4], [0, 0, 2], [-3, -2, -1])
    for holes in map(np.array, gaps):
        part = data.take(holes)
        assert not np.shares_memory(part.features, data.features)
        assert np.array_equal(part.features, data.features[holes])
        assert np.array_equal(part.bar_index, data.bar_index[holes])


def test_take_refuses_rows_and_masks_that_are_not_there():
    data = build_dataset(market(), feature_names=FEW)
    for wrong in (np.arange(len(data) - 2, len(data) + 1), np.ones(len(data) - 1, dtype=bool)):
        with pytest.raises(IndexError):
            data.take(wrong)


def test_changing_later_bars_changes_no_row_decided_before():
    closes = walk(900)
    before = build_dataset([plain_bars(closes)], feature_names=FEW)
    closes[700:] *= 1.5
    after = build_dataset([plain_bars(closes)], feature_names=FEW)
    known = before.label_end_ns <= 700 * 5 * MINUTES_NS
    assert known.sum() > 100
    assert np.array_equal(after.features[: known.sum()], before.features[known])
    assert np.array_equal(after.labels[: known.sum()], before.labels[known])
