"""LightGBM's further options: penalties, monotone features, and a purged early stop."""

from __future__ import annotations

from dataclasses import replace

import lightgbm
import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.timeframes import timeframe_ns
from crypto_bot.training import LightGBMOptions, LightGBMTrainer, boosting
from training.learnable_rows import dataset


def train(data, **options):
    settings = {"n_estimators": 40, "num_leaves": 7, "n_jobs": 1}
    return LightGBMTrainer(LightGBMOptions(**{**settings, **options})).fit(data)


def noise(classes=2):
    """Labels that nothing explains: every round after the first few makes things worse."""
    data = dataset(classes)
    labels = np.random.default_rng(1).permutation(data.labels)
    return replace(data, labels=labels)


def test_an_l1_penalty_pulls_every_leaf_towards_zero():
    plain, pulled = (train(dataset(), lambda_l1=penalty) for penalty in (0.0, 30.0))
    sizes = [np.abs(each.predictor.ensemble.leaf_values).sum() for each in (plain, pulled)]
    assert sizes[1] < 0.5 * sizes[0]


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_monotone_feature_moves_the_probability_one_way_only(sign):
    data = dataset()
    free, held = data.feature_names[:2]
    model = train(data, monotone_constraints={held: sign, free: 0}).predictor
    rows = np.repeat(data.features[:40], 50, axis=0)
    rows[:, 1] = np.tile(np.linspace(*np.quantile(data.features[:, 1], (0, 1)), 50), 40)
    steps = np.diff(model.predict_proba(rows)[:, 1].reshape(40, 50), axis=1)
    assert (sign * steps >= 0).all()
    loose = np.diff(train(data).predictor.predict_proba(rows)[:, 1].reshape(40, 50), axis=1)
    assert (loose < 0).any()
    assert (loose > 0).any()


def test_a_constraint_on_an_unknown_feature_or_on_three_classes_is_refused():
    with pytest.raises(ConfigError, match=r"must name features of the rows, was rsi_41.*rsi_14"):
        train(dataset(), monotone_constraints={"rsi_41": 1})
    with pytest.raises(
        ConfigError, match="monotone_constraints must be for two classes, was for 3"
    ):
        train(dataset(3), monotone_constraints={dataset(3).feature_names[0]: 1})
    with pytest.raises(ConfigError, match="monotone_constraints"):
        LightGBMOptions(monotone_constraints={"rsi_14": 2})


@pytest.mark.parametrize("classes", [2, 3])
def test_rounds_stop_where_the_last_rows_get_no_better_and_all_rows_are_then_trained(classes):
    data = noise(classes)
    trained = train(data, early_stopping_rounds=5, n_estimators=200)
    rounds = trained.evidence["rounds"]
    assert 1 <= rounds < 60
    assert trained.evidence["stopped_early"] is True
    assert trained.files == train(data, n_estimators=rounds).files
    assert len(trained.predictor.ensemble.roots) == rounds * (1 if classes == 2 else 3)


def test_the_rounds_found_are_lightgbms_own_on_the_purged_rows():
    data = noise()
    options = LightGBMOptions(
        n_estimators=100, num_leaves=7, early_stopping_rounds=5, n_jobs=1, class_weight=None
    )
    start = int(
        data.decided_at_ns[
            np.searchsorted(data.decided_at_ns, data.decided_at_ns[int(len(data) * 0.85)])
        ]
    )
    limit = start - options.early_stopping_embargo_bars * timeframe_ns(data.timeframe)
    learns, judges = data.label_end_ns < limit, data.decided_at_ns >= start
    rows = lightgbm.Dataset(
        data.features[learns], label=data.labels[learns], params={"max_bin": 63}
    )
    watched = lightgbm.Dataset(data.features[judges], label=data.labels[judges], reference=rows)
    wanted = lightgbm.train(
        {
            "objective": "binary",
            "num_leaves": 7,
            "learning_rate": 0.05,
            "max_bin": 63,
            "seed": 42,
            "verbosity": -1,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
        },
        rows,
        num_boost_round=100,
        valid_sets=[watched],
        callbacks=[lightgbm.early_stopping(5, verbose=False)],
    )
    found = boosting.rounds_found(data, options)
    assert found["rounds"] == wanted.best_iteration
    assert (found["learned_rows"], found["judged_rows"]) == (learns.sum(), judges.sum())
    assert found["learned_rows"] + found["judged_rows"] < len(data) - 10


def test_without_a_stop_the_rounds_are_those_asked_for():
    assert train(dataset()).evidence == {"rounds": 40, "stopped_early": False}


def test_too_few_rows_to_stop_early_on_are_refused():
    data = dataset()
    with pytest.raises(DataError, match="rows must leave some before and in a hold-out"):
        train(data.take(np.arange(12)), early_stopping_rounds=5, min_data_in_leaf=1)


def test_a_search_for_rounds_that_sees_one_class_only_is_refused_by_name():
    data = dataset()
    sorted_rows = replace(data, labels=np.sort(data.labels))
    with pytest.raises(DataError, match="at least two classes"):
        train(sorted_rows, early_stopping_rounds=5, early_stopping_frac=0.8)
