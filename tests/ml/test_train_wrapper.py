"""`python -m crypto_bot.ml.train_wrapper`: the guide's step 3 as a command."""

from __future__ import annotations

import subprocess
import sys

from crypto_bot.ml.train_model import load_ml_model
from crypto_bot.ml.train_wrapper import main
from ml.guide_frames import df_5m


def written(path, bars=900):
    frame = df_5m(bars)
    frame.to_csv(path)
    return path


def test_the_command_trains_in_a_fresh_process_and_writes_below_the_working_folder(tmp_path):
    written(tmp_path / "BTC_USDT-5m.csv")
    command = [sys.executable, "-W", "error", "-m", "crypto_bot.ml.train_wrapper"]
    result = subprocess.run(
        [*command, "--data", "BTC_USDT-5m.csv"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    first = f"BTC/USDT 5m: {len(df_5m(900))} bars from BTC_USDT-5m.csv\nCreating features...\n"
    assert result.stdout.startswith(first)
    summary = (tmp_path / "ml" / "training_summary.txt").read_text()
    assert summary.startswith("Model training completed\nDataset size: ")
    assert load_ml_model(tmp_path / "ml").classes == (0, 1)


def test_a_file_that_is_not_there_exits_1_with_its_name(tmp_path, capsys):
    assert main(["--data", str(tmp_path / "none.csv"), "--output", str(tmp_path / "ml")]) == 1
    assert "none.csv" in capsys.readouterr().err
    assert not (tmp_path / "ml").exists()


def test_too_few_candles_exit_1_and_write_nothing(tmp_path, capsys):
    path = written(tmp_path / "BTC_USDT-5m.csv", bars=60)
    assert main(["--data", str(path), "--output", str(tmp_path / "ml")]) == 1
    assert "at least" in capsys.readouterr().err
    assert not (tmp_path / "ml").exists()
