"""The guide's LSTM step: its names, returns and files, and none of its leaks."""

from __future__ import annotations

import inspect
import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from crypto_bot.core.errors import ConfigError, DataError, ModelError
from crypto_bot.features import S0_FEATURES
from crypto_bot.market import SimulationOptions, simulate_market
from crypto_bot.ml import train_lstm_model
from crypto_bot.ml.feature_engineering import create_features
from crypto_bot.ml.lstm_rows import lstm_rows
from crypto_bot.ml.train_lstm_model import (
    build_lstm_model,
    load_lstm_model,
    main,
    prepare_lstm_data,
    train_lstm,
)
from crypto_bot.training.keras_backend import array_copies_allowed, load_keras
from crypto_bot.training.recurrent import row_windows
from ml.guide_frames import df_5m
from training import network_runs

LOOK_BACK, HORIZON = network_runs.LOOK_BACK, 3
FIVE = pd.Timedelta("5min")
FEW = S0_FEATURES
FILES = (
    "card.json",
    "confusion_matrix.png",
    "lstm.onnx",
    "model_meta.json",
    "network.json",
    "scaler.json",
    "training_history.png",
)


@pytest.fixture(scope="module")
def features():
    return create_features(df_5m(700, symbol="BTC/USDT"))


@pytest.fixture(scope="module")
def trained(features, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lstm")
    return folder, *small(features, folder)


def small(frame, folder, **changes):
    return train_lstm(
        frame,
        LOOK_BACK,
        HORIZON,
        2,
        64,
        units=4,
        output_folder=folder,
        feature_names=FEW,
        **changes,
    )


def plain_frame(bars=400, *, seed=0):
    """One feature that numbers the bars, and closes that go up and down at random."""
    index = pd.date_range("2026-01-01", periods=bars, freq=FIVE, name="date")
    close = 100 + np.random.default_rng(seed).normal(size=bars).cumsum()
    return pd.DataFrame({"close": close, "number": np.arange(bars, dtype=float)}, index=index)


def prepared(frame, look_back=LOOK_BACK, horizon=HORIZON):
    """Unscaled windows of the bar numbers, and their targets."""
    X, y, scaler = prepare_lstm_data(frame, look_back, horizon, feature_names=["number"])
    return np.round(X[..., 0] * scaler.scale_[0] + scaler.mean_[0]).astype(int), y


def test_the_signatures_are_the_guides():
    def defaults(function):
        parameters = inspect.signature(function).parameters.values()
        return [(p.name, p.default) for p in parameters if p.kind is not p.KEYWORD_ONLY][1:]

    assert defaults(prepare_lstm_data) == [("look_back", 20), ("forecast_horizon", 5)]
    assert defaults(build_lstm_model) == [("units", 50)]
    assert defaults(train_lstm) == [
        ("look_back", 20),
        ("forecast_horizon", 5),
        ("epochs", 50),
        ("batch_size", 32),
    ]


def test_the_built_model_has_the_shape_asked_for():
    model = build_lstm_model((LOOK_BACK, len(FEW)), units=4)
    assert model.input_shape == (None, LOOK_BACK, len(FEW))
    assert [layer.units for layer in model.layers[::2]] == [4, 2, 1]


def test_the_target_is_the_move_after_the_windows_last_bar():
    """Defect b1.6: the guide pairs a window that ends at e with the move from e+h to e+2h."""
    frame = plain_frame()
    windows, y = prepared(frame)
    close = frame["close"].to_numpy()
    last = windows[:, -1]
    assert np.array_equal(y, close[last + HORIZON] > close[last])
    assert np.array_equal(windows, last[:, None] + np.arange(-LOOK_BACK + 1, 1))


def test_rows_whose_future_is_unknown_are_dropped_not_called_down():
    """Defect b1.4: a comparison with NaN is False, so the guide labels the tail 0."""
    frame = plain_frame()
    frame["close"] = np.arange(len(frame), dtype=float) + np.arange(len(frame)) % 7 * 2.0
    windows, _ = prepared(frame)
    assert windows[-1, -1] == len(frame) - 1 - HORIZON
    rising = frame.assign(close=np.where(np.arange(len(frame)) < 50, 1.0, np.arange(len(frame))))
    _, y = prepared(rising)
    assert y[-30:].all()


def test_no_window_and_no_target_crosses_a_gap():
    """Defect b1.7: rows dropped from the middle, and the guide's windows jump over the hole."""
    frame = plain_frame()
    holed = frame.drop(frame.index[[200, 201, 290]])
    windows, y = prepared(holed)
    assert (np.diff(windows, axis=1) == 1).all()
    assert not {200, 201, 290} & set(windows.ravel())
    assert not {199, 198, 197, 289, 288, 287} & set(windows[:, -1])
    every, wanted = prepared(frame)
    assert np.array_equal(y, wanted[np.isin(every[:, -1], windows[:, -1])])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_window_with_an_undefined_feature_is_left_out(bad):
    """Defect b1.7: infinite values pass the guide's dropna and reach the scaler."""
    frame = plain_frame()
    frame.iloc[150, 1] = bad
    windows, _ = prepared(frame)
    assert 150 not in windows
    assert {149, 151} <= set(windows.ravel())
    frame.iloc[150, 1] = 150.0
    frame.iloc[150, 0] = bad
    windows, _ = prepared(frame)
    assert not {150, 150 - HORIZON} & set(windows[:, -1])


def test_the_scaler_never_sees_the_validation_or_the_test_span(features):
    """Defect b1.5: the guide's scaler learns from every row before the split."""
    _, _, scaler = prepare_lstm_data(features, LOOK_BACK, HORIZON, feature_names=FEW)
    rows = lstm_rows(features, LOOK_BACK, HORIZON, FEW)
    windows = row_windows(rows.dataset.features, LOOK_BACK)
    wanted = StandardScaler().fit(windows[rows.fit.taught].reshape(-1, len(FEW)))
    assert np.array_equal(scaler.mean_, wanted.mean_)
    changed = features.copy()
    changed.iloc[-len(rows.tested) :, changed.columns.get_indexer(list(FEW))] *= 1e6
    _, _, again = prepare_lstm_data(changed, LOOK_BACK, HORIZON, feature_names=FEW)
    assert np.array_equal(again.mean_, scaler.mean_)
    assert np.array_equal(again.scale_, scaler.scale_)


def test_no_bar_and_no_label_is_shared_by_two_spans():
    """Defect b1.5: the guide's overlapping windows cross the borders of its splits."""
    rows = lstm_rows(plain_frame(), LOOK_BACK, HORIZON, ["number"])
    number = rows.dataset.features[:, -1].astype(int)
    spans = [number[each] for each in (*rows.fit, rows.tested)]
    for older, newer in pairwise(spans):
        assert older.max() + HORIZON < newer.min() - LOOK_BACK + 1
        assert newer.min() - older.max() == LOOK_BACK + HORIZON
    assert len(rows.tested) == pytest.approx(0.2 * len(number), abs=1)
    assert spans[2].max() == number.max()


def test_columns_nobody_named_are_never_learned_from(features):
    """Defect b1.8: the guide learns from everything that is not OHLCV."""
    with pytest.raises(DataError, match="no unknown column of numbers, had future"):
        prepare_lstm_data(features.assign(future=features["close"].shift(-5)))
    X, _, _ = prepare_lstm_data(features, LOOK_BACK, HORIZON)
    assert X.shape[1:] == (LOOK_BACK, len(S0_FEATURES))
    assert X.dtype == np.float32


def test_training_returns_the_model_the_scaler_and_the_meta(trained, features):
    folder, model, scaler, meta = trained
    assert meta == json.loads((folder / "model_meta.json").read_text())
    assert list(meta)[:4] == ["look_back", "forecast_horizon", "feature_count", "accuracy"]
    assert (meta["look_back"], meta["forecast_horizon"], meta["feature_count"]) == (5, 3, 23)
    rows = lstm_rows(features, LOOK_BACK, HORIZON, FEW)
    X, y, prepared_scaler = prepare_lstm_data(features, LOOK_BACK, HORIZON, feature_names=FEW)
    assert np.array_equal(prepared_scaler.mean_, scaler.mean_)
    predictor = load_lstm_model(folder)
    chances = predictor.predict_proba(rows.dataset.features)[:, 1]
    with array_copies_allowed():
        asked = model.predict_on_batch(X[rows.tested])
        keras_chances = np.asarray(load_keras().ops.convert_to_numpy(asked))[:, 0]
    assert np.abs(chances[rows.tested] - keras_chances).max() < 1e-6
    assert meta["accuracy"] == np.mean((keras_chances > 0.5) == y[rows.tested])
    assert meta["rows"]["test"] == len(rows.tested)
    commonest = np.mean(y[np.concatenate(rows.fit)]) > 0.5
    assert meta["majority_accuracy"] == np.mean(y[rows.tested] == commonest)
    assert [meta["spans"][name][0] < meta["spans"][name][1] for name in meta["spans"]] == [True] * 3


def test_it_writes_its_files_and_nothing_that_runs_code(trained):
    folder, _, scaler, _ = trained
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    for name in ("confusion_matrix.png", "training_history.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    saved = json.loads((folder / "scaler.json").read_text())
    assert saved["mean"] == scaler.mean_.tolist()
    assert saved["feature_names"] == list(FEW)


def test_the_same_frame_gives_byte_identical_model_files(trained, features, tmp_path, capsys):
    folder, *_ = trained
    small(features, tmp_path)
    for name in ("lstm.onnx", "network.json", "scaler.json", "card.json", "model_meta.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    printed = capsys.readouterr().out
    for line in ("Test Loss: ", "Test Accuracy: ", "Classification Report:", "LSTM"):
        assert line in printed


def test_damaged_or_absent_files_are_not_loaded(trained, tmp_path):
    folder, *_ = trained
    with pytest.raises(ModelError, match="must exist, does not; run python -m"):
        load_lstm_model(tmp_path)
    for name in FILES:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "lstm.onnx").write_bytes((folder / "lstm.onnx").read_bytes()[:-9])
    with pytest.raises(ModelError, match=r"lstm.onnx must be an intact LSTM"):
        load_lstm_model(tmp_path)
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(ModelError, match="must be a model card"):
        load_lstm_model(tmp_path)


def test_frames_it_cannot_use_are_refused_by_name(features):
    with pytest.raises(DataError, match="lacked rsi_14"):
        prepare_lstm_data(features.drop(columns="rsi_14"))
    with pytest.raises(DataError, match="must be datetimes"):
        prepare_lstm_data(features.reset_index(drop=True))
    with pytest.raises(DataError, match="must increase"):
        prepare_lstm_data(features[::-1])
    with pytest.raises(DataError, match="each once"):
        prepare_lstm_data(features, feature_names=["close"])
    with pytest.raises(DataError, match="at least 100 windows of 20 bars"):
        prepare_lstm_data(features[:60])
    with pytest.raises(DataError, match="at least 100 windows of 500 bars"):
        prepare_lstm_data(features, look_back=500)
    with pytest.raises(ConfigError, match="forecast_horizon must be at least 1"):
        prepare_lstm_data(features, forecast_horizon=0)
    with pytest.raises(ConfigError, match="look_back must"):
        prepare_lstm_data(features, look_back=0)
    with pytest.raises(DataError, match="at least two classes"):
        prepare_lstm_data(plain_frame().assign(close=1.0), feature_names=["number"])


def test_the_command_trains_from_a_file(tmp_path, monkeypatch, capsys):
    (market,) = simulate_market(SimulationOptions(seed=3, symbols=1, bars=450))
    market.to_pandas().to_csv(tmp_path / "candles.csv")
    monkeypatch.chdir(tmp_path)
    quick = ["--look-back", "5", "--epochs", "1", "--batch-size", "64", "--units", "4"]
    data = ["--data", "candles.csv", "--symbol", "BTC/USDT", "--timeframe", "5m"]
    assert main([*data, *quick]) == 0, capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "ml" / "lstm").iterdir()) == sorted(FILES)
    assert "Wrote ml/lstm/model_meta.json" in capsys.readouterr().out
    assert main(["--data", "absent.csv"]) != 0
    assert "error: " in capsys.readouterr().err


def test_the_command_explains_itself(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "python -m crypto_bot.ml.train_lstm_model" in capsys.readouterr().out
    assert train_lstm_model.__doc__ is not None
