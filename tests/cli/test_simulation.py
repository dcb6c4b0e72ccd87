"""`cointrainer backtest`, `optimize` and `autobacktest` on a small invented market."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from candle_files_made import market
from crypto_bot.cli import simulation_files, simulation_models, simulation_search
from crypto_bot.cli.cointrainer import main
from crypto_bot.cli.simulation_models import TradedModel, predicted
from crypto_bot.core.errors import ModelError
from crypto_bot.journal import Journal, TrialKind
from crypto_bot.registry import open_registry
from small_runs import small_environment
from toy_model import ToyPredictor, toy_card

FILE, SYMBOL = "BTC_USDT-15m.csv", "BTC/USDT"
FIGURES = {
    "cagr",
    "sharpe",
    "sortino",
    "max_drawdown",
    "calmar",
    "turnover",
    "trades",
    "trades_per_day",
    "final_equity",
}


def candles(path, bars=2000, **changes):
    frame = market(2000).to_pandas().iloc[:bars].copy()
    for name, value in changes.items():
        frame[name] = value
    frame.to_csv(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a model that learned from the first 1,500 of 2,000 candles, published."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        set_environment(patch)
        patch.chdir(folder)
        candles(FILE, 1500)
        line = ["csv-train", "--file", FILE, "--device-type", "cpu", "--publish"]
        assert main(line) == 0
        candles(FILE)
    return folder


def set_environment(monkeypatch, **changes):
    for name, text in small_environment(**changes).items():
        if name.startswith("CRYPTO_BOT__"):
            monkeypatch.setenv(name, text)


@pytest.fixture
def folder(trained, tmp_path, monkeypatch):
    set_environment(monkeypatch)
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def backtest(*more):
    return main(["backtest", "--file", FILE, "--symbol", SYMBOL, "--open-thr", "0.4", *more])


def optimize(*more):
    line = ["optimize", "--file", FILE, "--symbol", SYMBOL, "--val-len", "200", "--gap", "20"]
    return main([*line, "--folds", "2", "--device-type", "cpu", *more])


def answer(capsys):
    return json.loads(capsys.readouterr().out)


def test_what_a_model_saw_and_what_it_did_not_are_told_apart(folder, capsys):
    assert backtest("--from-registry", "--json") == 0
    found = answer(capsys)
    assert set(found) >= FIGURES
    seen, unseen = found["in_sample"], found["out_of_sample"]
    assert set(seen) >= FIGURES <= set(unseen)
    assert seen["bars"] + unseen["bars"] == found["bars"] == 2000
    assert unseen["start"] >= found["out_of_sample_from"] == found["model_learned_until"]
    assert seen["end"] <= unseen["start"]
    assert unseen["bars"] == pytest.approx(500, abs=3)


def test_it_writes_equity_picture_and_summary(folder, capsys):
    assert backtest("--from-registry", "--json") == 0
    found = answer(capsys)
    table, picture, summary = (folder / name for name in found["files"])
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 2000
    assert float(rows[-1]["equity"]) == pytest.approx(found["final_equity"], rel=1e-6)
    assert [row["sample"] for row in rows].count("out") == found["out_of_sample"]["bars"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert json.loads(summary.read_text())["sharpe"] == found["sharpe"]
    assert table.stem.replace("equity", "summary") == summary.stem
    assert backtest("--from-registry", "--json") == 0
    assert not set(answer(capsys)["files"]) & set(found["files"])


def test_a_file_and_the_registry_hold_the_same_model(folder, capsys):
    path = "local_models/btc-usdt_regime_lgbm.txt"
    found = []
    for way in (["--from-registry"], ["--model", path]):
        for position in ("gated", "sized"):
            assert backtest(*way, "--position", position, "--json") == 0
            found.append(answer(capsys))
    for name in FIGURES:
        assert found[0][name] == found[2][name]
        assert found[1][name] == found[3][name]
    assert found[0]["final_equity"] != found[1]["final_equity"]


def test_start_and_end_cut_the_candles_but_not_the_warm_up(folder, capsys):
    assert (
        backtest("--from-registry", "--start", "2024-01-10", "--end", "2024-01-12", "--json") == 0
    )
    found = answer(capsys)
    assert (found["start"], found["end"]) == ("2024-01-10T00:00:00Z", "2024-01-12T00:00:00Z")
    assert found["predicted_bars"] == found["bars"] == 192
    assert found["out_of_sample"] is None
    assert backtest("--from-registry", "--start", "2024-01-10", "--end", "2024-01-12") == 0
    assert "say nothing of skill" in capsys.readouterr().out


def test_a_look_at_candles_is_a_trial_of_the_ledger(folder):
    assert backtest("--from-registry") == 0
    with Journal("sqlite:///journal.sqlite") as journal:
        (trial,) = journal.trials(kind=TrialKind.BACKTEST)
    assert trial.parameters["open_thr"] == 0.4


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "model.txt"])
def test_a_pickle_is_refused_in_a_sentence_and_never_opened(folder, capsys, name):
    (folder / name).write_bytes(b"\x80\x04cposix\nsystem\n(S'touch broken'\ntR.")
    assert backtest("--model", name) == 1
    error = capsys.readouterr().err
    assert "must be a model in a safe format, was a pickle" in error
    assert "cointrainer csv-train writes a text model" in error
    assert not (folder / "broken").exists()
    assert not (folder / "out").exists()


def test_a_model_that_is_not_what_its_metadata_says_is_refused(folder, capsys):
    path = folder / "local_models/btc-usdt_regime_lgbm.txt"
    path.write_bytes(path.read_bytes() + b"\n")
    assert backtest("--model", str(path)) == 1
    assert "its sha256 differs" in capsys.readouterr().err
    (folder / "local_models/btc-usdt_metadata.json").unlink()
    assert backtest("--model", str(path)) == 1
    assert "must have its metadata beside it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"symbol": "ETH/USDT"}, "model must be of BTC/USDT or GLOBAL, was of ETH/USDT"),
        ({"timeframe": "1h"}, "candles must be 1h as the model learned from, were 15m"),
        ({"feature_names": ("rsi_14", "no_such_feature")}, "must read features that exist here"),
    ],
)
def test_a_model_whose_schema_does_not_fit_is_refused(change, message):
    card = toy_card(**{"timeframe": "15m", **change})
    model = TradedModel(ToyPredictor(card, [0.4, 0.6]), card, "toy")
    with pytest.raises(ModelError, match=message):
        predicted(model, market(2000))


def test_a_card_and_a_model_of_other_features_are_refused():
    card = toy_card(timeframe="15m")
    other = ToyPredictor(toy_card(feature_names=("sma_ratio", "rsi_14")), [0.4, 0.6])
    with pytest.raises(ModelError, match="order differs"):
        predicted(TradedModel(other, card, "toy"), market(2000))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "one of --model FILE and --from-registry must be given, was neither"),
        (["--model", "a.txt", "--from-registry"], "was both"),
        (["--from-registry", "--start", "soon"], "--start must be a date or time"),
        (["--from-registry", "--close-thr", "0.9"], "close_thr must be at most open_thr"),
    ],
)
def test_wrong_lines_end_with_2_and_leave_nothing(folder, capsys, more, message):
    assert backtest(*more) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_a_full_disk_leaves_no_summary(folder, capsys, monkeypatch):
    from crypto_bot.cli import simulation_files
    from crypto_bot.core.errors import StorageError

    def full(path, content):
        raise StorageError(f"{path} must be writable, was not: no space left")

    monkeypatch.setattr(simulation_files, "write_file", full)
    assert backtest("--from-registry") == 1
    assert "no space left" in capsys.readouterr().err
    assert list(folder.rglob("summary_*")) == []


def test_the_search_trains_trades_counts_and_judges_on_what_no_trial_saw(folder, capsys):
    assert optimize("--n-trials", "4", "--json") == 0
    found = answer(capsys)
    best = found["best"]
    board = list(csv.DictReader((folder / "out/opt/leaderboard.csv").read_text().splitlines()))
    assert len(board) == found["trials"] == 4
    assert float(board[0]["sharpe"]) == pytest.approx(best["folds"]["sharpe"], rel=1e-4)
    assert set(best["folds"]) >= FIGURES <= set(best["untouched"])
    assert best["folds"]["end"] <= best["untouched"]["start"]
    assert best["version"] is None
    assert json.loads((folder / "out/opt/best.json").read_text()) == best
    with Journal("sqlite:///journal.sqlite") as journal:
        assert journal.trials_count(kind=TrialKind.SEARCH) == 4
        (run,) = journal.runs("trainer-optimize")
        assert journal.trials_count(run_id=run.id, kind=TrialKind.MODEL) == 1


def test_no_trial_sees_the_stretch_that_judges(folder, capsys):
    """Candles of the last stretch are replaced by nonsense: no trial changes, the judgement does."""
    assert optimize("--n-trials", "3", "--json") == 0
    first = answer(capsys)["best"]
    board = (folder / "out/opt/leaderboard.csv").read_bytes()
    frame = market(2000).to_pandas()
    frame.iloc[-199:, :4] *= np.linspace(1.0, 3.0, 199)[:, None]
    frame.to_csv(FILE)
    assert optimize("--n-trials", "3", "--outdir", "other", "--json") == 0
    second = answer(capsys)["best"]
    assert (folder / "other/leaderboard.csv").read_bytes() == board
    assert first["folds"] == second["folds"]
    assert first["untouched"] != second["untouched"]


def test_a_stopped_search_goes_on_and_gives_what_an_unbroken_one_gives(folder, capsys, monkeypatch):
    assert optimize("--n-trials", "4", "--outdir", "whole", "--json") == 0
    whole = answer(capsys)["best"]
    asked = []
    real = simulation_search.Judge.tried

    def watched(self, setting):
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(setting)
        return real(self, setting)

    monkeypatch.setattr(simulation_search.Judge, "tried", watched)
    assert optimize("--n-trials", "4") == 130
    assert "interrupted" in capsys.readouterr().err
    assert not (folder / "out/opt/best.json").exists()
    assert list((folder / "out").rglob("*.partial")) == []
    monkeypatch.setattr(simulation_search.Judge, "tried", lambda *a: (asked.append(a), real(*a))[1])
    assert optimize("--n-trials", "4", "--json") == 0
    assert len(asked) == 4
    again = answer(capsys)["best"]
    assert {k: again[k] for k in whole if k != "gate"} == {
        k: whole[k] for k in whole if k != "gate"
    }
    assert (folder / "out/opt/leaderboard.csv").read_bytes() == (
        folder / "whole/leaderboard.csv"
    ).read_bytes()


def test_a_study_of_other_candles_is_not_gone_on_with(folder, capsys):
    line = ["--n-trials", "1", "--study-name", "mine", "--storage", "sqlite:///study.db"]
    assert optimize(*line) == 0
    candles(FILE, 1900)
    capsys.readouterr()
    assert optimize(*line) == 2
    assert "study mine must be of these candles" in capsys.readouterr().err


def test_a_storage_that_does_not_open_is_said(folder, capsys):
    assert optimize("--n-trials", "1", "--storage", "sqlite:////no/such/folder/study.db") == 1
    assert "--storage must be a database that opens" in capsys.readouterr().err


def test_the_grid_is_the_original_one_and_each_point_is_tried_once(folder, capsys, monkeypatch):
    from crypto_bot.cli.simulation_search import Tried, grid

    assert len(grid()) == len(set(grid())) == 72
    asked = []

    def only_one_trades(self, setting):
        asked.append(setting)
        figures = dict.fromkeys(FIGURES)
        if setting == grid()[40]:
            figures |= {"sharpe": 1.0, "trades": 3, "trades_per_day": 0.1}
        return Tried(setting, figures)

    monkeypatch.setattr(simulation_search.Judge, "tried", only_one_trades)
    assert optimize("--n-trials", "0", "--json") == 0
    assert asked == grid()
    best = answer(capsys)["best"]
    assert {name: best[name] for name in vars(grid()[40])} == vars(grid()[40])


def test_the_winner_is_published_through_the_gate(folder, capsys):
    assert optimize("--n-trials", "4", "--publish-best", "--json") == 0
    best = answer(capsys)["best"]
    registry = open_registry("registry")
    assert best["version"] in registry.versions(SYMBOL)
    assert best["gate"]["promoted"] is best["promoted"] is False
    assert registry.champion(SYMBOL) is None
    assert registry.show(SYMBOL, best["version"]).card.thresholds["open"] == best["open_thr"]


def test_a_short_file_is_said_to_be_too_short(folder, capsys):
    candles(FILE, 90)
    assert optimize("--n-trials", "1") == 1
    assert "must have more than" in capsys.readouterr().err
    assert optimize("--n-trials", "1", "--folds", "0") == 2
    assert "--folds must be at least 1" in capsys.readouterr().err


def auto(*more):
    line = ["autobacktest", "--file", FILE, "--symbol", SYMBOL, "--device-type", "cpu"]
    return main([*line, "--open-thr", "0.4", *more])


def test_it_trains_again_when_the_content_changed_and_only_then(folder, capsys):
    assert auto("--once", "--json") == 0
    first = answer(capsys)
    assert first["status"] == "trained"
    summary = json.loads((folder / first["file"]).read_text())
    assert set(summary) >= FIGURES
    assert (folder / first["file"]).name.startswith("summary_BTC-USDT_")
    os.utime(folder / FILE)
    assert auto("--once", "--json") == 0
    assert answer(capsys)["status"] == "unchanged"
    candles(FILE, 1900)
    assert auto("--once", "--json") == 0
    assert answer(capsys)["status"] == "trained"
    (folder / first["file"]).unlink()
    candles(FILE)
    assert auto("--once", "--json") == 0
    assert answer(capsys)["status"] == "trained"


@pytest.mark.skipif(os.name == "nt", reason="needs SIGTERM")
def test_told_to_stop_while_it_trains_it_ends_within_five_seconds_and_goes_on_later(folder):
    rounds = {"models.lightgbm.n_estimators": 20_000}  # training far longer than the test
    line = [sys.executable, "-W", "ignore", "-m", "crypto_bot.cli.cointrainer", "autobacktest"]
    words = ["--file", FILE, "--symbol", SYMBOL, "--device-type", "cpu", "--open-thr", "0.4"]
    with subprocess.Popen(
        [*line, *words],
        env={**small_environment(**rounds), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as loop:
        assert "2000 candles" in loop.stdout.readline()
        asked = time.monotonic()
        loop.send_signal(signal.SIGTERM)
        text, _ = loop.communicate(timeout=20)
    assert loop.returncode == 0
    assert time.monotonic() - asked < 5.0
    assert "stopped after 0 rounds" in text
    assert list(folder.rglob("*.partial")) == []
    assert list(folder.rglob("out/autobacktest/summary_*")) == []
    with Journal("sqlite:///journal.sqlite") as journal:
        (run,) = journal.unfinished_runs("autobacktest") or journal.runs("autobacktest")
    assert run.status in ("interrupted", "running")


def test_the_loop_looks_in_processes_of_its_own_until_it_is_stopped(folder, monkeypatch, capsys):
    """Three looks: done, failed and tried again, wrong usage that ends it."""
    from crypto_bot.cli import simulation_auto

    codes = iter([0, 1, 2])
    monkeypatch.setattr(simulation_auto, "_child", lambda options, stop: (next(codes), ""))
    assert auto("--interval-sec", "0.01") == 2
    said = capsys.readouterr()
    assert "next look in 0.01 s" in said.out
    assert "round failed with 1; tried again in 0.01 s" in said.err
    assert auto("--interval-sec", "0") == 2
    assert "--interval-sec must be more than 0" in capsys.readouterr().err


def test_the_line_of_a_look_is_the_line_that_was_given(folder):
    from crypto_bot.cli.cointrainer import build_parser
    from crypto_bot.cli.simulation_auto import _words

    line = ["autobacktest", "--file", "a b.csv", "--symbol", SYMBOL, "--hold", "0.002", "--publish"]
    defaults = {"config": None, "verbose": False, "json": True}
    given = build_parser().parse_args(line)
    for name, value in defaults.items():
        setattr(given, name, getattr(given, name, value))
    again = build_parser().parse_args(_words(given))
    kept = {name: value for name, value in vars(given).items() if name not in ("once", "config")}
    assert {name: getattr(again, name, False) for name in kept} == {
        **kept,
        "interval_sec": 900,
    }
    assert again.once


def test_models_are_looked_for_where_the_candles_belong(folder):
    from crypto_bot.config import load_settings

    with pytest.raises(ModelError, match="must hold a model of"):
        simulation_models.model_of(
            load_settings(None), SYMBOL, path=None, version="champion", simulated=True
        )


def test_a_picture_of_candles_that_were_all_seen_in_training_says_so():
    bars = market(50)
    end_ns = int(bars.close_time[-1])
    assert "SEEN IN TRAINING" in simulation_files._seen(bars, end_ns)
    assert "never seen" in simulation_files._seen(bars, int(bars.open_time[0]))
    assert simulation_files._seen(bars, int(bars.open_time[25])) == ""
