"""`cointrainer`: one candle file to one model, and a look into the registry."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from candle_files_made import write_candles
from crypto_bot.cli import training_commands_files
from crypto_bot.cli.cointrainer import main
from crypto_bot.core import ModelCard
from crypto_bot.core.errors import StorageError
from crypto_bot.predictors import LIGHTGBM_FILE, load_predictor
from crypto_bot.registry import open_registry
from small_runs import small_environment
from toy_model import PASSED

HERE = Path(__file__).parent
MODEL, METADATA, PREDICTIONS = (
    f"btc-usdt_{name}" for name in ("regime_lgbm.txt", "metadata.json", "predictions.csv")
)
EASY_GATE = {
    "gate.min_trades": 1,
    "gate.min_deflated_sharpe": 0.0,
    "gate.max_random_entry_p": 1.0,
    "gate.must_beat_buy_and_hold": False,
    "gate.must_beat_majority_class": False,
    "min_sharpe_threshold": -1000.0,
    "max_drawdown_threshold": 1.0,
    "min_win_rate": 0.0,
}
"""Thresholds that any model which trades can meet."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with small settings and a candle file."""
    set_environment(monkeypatch)
    monkeypatch.chdir(tmp_path)
    write_candles(tmp_path / "BTC_USDT-15m.csv")
    return tmp_path


def set_environment(monkeypatch, **changes):
    for name, text in small_environment(**changes).items():
        if name.startswith("CRYPTO_BOT__"):
            monkeypatch.setenv(name, text)


def train(*more):
    return main(["csv-train", "--file", "BTC_USDT-15m.csv", "--device-type", "cpu", *more])


def answer(capsys):
    return json.loads(capsys.readouterr().out)


def test_training_writes_model_metadata_and_predictions_that_belong_together(folder, capsys):
    assert train("--json") == 0
    result = answer(capsys)
    content = (folder / "local_models" / MODEL).read_bytes()
    metadata = json.loads((folder / "local_models" / METADATA).read_text())
    assert metadata["hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert (metadata["key"], metadata["schema_version"]) == (MODEL, "1")
    assert metadata["label_order"] == [-1, 0, 1]
    assert metadata["horizon"] == "15m"
    assert metadata["thresholds"] == {"hold": 0.0015, "open": 0.4}
    assert metadata["symbol"] == "BTC/USDT"
    assert metadata["feature_list"] == [
        "ema_8",
        "ema_21",
        "rsi_14",
        "atr_14",
        "roc_5",
        "obv_frac_20",
    ]
    card = ModelCard.from_mapping(metadata["card"])
    predictor = load_predictor(card, {LIGHTGBM_FILE: content})
    assert predictor.feature_names == tuple(metadata["feature_list"])
    assert [Path(path).name for path in result["files"]] == [MODEL, PREDICTIONS, METADATA]


def test_predictions_are_those_of_folds_that_never_saw_the_row(folder, capsys):
    assert train("--json") == 0
    result = answer(capsys)
    with (folder / "local_models" / PREDICTIONS).open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["time", "class", "action", "score"]
    assert len(rows) == result["metrics"]["rows"] < result["rows"]
    card = json.loads((folder / "local_models" / METADATA).read_text())["card"]
    assert rows[0]["time"] > card["data_start"]
    assert {(row["class"], row["action"]) for row in rows} <= {
        ("-1", "short"),
        ("0", "flat"),
        ("1", "long"),
    }
    assert all(1 / 3 <= float(row["score"]) <= 1 for row in rows)


def test_nothing_is_stored_in_the_registry_unless_asked(folder, capsys):
    assert train("--json") == 0
    assert answer(capsys)["version"] is None
    assert not (folder / "registry").exists()


def test_publishing_stores_a_candidate_which_the_gate_alone_promotes(folder, capsys, monkeypatch):
    assert train("--publish", "--json") == 0
    result = answer(capsys)
    registry = open_registry("registry")
    assert registry.versions("BTC/USDT") == [result["version"]]
    assert result["promoted"] is False
    assert registry.champion("BTC/USDT") is None
    set_environment(monkeypatch, **EASY_GATE)
    assert train("--publish", "--json") == 0
    second = answer(capsys)
    assert second["promoted"] is True, second["reason"]
    assert registry.champion("BTC/USDT") == second["version"] != result["version"]


def test_options_of_training_reach_the_model(folder, capsys):
    line = "--horizon 30 --hold 0.003 --max-bin 31 --n-jobs 1 --no-write-predictions --outdir made"
    assert train("--json", "--symbol", "BTC/EUR", *line.split()) == 0
    metadata = json.loads((folder / "made" / "btc-eur_metadata.json").read_text())
    assert (metadata["horizon"], metadata["thresholds"]["hold"]) == ("30m", 0.003)
    assert metadata["card"]["options"]["max_bin"] == 31
    assert not (folder / "made" / "btc-eur_predictions.csv").exists()


def test_a_device_that_is_not_there_is_replaced_and_named(folder, capsys, monkeypatch):
    monkeypatch.setattr(
        "crypto_bot.training.boosting.usable_device",
        lambda asked, *_: ("cpu", f"cpu ({asked} asked: No OpenCL device found)"),
    )
    assert main(["csv-train", "--file", "BTC_USDT-15m.csv"]) == 0
    assert "trained on cpu (gpu asked: No OpenCL device found)" in capsys.readouterr().out


def written(path, text):
    path.write_text(text)
    return path


FAULTS = {
    "missing": (lambda path: path, "no.csv must be readable"),
    "empty": (lambda path: written(path, ""), "no.csv"),
    "malformed": (lambda path: written(path, "a,b\n1,2\n"), "no.csv"),
    "too few": (lambda path: write_candles(path, 60), "at least"),
    "flat": (
        lambda path: write_candles(path, 2000, open=10.0, high=10.0, low=10.0, close=10.0),
        "flat",
    ),
    "no volume": (lambda path: write_candles(path, 2000, volume=0.0), "volume"),
    "no prices": (lambda path: write_candles(path, 2000, close="much"), "no.csv"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_candles_end_in_one_clear_line_and_nothing_is_written(folder, capsys, fault):
    make, message = FAULTS[fault]
    make(folder / "no.csv")
    line = ["csv-train", "--file", "no.csv", "--symbol", "BTC/USDT", "--device-type", "cpu"]
    assert main([*line, "--publish"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert not (folder / "local_models").exists()
    assert not list(folder.glob("registry/*/versions/*"))


def test_a_file_that_names_no_symbol_must_be_given_one(folder, capsys):
    write_candles(folder / "candles.csv")
    assert main(["csv-train", "--file", "candles.csv"]) == 1
    assert "must say its symbol" in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_made_is_refused_before_the_work(folder, capsys):
    (folder / "taken").write_text("a file")
    assert train("--outdir", "taken/models", "--publish") == 1
    assert "taken/models must be writable" in capsys.readouterr().err
    assert not (folder / "registry").exists()
    assert not (folder / "journal.sqlite").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("csv-train", "--file"),
        ("csv-trian --file x.csv", "csv-trian"),
        ("csv-train --file BTC_USDT-15m.csv --hold 3", "hold_threshold must be less than 1"),
        ("csv-train --file BTC_USDT-15m.csv --max-bin 1", "max_bin"),
        ("csv-train --file BTC_USDT-15m.csv --config none.yaml", "none.yaml"),
        ("csv-train --file BTC_USDT-15m.csv --symbol BTC?", "symbol must look like BTC/USDT"),
        ("registry-list --symbol BTC?", "symbol must look like BTC/USDT"),
        ("registry-list --symbl BTC/USDT", "--symbl"),
    ],
)
def test_wrong_usage_exits_2_and_names_what_is_wrong(folder, capsys, line, message):
    try:
        code = main(line.split())
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (folder / "local_models").exists()


def test_an_empty_registry_is_an_answer(folder, capsys):
    assert main(["registry-list", "--symbol", "BTC/USDT"]) == 0
    assert "holds no version of BTC/USDT" in capsys.readouterr().out
    assert main(["registry-list", "--symbol", "BTC/USDT", "--json"]) == 0
    assert answer(capsys)["versions"] == []
    assert not (folder / "registry").exists()


def test_the_list_ranks_versions_and_hides_no_damage(folder, capsys):
    for _ in range(2):
        assert train("--publish") == 0
    registry = open_registry("registry")
    older, newer = registry.versions("BTC/USDT")
    registry.promote("BTC/USDT", older, PASSED)
    capsys.readouterr()
    assert main(["registry-list", "--symbol", "BTC/USDT", "--json"]) == 0
    stages = {entry["version"]: entry["stage"] for entry in answer(capsys)["versions"]}
    assert stages == {older: "champion", newer: "candidate"}
    model = folder / "registry/BTC-USDT/versions" / newer / LIGHTGBM_FILE
    model.write_bytes(model.read_bytes() + b" ")
    assert main(["registry-list", "--symbol", "BTC/USDT"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[1].split()[:3] == ["version", "stage", "gate"]
    assert shown[2].split()[:4] == ["1", older, "champion", "no"]
    assert shown[3].split()[:3] == ["2", newer, "damaged"]
    assert "damaged:" in shown[4]
    assert main(["registry-list", "--symbol", "ETH/USDT"]) == 0
    assert "it holds BTC/USDT" in capsys.readouterr().out


def test_the_smoke_test_leaves_the_registry_as_it_was(folder, capsys):
    assert main(["registry-smoke", "--symbol", "BTC/USDT"]) == 0
    assert "written, listed, read back equal and removed" in capsys.readouterr().out
    assert [path.name for path in (folder / "registry").rglob("*")] == ["tmp"]


def test_the_smoke_test_of_a_registry_that_cannot_be_written_fails(folder, capsys):
    (folder / "registry").write_text("a file")
    assert main(["registry-smoke", "--symbol", "BTC/USDT", "--json"]) == 1
    assert "must be writable" in answer(capsys)["error"]


def test_shared_options_work_before_and_after_the_command(folder, capsys):
    for line in ("--json registry-smoke --symbol A/B", "registry-smoke --symbol A/B --json"):
        assert main(line.split()) == 0
        assert answer(capsys)["symbol"] == "A/B"


def test_the_symbol_of_the_environment_is_the_default(folder, capsys, monkeypatch):
    monkeypatch.setenv("CT_SYMBOL", "DOGE/USDT")
    assert main(["registry-list", "--json"]) == 0
    assert answer(capsys)["symbol"] == "DOGE/USDT"


@pytest.mark.skipif(os.name == "nt", reason="needs fork and SIGKILL")
def test_killed_at_any_change_training_leaves_nothing_half_visible(tmp_path):
    write_candles(tmp_path / "candles.csv", 1200)
    environment = small_environment(**{"models.lightgbm.n_estimators": 2})
    paths = os.pathsep.join(map(str, (HERE.parent, HERE.parents[1] / "src")))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / "killed_training.py"), str(tmp_path), "8"],
        env={**environment, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    attempts = json.loads(done.stdout)
    assert sum(each["killed"] for each in attempts) >= 2
    assert {each["again"] for each in attempts} == {0}
    for each in attempts[:-1]:
        folder = tmp_path / str(each["number"])
        assert each["versions"] <= 1
        assert not (each["metadata"] and not each["versions"])
        registry = open_registry(folder / "registry")
        (version,) = registry.versions("BTC/USDT")
        registry.load("BTC/USDT", version)
        metadata = json.loads((folder / "local_models" / METADATA).read_text())
        content = (folder / "local_models" / MODEL).read_bytes()
        assert metadata["hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert metadata["version"] == version


def test_metadata_never_describes_another_model(folder, capsys, monkeypatch):
    assert train() == 0

    def full_disk(path, value):
        raise StorageError(f"{path} must be writable, was not: no space left")

    monkeypatch.setattr(training_commands_files, "write_json", full_disk)
    assert train("--max-bin", "7") == 1
    assert "no space left" in capsys.readouterr().err
    assert not (folder / "local_models" / METADATA).exists()
    assert (folder / "local_models" / MODEL).exists()
