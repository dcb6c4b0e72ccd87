"""The select command and S1's trade table: files a person can read, exit codes, plain errors."""

from __future__ import annotations

import json

import pandas as pd
import polars as pl
import pytest

from crypto_bot.backtest.cli import main
from crypto_bot.backtest.ml_integration import MLBacktestingIntegration
from crypto_bot.core.timeframes import ReplayClock
from crypto_bot.journal import Journal, TrialKind
from crypto_bot.market import BarStore, SimulationOptions, simulate_market
from crypto_bot.selector import load_selector
from small_runs import small_settings

NOW_NS = 1_735_689_600_000_000_000
CONFIG = """
top_pairs_count: 3
lookback_days: 190
data: {base_timeframe: 1h, symbols: [], exchange: ""}
journal: {url: "sqlite:///journal.sqlite"}
"""
ROW = {
    "sharpe": 1.0,
    "pnl": 0.10,
    "max_drawdown": 0.05,
    "stop_loss_pct": 0.01,
    "take_profit_pct": 0.02,
}
WORDS = ["select", "-c", "c.yaml", "--data", "candles"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(CONFIG)
    (tmp_path / "candles").mkdir()
    options = SimulationOptions(symbols=3, timeframe="1h", bars=5_300, seed=4, edge_strength=0.6)
    for bars in simulate_market(options):
        name = bars.symbol.replace("/", "_")
        bars.to_pandas().rename_axis("timestamp").reset_index().to_csv(
            tmp_path / "candles" / f"{name}-1h.csv", index=False
        )
    return tmp_path


def test_the_command_writes_accounts_entries_the_picture_and_the_selector(folder, capsys):
    words = [*WORDS, "--strategies", "sma_cross", "trend_bot", "--folds", "3", "--output", "out"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["account"] for row in told["accounts"]] == [
        *("selector", "equal mix", "sma_cross", "trend_bot", "buy and hold")
    ]
    assert len(told["folds"]) == 3
    assert 0 <= told["taken"] <= told["entries"]
    assert told["difference"]["low"] <= told["difference"]["high"]
    entries = pl.read_csv(folder / "out" / "entries.csv", infer_schema_length=None)
    assert entries["is_taken"].sum() == told["taken"]
    assert (entries["fold"] >= 0).sum() == told["entries"]
    judged = entries.filter((pl.col("fold") >= 0) & pl.col("chance").is_not_null())
    taken = judged["expected_return"] > 0
    assert (judged["is_taken"] == taken).all()
    written = {f.relative_to(folder / "out").as_posix() for f in (folder / "out").rglob("*.*")}
    assert written == {
        *("accounts.csv", "entries.csv", "equity.csv", "select.png", "summary.json"),
        *("selector/chance.model.txt", "selector/gain.model.txt", "selector/selector.json"),
    }
    assert (folder / "out" / "select.png").stat().st_size > 20_000
    files = {f.name: f.read_bytes() for f in (folder / "out" / "selector").iterdir()}
    assert load_selector(files).strategies == ("sma_cross", "trend_bot")
    with Journal("sqlite:///journal.sqlite") as journal:
        (run,) = journal.runs()
        assert (run.kind, str(run.status)) == ("select", "done")
        assert journal.trials_count(run_id=run.id) == 5
        assert journal.trials_count(run_id=run.id, kind=TrialKind.MODEL) == 1


def test_people_see_who_earned_what_and_a_plain_verdict(folder, capsys):
    strict = [*WORDS, "--strategies", "trend_bot", "sma_cross", "--margin", "0.9", "--folds", "2"]
    assert main(strict) == 0
    shown = capsys.readouterr().out
    for words in ("fold 1 of 2", "equal mix", "buy and hold", "files in out/select/"):
        assert words in shown
    assert "0 of " in shown
    assert "not by luck" not in shown


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--strategies", "sma_cros"], 2, "sma_cross"),
        (["--strategies", "maker_spread"], 1, "maker_spread"),
        (["--timeframe", "7m"], 2, "7m"),
        (["--folds", "0"], 2, "folds must"),
        (["--chance", "1.5"], 2, "minimum_chance must"),
        (["--folds", "60"], 1, "ended trades|fold|folds"),
        (["--pairs", "NOPE/USDT"], 1, "symbol must be one of"),
    ],
)
def test_wrong_words_are_refused_in_one_line(folder, capsys, words, code, message):
    assert main([*WORDS, *words]) == code
    (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("error")]
    assert any(part in line for part in message.split("|"))
    assert not (folder / "out" / "select").exists()


@pytest.fixture
def integration(tmp_path, monkeypatch):
    """Three stored pairs of one hour candles."""
    monkeypatch.chdir(tmp_path)
    settings = small_settings(
        tmp_path, **{"data.base_timeframe": "1h", "lookback_days": 60, "timeframes": ["1h"]}
    )
    store = BarStore(settings.data.store_folder)
    for bars in simulate_market(SimulationOptions(symbols=3, timeframe="1h", bars=2_400, seed=4)):
        store.append(bars)
    return MLBacktestingIntegration(settings, clock=ReplayClock(NOW_NS))


def test_the_training_data_carries_the_trades_behind_the_results(integration, tmp_path):
    results = {"BTC/USDT": {"sma_cross": {"1h": [ROW]}, "not_ours": {"1h": [ROW]}}}
    table = integration.prepare_ml_training_data(results)
    assert table["strategy"].tolist() == ["sma_cross", "not_ours"]
    assert table.attrs["trades_note"] is None
    path = tmp_path / "data/ml_training/enhanced_backtest_trades_20250101_000000.csv"
    assert (tmp_path / table.attrs["trades_file"]).samefile(path)
    trades = pd.read_csv(path)
    assert set(trades["symbol"]) == {"BTC/USDT"}
    assert set(trades["strategy"]) == {"sma_cross"}
    assert trades["is_simulated"].all()
    known = trades["profitable"].notna()
    assert known.sum() > 20
    assert (trades["profitable"] == (trades["return_after_costs"] > 0))[known].all()


def test_results_whose_candles_are_not_stored_say_why_they_have_no_trades(integration, tmp_path):
    for results, why in (
        ({"NOPE/USDT": {"rsi": {"1h": [ROW]}}}, "no candles of NOPE/USDT are stored"),
        ({"BTC/USDT": {"mine": {"1h": [ROW]}}}, "none of the strategies trades on candles alone"),
        ({"BTC/USDT": {"rsi": {"7m": [ROW]}}}, "must be a multiple of the bars' 1h"),
    ):
        table = integration.prepare_ml_training_data(results)
        assert table.attrs["trades_file"] is None
        assert why in table.attrs["trades_note"]
    assert not list((tmp_path / "data/ml_training").glob("*trades*"))


def test_a_subclass_as_the_guide_shows_keeps_its_columns_and_the_trades(integration):
    class CustomMLIntegration(MLBacktestingIntegration):
        def _extract_ml_features(self, pair, strategy, timeframe, results):
            features = super()._extract_ml_features(pair, strategy, timeframe, results)
            features["custom_metric"] = len(results)
            return features

    mine = CustomMLIntegration(integration.settings, clock=ReplayClock(NOW_NS))
    table = mine.prepare_ml_training_data({"ETH/USDT": {"sma_cross": {"1h": [ROW, ROW]}}})
    assert table["custom_metric"].tolist() == [2]
    assert table.attrs["trades_file"] is not None


def test_selector_data_is_every_entry_of_every_strategy_on_every_pair(integration, tmp_path):
    table = integration.prepare_selector_data(strategies=["sma_cross", "mean_bot"])
    assert set(table["symbol"]) == {"BTC/USDT", "ETH/USDT", "SOL/USDT"}
    assert set(table["strategy"]) == {"sma_cross", "mean_bot"}
    assert {"regime", "profitable", "return_after_costs", "adx_14", "side"} <= set(table.columns)
    assert (tmp_path / table.attrs["trades_file"]).exists()
    assert (table["strategy.sma_cross"] == (table["strategy"] == "sma_cross")).all()
