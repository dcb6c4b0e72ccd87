"""A stored model's way of learning, read back from its card and taken again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backtest.tiny import TINY, bench_in
from crypto_bot.backtest import learning
from crypto_bot.backtest.champions import champion_evidence
from crypto_bot.backtest.learning import examine, learn
from crypto_bot.backtest.recipes import recipes
from crypto_bot.backtest.retraining import is_same_way, predictions_of, recipe_of
from crypto_bot.gate import ChampionEvidence, Evidence, Judged, judge
from crypto_bot.market import SimulationOptions, simulate_market

VALUES = {
    **TINY,
    "models": {"trainers": ["lightgbm", "logistic"], "lightgbm": {"n_estimators": 8}},
    "sizing": {"allow_short": True},
    "paper": {"prediction_threshold": 0.4},
}
BARS = simulate_market(
    SimulationOptions(symbols=2, timeframe="1h", bars=24 * 60, outages_per_year=0)
)
END_NS = int(BARS[0].close_time[-1])
MIDDLE_NS = int(BARS[0].close_time[24 * 45])


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with bench_in(tmp_path_factory.mktemp("retraining"), VALUES) as opened:
        yield opened


@pytest.fixture(scope="module")
def stored(bench):
    """A champion made of the older candles, and the recipe that made it."""
    recipe = recipes(bench, "GLOBAL", BARS[0].symbol)[0]
    run_id = bench.journal.start_run("ml-training", {})
    learned = learn(bench, BARS, recipe, run_id=run_id, start_ns=0, end_ns=MIDDLE_NS)
    registry = bench.registry_of(True)
    registry.promote("GLOBAL", learned.version, {"promoted": True}, run_id=run_id)
    return recipe, learned


def evidence_beside(bench, recipe, run="now", terms=None):
    run_id = bench.journal.start_run("ml-training", {"of": run})
    examined = examine(bench, BARS, recipe, run_id=run_id, start_ns=0, end_ns=END_NS)
    asked = []

    def retrade(theirs):
        asked.append(theirs)
        return learning._traded_again(bench, theirs, examined)

    found = champion_evidence(
        bench.registry_of(True),
        "GLOBAL",
        examined.dataset,
        examined.predictions,
        examined.bars,
        lambda predictions, card: examined.results,
        run_id=run_id,
        terms=terms or learning._terms(bench, examined),
        recipe=examined.recipe,
        retrade=retrade,
    )
    return examined, found, asked


def test_the_card_gives_back_the_recipe(stored):
    recipe, learned = stored
    again = recipe_of(learned.card)
    assert is_same_way(recipe, again)
    assert not is_same_way(recipe, replace(again, threshold=0.7))
    assert not is_same_way(recipe, replace(again, feature_names=again.feature_names[:-1]))


def test_a_recipe_trained_again_on_the_same_folds_predicts_the_same(bench, stored):
    recipe, _ = stored
    run_id = bench.journal.start_run("ml-training", {"of": "folds"})
    examined = examine(bench, BARS, recipe, run_id=run_id, start_ns=0, end_ns=END_NS)
    starts = [split.test_start_ns for split in examined.predictions.splits]
    spans = list(zip(starts, [*starts[1:], examined.predictions.end_ns + 1], strict=True))
    _, predictions = predictions_of(
        recipe, BARS, spans, start_ns=int(examined.dataset.decided_at_ns[0])
    )
    ours = examined.predictions.probabilities[examined.predictions.is_tested]
    theirs = predictions.probabilities[predictions.is_tested]
    assert np.array_equal(ours, theirs)


def test_a_champion_made_another_way_is_trained_again_on_the_challengers_folds(bench, stored):
    _, learned = stored
    other = recipes(bench, "GLOBAL", BARS[0].symbol)[1]
    _, found, asked = evidence_beside(bench, other, "other")
    assert (found.version, found.how) == (learned.version, Judged.TRAINED_AGAIN)
    assert found.sharpe is not None
    assert [type(each.trainer).__name__ for each in asked] == ["LightGBMTrainer"]


def test_the_same_recipe_on_newer_candles_is_a_refresh_and_passes_that_check(bench, stored):
    recipe, learned = stored
    examined, found, asked = evidence_beside(bench, recipe, "same")
    assert (found.version, found.how, asked) == (learned.version, Judged.REFRESHED, [])
    times = examined.pooled.time_ns
    evidence = Evidence(
        start_ns=int(times[0]), end_ns=int(times[-1]), sharpe=0.1, total_return=0.0,
        max_drawdown=0.1, win_rate=0.5, trades=50, deflated_sharpe=0.5, trials=1,
        random_entry_p=0.5, buy_and_hold_sharpe=0.0, champion=found,
    )  # fmt: skip
    check = next(c for c in judge(evidence).checks if c.name == "beats_champion")
    assert check.holds
    assert "a refresh, not compared" in check.rule
    beaten = ChampionEvidence(found.version, 0.2, found.start_ns, found.end_ns)
    check = judge(replace(evidence, champion=beaten)).checks[-1]
    assert not check.holds


def test_a_card_that_does_not_say_how_gives_no_recipe(stored):
    _, learned = stored
    assert recipe_of(learned.card.replace(model_type="soft_vote")) is None
    assert recipe_of(learned.card.replace(thresholds={})) is None


def test_the_same_recipe_on_other_pairs_or_costs_is_no_refresh(bench, stored):
    recipe, _ = stored
    _, found, asked = evidence_beside(bench, recipe, "terms", terms="other pairs, costs or sizes")
    assert found.how == Judged.TRAINED_AGAIN
    assert len(asked) == 1


def test_a_stored_model_is_traded_by_its_own_threshold_and_exit(stored):
    recipe, learned = stored
    other = learned.card.replace(thresholds={"open": 0.55}, trading={"signal_exit": "opposite"})
    own = learning._terms_of(recipe, other)
    assert (own.threshold, str(own.signal_exit)) == (0.55, "opposite")
    assert learning._terms_of(recipe, None) is recipe
