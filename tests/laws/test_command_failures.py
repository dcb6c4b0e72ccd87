"""Bad input through the commands, each in a fresh process: the item named, exit 1 or 2, nothing half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml

from backtest.tiny import TINY, turn_in
from crypto_bot.core.bars import symbol_slug
from crypto_bot.journal import Journal, RunStatus
from crypto_bot.market import BarStore, SimulationOptions, simulate_market

INTEGRATED = "crypto_bot.backtest.integrated_cli"
BACKTEST = "crypto_bot.backtest.cli"
ONE = {"trainers": ["lightgbm"], "lightgbm": {"n_estimators": 2}}
BARS = 24 * (TINY["lookback_days"] + 30)


class Ended(NamedTuple):
    code: int
    out: str
    error: str


def command(folder, module, *words, values=TINY):
    """Run a command of the guide in `folder`; values None takes the words as they are."""
    options = []
    if values is not None:
        (folder / "config.yaml").write_text(yaml.safe_dump(values))
        options = ["--config", "config.yaml"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", module, *map(str, words), *options],
        cwd=folder,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def refused(ended, code, *named):
    """One line for a person, with what is wrong in it and no traceback."""
    assert ended.code == code, ended
    assert "Traceback" not in ended.error
    (line,) = [line for line in ended.error.splitlines() if line.startswith("error: ")]
    for name in named:
        assert str(name) in line, line


def nothing_half_written(folder):
    """No partial file, no run without its page, no version, and nothing still 'at work'."""
    assert list(folder.rglob("*.partial")) == []
    runs = folder / "out/runs"
    pages = [run / "report.html" for run in runs.iterdir()] if runs.is_dir() else []
    assert all(page.exists() for page in pages)
    assert list(folder.rglob("versions/*")) == []
    if (folder / "journal.sqlite").exists():
        with Journal(folder / "journal.sqlite") as journal:
            assert {run.status for run in journal.runs()} <= {RunStatus.FAILED, RunStatus.DONE}
            assert all(run.finished_at_ns is not None for run in journal.runs())


def pairs(count=1, bars=BARS):
    return simulate_market(SimulationOptions(symbols=count, timeframe="1h", bars=bars))


def written(folder, *bars):
    folder.mkdir()
    for each in bars:
        each.to_pandas().to_csv(folder / f"{symbol_slug(each.symbol)}-1h.csv")
    return folder


def flat(bars):
    still = np.full(len(bars), 5.0)
    return replace(bars, open=still, high=still, low=still, close=still)


def silent(bars):
    return replace(bars, volume=np.zeros(len(bars)))


def hardly_moving(bars):
    """Every move is far below the hold threshold: all labels are 'hold'."""
    wave = 100 + 0.001 * np.sin(np.arange(len(bars)))
    return replace(bars, open=wave, high=wave + 0.002, low=wave - 0.002, close=wave + 0.0001)


def test_malformed_and_empty_files_are_named(tmp_path):
    folder = tmp_path / "candles"
    folder.mkdir()
    rows = [f"2024-01-01 {hour:02d}:00:00,-1,2,-2,1,5" for hour in range(9)]
    (folder / "words.csv").write_text("date,open,high\n2024-01-01,what,is\n2024-01-02,this\n")
    (folder / "empty.csv").write_text("")
    (folder / "below.csv").write_text("\n".join(["date,open,high,low,close,volume", *rows]))
    ended = command(tmp_path, INTEGRATED, "integrated", "--once", "--data", folder)
    refused(ended, 1, "words.csv", "empty.csv", "below.csv")
    nothing_half_written(tmp_path)
    assert BarStore(tmp_path / "data/market").catalog() == []


def test_a_folder_without_candles_is_named(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/notes.md").write_text("hello")
    refused(command(tmp_path, BACKTEST, "run", "--data", "letters"), 1, "letters", "had none")


def test_an_unknown_symbol_is_named_with_the_nearest(tmp_path):
    folder = written(tmp_path / "candles", *pairs(2))
    words = ("--data", folder, "--symbols", "BTC/USTD")
    ended = command(tmp_path, INTEGRATED, "integrated", "--once", *words)
    refused(ended, 1, "'BTC/USTD'", "did you mean 'BTC/USDT'?")
    nothing_half_written(tmp_path)


def test_flat_prices_and_zero_volume_are_named(tmp_path):
    first, second = pairs(2)
    folder = written(tmp_path / "candles", flat(first), silent(second))
    ended = command(tmp_path, INTEGRATED, "integrated", "--once", "--data", folder)
    refused(ended, 1, "no model could be trained", "BTC/USDT", "prices are flat", "ETH/USDT")
    refused(ended, 1, "volume is 0 on every bar")
    nothing_half_written(tmp_path)
    (run,) = (tmp_path / "out/runs").iterdir()
    told = json.loads((run / "summary.json").read_text())
    assert len(told["not_trained"]) == 2
    assert told["promoted"] is False


def test_too_few_bars_are_named(tmp_path):
    folder = written(tmp_path / "candles", pairs()[0][:60])
    ended = command(tmp_path, INTEGRATED, "integrated", "--once", "--data", folder)
    refused(ended, 1, "no model could be trained", "BTC/USDT", "must have at least 100 rows")
    nothing_half_written(tmp_path)


def test_labels_of_one_class_are_named(tmp_path):
    folder = written(tmp_path / "candles", hardly_moving(pairs()[0]))
    words = ("--symbols", "BTC/USDT", "--data", folder, "--json")
    ended = command(tmp_path, INTEGRATED, "ml-training", *words)
    assert ended.code == 1
    (model,) = json.loads(ended.out)["models"]
    assert "BTC/USDT" in model["error"]
    assert "labels must be of at least two classes" in model["error"]
    nothing_half_written(tmp_path)


def test_bars_too_few_for_a_single_one_of_the_timeframe_are_named(tmp_path):
    (fine,) = simulate_market(SimulationOptions(symbols=1, timeframe="5m", bars=10))
    folder = tmp_path / "candles"
    folder.mkdir()
    fine[:7].to_pandas().to_csv(folder / "BTC-USDT-5m.csv")
    ended = command(tmp_path, INTEGRATED, "integrated", "--once", "--data", folder)
    refused(ended, 1, "BTC/USDT", "one bar of 1h")
    nothing_half_written(tmp_path)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"costs": {"taker_fe": 0.1}}, ("costs.taker_fe", "taker_fee_frac")),
        ({"lookback_days": "many"}, ("lookback_days", "many")),
        ({"strategies_to_test": ["sma_cros"]}, ("sma_cros", "sma_cross")),
    ],
)
def test_a_wrong_configuration_is_named_with_its_path(tmp_path, values, named):
    ended = command(tmp_path, INTEGRATED, "integrated", "--once", values={**TINY, **values})
    refused(ended, 2, *named)
    nothing_half_written(tmp_path)


def test_a_configuration_that_is_no_yaml_is_named(tmp_path):
    (tmp_path / "odd.yaml").write_text("costs: [unclosed\n  - x: : y")
    refused(command(tmp_path, BACKTEST, "view", "--config", "odd.yaml", values=None), 2, "odd.yaml")
    assert {path.name for path in tmp_path.iterdir()} == {"odd.yaml"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"reports": {"folder": "file/runs"}}, "file/runs"),
        ({"data": {**TINY["data"], "store_folder": "file/market"}}, "file/market"),
        ({"results_cache_dir": "file/results"}, "file/results"),
        ({"registry": {"folder": "file/registry"}, "models": ONE}, "file/registry"),
        ({"journal": {"url": "sqlite:///file/journal.sqlite"}}, "file/journal.sqlite"),
        ({"logging": {"folder": "file/logs"}}, "file/logs"),
    ],
)
def test_a_folder_that_cannot_be_written_is_named(tmp_path, change, named):
    (tmp_path / "file").write_text("I am no folder.")
    ended = command(tmp_path, INTEGRATED, "integrated", "--once", values={**TINY, **change})
    refused(ended, 1, named)
    nothing_half_written(tmp_path)
    assert (tmp_path / "file").read_text() == "I am no folder."


def test_setup_below_a_file_is_refused(tmp_path):
    (tmp_path / "data").write_text("I am no folder.")
    refused(command(tmp_path, INTEGRATED, "setup", values=None), 1, "data/ml_training")


def test_an_output_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("I am no folder.")
    folder = written(tmp_path / "candles", *pairs())
    words = ("--pairs", "BTC/USDT", "--strategies", "rsi", "--timeframes", "1h", "--data", folder)
    ended = command(tmp_path, BACKTEST, "run", *words, "--output", "file/best.json")
    refused(ended, 1, "file/best.json")
    nothing_half_written(tmp_path)


@pytest.fixture(scope="module")
def after_a_turn(tmp_path_factory):
    """A folder in which one turn on stored candles has been made."""
    folder = tmp_path_factory.mktemp("turn")
    candles = written(folder / "candles", *pairs(2))
    turn_in(folder, data=str(candles))
    return folder


@pytest.fixture
def copied(after_a_turn, tmp_path):
    import shutil

    return Path(shutil.copytree(after_a_turn, tmp_path / "copy"))


def test_a_corrupted_model_is_named_and_not_used(copied):
    (model,) = (copied / "registry/GLOBAL").rglob("model.txt")
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(bytes(content))
    values = {**TINY, "registry": {"folder": str(copied / "registry")}}
    ended = command(
        copied, INTEGRATED, "validate", "--symbols", "ETH/USDT", "--json", values=values
    )
    assert ended.code == 1, ended
    (result,) = json.loads(ended.out)["validations"]
    assert result["valid"] is False
    assert "model.txt" in result["error"]
    assert "Traceback" not in ended.error


def test_a_corrupted_journal_is_named_and_left_as_it_is(copied):
    journal = copied / "journal.sqlite"
    for extra in copied.glob("journal.sqlite-*"):
        extra.unlink()
    journal.write_bytes(b"not a database at all" * 400)
    before = journal.read_bytes()
    ended = command(copied, INTEGRATED, "integrated", "--once")
    refused(ended, 1, "journal.sqlite")
    assert journal.read_bytes() == before


def test_a_corrupted_candle_partition_is_named(copied):
    (part,) = (copied / "data/market/symbol=BTC-USDT").rglob("*.parquet")
    content = part.read_bytes()
    part.write_bytes(content[: len(content) // 2])
    ended = command(copied, INTEGRATED, "backtest-only")
    refused(ended, 1, part.name, "BTC-USDT")


def test_a_missing_folder_is_named_in_json_where_that_was_asked_for(tmp_path):
    ended = command(tmp_path, INTEGRATED, "--json", "integrated", "--once", "--data", "nowhere")
    assert ended.code == 1
    told = json.loads(ended.out)
    assert told["kind"] == "DataError"
    assert "nowhere" in told["error"]
    refused(ended, 1, "nowhere")
    nothing_half_written(tmp_path)


@pytest.mark.parametrize(
    "words", [("integrate",), ("integrated", "--onec"), ("validate", "--symbols")]
)
def test_bad_usage_is_exit_code_2_and_loads_nothing(tmp_path, words):
    ended = command(tmp_path, INTEGRATED, *words, values=None)
    assert ended.code == 2
    assert "usage:" in ended.error
    assert list(tmp_path.iterdir()) == []
