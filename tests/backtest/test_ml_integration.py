"""Guide S1's programming door: what it promises, and the truth about it."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.backtest import ml_integration
from crypto_bot.backtest.loop import running
from crypto_bot.backtest.loop.due import is_due, last_training_ns
from crypto_bot.backtest.loop.running import run_loop
from crypto_bot.backtest.ml_integration import (
    MLBacktestingIntegration,
    create_ml_integration,
    run_integrated_system,
)
from crypto_bot.backtest.training_table import backtest_features
from crypto_bot.config import load_settings
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.timeframes import HOUR_NS, ReplayClock
from crypto_bot.journal import Trial, TrialKind
from small_runs import small_bench, small_settings

NOW_NS = 1_735_689_600_000_000_000
GUIDE = {
    "ml_integration": {
        "enabled": True,
        "auto_retrain": True,
        "supabase": {
            "url": "https://your-project.supabase.co",
            "key": "your-service-role-key",
            "bucket": "models",
        },
    }
}
ROW = {
    "sharpe": 1.0,
    "pnl": 0.10,
    "max_drawdown": 0.05,
    "stop_loss_pct": 0.01,
    "take_profit_pct": 0.02,
}
RESULTS = {
    "BTC/USDT": {"trend_bot": {"1h": [ROW, {**ROW, "sharpe": 3.0, "max_drawdown": 0.2}]}},
    "ETH/USDT": {"rsi": {"4h": [{**ROW, "win_rate": 0.4, "trades": 7}]}},
}
FIELDS = [
    "pair",
    "strategy",
    "timeframe",
    "avg_sharpe",
    "avg_pnl",
    "max_drawdown",
    "win_rate",
    "total_trades",
    "avg_stop_loss",
    "avg_take_profit",
    "strategy_consistency",
    "risk_adjusted_return",
]


@pytest.fixture
def integration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return MLBacktestingIntegration(small_settings(tmp_path), clock=ReplayClock(NOW_NS))


def trained_run(journal, kind="integrated", status="done"):
    """A run that tried a model and ended so."""
    run_id = journal.start_run(kind)
    trial = Trial("GLOBAL", "15m", "lightgbm", {}, {"sharpe": 1.0}, kind=TrialKind.MODEL)
    journal.record_trials(run_id, [trial])
    journal.finish_run(run_id, status)
    return run_id


def test_the_guides_program_makes_an_integration_and_reads_its_status(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    integration = create_ml_integration(GUIDE)
    status = integration.get_integration_status()
    assert status["ml_integration_enabled"] is True
    assert status["supabase_configured"] is False
    assert status["gpu_acceleration"]["status"] in {"available", "no_gpu"}
    assert set(status) >= {
        "cointrainer_available",
        "auto_retrain_enabled",
        "last_retrain",
        "retrain_interval_hours",
    }
    assert (status["last_retrain"], status["retrain_interval_hours"]) == (None, 24)
    assert list(tmp_path.iterdir()) == [], "asking for the status must leave nothing behind"
    json.dumps(status)


def test_the_status_follows_the_settings_and_tells_no_secret(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUPABASE_URL", "https://mine.supabase.co")
    monkeypatch.setenv("SUPABASE_KEY", "sb_secret_do_not_tell")
    inner = {"enabled": False, "training": {"auto_retrain": False, "retrain_interval_hours": 5}}
    integration = create_ml_integration({"ml_integration": inner})
    status = integration.get_integration_status()
    assert status["supabase_configured"] is True
    assert status["ml_integration_enabled"] is False
    assert status["auto_retrain_enabled"] is False
    assert status["retrain_interval_hours"] == 5
    assert "do_not_tell" not in f"{status} {integration.config} {integration.settings}"


def test_a_trainer_that_is_not_there_is_not_available(tmp_path):
    there = small_settings(tmp_path)
    absent = small_settings(tmp_path, **{"ml_integration.cointrainer_path": "no-such-trainer"})
    assert create_ml_integration(there)._check_cointrainer_availability() is True
    assert create_ml_integration(absent)._check_cointrainer_availability() is False


def test_the_configuration_may_be_a_file_a_mapping_or_settings(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("top_pairs_count: 7\n")
    for config in (path, str(path), {"top_pairs_count": 7}, load_settings(path)):
        assert create_ml_integration(config).settings.top_pairs_count == 7


def test_a_wrong_key_is_refused_with_its_nearest():
    with pytest.raises(ConfigError, match="did you mean 'enabled'"):
        create_ml_integration({"ml_integration": {"enable": True}})


def test_the_training_table_has_exactly_the_documented_columns(integration, tmp_path):
    table = integration.prepare_ml_training_data(RESULTS)
    assert list(table.columns) == [*FIELDS, "timestamp", "data_source"]
    assert table["pair"].tolist() == ["BTC/USDT", "ETH/USDT"]
    assert set(table["data_source"]) == {"enhanced_backtesting"}
    assert set(table["timestamp"]) == {"2025-01-01T00:00:00Z"}
    stored = tmp_path / "data/ml_training/enhanced_backtest_training_20250101_000000.csv"
    read = pd.read_csv(stored)
    assert read["avg_sharpe"].tolist() == [2.0, 1.0]
    assert read.columns.tolist() == table.columns.tolist()


def test_a_row_of_the_table_is_worked_out_by_hand():
    first = backtest_features("BTC/USDT", "trend_bot", "1h", RESULTS["BTC/USDT"]["trend_bot"]["1h"])
    assert first == {
        "pair": "BTC/USDT",
        "strategy": "trend_bot",
        "timeframe": "1h",
        "avg_sharpe": 2.0,
        "avg_pnl": pytest.approx(0.10),
        "max_drawdown": 0.2,
        "win_rate": None,
        "total_trades": None,
        "avg_stop_loss": 0.01,
        "avg_take_profit": 0.02,
        "strategy_consistency": 0.5,
        "risk_adjusted_return": pytest.approx(0.5),
    }
    second = backtest_features("ETH/USDT", "rsi", "4h", RESULTS["ETH/USDT"]["rsi"]["4h"])
    assert (second["win_rate"], second["total_trades"]) == (0.4, 7)
    assert second["strategy_consistency"] is None, "one result says nothing about consistency"


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8))
def test_consistency_is_bounded_and_highest_for_equal_values(sharpes):
    rows = [{**ROW, "sharpe": value} for value in sharpes]
    consistency = backtest_features("A/B", "s", "1h", rows)["strategy_consistency"]
    assert 0 < consistency <= 1
    assert (consistency == 1) == (max(sharpes) - min(sharpes) < 1e-10)


def test_without_a_drawdown_there_is_no_risk_adjusted_return():
    found = backtest_features("A/B", "s", "1h", [{**ROW, "max_drawdown": 0.0}])
    assert found["risk_adjusted_return"] is None


def test_undefined_numbers_are_left_out_of_means_and_never_replaced():
    rows = [{**ROW, "sharpe": None, "stop_loss_pct": None}, ROW]
    found = backtest_features("A/B", "s", "1h", rows)
    assert (found["avg_sharpe"], found["avg_stop_loss"]) == (1.0, 0.01)
    assert backtest_features("A/B", "s", "1h", rows[:1])["avg_sharpe"] is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "A/B s 1h results must hold at least one"),
        ([{"sharpe": 1.0}], r"results\[0\] must have pnl, had sharpe"),
        ([ROW, {**ROW, "pnl": float("nan")}], r"results\[1\].pnl must be finite, was nan"),
        ([{**ROW, "pnl": "much"}], r"results\[0\].pnl must be finite, was 'much'"),
    ],
)
def test_results_without_their_numbers_are_refused(rows, message):
    with pytest.raises(DataError, match=message):
        backtest_features("A/B", "s", "1h", rows)


def test_no_results_make_no_table_and_no_file(integration, tmp_path):
    with pytest.raises(DataError, match="run backtest-only"):
        integration.prepare_ml_training_data({})
    assert not (tmp_path / "data").exists()


def test_a_subclass_adds_features_as_the_guide_shows(integration, tmp_path):
    class CustomMLIntegration(MLBacktestingIntegration):
        def _calculate_custom_metric(self, results):
            return len(results)

        def _extract_ml_features(self, pair, strategy, timeframe, results):
            features = super()._extract_ml_features(pair, strategy, timeframe, results)
            features["custom_metric"] = self._calculate_custom_metric(results)
            return features

    table = CustomMLIntegration(integration.settings).prepare_ml_training_data(RESULTS)
    assert table["custom_metric"].tolist() == [2, 1]


def test_models_are_trained_for_the_pairs_of_the_table_and_then_validated(integration):
    async def program():
        table = integration.prepare_ml_training_data({"BTC/USDT": RESULTS["BTC/USDT"]})
        models = await integration.train_ml_models(table)
        return models, await integration.validate_ml_predictions("BTC/USDT")

    models, validation = asyncio.run(program())
    assert [model["symbol"] for model in models] == ["BTC/USDT"]
    assert models[0]["error"] is None
    assert validation["valid"] is True
    assert validation["version"] == models[0]["version"]
    status = integration.get_integration_status()
    assert status["last_retrain"] is not None


def test_data_that_names_no_pairs_is_refused(integration):
    with pytest.raises(DataError, match="had no column 'pair'"):
        asyncio.run(integration.train_ml_models(pd.DataFrame({"pairs": ["BTC/USDT"]})))


def test_only_a_completed_training_counts_as_the_last_one(tmp_path):
    settings = small_settings(tmp_path)
    with small_bench(tmp_path) as bench:
        journal = bench.journal
        trained_run(journal, status="failed")
        journal.finish_run(journal.start_run("integrated"), "done")  # a turn with learning off
        assert last_training_ns(settings) is None
        run_id = trained_run(journal, kind="ml-training")
        assert last_training_ns(settings) == journal.run(run_id).finished_at_ns
        trained_run(journal, status="failed")
        assert last_training_ns(settings) == journal.run(run_id).finished_at_ns
        later = trained_run(journal, kind="integrated")
        assert last_training_ns(settings) == journal.run(later).finished_at_ns


def test_training_is_due_when_the_interval_has_passed_and_the_settings_want_it():
    default = load_settings({}, environ={})
    assert is_due(default, None, NOW_NS)
    assert not is_due(default, NOW_NS - 24 * HOUR_NS + 1, NOW_NS)
    assert is_due(default, NOW_NS - 24 * HOUR_NS, NOW_NS)
    once = load_settings({"ml_integration": {"auto_retrain": False}}, environ={})
    assert is_due(once, None, NOW_NS)
    assert not is_due(once, 0, NOW_NS)
    assert not is_due(load_settings({"learning_enabled": False}, environ={}), None, NOW_NS)


class Turns:
    """Stands in for `run_turn`: counts, and says in the journal that a model was trained."""

    def __init__(self, failures=0):
        self.failures = failures
        self.calls = 0

    def __call__(self, bench, *, should_stop=None, **_more):
        self.calls += 1
        if self.calls <= self.failures:
            trained_run(bench.journal, status="failed")
            raise DataError("no candles today")
        return {"run_id": trained_run(bench.journal)}


def test_one_look_trains_when_due_and_not_again(tmp_path, monkeypatch):
    turns = Turns()
    monkeypatch.setattr(running, "run_turn", turns)
    with small_bench(tmp_path) as bench:
        said = []
        first = run_loop(bench, threading.Event(), once=True)
        second = run_loop(bench, threading.Event(), once=True, announce=said.append)
    assert (first["turns"], second["turns"], turns.calls) == (1, 0, 1)
    assert first["summary"]["run_id"]
    assert said[0].startswith("training is not due; last trained 20")


def test_a_failed_training_is_due_again_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "run_turn", Turns(failures=1))
    with small_bench(tmp_path) as bench:
        with pytest.raises(DataError, match="no candles today"):
            run_loop(bench, threading.Event(), once=True)
        assert run_loop(bench, threading.Event(), once=True)["turns"] == 1


def test_the_loop_ends_cleanly_when_its_task_is_cancelled(integration, monkeypatch):
    started, ended = threading.Event(), threading.Event()

    def endless(bench, *, should_stop, **_more):
        started.set()
        while not should_stop():
            time.sleep(0.001)
        ended.set()
        return {}

    monkeypatch.setattr(running, "run_turn", endless)

    async def program():
        task = asyncio.create_task(integration.run_continuous_learning_loop(once=True))
        await asyncio.to_thread(started.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set(), "the work must have come to rest before the task ends"

    asyncio.run(program())


def test_the_whole_system_is_one_turn(tmp_path, monkeypatch):
    asked = []

    def turn(bench, **more):
        asked.append(bench.settings)
        return {"promoted": False}

    monkeypatch.setattr(ml_integration, "run_turn", turn)
    settings = small_settings(tmp_path)
    assert asyncio.run(run_integrated_system(settings)) == {"promoted": False}
    assert asked == [settings]
