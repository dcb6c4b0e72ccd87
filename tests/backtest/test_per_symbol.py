"""A model for each symbol, and what it does on candles it never saw."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from crypto_bot.backtest.candles import stored_candles
from crypto_bot.backtest.per_symbol import (
    TRAINING,
    start_or_resume,
    train_symbols,
    validate_frame,
    validate_symbols,
)
from crypto_bot.backtest.turn import hold_out_start
from crypto_bot.backtest.unseen import choose_model
from crypto_bot.core.errors import ConfigError, ModelError
from crypto_bot.core.timeframes import ReplayClock, iso_time
from crypto_bot.journal import TrialKind
from crypto_bot.ml.feature_engineering import create_features
from crypto_bot.training.cards import POOLED
from small_runs import small_bench
from toy_model import PASSED, ToyPredictor, toy_card, toy_files, toy_registry

NOW_NS = 1_735_689_600_000_000_000
PERFORMANCE = {"sharpe", "pnl", "max_drawdown", "win_rate", "trades", "fees_quote"}


def silent(line):
    pass


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two trained symbols, one unknown, and everything that was said."""
    folder = tmp_path_factory.mktemp("trained")
    said = []
    with small_bench(folder) as bench:
        results = train_symbols(
            bench, ["BTC/USDT", "SOL/USDC", "ETH/USDT"], data=None, announce=said.append
        )
        yield SimpleNamespace(folder=folder, bench=bench, results=results, said=said)


def border_ns(bench, symbol):
    universe = stored_candles(bench.settings, [symbol])
    return hold_out_start(universe, bench.settings.validation.holdout_frac)


def toy_bench(bench, folder, probabilities, **changes):
    """The same workbench with a model of constant probabilities for BTC/USDT."""
    registry = toy_registry(folder)
    end = iso_time(border_ns(bench, "BTC/USDT"))
    card = toy_card(timeframe="15m", data_end=end, **changes)
    registry.publish("BTC/USDT", {"model.json": json.dumps(probabilities).encode()}, card)
    many = bench.settings.validation.replace(hold_out_uses=99)
    settings = bench.settings.model_copy(update={"validation": many})
    return replace(bench, simulated_registry=registry, settings=settings)


def validated(bench, symbol="BTC/USDT"):
    clock = ReplayClock(NOW_NS)
    return validate_symbols(bench, [symbol], data=None, announce=silent, clock=clock)[0]


def test_each_symbol_gets_its_own_version_and_the_gates_word(trained):
    by_symbol = {result["symbol"]: result for result in trained.results}
    assert list(by_symbol) == ["BTC/USDT", "SOL/USDC", "ETH/USDT"]
    for symbol in ("BTC/USDT", "ETH/USDT"):
        result = by_symbol[symbol]
        assert result["error"] is None
        assert trained.bench.simulated_registry.versions(symbol) == [result["version"]]
        assert "promoted" in result["reason"]
        assert result["promoted"] == (trained.bench.simulated_registry.champion(symbol) is not None)
        assert result["metrics"]["rows"] > 100
    assert by_symbol["BTC/USDT"]["version"] != by_symbol["ETH/USDT"]["version"]
    json.dumps(trained.results, allow_nan=False)


def test_an_unknown_symbol_is_named_with_the_nearest_and_stops_no_other(trained):
    unknown = trained.results[1]
    assert unknown["version"] is None
    assert "did you mean 'SOL/USDT'?" in unknown["error"]
    assert any("SOL/USDC: not trained" in line for line in trained.said)


def test_what_comes_from_a_simulation_is_marked(trained):
    assert any(line.startswith("SIMULATED BTC/USDT") for line in trained.said)
    assert validated(trained.bench)["is_simulated"] is True


def test_training_is_one_run_and_every_model_is_a_counted_trial(trained):
    run = trained.bench.journal.last_run(TRAINING)
    assert run.status == "done"
    assert trained.bench.journal.trials_count(run_id=run.id, kind=TrialKind.MODEL) == 2
    assert [model["symbol"] for model in run.summary["models"]] == [
        result["symbol"] for result in trained.results
    ]


def test_a_model_learns_nothing_from_its_hold_out(trained):
    for symbol in ("BTC/USDT", "ETH/USDT"):
        _, card = trained.bench.simulated_registry.load(
            symbol, trained.bench.simulated_registry.versions(symbol)[0]
        )
        assert card.data_end <= iso_time(border_ns(trained.bench, symbol))


def test_validation_predicts_every_unseen_bar_and_trades_the_predictions(trained):
    result = validated(trained.bench)
    assert result["valid"] is True
    assert result["error"] is None
    assert sum(result["signal_distribution"].values()) == result["total_predictions"]
    assert result["signal_distribution"]["hold"] < result["total_predictions"]
    bars = stored_candles(trained.bench.settings, ["BTC/USDT"]).bars[0]
    unseen = bars.between(border_ns(trained.bench, "BTC/USDT"), None)
    assert result["total_predictions"] == len(unseen)
    assert result["end"] == iso_time(int(unseen.close_time[-1]))
    assert 1 / 3 <= result["avg_confidence"] <= 1
    assert set(result["backtest_performance"]) >= PERFORMANCE
    assert result["backtest_performance"]["trades"] > 0
    assert result["consistency"] == dict.fromkeys(result["consistency"], True)
    assert result["validation_timestamp"] == "2025-01-01T00:00:00Z"
    assert result["version"] == trained.results[0]["version"]
    json.dumps(result, allow_nan=False)


def test_validation_asks_the_gate_with_every_check(trained):
    result = validated(trained.bench)
    names = {check["name"] for check in result["checks"]}
    assert names >= {"trades", "sharpe", "random_entry_p", "beats_majority_class"}
    value = next(c["value"] for c in result["checks"] if c["name"] == "beats_majority_class")
    assert value is not None
    assert result["gate"]["promoted"] == all(check["holds"] for check in result["checks"])


def test_validation_is_no_lottery(trained):
    assert validated(trained.bench) == validated(trained.bench)


def test_constant_predictions_are_traded_as_they_are(trained, tmp_path):
    result = validated(toy_bench(trained.bench, tmp_path, [0.1, 0.9]))
    assert result["signal_distribution"] == {
        "buy": result["total_predictions"],
        "sell": 0,
        "hold": 0,
    }
    assert result["avg_confidence"] == pytest.approx(0.9)
    assert result["valid"] is True


@pytest.mark.parametrize("wrong", [[0.9, 0.9], [-0.1, 1.1], [float("nan"), 0.5]])
def test_predictions_that_are_no_probabilities_are_not_valid(trained, tmp_path, wrong):
    result = validated(toy_bench(trained.bench, tmp_path, wrong))
    assert result["valid"] is False
    assert result["consistency"]["probabilities"] is False
    assert "probabilities must hold" in result["error"]
    json.dumps(result, allow_nan=False)


def test_a_model_that_decides_otherwise_live_is_not_valid(trained, tmp_path, monkeypatch):
    bench = toy_bench(trained.bench, tmp_path, [0.1, 0.9])

    def fickle(self, features):
        return np.tile([0.1, 0.9] if len(features) > 1 else [0.9, 0.1], (len(features), 1))

    monkeypatch.setattr(ToyPredictor, "predict_proba", fickle)
    result = validated(bench)
    assert result["consistency"]["live_agrees"] is False
    assert result["valid"] is False


def test_a_symbol_without_a_model_says_how_to_get_one(trained, tmp_path):
    result = validated(replace(trained.bench, simulated_registry=toy_registry(tmp_path)))
    assert result == {
        "valid": False,
        "symbol": "BTC/USDT",
        "error": result["error"],
        "validation_timestamp": "2025-01-01T00:00:00Z",
    }
    assert "ml-training --symbols BTC/USDT" in result["error"]


def test_an_unknown_symbol_is_not_valid_and_named_with_the_nearest(trained):
    result = validated(trained.bench, "BTC/USD")
    assert result["valid"] is False
    assert "did you mean 'BTC/USDT'?" in result["error"]


def test_without_newer_candles_there_is_nothing_to_validate(trained, tmp_path):
    bench = toy_bench(trained.bench, tmp_path, [0.1, 0.9])
    registry = toy_registry(tmp_path / "late")
    late = toy_card(timeframe="15m", data_end="2030-01-01T00:00:00Z")
    registry.publish("BTC/USDT", toy_files(), late)
    result = validated(replace(bench, simulated_registry=registry))
    assert result["valid"] is False
    assert "must have candles after 2030-01-01T00:00:00Z" in result["error"]


def test_the_models_own_champion_comes_first_then_candidates_then_the_pooled_ones(tmp_path):
    registry = toy_registry(tmp_path)
    with pytest.raises(ModelError, match="must hold a model of BTC/USDT or GLOBAL, held none"):
        choose_model(registry, "BTC/USDT")
    pooled = registry.publish(POOLED, toy_files(), toy_card(POOLED))
    assert choose_model(registry, "BTC/USDT").version == pooled
    second = registry.publish(POOLED, toy_files(0.7), toy_card(POOLED))
    registry.promote(POOLED, pooled, PASSED)
    assert choose_model(registry, "BTC/USDT").version == pooled
    assert choose_model(registry, "BTC/USDT").describe() == f"champion {pooled} of GLOBAL"
    first = registry.publish("BTC/USDT", toy_files(), toy_card())
    newer = registry.publish("BTC/USDT", toy_files(0.8), toy_card())
    assert choose_model(registry, "BTC/USDT").version == newer
    assert "candidate" in choose_model(registry, "BTC/USDT").describe()
    registry.promote("BTC/USDT", first, PASSED)
    assert choose_model(registry, "BTC/USDT").version == first
    assert choose_model(registry, "ETH/USDT").version != second


def test_a_retired_version_is_never_validated(tmp_path):
    registry = toy_registry(tmp_path)
    older = registry.publish("BTC/USDT", toy_files(), toy_card())
    newer = registry.publish("BTC/USDT", toy_files(0.8), toy_card())
    registry.retire("BTC/USDT", newer)
    assert choose_model(registry, "BTC/USDT").version == older


def test_the_callers_features_give_what_the_stored_candles_give(trained):
    bars = stored_candles(trained.bench.settings, ["BTC/USDT"]).bars[0]
    frame = create_features(bars.to_pandas())
    frame.attrs["is_simulated"] = True
    given = validate_frame(trained.bench, "BTC/USDT", frame, clock=ReplayClock(NOW_NS))
    stored = validated(trained.bench)
    assert given["valid"] is True
    assert given["total_predictions"] == stored["total_predictions"] - 5
    assert given["consistency"]["live_agrees"] is None
    assert given["start"] == stored["start"]
    # The guide's target drops the last five bars; on the others the decisions are the same.
    differences = [
        stored["signal_distribution"][side] - given["signal_distribution"][side]
        for side in ("buy", "sell", "hold")
    ]
    assert min(differences) >= 0
    assert sum(differences) == 5


def test_features_without_the_models_columns_are_refused_by_name(trained):
    bars = stored_candles(trained.bench.settings, ["BTC/USDT"]).bars[0]
    result = validate_frame(trained.bench, "BTC/USDT", bars.to_pandas())
    assert result["valid"] is False
    assert "lacked sma_10, sma_30" in result["error"]


def test_without_any_trained_symbol_the_run_has_failed(tmp_path):
    with small_bench(tmp_path) as bench:
        results = train_symbols(bench, ["XYZ/USDT"], data=None, announce=silent)
        assert results[0]["error"] is not None
        assert bench.journal.last_run(TRAINING).status == "failed"


def test_training_while_learning_is_off_is_refused(tmp_path):
    with (
        small_bench(tmp_path, learning_enabled=False) as bench,
        pytest.raises(ConfigError, match="must be true to train"),
    ):
        train_symbols(bench, ["BTC/USDT"], data=None, announce=silent)


def test_a_killed_training_is_taken_up_and_publishes_nothing_twice(tmp_path):
    with small_bench(tmp_path) as bench:
        first = train_symbols(bench, ["BTC/USDT"], data=None, announce=silent)
        run_id = bench.journal.last_run(TRAINING).id
        bench.journal.finish_run(run_id, "interrupted")
        again = train_symbols(bench, ["BTC/USDT"], data=None, announce=silent)
        assert bench.journal.last_run(TRAINING).id == run_id
        assert again[0]["version"] == first[0]["version"]
        assert bench.simulated_registry.versions("BTC/USDT") == [first[0]["version"]]
        bench.journal.finish_run(run_id, "interrupted")
        assert start_or_resume(bench, TRAINING, symbols=["ETH/USDT"]) != run_id


def test_a_second_version_is_not_judged_on_a_spent_hold_out(trained, tmp_path):
    validated(trained.bench)
    toys = toy_bench(trained.bench, tmp_path, [0.2, 0.2, 0.6])
    strict = replace(toys, settings=trained.bench.settings)
    result = validated(strict)
    assert result["valid"] is False
    assert "BTC/USDT hold-out" in result["error"]
    assert "was spent on" in result["error"]
