"""What a turn's report says beside the verdict: drift up to the hold-out, and where results come from."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from crypto_bot.backtest.explaining import explain_learned, further_tables, regime_rows
from crypto_bot.dataset import build_dataset
from crypto_bot.engine import CostOptions, SizingOptions, simulate
from crypto_bot.explain import ExplainOptions
from crypto_bot.features import compute_features
from crypto_bot.gate import gather_evidence, pool_results
from crypto_bot.market import SimulationOptions, simulate_market
from crypto_bot.splits import WalkForwardOptions, split_dataset
from crypto_bot.strategies import get_strategy
from crypto_bot.training import LightGBMOptions, LightGBMTrainer
from crypto_bot.validation import out_of_sample

NAMES = ("rsi_14", "roc_5", "sma_10")
BARS = simulate_market(SimulationOptions(symbols=2, bars=2_000, seed=5))
HOLD_OUT_NS = int(BARS[0].close_time[1_500])
FEW = ExplainOptions(contribution_rows=20, permuted_rows=60, repeats=1, dependence_rows=20, grid=3)
SEARCH = {
    "stretches": [
        {"start": "2024-01-01T00:00:00Z", "end": "2024-01-09T00:00:00Z", "chosen": "lightgbm (50 rounds)",
         "threshold": 0.6, "sharpe_before": 2.0, "sharpe": -0.5},
    ],
    "tried": 20, "pruned": 7, "failed": [], "overfitting_probability": 0.7,
}  # fmt: skip


@pytest.fixture(scope="module")
def learned():
    known = [each.closed_by(HOLD_OUT_NS) for each in BARS]
    dataset = build_dataset(known, feature_names=NAMES)
    trainer = LightGBMTrainer(LightGBMOptions(n_estimators=5, num_leaves=7, n_jobs=1))
    predictions = out_of_sample(
        dataset, trainer, split_dataset(dataset, WalkForwardOptions(folds=2))
    )
    strategy = get_strategy("sma_cross", fast=5, slow=20)
    results = tuple(
        simulate(
            each,
            strategy.signals_on(each),
            costs=CostOptions(taker_fee_frac=0.001),
            sizing=SizingOptions(initial_cash=1_000),
        )
        for each in known
    )
    evidence = gather_evidence(results, trials=4, effective_trials=3, trial_variance=0.01)
    verdict = SimpleNamespace(evidence=evidence)
    return SimpleNamespace(
        dataset=dataset,
        predictions=predictions,
        results=results,
        pooled=pool_results(results),
        verdict=verdict,
    )


@pytest.fixture(scope="module")
def universe():
    return SimpleNamespace(bars=BARS, funding={})


def test_a_model_is_explained_with_the_drift_up_to_the_hold_out(learned, universe):
    found, note = explain_learned(learned, universe, HOLD_OUT_NS, FEW)
    assert note == ""
    assert {each.name for each in found.drift} == set(NAMES)
    assert all(each.psi is not None for each in found.drift)
    assert found.level_features == ("sma_10",)
    assert found.shap is not None


def test_now_is_the_hold_out_and_nothing_before_it(learned, universe):
    from crypto_bot.backtest.explaining import _rows_now

    rows, _ = _rows_now(learned, NAMES, universe, HOLD_OUT_NS)
    expected = [
        compute_features(each, NAMES).values[each.close_time > HOLD_OUT_NS] for each in BARS
    ]
    assert len(rows) == sum(map(len, expected)) > 900
    assert rows == pytest.approx(np.concatenate(expected), rel=1e-6)


def test_past_values_of_a_feature_do_not_drift_beside_it(learned, universe):
    from dataclasses import replace

    names = ("rsi_14~1", "rsi_14", "roc_5")
    lagged = replace(learned.dataset, feature_names=names)
    bare = replace(learned.predictions, models=())
    both = SimpleNamespace(**{**vars(learned), "dataset": lagged, "predictions": bare})
    from crypto_bot.backtest.explaining import _drift

    drift, levels, note = _drift(both, universe, HOLD_OUT_NS)
    assert {each.name for each in drift} == {"rsi_14", "roc_5"}
    assert (levels, note) == ((), "")


def test_drift_of_many_rows_is_that_of_a_fair_draw():
    from crypto_bot.backtest.explaining import _drawn

    rows = np.random.default_rng(0).normal(size=(90_000, 1))
    drawn = _drawn(rows)
    assert len(drawn) == 40_000
    assert (drawn == _drawn(rows)).all()
    assert drawn.mean() == pytest.approx(rows.mean(), abs=0.02)
    assert len(_drawn(rows[:100])) == 100


def test_a_hold_out_without_candles_is_said_and_the_rest_explained(learned):
    short = SimpleNamespace(bars=[each[:5] for each in BARS], funding={})
    found, note = explain_learned(learned, short, HOLD_OUT_NS, FEW)
    assert found.drift == ()
    assert note.startswith(
        "Drift was not measured: the hold-out must hold candles of some pair after"
    )


def test_predictions_without_their_models_are_said_to_be_unexplained(learned, universe):
    from dataclasses import replace

    bare = SimpleNamespace(
        **{**vars(learned), "predictions": replace(learned.predictions, models=())}
    )
    found, note = explain_learned(bare, universe, HOLD_OUT_NS, FEW)
    assert found is None
    assert note.startswith("Not explained: predictions must carry the models")


def test_regimes_share_out_the_time_and_the_trades(learned):
    rows = regime_rows(learned.results)
    assert sum(row[1] for row in rows) == pytest.approx(1.0)
    entered = sum(len(result.trades) for result in learned.results)
    assert sum(row[2] for row in rows) == entered > 20
    assert {row[0] for row in rows} <= {"not known yet", "trending", "sideways", "mean-reverting",
                                        "breakout", "volatile"}  # fmt: skip


def test_what_else_is_known_has_a_meaning_for_every_figure(learned):
    known, regimes, costs = further_tables(learned)
    assert all(meaning for _, _, meaning in known.rows)
    figures = {name: value for name, value, _ in known.rows}
    assert figures["trials"] == 4
    assert figures["effective trials"] == 3
    assert "minimum track record, days" in figures
    assert "probability of overfitting" not in figures
    assert regimes.rows
    returns = {row[0]: row[1] for row in costs.rows}
    assert returns[0.0] > returns[1.0] > returns[3.0]
    metrics = [result.metrics for result in learned.results]
    assert returns[1.0] == pytest.approx(np.mean([each.total_return for each in metrics]))


def test_a_search_shows_what_it_chose_for_each_stretch(learned):
    from dataclasses import replace

    evidence = replace(learned.verdict.evidence, notes={"search": SEARCH})
    searched = SimpleNamespace(**{**vars(learned), "verdict": SimpleNamespace(evidence=evidence)})
    known, choices, *_ = further_tables(searched)
    assert ("probability of overfitting", 0.7) in [row[:2] for row in known.rows]
    assert choices.rows == [("2024-01-01", "2024-01-09", "lightgbm (50 rounds)", 0.6, 2.0, -0.5)]
    assert "20 settings were tried, 7 given up early" in choices.note


def test_costs_out_of_bounds_are_said_not_raised(learned):
    signals = get_strategy("sma_cross", fast=5, slow=20).signals_on(BARS[0])
    dear = simulate(BARS[0], signals, costs=CostOptions(taker_fee_frac=0.5))
    other = SimpleNamespace(**{**vars(learned), "results": (dear,)})
    table = list(further_tables(other))[-1]
    assert table.rows == ()
    assert table.note.startswith("Other costs were not tried: taker_fee_frac must be")
