"""Planted leaks: each is caught by its named check, and clean pipelines are never reported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.truth.leak_cases import CLEAN, LEAKS
from benchmarks.truth.leaks import run_canaries

from crypto_bot.core.errors import ConfigError, DataError, LeakError
from crypto_bot.dataset import build_dataset
from crypto_bot.features import S0_FEATURES, TRAINER_FEATURES, compute_features
from crypto_bot.labels import NextUpOptions
from crypto_bot.market import SimulationOptions, simulate_market
from crypto_bot.predictors import LinearPredictor
from crypto_bot.splits import SPLITTERS, KFoldOptions, WalkForwardOptions, split_dataset
from crypto_bot.training import LogisticTrainer
from crypto_bot.validation import (
    check_bars_future_ignored,
    check_decided_after_close,
    check_features_see_no_future,
    check_labels_end_when_declared,
    check_no_duplicate_rows,
    check_panel_sees_no_future,
    check_pipeline_ignores_later_rows,
    check_pipeline_ignores_test_labels,
    check_predictions_out_of_sample,
    check_scaler_inside_fold,
    check_shuffled_labels_teach_nothing,
    check_split_purged,
    check_target_not_in_features,
    out_of_sample,
    shuffled_label_score,
    trainer_pipeline,
)
from validation_rows import BAR_NS, TREES, made_dataset, noise_dataset, walk_bars

BARS = walk_bars(400)


@pytest.mark.parametrize("case", LEAKS, ids=[case.name for case in LEAKS])
def test_a_planted_leak_is_caught_by_the_check_named_for_it(case):
    row = run_canaries([case])[0]
    assert case.caught_by in row.reported
    assert row.holds


@pytest.mark.parametrize("case", CLEAN, ids=[case.name for case in CLEAN])
def test_a_clean_twin_is_reported_by_no_check(case):
    row = run_canaries([case])[0]
    assert row.reported == ()
    assert row.holds


def test_there_are_twenty_different_leaks_and_twenty_clean_pipelines_at_least():
    assert len({case.name for case in LEAKS}) == len(LEAKS) >= 20
    assert len({case.name for case in CLEAN}) == len(CLEAN) >= 20
    assert len({case.caught_by for case in LEAKS}) >= 8


def next_return(bars):
    """Peeks one bar ahead."""
    ahead = np.append(bars.close[1:], bars.close[-1])
    return ahead / bars.close - 1.0


def centred_mean(bars):
    """Peeks two bars ahead, as a centred rolling window does."""
    return np.convolve(bars.close, np.full(5, 0.2), mode="same")


def scaled_on_everything(bars):
    """Peeks at the whole history through a mean and a deviation."""
    return (bars.close - bars.close.mean()) / bars.close.std()


def filled_backwards(bars):
    """Peeks where a warm-up is filled from the first known value."""
    values = np.append(np.full(200, np.nan), bars.close[200:])
    values[:200] = values[200] if len(values) > 200 else 0.0
    return values


def bar_count(bars):
    """Peeks at how much data there will be."""
    return np.arange(len(bars)) / len(bars)


@pytest.mark.parametrize(
    "peek", [next_return, centred_mean, scaled_on_everything, filled_backwards, bar_count]
)
def test_a_feature_that_peeks_is_named_with_its_first_row(peek):
    def compute(bars):
        return np.column_stack([np.arange(len(bars), dtype=float), peek(bars)])

    with pytest.raises(LeakError, match=r"check_features_see_no_future: peek at row \d+ must not"):
        check_features_see_no_future(compute, BARS, names=("clean", "peek"))


def test_one_bar_of_peeking_is_dated_to_the_last_bar_kept():
    with pytest.raises(
        LeakError, match="column 0 at row 100 must not depend on bars after row 100"
    ):
        check_features_see_no_future(next_return, BARS)


@pytest.mark.parametrize("names", [S0_FEATURES, TRAINER_FEATURES])
def test_our_features_are_not_reported(names):
    check_features_see_no_future(lambda bars: compute_features(bars, names), BARS)


def test_a_lagged_feature_with_a_warm_up_of_nan_is_not_reported():
    check_features_see_no_future(lambda bars: np.append(np.full(3, np.nan), bars.close[:-3]), BARS)


@pytest.mark.parametrize("name", sorted(SPLITTERS))
@pytest.mark.parametrize("embargo_bars", [0, 3])
def test_an_unpurged_split_is_caught_in_every_splitter(name, embargo_bars):
    data = noise_dataset(900)
    split = SPLITTERS[name](
        data.decided_at_ns, data.label_end_ns, embargo_ns=embargo_bars * BAR_NS
    )[-1]
    check_split_purged(split, data.decided_at_ns, data.label_end_ns)
    unpurged = replace(split, train=np.arange(split.train[0], split.test[0]))
    with pytest.raises(
        LeakError, match=r"check_split_purged: fold \d must|training labels must end"
    ):
        check_split_purged(unpurged, data.decided_at_ns, data.label_end_ns)
    one_too_many = replace(split, train=np.append(split.train, split.train[-1] + 1))
    with pytest.raises(LeakError, match="1 did not"):
        check_split_purged(one_too_many, data.decided_at_ns, data.label_end_ns)


def test_a_shuffled_split_is_caught():
    data = noise_dataset(900)
    rows = np.random.default_rng(0).permutation(900)
    split = split_dataset(data)[0]
    shuffled = replace(split, train=np.sort(rows[:600]), test=np.sort(rows[600:]))
    with pytest.raises(LeakError, match="check_split_purged"):
        check_split_purged(shuffled, data.decided_at_ns, data.label_end_ns)


def test_rows_that_both_teach_and_judge_are_counted_and_the_first_is_named():
    data = noise_dataset(900)
    split = split_dataset(data)[1]
    doubled = replace(split, test=np.append(split.train[-3:], split.test))
    message = f"must share no row, shared 3, first {split.train[-3]}"
    with pytest.raises(LeakError, match=message):
        check_split_purged(doubled, data.decided_at_ns, data.label_end_ns)


def test_out_of_sample_refuses_an_unpurged_split_before_it_trains():
    class Untouchable:
        name = "untouchable"

        def fit(self, dataset):
            raise AssertionError("trained on a leak")

    data = noise_dataset(900)
    split = split_dataset(data)[0]
    unpurged = replace(split, train=np.arange(split.test[0]))
    with pytest.raises(LeakError, match="check_split_purged"):
        out_of_sample(data, Untouchable(), [unpurged])


def test_a_scaler_fitted_on_everything_is_caught_and_the_features_are_named():
    data = noise_dataset(900)
    split = split_dataset(data)[0]
    train = data.features[split.train]
    check_scaler_inside_fold(train.mean(axis=0), train.std(axis=0), train, data.feature_names)
    for fitted_on in (data.features, data.features[: split.test[-1] + 1], train[:-1]):
        mean, scale = fitted_on.mean(axis=0), fitted_on.std(axis=0)
        with pytest.raises(LeakError, match=r"check_scaler_inside_fold: mean of f0 must be"):
            check_scaler_inside_fold(mean, scale, train, data.feature_names)
    scale = train.std(axis=0)
    scale[2] *= 1.001
    with pytest.raises(LeakError, match="scale of f2"):
        check_scaler_inside_fold(train.mean(axis=0), scale, train, data.feature_names)


def test_a_real_scaler_on_large_tiny_and_constant_columns_is_not_reported():
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(1)
    train = random.normal(size=(5000, 4)) * [1e5, 1e-7, 0.0, 1.0] + [6e4, 1.0, 0.1, 0.0]
    scaler = StandardScaler().fit(train)
    check_scaler_inside_fold(scaler.mean_, scaler.scale_, train)


def test_a_trainer_whose_model_carries_a_leaking_scaler_is_caught():
    data = noise_dataset(900)

    class LeakyScaler:
        name = "leaky"

        def fit(self, dataset):
            model = LogisticTrainer().fit(dataset)
            found = model.predictor
            return replace(model, predictor=Leaky(found.model, found.feature_names, found.classes))

    class Leaky(LinearPredictor):
        scaler = (data.features.mean(axis=0), data.features.std(axis=0))

    with pytest.raises(LeakError, match="check_scaler_inside_fold"):
        out_of_sample(data, LeakyScaler(), split_dataset(data))


def test_predictions_by_a_fold_that_saw_the_row_are_caught():
    data = noise_dataset(900)
    splits = split_dataset(data)
    found = out_of_sample(data, TREES, splits)
    times = data.decided_at_ns, data.label_end_ns
    check_predictions_out_of_sample(found.probabilities, found.fold, splits, *times)
    in_sample = found.probabilities.copy()
    in_sample[10] = 0.5
    with pytest.raises(LeakError, match="row 10 must name the fold"):
        check_predictions_out_of_sample(in_sample, found.fold, splits, *times)
    wrong_fold = found.fold.copy()
    wrong_fold[splits[1].test[0]] = 4
    with pytest.raises(LeakError, match="fold 4 must predict its test rows only"):
        check_predictions_out_of_sample(found.probabilities, wrong_fold, splits, *times)
    late = [replace(split, train=np.arange(split.test[0])) for split in splits]
    with pytest.raises(LeakError, match="must be trained on labels known before row"):
        check_predictions_out_of_sample(found.probabilities, found.fold, late, *times)


def test_a_shuffled_label_gives_no_edge_even_where_there_is_much_to_learn():
    data = noise_dataset(2000, skill=0.8)
    splits = split_dataset(data)
    score = check_shuffled_labels_teach_nothing(data, TREES, splits)
    assert abs(score.auc - 0.5) < 4 * score.deviation
    assert score.deviation < 0.03


def test_a_shuffled_label_gives_no_edge_on_a_simulated_market():
    market = simulate_market(SimulationOptions(symbols=2, bars=1500, edge_strength=1.0))
    data = build_dataset(market, labels=NextUpOptions())
    score = shuffled_label_score(data, TREES, split_dataset(data, WalkForwardOptions(folds=3)))
    assert not score.has_edge
    assert abs(score.auc - 0.5) < 0.06


def test_features_chosen_by_the_labels_of_all_rows_show_as_an_edge_on_shuffled_labels():
    random = np.random.default_rng(4)
    data = made_dataset(random.normal(size=(700, 800)), random.integers(0, 2, 700))

    def chosen_on_everything(dataset):
        """The classic mistake: the best features are picked before the rows are split."""
        link = np.abs((dataset.labels - dataset.labels.mean()) @ dataset.features)
        best = np.sort(np.argsort(link)[-30:])
        names = tuple(dataset.feature_names[k] for k in best)
        columns = np.ascontiguousarray(dataset.features[:, best])
        return replace(dataset, features=columns, feature_names=names)

    splits = split_dataset(data, WalkForwardOptions(folds=3))
    check_shuffled_labels_teach_nothing(data, TREES, splits)
    with pytest.raises(LeakError, match=r"check_shuffled_labels_teach_nothing: AUC must be 0\.5"):
        check_shuffled_labels_teach_nothing(data, TREES, splits, prepare=chosen_on_everything)


def test_a_check_that_has_nothing_to_look_at_says_so():
    data = noise_dataset(300)
    splits = split_dataset(data, WalkForwardOptions(folds=2))
    with pytest.raises(DataError, match="bars must be at least 20 to look for leaks in, was 19"):
        check_panel_sees_no_future(lambda bars: [each.close for each in bars], [BARS, BARS[:19]])
    with pytest.raises(DataError, match="bars must be at least 20"):
        check_labels_end_when_declared(lambda bars: None, BARS[:5])
    with pytest.raises(DataError, match="splits must hold at least one fold"):
        check_pipeline_ignores_test_labels(trainer_pipeline(TREES), data, [])
    with pytest.raises(DataError, match="fold 0 must give one prediction a test row, 100, was 3"):
        check_pipeline_ignores_later_rows(lambda dataset, split: np.zeros(3), data, splits)
    with pytest.raises(ConfigError, match=r"at_most_auc must be between 0\.5 and 1, was 1"):
        check_target_not_in_features(data, at_most_auc=1.0)
    with pytest.raises(DataError, match="bars must hold BTC/USDT, did not"):
        check_decided_after_close(data, [])
    with pytest.raises(DataError, match="rows must lie in its 100 bars, was 299"):
        check_decided_after_close(data, [walk_bars(100)])

    def idle(bars):
        found = out_of_sample(data, TREES, splits)
        return data, replace(found, fold=np.full(300, -1))

    with pytest.raises(DataError, match="predictions must be of some row, were of none"):
        check_bars_future_ignored(idle, [BARS])


def test_a_row_made_from_later_bars_shows_by_its_absence():
    data = noise_dataset(300)
    splits = split_dataset(data, WalkForwardOptions(folds=2))
    found = out_of_sample(data, TREES, splits)

    def forgetful(bars):
        if bars[0].close[-1] == BARS.close[-1]:
            return data, found
        kept = np.arange(5, 300)
        cut = replace(found, probabilities=found.probabilities[5:], fold=found.fold[5:])
        return data.take(kept), cut

    with pytest.raises(LeakError, match="check_bars_future_ignored: rows decided by"):
        check_bars_future_ignored(forgetful, [BARS])


def test_the_leaks_found_are_named_with_row_feature_and_remedy():
    data = noise_dataset(300)
    table = np.column_stack((data.features, data.labels * 3.0))
    known = made_dataset(table, data.labels)
    with pytest.raises(LeakError, match=r"check_target_not_in_features: f4 must not tell label 0"):
        check_target_not_in_features(known)
    split = split_dataset(data, WalkForwardOptions(folds=2))[0]
    doubled = data.features.copy()
    doubled[split.train[3]] = doubled[split.test[1]]
    with pytest.raises(
        LeakError, match=rf"test row {split.test[1]} is training row 3 again \(1 rows"
    ):
        check_no_duplicate_rows(made_dataset(doubled, data.labels), split)
    twice = replace(data, bar_index=np.maximum(np.arange(300) - 60, 0))
    with pytest.raises(LeakError, match="must have no decision on both sides"):
        check_no_duplicate_rows(
            replace(twice, features=np.zeros((300, 4))),
            replace(split, train=np.arange(60), test=np.arange(60, 90)),
        )
    late = replace(data, label_end_ns=data.decided_at_ns)
    with pytest.raises(LeakError, match="row 0 must have a label that ends after its decision"):
        check_decided_after_close(late, [walk_bars(300)])


@pytest.mark.parametrize("trainer", [TREES, LogisticTrainer()])
def test_our_own_trainers_pass_the_strictest_checks_on_every_kind_of_split(trainer):
    data = noise_dataset(400, skill=0.5)
    for options in (WalkForwardOptions(folds=2), KFoldOptions(folds=2)):
        splits = split_dataset(data, options)
        check_pipeline_ignores_test_labels(trainer_pipeline(trainer), data, splits)
        check_pipeline_ignores_later_rows(trainer_pipeline(trainer), data, splits)
