"""Out-of-sample predictions: only unseen rows, the right columns, traded through the engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.dataset import build_dataset
from crypto_bot.engine import ExitOptions, exits_for, simulate
from crypto_bot.labels import MetaLabelOptions, NextUpOptions, ThreeClassOptions
from crypto_bot.market import SimulationOptions, simulate_market
from crypto_bot.splits import (
    KFoldOptions,
    WalkForwardOptions,
    WindowMode,
    split_dataset,
    split_holdout,
    walk_forward_splits,
)
from crypto_bot.strategies import get_strategy
from crypto_bot.training import LogisticOptions, LogisticTrainer
from crypto_bot.validation import (
    class_baseline,
    every_bar_columns,
    out_of_sample,
    prediction_columns,
    trade_out_of_sample,
)
from crypto_bot.validation.out_of_sample import predict_fold
from validation_rows import BAR_NS, TREES, made_dataset, noise_dataset, walk_bars

NAMES = ("sma_ratio", "rsi_14", "return_5d", "volume_ratio")


@pytest.fixture(scope="module")
def market():
    return simulate_market(SimulationOptions(seed=3, symbols=2, bars=1200))


@pytest.fixture(scope="module", params=[NextUpOptions(), ThreeClassOptions()])
def predicted(market, request):
    data = build_dataset(market, feature_names=NAMES, labels=request.param)
    return data, out_of_sample(data, TREES, split_dataset(data, WalkForwardOptions(folds=3)))


def test_each_tested_row_is_predicted_by_its_own_folds_model(predicted):
    data, found = predicted
    assert np.array_equal(found.is_tested, np.isfinite(found.probabilities).all(axis=1))
    assert not found.is_tested[: found.splits[0].test[0]].any()
    for split, model in zip(found.splits, found.models, strict=True):
        again = TREES.fit(data.take(split.train)).predictor.predict_proba(data.features[split.test])
        assert np.array_equal(again, model.predictor.predict_proba(data.features[split.test]))
        assert np.array_equal(found.probabilities[split.test], again)
        assert (found.fold[split.test] == split.fold).all()
    sums = found.probabilities[found.is_tested].sum(axis=1)
    assert np.allclose(sums, 1.0)
    assert found.start_ns == data.decided_at_ns[found.is_tested].min()


def test_a_class_that_a_fold_never_saw_gets_probability_zero():
    data = noise_dataset(900)
    labels = data.labels.copy()
    labels[500:] = np.where(np.arange(400) % 3 == 0, -1, labels[500:])
    three = made_dataset(data.features, labels, classes=(-1, 0, 1))
    found = out_of_sample(three, TREES, split_dataset(three))
    assert (found.probabilities[found.splits[0].test, 0] == 0.0).all()
    assert found.probabilities[found.splits[-1].test, 0].mean() > 0.1


def test_probabilities_are_placed_by_label_where_a_model_lacks_a_class():
    data = made_dataset(*_three_classes(), classes=(-1, 0, 1))

    class TwoOnly:
        """Predicts the labels -1 and 1 and knows no 0."""

        feature_names = data.feature_names
        classes = (-1, 1)
        scaler = None

        def predict_proba(self, features):
            return np.tile([0.3, 0.7], (len(features), 1))

    class Trainer:
        name = "two only"

        def fit(self, dataset):
            return replace(TREES.fit(dataset), predictor=TwoOnly())

    found = out_of_sample(data, Trainer(), split_dataset(data))
    tested = found.probabilities[found.is_tested]
    assert np.array_equal(np.unique(tested, axis=0), [[0.3, 0.0, 0.7]])


def _three_classes():
    random = np.random.default_rng(0)
    return random.normal(size=(900, 2)), random.integers(-1, 2, 900)


def test_future_rows_change_no_earlier_prediction(market):
    data = build_dataset(market, feature_names=NAMES)
    splits = split_dataset(data, WalkForwardOptions(folds=3))
    found = out_of_sample(data, TREES, splits)
    later = splits[1].test[0]
    features, labels = data.features.copy(), data.labels.copy()
    features[later:] *= -3.0
    labels[later:] = 1 - labels[later:]
    altered = replace(data, features=features, labels=labels)
    again = out_of_sample(altered, TREES, splits)
    first = splits[0].test
    assert np.array_equal(found.probabilities[first], again.probabilities[first])


def test_columns_lie_on_the_bars_they_were_decided_at(market, predicted):
    data, found = predicted
    for bars in market:
        columns = prediction_columns(data, found, bars)
        rows = np.flatnonzero(data.symbol_index == data.symbols.index(bars.symbol))
        up, down = data.classes.index(1), 0
        for name, k in (("p_up", up), ("p_down", down)):
            known = np.isfinite(columns[name])
            expected = rows[found.is_tested[rows]]
            assert np.array_equal(bars.close_time[known], data.decided_at_ns[expected])
            assert np.array_equal(columns[name][known], found.probabilities[expected, k])


def test_other_bars_than_the_datasets_are_refused(market, predicted):
    data, found = predicted
    with pytest.raises(DataError, match="must be those the dataset was built from"):
        prediction_columns(data, found, market[0][5:])
    with pytest.raises(DataError, match="must be one of"):
        prediction_columns(data, found, walk_bars(100, symbol="XRP/USDT"))


def test_predictions_are_traded_on_the_tested_stretch_alone(market, predicted):
    data, found = predicted
    strategy = get_strategy("model", threshold=0.5)
    results = trade_out_of_sample(data, found, market, strategy)
    assert [result.bars.symbol for result in results] == [bars.symbol for bars in market]
    for result in results:
        assert result.bars.close_time[0] == found.start_ns
        assert result.bars.open_time[-1] == found.end_ns
        assert len(result.trades) > 0
        assert result.trades["entry_time"].min() >= found.start_ns


@pytest.fixture(scope="module")
def bets(market):
    """Meta-labels on a quick cross, their predictions, and the strategy that follows them."""
    primary = {"strategy": "sma_cross", "parameters": {"fast": 3, "slow": 8}}
    data = build_dataset(market, feature_names=NAMES, labels=MetaLabelOptions(**primary))
    options = WalkForwardOptions(folds=3, minimum_train_rows=30)
    found = out_of_sample(data, TREES, split_dataset(data, options))
    return data, found, primary


def test_a_meta_model_is_asked_at_every_bar_and_never_before_its_labels_were_known(market, bets):
    data, found, _ = bets
    for bars in market:
        columns = every_bar_columns(data, found, bars)
        known = np.isfinite(columns["p_up"])
        assert known.sum() > 3 * np.isfinite(prediction_columns(data, found, bars)["p_up"]).sum()
        assert bars.close_time[known].min() >= found.start_ns
        assert bars.close_time[known].max() <= found.end_ns
        rows = np.flatnonzero(found.is_tested & (data.symbol_index == market.index(bars)))
        at = data.bar_index[rows]
        assert np.array_equal(columns["p_up"][at], found.probabilities[rows, 1])


def test_a_meta_model_is_traded_as_a_choice_among_the_primarys_own_trades(market, bets):
    data, found, primary = bets
    chosen = get_strategy("meta", **primary, threshold=0.5)
    results = trade_out_of_sample(data, found, market, chosen)
    followed = get_strategy("sma_cross", **primary["parameters"])
    for bars, result in zip(market, results, strict=True):
        whole = simulate(
            bars, followed.signals_on(bars), exits=exits_for(followed, ExitOptions())
        ).trades
        own = result.trades[result.trades["exit_bar"] >= 0]
        theirs = dict(zip(whole["entry_time"].tolist(), whole["exit_time"].tolist(), strict=True))
        assert 0 < len(own) < (whole["entry_time"] >= found.start_ns).sum()
        assert [theirs[trade["entry_time"]] for trade in own] == own["exit_time"].tolist()


def test_every_bar_is_predicted_by_folds_that_knew_only_the_past(market, bets):
    data, found, _ = bets
    split = found.splits[0]
    later = replace(split, train=np.concatenate((split.train, [len(data) - 1])))
    peeking = replace(found, splits=(later, *found.splits[1:]))
    with pytest.raises(DataError, match="must train only on labels known before its test"):
        every_bar_columns(data, peeking, market[0])


def test_folds_cover_pooled_symbols_by_time_and_count_their_embargo_in_bars(market):
    data = build_dataset(market, feature_names=NAMES)
    for split in split_dataset(data, WalkForwardOptions(folds=3, embargo_bars=7)):
        assert split.embargo_ns == 7 * BAR_NS
        assert set(data.symbol_index[split.test]) == {0, 1}
        assert data.label_end_ns[split.train].max() < split.test_start_ns - 7 * BAR_NS


def test_the_remainder_belongs_to_the_last_fold():
    data = noise_dataset(1003)
    splits = split_dataset(data, WalkForwardOptions(folds=4, embargo_bars=0))
    assert [len(split.test) for split in splits] == [200, 200, 200, 203]


def test_rolling_windows_keep_the_length_of_the_first():
    data = noise_dataset(1200)
    splits = split_dataset(data, WalkForwardOptions(mode=WindowMode.ROLLING, embargo_bars=0))
    assert {len(split.train) for split in splits} == {195}
    assert [split.train[0] for split in splits] == [0, 200, 400, 600, 800]


def test_the_longer_of_both_embargoes_counts_and_bars_are_the_smallest_step():
    data = noise_dataset(1200)
    times = data.decided_at_ns, data.label_end_ns
    for options, expected in (
        (WalkForwardOptions(embargo_bars=3), 3 * BAR_NS),
        (WalkForwardOptions(embargo_bars=3, embargo_ns=10 * BAR_NS), 10 * BAR_NS),
    ):
        assert walk_forward_splits(*times, options)[0].embargo_ns == expected
    hourly = walk_forward_splits(
        *times, WalkForwardOptions(embargo_bars=2), interval_ns=12 * BAR_NS
    )
    assert hourly[0].embargo_ns == 24 * BAR_NS


def test_a_fold_left_with_too_few_rows_by_the_purge_is_refused_with_its_numbers():
    data = noise_dataset(600)
    with pytest.raises(
        DataError, match=r"fold 0 from .* at least 50 train rows, was \d+ \(\d+ purged"
    ):
        split_dataset(data, WalkForwardOptions(embargo_bars=60))
    with pytest.raises(DataError, match="rows must be at least 6 for 5 folds, was 4"):
        split_dataset(data.take(np.arange(4)))


def test_the_hold_out_is_the_last_stretch_and_development_ends_before_it():
    data = noise_dataset(1000)
    development, start_ns = split_holdout(data, 0.2)
    rest = data.take(data.decided_at_ns >= start_ns)
    assert len(rest) == 200
    assert len(development) == 800 - 5 - 10
    assert development.label_end_ns.max() < start_ns - 10 * BAR_NS
    for fraction in (0.0, 1.0, -1.0):
        with pytest.raises(ConfigError, match="fraction must be between 0 and 1"):
            split_holdout(data, fraction)
    with pytest.raises(DataError, match="rows must leave some before and in a hold-out"):
        split_holdout(data.take(np.arange(12)), 0.9)


def test_no_split_or_a_row_tested_twice_is_refused():
    data = noise_dataset(900)
    splits = split_dataset(data)
    with pytest.raises(DataError, match="splits must hold at least one fold"):
        out_of_sample(data, TREES, [])
    with pytest.raises(DataError, match="must test rows no other fold tests"):
        out_of_sample(data, TREES, [splits[0], replace(splits[0], fold=1)])


def test_a_fold_of_one_class_is_named_and_nothing_is_trained():
    data = noise_dataset(600)
    labels = data.labels.copy()
    labels[:120] = 1
    data = replace(data, labels=labels)
    splits = split_dataset(data)
    with pytest.raises(
        DataError, match=r"fold 0 from 2024-01-01T.* at least two classes, had \{0: 0, 1: 85\}"
    ):
        out_of_sample(data, TREES, splits)
    assert out_of_sample(data, TREES, splits[1:]).is_tested.any()


def test_a_test_stretch_of_one_class_is_judged_all_the_same():
    data = noise_dataset(600)
    labels = data.labels.copy()
    labels[500:] = 1
    data = replace(data, labels=labels)
    scores = class_baseline(data, out_of_sample(data, TREES, split_dataset(data)[-1:]))
    assert scores.rows == 100
    assert scores.balanced_accuracy == scores.accuracy


@pytest.mark.parametrize(("row", "verb"), [(77, "learn"), (577, "learn"), (130, "predict")])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_feature_that_is_no_number_is_named_with_its_row(row, verb, value):
    data = noise_dataset(600)
    features = data.features.copy()
    features[row, 2] = value
    data = replace(data, features=features)
    splits = split_dataset(data, WalkForwardOptions(folds=4))
    splits = splits if row != 577 else split_dataset(data, KFoldOptions(folds=3))
    with pytest.raises(
        DataError, match=rf"must {verb} from finite features, f2 was {value} at row {row}"
    ):
        out_of_sample(data, TREES, splits)


def test_a_feature_named_twice_is_refused():
    data = replace(noise_dataset(600), feature_names=("f0", "f1", "f0", "f3"))
    with pytest.raises(DataError, match="must have each feature once, had f0 twice or more"):
        out_of_sample(data, TREES, split_dataset(data))


@pytest.mark.parametrize("options", [WalkForwardOptions(), KFoldOptions()])
def test_labels_that_reach_beyond_the_data_leave_nothing_to_learn_from(options):
    data = noise_dataset(600)
    data = replace(data, label_end_ns=data.decided_at_ns + 10_000 * BAR_NS)
    with pytest.raises(DataError, match=r"fold 0 from .* train rows, was 0 \(\d+ purged\)"):
        split_dataset(data, options)


def test_old_rows_under_a_half_life_teach_their_fold_as_much_as_new_rows_do_theirs():
    """Only weights relative to a fold's other rows count: else a penalty silences the early folds."""
    data = noise_dataset(skill=0.5)
    aged = 0.5 ** (np.arange(len(data))[::-1] / 50)
    trainer = LogisticTrainer(LogisticOptions(C=0.1))
    split = split_dataset(data, WalkForwardOptions(folds=3))[0]
    found = [
        predict_fold(replace(data, weights=weights), trainer, split)[0]
        for weights in (aged, aged / aged[split.train].mean())
    ]
    assert np.allclose(*found, rtol=0, atol=1e-9)
    assert found[0][:, 1].std() > 0.01
