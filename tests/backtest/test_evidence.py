"""What the verdict of a turn rests on: the true number of trials, an embargo, the model's age, the limits."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from backtest.tiny import TINY, turn_in
from crypto_bot.backtest import learning, recipes, turn
from crypto_bot.backtest.candles import gather_candles
from crypto_bot.backtest.champions import champion_evidence
from crypto_bot.backtest.summary import sweep_lines
from crypto_bot.backtest.traders import model_trader
from crypto_bot.core.timeframes import timeframe_ns
from crypto_bot.splits import DEFAULT_EMBARGO_BARS
from small_runs import small_bench


@pytest.fixture(scope="module")
def examined(tmp_path_factory):
    """Both kinds of model, examined on a small market, and the bench they were examined on."""
    with small_bench(tmp_path_factory.mktemp("evidence")) as bench:
        universe = gather_candles(bench.settings)
        run_id = bench.journal.start_run("integrated", bench.settings)
        end_ns = turn.hold_out_start(universe, 0.3)
        found = [
            learning.examine(
                bench,
                [b for b in universe.bars if recipe.symbol in ("GLOBAL", b.symbol)],
                recipe,
                run_id=run_id,
                start_ns=universe.start_ns,
                end_ns=end_ns,
            )
            for recipe in recipes.recipes(bench, "GLOBAL", universe.bars[0].symbol)
        ]
        yield bench, run_id, found


def evidence_of(learned):
    return learned.verdict.evidence


def test_every_model_of_a_run_counts_before_the_first_is_judged(examined):
    bench, run_id, found = examined
    learned = [learning.conclude(bench, one, run_id) for one in found]
    assert len(learned) == 2
    assert [evidence_of(one).trials for one in learned] == [2, 2]


def test_a_second_run_on_the_same_journal_is_deflated_by_more_trials(tmp_path):
    first, _ = turn_in(tmp_path, TINY)
    second, _ = turn_in(tmp_path, TINY)

    def trials(summary):
        page = tmp_path / "out/runs" / summary["run_id"] / "summary.json"
        registry = tmp_path / "registry-simulated" / "GLOBAL" / "versions"
        card = next(
            json.loads(path.read_text())
            for path in registry.glob("*/card.json")
            if json.loads(path.read_text())["run_id"] == summary["run_id"]
        )
        assert page.exists()
        return card["gate"]["evidence"]["trials"]

    assert trials(second) == 2 * trials(first)


def test_folds_keep_the_embargo_of_the_validation_stage(examined):
    _, _, found = examined
    for one in found:
        embargo_ns = DEFAULT_EMBARGO_BARS * timeframe_ns(one.dataset.timeframe)
        for split in one.predictions.splits:
            assert split.embargo_ns == embargo_ns
            last = one.dataset.label_end_ns[split.train].max()
            assert last < split.test_start_ns - embargo_ns


def test_the_trial_of_a_model_says_how_it_was_made(examined):
    bench, run_id, _ = examined
    trials = bench.journal.trials(run_id=run_id, kind="model")
    assert len({json.dumps(trial.parameters, sort_keys=True) for trial in trials}) == 2
    for trial in trials:
        assert {"label", "threshold", "features", "trainer", "folds", "costs", "exits"} <= set(
            trial.parameters
        )


def test_a_promoted_model_trades_with_its_age_known(examined):
    bench, run_id, found = examined
    learned = learning.conclude(bench, found[0], run_id)
    trader = model_trader(bench, learned, recipes.model_exits(bench))
    assert trader.maker.trained_until_ns == learned.dataset.label_end_ns.max()
    assert trader.symbols == learned.dataset.symbols


def test_models_trade_by_the_configured_bracket(tmp_path):
    with small_bench(
        tmp_path, **{"paper.model_stop_loss_frac": 0.03, "paper.model_take_profit_frac": 0.05}
    ) as bench:
        exits = recipes.model_exits(bench)
    assert (exits.stop_loss_frac, exits.take_profit_frac) == (0.03, 0.05)


def test_a_champion_of_another_kind_trades_the_stretch_on_its_own_features(examined):
    """A binary forest in service is measured where its three-class challenger was tested."""
    bench, run_id, found = examined
    challenger, other = found
    forest = learning.conclude(bench, other, run_id)
    card = dataclasses.replace(challenger.recipe).symbol

    class Registry:
        def history(self, symbol):
            entry = dataclasses.make_dataclass("Entry", ["run_id", "champion"])
            return [entry("earlier", "v1")]

        def load(self, symbol, version):
            return forest.model.predictor, forest.card.replace(gate={})

    asked = []

    def trade(predictions, card=None):
        asked.append(predictions)
        return challenger.results

    evidence = champion_evidence(
        Registry(),
        card,
        challenger.dataset,
        challenger.predictions,
        challenger.bars,
        trade,
        run_id=run_id,
    )
    assert evidence.version == "v1"
    assert evidence.sharpe == challenger.pooled.sharpe
    theirs = asked[-1].probabilities[challenger.predictions.is_tested]
    known = np.isfinite(theirs).all(axis=1)
    assert known.mean() > 0.9
    assert np.allclose(theirs[known].sum(axis=1), 1.0)
    assert np.abs(theirs[known][:, 1]).max() < 1e-12, "a binary model never says flat"


@pytest.mark.parametrize(
    ("exits", "said"),
    [
        ({"stop_loss_frac": 0.5}, "stop 50.0%"),
        ({"take_profit_frac": 0.5}, "target 50.0%"),
        ({"stop_loss_frac": 0.5, "take_profit_frac": 0.5}, "stop 50.0%, target 50.0%"),
        ({}, ""),
    ],
)
def test_any_mix_of_configured_exits_makes_a_report(tmp_path, exits, said):
    values = {
        **TINY,
        "exits": exits,
        "learning_enabled": False,
        "reporting": {"charts": True},
        "parameter_ranges": {"stop_loss": [], "take_profit": []},
    }
    summary, _ = turn_in(tmp_path, values)
    assert (tmp_path / summary["report"]).exists() or (
        tmp_path / "out/runs" / summary["run_id"] / "report.html"
    ).exists()
    stored = turn.read_sweep(tmp_path / "out/runs" / summary["run_id"] / "sweep.parquet")
    ranking = turn.rank_settings(stored)
    swept = turn.StrategySweep(stored, ranking, (), 0)

    class OneUniverse:
        is_simulated = True

    lines = sweep_lines(swept, OneUniverse())
    assert any(said in line for line in lines)


@pytest.mark.parametrize("charts", [True, False])
@pytest.mark.parametrize("csv", [True, False])
def test_reporting_switches_do_what_they_say(tmp_path, charts, csv):
    values = {**TINY, "reporting": {"charts": charts, "csv": csv}}
    summary, _ = turn_in(tmp_path, values)
    folder = tmp_path / "out/runs" / summary["run_id"]
    assert bool(list(folder.glob("*.png"))) is charts
    assert bool(list(folder.glob("*.csv"))) is csv


def test_memory_is_told_only_where_it_is_tracked(tmp_path):
    for number, tracked in enumerate((True, False)):
        folder = tmp_path / str(number)
        folder.mkdir()
        values = {
            **TINY,
            "learning_enabled": False,
            "monitoring": {"track_memory_usage": tracked},
        }
        summary, _ = turn_in(folder, values)
        assert (summary["peak_memory_mb"] is not None) is tracked


def test_a_hold_out_that_was_replayed_before_is_no_longer_called_untouched(tmp_path):
    first, _ = turn_in(tmp_path, {**TINY, "learning_enabled": False})
    second, _ = turn_in(tmp_path, {**TINY, "learning_enabled": False})
    assert (first["hold_out_seen_before"], second["hold_out_seen_before"]) == (0, 1)
