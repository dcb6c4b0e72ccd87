"""`train_ml_model`: the guide's signature, return, lines and files, without its leaks."""

from __future__ import annotations

import inspect
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler

from crypto_bot.core.errors import ConfigError, DataError, ModelError, StorageError
from crypto_bot.features import S0_FEATURES
from crypto_bot.ml import train_model
from crypto_bot.ml.feature_engineering import create_features
from crypto_bot.ml.figures import confusion_png
from crypto_bot.ml.train_model import load_ml_model, train_ml_model
from ml.guide_frames import df_5m

FILES = (
    "card.json",
    "confusion_matrix.png",
    "feature_importance.png",
    "rf_model.npz",
    "scaler.json",
    "training_summary.txt",
)


@pytest.fixture(scope="module")
def features():
    return create_features(df_5m(1500, symbol="BTC/USDT"))


@pytest.fixture(scope="module")
def trained(features, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return folder, *train_ml_model(features, output_folder=folder)


def settled(features):
    return features[features.index >= pd.Timestamp(features.attrs["settled_from"])]


def test_the_signature_is_the_guides():
    parameters = list(inspect.signature(train_ml_model).parameters.values())
    assert [(p.name, p.default) for p in parameters[1:3]] == [
        ("target_col", "target_nextNup"),
        ("test_size", 0.3),
    ]
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[3:])


def test_it_returns_model_scaler_and_accuracy_of_the_purged_chronological_split(trained, features):
    _, model, scaler, accuracy = trained
    rows = settled(features)
    x = np.ascontiguousarray(rows[list(S0_FEATURES)].to_numpy())
    y = rows["target_nextNup"].to_numpy()
    border = len(rows) - int(np.ceil(0.3 * len(rows)))
    wanted_scaler = StandardScaler().fit(x[: border - 5])
    wanted = RandomForestClassifier(n_estimators=100, random_state=42)
    wanted.fit(wanted_scaler.transform(x[: border - 5]), y[: border - 5])
    assert np.array_equal(scaler.mean_, wanted_scaler.mean_)
    tested = wanted_scaler.transform(x[border:])
    assert np.array_equal(model.predict_proba(tested), wanted.predict_proba(tested))
    assert accuracy == np.mean(wanted.predict(tested) == y[border:])
    assert model.classes_.tolist() == [0, 1]
    assert len(model.feature_importances_) == 23


def test_it_writes_the_guides_files_and_no_pickle(trained):
    folder, *_ = trained
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    for name in ("confusion_matrix.png", "feature_importance.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_the_summary_says_size_features_accuracy_and_baseline(trained, features):
    folder, _, _, accuracy = trained
    lines = (folder / "training_summary.txt").read_text().splitlines()
    assert lines[:4] == [
        "Model training completed",
        f"Dataset size: {len(settled(features))} samples",
        "Features used: 23",
        f"Accuracy: {accuracy:.4f}",
    ]
    assert lines[4].startswith("Majority-class accuracy: 0.")
    assert lines[5].startswith("Rows trained, purged, tested: ")


def test_the_files_predict_what_the_returned_objects_do(trained, features):
    folder, model, scaler, accuracy = trained
    predictor = load_ml_model(folder)
    x = features[list(predictor.feature_names)].to_numpy()
    assert np.array_equal(predictor.predict_proba(x), model.predict_proba(scaler.transform(x)))
    saved = json.loads((folder / "scaler.json").read_text())
    assert saved["mean"] == scaler.mean_.tolist()
    assert tuple(saved["feature_names"]) == S0_FEATURES
    card = json.loads((folder / "card.json").read_text())
    assert card["symbol"] == "BTC/USDT"
    assert card["timeframe"] == "5m"
    assert card["metrics"]["accuracy"] == accuracy


def test_the_same_frame_gives_byte_identical_model_files(trained, features, tmp_path):
    folder, *_ = trained
    train_ml_model(features, output_folder=tmp_path)
    for name in ("rf_model.npz", "scaler.json", "card.json", "training_summary.txt"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_it_prints_the_guides_lines(features, tmp_path, capsys):
    train_ml_model(features, output_folder=tmp_path)
    shown = capsys.readouterr().out
    for line in (
        "Training Random Forest model...",
        "Model accuracy: 0.",
        "Classification Report:",
        "Top 10 Important Features:",
        "Ignored columns, not features: symbol",
        "rows: their features still depend on the data's start",
    ):
        assert line in shown


def test_few_rows_are_trained_on_unsettled_only_with_a_warning(tmp_path, capsys):
    train_ml_model(create_features(df_5m(500)), output_folder=tmp_path)
    assert "rows are not settled" in capsys.readouterr().out


def test_an_unknown_column_of_numbers_never_slips_in(features, tmp_path):
    leaky = features.assign(tomorrow=features["close"].shift(-1).fillna(0.0))
    with pytest.raises(DataError, match="no unknown column of numbers, had tomorrow"):
        train_ml_model(leaky, output_folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    names = S0_FEATURES[:5]
    model, scaler, _ = train_ml_model(leaky, output_folder=tmp_path, feature_names=names)
    assert (scaler.n_features_in_, model.n_features_in_) == (5, 5)
    assert load_ml_model(tmp_path).feature_names == names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda df: df.drop(columns="rsi_14"), "lacked rsi_14"),
        (lambda df: df.drop(columns="target_nextNup"), "lacked target_nextNup"),
        (lambda df: df.assign(rsi_14=np.nan), "must be finite, rsi_14 was nan at 2024"),
        (lambda df: df.assign(return_5d=np.inf), "must be finite, return_5d was inf"),
        (lambda df: df.assign(target_nextNup=np.nan), "must be whole numbers"),
        (lambda df: df.assign(target_nextNup=0.5), "must be whole numbers"),
        (lambda df: df.assign(target_nextNup=0), "at least two classes.*was always 0"),
        (lambda df: df.iloc[::-1], "index must increase"),
        (lambda df: df[[*df, "rsi_14"]], "each column once, had rsi_14 more than once"),
        (lambda df: df.iloc[:99], "at least 100 rows, was 99"),
    ],
)
def test_frames_that_cannot_be_trained_on_are_refused_and_nothing_is_written(
    features, tmp_path, change, message
):
    with pytest.raises(DataError, match=message):
        train_ml_model(change(features), output_folder=tmp_path / "ml")
    assert not (tmp_path / "ml").exists()


@pytest.mark.parametrize("size", [0.0, 1.0, -1.0, 1.5])
def test_a_test_size_out_of_range_is_refused(features, tmp_path, size):
    with pytest.raises(ConfigError, match="test_size must lie between 0 and 1"):
        train_ml_model(features, test_size=size, output_folder=tmp_path)
    with pytest.raises(ConfigError, match="horizon_bars must be at least 1"):
        train_ml_model(features, horizon_bars=0, output_folder=tmp_path)


def test_a_frame_without_times_is_split_by_rows(features, tmp_path):
    train_ml_model(features.reset_index(drop=True), output_folder=tmp_path)
    assert json.loads((tmp_path / "card.json").read_text())["timeframe"] == ""


def test_a_shuffled_target_gives_no_edge(features, tmp_path):
    target = np.random.default_rng(0).permutation(features["target_nextNup"].to_numpy())
    _, _, accuracy = train_ml_model(features.assign(target_nextNup=target), output_folder=tmp_path)
    assert abs(accuracy - 0.5) < 0.1


def test_an_unwritable_folder_is_a_storage_error(features, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="must be writable"):
        train_ml_model(features, output_folder=tmp_path / "file" / "ml")


def test_a_missing_or_damaged_model_is_refused(trained, tmp_path):
    with pytest.raises(ModelError, match=r"card.json must exist.*train_wrapper"):
        load_ml_model(tmp_path)
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(ModelError, match="must be a model card"):
        load_ml_model(tmp_path)
    folder, *_ = trained
    (tmp_path / "card.json").write_bytes((folder / "card.json").read_bytes())
    (tmp_path / "rf_model.npz").write_bytes((folder / "rf_model.npz").read_bytes()[:-100])
    with pytest.raises(ModelError, match="intact forest"):
        load_ml_model(tmp_path)


def test_figures_open_no_window_and_leave_no_global_figure(features, tmp_path, monkeypatch):
    monkeypatch.setenv("DISPLAY", "")
    train_ml_model(features, output_folder=tmp_path)
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


KILLED = """
import os, sys
from crypto_bot.core import files
from crypto_bot.ml.feature_engineering import create_features
from crypto_bot.ml.train_model import train_ml_model
from ml.guide_frames import df_5m
steps = int(sys.argv[1])
plain = files.publish_file
def publish(partial, path):
    global steps
    steps -= 1
    if steps < 0:
        os.kill(os.getpid(), 9)
    plain(partial, path)
files.publish_file = publish
train_ml_model(create_features(df_5m(700)), output_folder=sys.argv[2])
"""


@pytest.mark.parametrize("steps", [0, 5])
def test_killed_while_writing_the_folder_holds_whole_files_only_and_the_next_run_ends_well(
    tmp_path, steps
):
    tests = str(Path(train_model.__file__).parents[3] / "tests")
    result = subprocess.run(
        [sys.executable, "-c", KILLED, str(steps), str(tmp_path)],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": tests},
    )
    assert result.returncode == -9
    whole = [path for path in tmp_path.iterdir() if not path.name.endswith(".partial")]
    assert len(whole) == steps
    with pytest.raises(ModelError, match="must exist, does not"):
        load_ml_model(tmp_path)
    train_ml_model(create_features(df_5m(700)), output_folder=tmp_path)
    load_ml_model(tmp_path)


def test_every_count_of_the_confusion_matrix_can_be_read():
    from matplotlib.image import imread

    pixels = imread(io.BytesIO(confusion_png(np.array([[368, 447], [350, 483]]), [0, 1])))
    light = pixels[:, :, :3].mean(axis=2)
    for row in (150, 415):
        for column in (274, 527):
            cell = light[row - 15 : row + 35, column - 25 : column + 25]
            assert np.ptp(cell) > 0.3
