"""The plan computes nothing twice; the table finds its columns."""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError
from crypto_bot.features import S0_FEATURES, compute_features
from crypto_bot.features.driver import DEVIATION, KIND, MEAN, OUT, A
from crypto_bot.features.plans import plan_features
from features.sample_bars import random_bars


def steps(names):
    return len(plan_features(names).steps)


def test_a_base_that_several_features_share_is_computed_once():
    assert steps(["close_to_sma10", "sma_10", "sma_ratio", "sma_30"]) == 4
    assert steps(["daily_return", "return_1"]) == steps(["return_1"])
    kinds = plan_features(S0_FEATURES).steps[:, KIND].tolist()
    # sma 10, 20, 30, volume 10, stoch_d 3; bands 20 and returns 5.
    assert (kinds.count(MEAN), kinds.count(DEVIATION)) == (5, 2)


def test_inputs_are_computed_before_their_users():
    plan = plan_features(S0_FEATURES)
    assert (plan.steps[:, A:].max(axis=1) < plan.steps[:, OUT]).all()


def test_a_table_gives_columns_and_matrices_by_name():
    table = compute_features(random_bars(100), ["sma_5", "rsi_14", "return_1"])
    assert table.values.shape == (100, 3)
    assert table.values.flags.f_contiguous
    assert np.array_equal(table.column("rsi_14"), table.values[:, 1], equal_nan=True)
    both = table.matrix(["return_1", "sma_5"])
    assert np.array_equal(both, table.values[:, [2, 0]], equal_nan=True)
    assert (table.warmup_bars, table.settled_bars) == (14, 418)
    assert len(table) == 100


def test_a_column_the_table_lacks_is_refused_with_the_nearest():
    table = compute_features(random_bars(10), ["sma_5"])
    with pytest.raises(ConfigError, match=r"was 'sma_6'; did you mean 'sma_5'\?"):
        table.column("sma_6")


def test_a_table_with_a_feature_that_never_settles_never_settles():
    assert compute_features(random_bars(10), ["sma_5", "obv"]).settled_bars is None


def test_a_table_is_written_where_it_is_asked_for():
    bars, names = random_bars(100), ["sma_5", "rsi_14"]
    room = np.zeros((4, len(bars)))
    table = compute_features(bars, names, out=room[::2])
    assert np.array_equal(room[::2].T, compute_features(bars, names).values, equal_nan=True)
    assert np.shares_memory(table.values, room)
    assert not room[1::2].any()


def test_room_of_another_shape_is_refused():
    with pytest.raises(ConfigError, match=r"out must have the shape .*\(1, 100\), was \(1, 99\)"):
        compute_features(random_bars(100), ["sma_5"], out=np.empty((1, 99)))
