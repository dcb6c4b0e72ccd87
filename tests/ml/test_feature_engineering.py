"""`create_features`: the guide's columns in the guide's order, without the guide's defects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crypto_bot.core import OHLCV, Bars
from crypto_bot.core.errors import DataError
from crypto_bot.features import S0_FEATURES, compute_features
from crypto_bot.ml.feature_engineering import create_features
from ml.guide_frames import df_5m


def test_columns_are_those_of_the_guide_in_its_order():
    features = create_features(df_5m())
    assert tuple(features.columns) == (*OHLCV, *S0_FEATURES, "target_nextNup")
    assert features["target_nextNup"].dtype.kind == "i"
    assert set(features["target_nextNup"]) == {0, 1}


def test_values_are_those_of_the_features_stage():
    frame = df_5m()
    features = create_features(frame)
    bars = Bars.from_pandas(frame, symbol="X", timeframe="5m")
    rows = frame.index.get_indexer(features.index)
    wanted = compute_features(bars).values[rows]
    assert np.array_equal(features[list(S0_FEATURES)].to_numpy(), wanted)


def test_the_first_rows_and_the_unlabelled_tail_are_dropped():
    frame = df_5m(200)
    features = create_features(frame)
    assert features.index[0] == frame.index[29]
    assert features.index[-1] == frame.index[-6]
    assert len(features) == 200 - 29 - 5


def test_the_target_is_the_close_five_bars_later_in_time_not_in_rows():
    frame = df_5m(400).drop(index=df_5m(400).index[200:203])
    features = create_features(frame)
    for moment, row in features.iterrows():
        later = frame["close"].get(moment + pd.Timedelta(minutes=25))
        assert later is not None
        assert row["target_nextNup"] == int(later > row["close"])
    assert len(features) == 397 - 29 - 5 - 3


def test_the_frame_given_is_not_modified_and_other_columns_are_carried_untouched():
    frame = df_5m(300, symbol="BTC/USDT").assign(future=np.arange(300.0))
    kept = frame.copy()
    features = create_features(frame)
    pd.testing.assert_frame_equal(frame, kept)
    assert tuple(features.columns)[: len(frame.columns)] == tuple(frame.columns)
    pd.testing.assert_frame_equal(features[frame.columns], frame.loc[features.index])
    plain = create_features(df_5m(300))
    pd.testing.assert_frame_equal(features[plain.columns], plain)


def test_rows_without_volume_leave_a_visible_hole_in_the_index():
    frame = df_5m(300)
    frame.iloc[100:115, frame.columns.get_loc("volume")] = 0.0
    features = create_features(frame)
    gone = frame.index[109:115]
    assert not features.index.isin(gone).any()
    assert (np.diff(features.index) > np.timedelta64(5, "m")).sum() == 1
    assert np.isfinite(features[list(S0_FEATURES)].to_numpy()).all()


@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_the_index_keeps_its_zone(zone):
    frame = df_5m(200)
    frame.index = frame.index.tz_convert(zone)
    features = create_features(frame)
    assert features.index.equals(frame.index[29:-5])


def test_whole_number_prices_are_taken():
    frame = df_5m(200).assign(volume=7)
    assert create_features(frame)["volume_ratio"].eq(1.0).all()


def broken(change):
    frame = df_5m(200)
    return change(frame)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda df: df.drop(columns="high"), "lacked high"),
        (lambda df: df.rename(columns=str.upper), "must have columns open"),
        (lambda df: df.reset_index(drop=True), "df.index must be datetimes"),
        (lambda df: pd.concat([df, df.iloc[-1:]]), "must name each time once"),
        (lambda df: df.iloc[::-1], "commonest step"),
        (lambda df: df.iloc[:30], "at least 35 rows, was 30"),
        (lambda df: df.iloc[:1], "at least 2 rows"),
        (lambda df: df.iloc[:0], "at least 2 rows"),
        (lambda df: df.assign(close=np.nan), "close must be finite"),
        (lambda df: df.assign(close="x"), "must be numbers"),
        (lambda df: df.assign(volume=0.0), "volume_ratio is undefined.*volume is 0"),
        (lambda df: df.assign(sma_10=1.0), "already had sma_10"),
        (lambda df: df.assign(symbol=["A", "B"] * 100), "must hold one symbol, had 2"),
        (
            lambda df: df.assign(**dict.fromkeys(("open", "high", "low", "close"), 5.0)),
            "prices are flat",
        ),
    ],
)
def test_frames_that_cannot_be_used_are_refused_by_name(change, message):
    with pytest.raises(DataError, match=message):
        create_features(broken(change))


def test_changing_later_bars_changes_no_earlier_feature():
    frame = df_5m(400)
    before = create_features(frame)
    frame.iloc[300:, :4] *= 1.3
    after = create_features(frame)
    rows = before.index <= frame.index[294]
    pd.testing.assert_frame_equal(after.loc[before.index[rows]], before[rows])
