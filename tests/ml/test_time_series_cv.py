"""The guide's `time_series_cv`: folds in time order, purged by the target's end, beside the majority."""

import numpy as np
import pandas as pd
import pytest

from candle_files_made import write_candles
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.features import S0_FEATURES
from crypto_bot.ml.feature_engineering import TARGET, create_features
from crypto_bot.ml.time_series_cv import main, time_series_cv
from crypto_bot.ml.train_model import settled_rows
from crypto_bot.training import ForestOptions
from crypto_bot.training.forest import fit_forest
from ml.guide_frames import df_5m


@pytest.fixture(scope="module")
def features():
    return create_features(df_5m(900))


def test_five_expanding_folds_test_every_row_but_the_first_stretch(features):
    rows = len(settled_rows(features))
    folds = time_series_cv(features, trees=10)
    stretch = rows // 6
    assert [each["fold"] for each in folds] == [1, 2, 3, 4, 5]
    assert [each["train_size"] + each["purged"] for each in folds] == [
        fold * stretch for fold in range(1, 6)
    ]
    assert [each["test_size"] for each in folds[:4]] == [stretch] * 4
    assert sum(each["test_size"] for each in folds) == rows - stretch
    assert all(0.0 <= each["accuracy"] <= 1.0 for each in folds)
    assert {"balanced_accuracy", "log_loss", "brier"} == set(folds[0]["other_metrics"])


def test_targets_known_only_in_the_test_are_purged_by_time_not_by_rows(features):
    for each in time_series_cv(features, 3, trees=5):
        assert each["purged"] == 5
        train_end, start = pd.Timestamp(each["train_end"]), pd.Timestamp(each["test_start"])
        assert train_end + pd.Timedelta(minutes=25) < start
    # An outage before the test: the rows before it are known long since.
    first = time_series_cv(features, 3, trees=5)[0]
    at = features.index.get_loc(pd.Timestamp(first["test_start"]))
    moved = features.copy()
    moved.index = features.index + pd.to_timedelta(
        np.where(np.arange(len(features)) >= at, 6, 0), "h"
    )
    moved.attrs = dict(features.attrs)
    assert time_series_cv(moved, 3, trees=5)[0]["purged"] == 0
    plain = features.reset_index(drop=True)
    plain.attrs = {}
    assert [each["purged"] for each in time_series_cv(plain, 2, trees=5, horizon_bars=9)] == [9, 9]


def test_a_fold_is_the_guides_forest_with_a_scaler_of_its_own_rows(features):
    fold = time_series_cv(features, 2, trees=10)[0]
    frame = settled_rows(features)
    train = frame.iloc[: fold["train_size"]]
    start = fold["train_size"] + fold["purged"]
    test = frame.iloc[start : start + fold["test_size"]]
    names = list(S0_FEATURES)
    fitted = fit_forest(
        train[names].to_numpy(), train[TARGET].to_numpy(), ForestOptions(n_estimators=10)
    )
    guess = fitted.model.predict(fitted.scaler.transform(test[names].to_numpy()))
    truth = test[TARGET].to_numpy()
    assert fold["accuracy"] == pytest.approx((guess == truth).mean())
    majority = int(train[TARGET].mean() > 0.5)
    assert fold["majority_accuracy"] == pytest.approx((truth == majority).mean())


def test_later_rows_change_no_earlier_fold(features):
    before = time_series_cv(features, 3, trees=10)[0]
    end = features.index.get_loc(pd.Timestamp(before["test_end"]))
    later = features.copy()
    later.iloc[end + 1 :, later.columns.get_indexer(list(S0_FEATURES))] *= 3.0
    assert time_series_cv(later, 3, trees=10)[0] == before
    assert time_series_cv(features, 3, trees=10)[0] == before


def test_what_cannot_be_cut_or_learnt_is_named(features):
    with pytest.raises(ConfigError, match="n_splits must be at least 1, was 0"):
        time_series_cv(features, 0)
    with pytest.raises(ConfigError, match="horizon_bars must be at least 1, was 0"):
        time_series_cv(features, horizon_bars=0)
    with pytest.raises(DataError, match="features_df must have at least 5001 rows"):
        time_series_cv(features, 5000)
    with pytest.raises(DataError, match="fold 1 must train on at least two classes of target_next"):
        time_series_cv(features.assign(**{TARGET: (np.arange(len(features)) > 700).astype(int)}))
    with pytest.raises(
        DataError, match=r"fold 1 must train on at least two .*, had \[\] in 0 rows"
    ):
        time_series_cv(features, horizon_bars=400)


def test_the_command_prints_every_fold_and_the_majority(tmp_path, capsys):
    path = write_candles(tmp_path / "BTC_USDT-15m.csv", 600)
    assert main(["--data", str(path), "--splits", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["fold", "train", "purged", "test", "accuracy", "majority"]
    assert [line.split()[0] for line in lines[3:5]] == ["1", "2"]
    assert lines[5].startswith("mean accuracy")
    assert main(["--data", str(tmp_path / "none.csv")]) != 0
    assert "error: " in capsys.readouterr().err
