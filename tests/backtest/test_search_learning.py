"""A search in the loop: one trial for the gate, every setting in the journal, what is judged is shipped."""

from __future__ import annotations

import pytest
from benchmarks.truth.markets import planted_market
from benchmarks.truth.pipeline import FEATURES

from backtest.tiny import TINY, bench_in
from crypto_bot.backtest.learning import conclude, examine
from crypto_bot.backtest.recipes import SearchRecipe, card_exits, nested_options, recipes
from crypto_bot.backtest.retraining import recipe_of
from crypto_bot.backtest.trial_record import RETURNS
from crypto_bot.core.errors import ConfigError
from crypto_bot.journal import TrialKind
from crypto_bot.training.cards import POOLED

BARS = planted_market(4, 0.12, bars=5_000, real=False, trend=True)


def values(folder, **search):
    given = {"trials": 2, "folds": 2, "models": ["logistic"], "horizon_bars": [12, 24], **search}
    return {
        **TINY,
        "sizing": {"allow_short": True, "fraction": 0.1},
        "models": {
            "trainers": ["search"],
            "search": {**given, "storage_folder": str(folder / "searches")},
        },
    }


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("searched")
    with bench_in(folder, values(folder)) as bench:
        run_id = bench.journal.start_run("integrated", {})
        recipe = SearchRecipe(POOLED, nested_options(bench), FEATURES)
        end_ns = int(BARS[0].close_time[-1])
        examined = examine(bench, BARS, recipe, run_id=run_id, start_ns=0, end_ns=end_ns)
        yield bench, run_id, conclude(bench, examined, run_id)


def test_the_search_is_one_trial_for_the_gate_and_its_settings_are_kept_beside_it(searched):
    bench, run_id, learned = searched
    models = bench.journal.trials(run_id=run_id, kind=TrialKind.MODEL)
    tried = bench.journal.trials(run_id=run_id, kind=TrialKind.SEARCH)
    story = learned.notes["search"]
    assert len(models) == 1
    assert learned.verdict.evidence.trials == 1
    # Two models, six ways to trade each, before each of two stretches and once more to ship.
    assert 2 * 3 <= len(tried) <= 2 * 6 * 3
    assert all(len(trial.metrics[RETURNS]["values"]) > 10 for trial in [*models, *tried])
    assert len(story["stretches"]) == 2
    assert story["tried"] <= 12


def test_what_is_shipped_is_what_the_last_search_chose_and_trades_by_its_rule(searched):
    bench, _, learned = searched
    predictor, card = bench.registry_of(True).load(POOLED, learned.version)
    shipped = learned.notes["search"]["shipped"]
    assert learned.recipe.setting.model_dump(mode="json") == shipped
    assert card.gate["evidence"]["notes"]["search"]["shipped"] == shipped
    assert card.trading == {"signal_exit": shipped["signal_exit"]}
    assert str(card_exits(bench, card).signal_exit) == shipped["signal_exit"]
    assert card.thresholds["open"] == learned.recipe.threshold
    assert predictor.feature_names == FEATURES
    assert recipe_of(card).setting == learned.recipe.setting


def test_the_stretches_cover_the_record_and_a_strong_edge_is_believed(searched):
    _, _, learned = searched
    stretches = learned.notes["search"]["stretches"]
    assert stretches[0]["end"] == stretches[1]["start"]
    assert learned.promoted
    tested = learned.predictions.is_tested
    assert learned.scores.rows >= tested.sum()


def test_labels_of_different_classes_are_not_searched_together(tmp_path):
    both = values(tmp_path, labels=["next_up", "three_class"])
    with (
        bench_in(tmp_path, both) as bench,
        pytest.raises(ConfigError, match=r"models.search.labels must be of the same classes"),
    ):
        recipes(bench, POOLED, "AAA/USDT")
