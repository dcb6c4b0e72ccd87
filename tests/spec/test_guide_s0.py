"""The three steps of the Bot v3.1 machine-learning guide, each in a fresh process."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from candle_files_made import write_candles
from small_runs import run_line

GUIDE = Path(__file__).resolve().parents[3] / "shared" / "spec" / "000_1d906c4309ea600f.txt"
STEPS = """
import pandas as pd
from crypto_bot.ml.feature_engineering import create_features
from crypto_bot.ml.train_model import train_ml_model

df_5m = pd.read_csv("df_5m.csv", index_col=0, parse_dates=True)
features_df = create_features(df_5m)
model, scaler, accuracy = train_ml_model(features_df, target_col='target_nextNup', test_size=0.3)
print("columns:", " ".join(features_df.columns))
print("scaler:", scaler.mean_.shape, "accuracy:", accuracy)
"""
PICTURES = ("confusion_matrix.png", "feature_importance.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("guide")
    write_candles(place / "df_5m.csv", 900)
    write_candles(place / "BTC_USDT-15m.csv", 900)
    return place


@pytest.fixture(scope="module")
def stepped(folder):
    return run_line([sys.executable, "-W", "error", "-c", STEPS], folder)


def documented_columns() -> list[str]:
    if not GUIDE.exists():
        pytest.skip("the guide is not present: ../shared/spec")
    text = GUIDE.read_text(encoding="utf-8")
    return list(dict.fromkeys(re.findall(r"df_features\['(\w+)'\] =", text)))


def test_features_have_the_guides_columns_in_its_order(stepped):
    assert stepped.returncode == 0, stepped.stderr
    line = next(text for text in stepped.stdout.splitlines() if text.startswith("columns:"))
    columns = line.removeprefix("columns: ").split()
    assert columns[:5] == ["open", "high", "low", "close", "volume"]
    assert columns[5:] == documented_columns()
    assert len(columns) == 5 + 23 + 1


def test_training_prints_and_writes_what_the_guide_says(folder, stepped):
    assert stepped.returncode == 0, stepped.stderr
    for words in ("Model accuracy: ", "Classification Report:", "Top 10 Important Features:"):
        assert words in stepped.stdout
    assert "scaler: (23,)" in stepped.stdout
    for name in ("rf_model.npz", "scaler.json", *PICTURES):
        assert (folder / "ml" / name).stat().st_size > 0
    assert not list((folder / "ml").glob("*.pkl"))
    for name in PICTURES:
        assert (folder / "ml" / name).read_bytes().startswith(b"\x89PNG")


def test_the_wrapper_trains_from_a_file_and_summarises(folder):
    line = "python -m crypto_bot.ml.train_wrapper --data BTC_USDT-15m.csv --output wrapped"
    done = run_line(line, folder)
    assert done.returncode == 0, done.stderr
    summary = (folder / "wrapped" / "training_summary.txt").read_text().splitlines()
    assert summary[0] == "Model training completed"
    assert re.match(r"Dataset size: \d+ samples", summary[1])
    assert summary[2] == "Features used: 23"
    assert re.match(r"Accuracy: [01]\.\d{4}", summary[3])
