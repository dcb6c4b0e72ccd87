"""`cointrainer csv-train-aggregate` and `train regime`: many pairs, one model; one pair of the store."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from crypto_bot.backtest import file_training
from crypto_bot.backtest.file_training import capped, joined_pairs, newest
from crypto_bot.backtest.retraining import recipe_of
from crypto_bot.cli.cointrainer import main
from crypto_bot.core import ModelCard
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import DAY_NS, iso_time
from crypto_bot.market import BarStore, SimulationOptions, simulate_market
from crypto_bot.predictors import LIGHTGBM_FILE, load_predictor
from crypto_bot.registry import open_registry
from crypto_bot.training import DownsamplingTrainer
from shared_data import shared_data
from small_runs import small_environment

LINE = "csv-train-aggregate --folder candles --device-type cpu --no-write-predictions"
PAIRS = simulate_market(
    SimulationOptions(seed=3, symbols=3, timeframe="15m", bars=1000, outages_per_year=0)
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, text in small_environment(**{"models.lightgbm.n_estimators": 2}).items():
        if name.startswith("CRYPTO_BOT__"):
            monkeypatch.setenv(name, text)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "candles").mkdir()
    for bars in PAIRS:
        name = bars.symbol.replace("/", "_")
        bars.to_pandas().to_csv(tmp_path / "candles" / f"{name}-15m.csv")
    return tmp_path


def answer(capsys):
    return json.loads(capsys.readouterr().out)


def metadata_of(folder: Path, slug: str):
    return json.loads((folder / "local_models" / f"regime_lgbm_{slug}.json").read_text())


def test_one_model_of_all_pairs_and_one_each_with_the_trainers_files(folder, capsys):
    line = f"{LINE} --per-pair --publish --downsample-flat --write-predictions --json"
    assert main(line.split()) == 0
    result = answer(capsys)
    names = ["GLOBAL", *sorted(bars.symbol for bars in PAIRS)]
    assert [each["symbol"] for each in result["models"]] == names
    whole = metadata_of(folder, "GLOBAL")
    content = (folder / "local_models" / "regime_lgbm_GLOBAL.txt").read_bytes()
    assert whole["hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert (whole["mode"], whole["pairs_trained"]) == ("aggregate", names[1:])
    single = [metadata_of(folder, name.replace("/", "-")) for name in names[1:]]
    assert {each["mode"] for each in single} == {"per-pair"}
    assert whole["rows_total"] == sum(each["rows_total"] for each in single)
    card = ModelCard.from_mapping(whole["card"])
    assert load_predictor(card, {LIGHTGBM_FILE: content}).feature_names == card.feature_names
    registry = open_registry("registry")
    assert [registry.versions(name) for name in names] == [
        [each["version"]] for each in result["models"]
    ]
    recipe = recipe_of(card)
    assert isinstance(recipe.trainer, DownsamplingTrainer)
    with (folder / "local_models" / "regime_lgbm_GLOBAL_predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["time", "symbol", "class", "action", "score"]
    assert {row["symbol"] for row in rows} == set(names[1:])
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)


def test_the_pooled_model_has_the_trainers_defaults_unless_told_otherwise(
    folder, capsys, monkeypatch
):
    monkeypatch.setenv("CRYPTO_BOT__MODELS__LIGHTGBM__SUBSAMPLE", "0.5")
    assert main([*LINE.split(), "--random-state", "7", "--global-symbol", "ALL", "--json"]) == 0
    options = metadata_of(folder, "ALL")["card"]["options"]
    assert (options["subsample"], options["colsample_bytree"], options["seed"]) == (0.5, 0.8, 7)
    assert options["n_estimators"] == 2
    assert file_training.AGGREGATE["n_estimators"] == 600


def test_the_newest_candles_stay_and_that_is_said(folder, capsys):
    line = f"{LINE} --limit-rows-per-file 950 --cap-rows-per-pair 900 --max-total-rows 2500"
    assert main(line.split()) == 0
    said = capsys.readouterr().out
    assert "3 pairs, 2,499 candles from 2024" in said
    assert "the newest, by --limit-rows-per-file, --cap-rows-per-pair, --max-total-rows" in said


def test_limits_keep_what_is_newest_from_one_moment_on():
    pairs = {bars.symbol: bars for bars in PAIRS}
    one, two, three = pairs
    pairs[two] = pairs[two][:400]
    assert {name: len(bars) for name, bars in capped(pairs, 300, None).items()} == {
        one: 300,
        two: 300,
        three: 300,
    }
    found = capped(pairs, None, 1500)
    starts = {int(bars.open_time[0]) for bars in found.values()}
    assert len(starts) == 1
    assert 1497 < sum(map(len, found.values())) <= 1500
    assert set(capped(pairs, None, 200)) == {one, three}
    assert len(newest(PAIRS[0], 10)) == 10
    assert newest(PAIRS[0], 10).close[-1] == PAIRS[0].close[-1]


def test_files_of_one_pair_are_put_together_and_must_agree():
    (bars,) = (PAIRS[0],)
    found = joined_pairs([bars[500:], bars[:600]])
    assert found[bars.symbol].fingerprint == bars.fingerprint
    other = replace(bars[:600], volume=bars.volume[:600] + 1)
    with pytest.raises(DataError, match=r"files must agree, had volume .* such candles"):
        joined_pairs([bars, other])
    with pytest.raises(DataError, match="must be of one timeframe, were 15m and 5m"):
        joined_pairs([bars, replace(bars[:1], timeframe="5m")])


def test_a_bad_file_is_left_out_with_its_reason_and_the_rest_is_taught(folder, capsys):
    (folder / "candles" / "BAD_USDT-15m.csv").write_text("a,b\n1,2\n")
    assert main([*LINE.split(), "--json"]) == 1
    result = answer(capsys)
    assert len(result["pairs"]) == 3
    assert "BAD_USDT-15m.csv must have columns" in result["left_out"][0]
    assert result["models"][0]["error"] is None


@pytest.mark.parametrize(
    "line",
    [
        *(f"{LINE} --{way}" for way in ("federated", "true-federated", "swarm")),
        *(f"train regime --{way}" for way in ("federated", "true-federated", "swarm")),
    ],
)
def test_ways_that_are_replaced_say_by_what(folder, capsys, line):
    assert main(line.split()) == 2
    error = capsys.readouterr().err
    assert "is replaced by csv-train-aggregate" in error
    assert "Ray" in error
    assert not (folder / "journal.sqlite").exists()


def test_only_one_way_of_training_can_be_asked_for(folder, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["train", "regime", "--federated", "--true-federated"])
    assert "not allowed with" in capsys.readouterr().err


@pytest.fixture
def store(folder):
    (bars,) = simulate_market(
        SimulationOptions(symbols=1, timeframe="15m", bars=45 * 96, outages_per_year=0)
    )
    BarStore("data/market").append(bars)
    return bars


def test_one_symbol_of_the_store_is_trained_on_the_trainers_label(store, capsys):
    assert main(["train", "regime", "--horizon", "30m", "--publish", "--json"]) == 0
    result = answer(capsys)
    assert (result["symbol"], result["error"]) == ("BTC/USDT", None)
    registry = open_registry("registry-simulated")
    card = registry.show("BTC/USDT", result["version"]).card
    assert card.label["horizon_minutes"] == 30
    assert card.classes == (-1, 0, 1)
    # The hold-out, the last fifth of the look-back window of 12 days, is not among its rows.
    assert card.data_end <= iso_time(int(store.close_time[-1]) - 2 * DAY_NS)


def test_a_search_of_the_setting_is_the_projects_own(store, capsys, monkeypatch):
    monkeypatch.setenv("CRYPTO_BOT__MODELS__SEARCH__TRIALS", "2")
    monkeypatch.setenv("CRYPTO_BOT__MODELS__SEARCH__FOLDS", "2")
    assert main(["train", "regime", "--symbol", "BTCUSDT", "--optuna", "--use-gpu"]) == 0
    said = capsys.readouterr().out
    assert "--optuna: 2 settings a stretch" in said
    assert "--use-gpu: no GPU was found here" in said or "BTC/USDT" in said
    assert not Path("registry-simulated").exists()


def test_a_symbol_that_is_not_stored_and_a_horizon_that_is_no_time_are_refused(store, capsys):
    assert main(["train", "regime", "--symbol", "ETHUSDT"]) == 1
    assert "ETH/USDT: not trained" in capsys.readouterr().out
    assert main(["train", "regime", "--horizon", "soon"]) == 2
    assert "--horizon must be a time such as 15m or 1h" in capsys.readouterr().err


def test_real_pairs_at_five_minutes_are_taught_together(folder, capsys):
    real = shared_data("binance")
    line = (
        f"csv-train-aggregate --folder {real} --glob [AB]*_USDT-5m.parquet --device-type cpu "
        "--limit-rows-per-file 1500 --no-write-predictions --json"
    )
    assert main(line.split()) == 0
    result = answer(capsys)
    assert len(result["pairs"]) >= 4
    assert result["models"][0]["pairs_trained"] == sorted(result["pairs"])
