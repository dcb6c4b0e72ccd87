"""The version in service, measured where its challenger is measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backtest.tiny import TINY, bench_in
from crypto_bot.backtest.champions import champion_evidence, incumbent
from crypto_bot.backtest.learning import pool_results, trade
from crypto_bot.backtest.recipes import recipes
from crypto_bot.core.errors import ModelError
from crypto_bot.dataset import build_dataset
from crypto_bot.features import compute_features
from crypto_bot.market import SimulationOptions, simulate_market
from crypto_bot.registry import FolderStore, ModelRegistry
from crypto_bot.validation import OutOfSample
from toy_model import PASSED, toy_card, toy_files


class Leaning:
    """Up with the first feature's sign, so that another feature is another trader."""

    def __init__(self, card, seen):
        self.feature_names, self.classes, self.seen = card.feature_names, card.classes, seen

    def predict_proba(self, features):
        self.seen.append(features)
        up = np.where(features[:, 0] > 0, 0.8, 0.1)
        if self.classes == (0, 1):
            return np.column_stack([1 - up, up])
        return np.column_stack([0.9 - up, np.full(len(up), 0.1), up])


class Scene:
    """A challenger's dataset and predictions, a registry of toys, and what was traded."""

    def __init__(self, bench, folder):
        self.bench, self.seen, self.traded = bench, [], []
        self.registry = ModelRegistry(
            FolderStore(folder), load_model=lambda card, files: Leaning(card, self.seen)
        )
        self.bars = simulate_market(SimulationOptions(symbols=2, timeframe="1h", bars=24 * 40))
        self.recipe = recipes(bench, "GLOBAL", self.bars[0].symbol)[0]
        self.names = ("return_1", "rsi_14")
        self.dataset = build_dataset(self.bars, feature_names=self.names, labels=self.recipe.labels)
        rows = len(self.dataset)
        tested = np.arange(rows) >= rows // 2
        found = np.where(tested[:, None], [0.2, 0.2, 0.6], np.nan)
        moments = self.dataset.decided_at_ns[tested]
        self.predictions = OutOfSample(
            found,
            np.where(tested, 0, -1),
            self.dataset.classes,
            (),
            (),
            *map(int, moments[[0, -1]]),
        )
        pooled = pool_results(self.trade(self.predictions))
        self.stretch = {"start_ns": int(pooled.time_ns[0]), "end_ns": int(pooled.time_ns[-1])}
        self.traded.clear()

    def trade(self, predictions, card=None):
        self.traded.append(predictions)
        return trade(self.bench, self.recipe, self.dataset, predictions, self.bars)

    def serve(self, *, run_id="before", evidence=None, classes=(-1, 0, 1), names=None):
        card = toy_card(
            "GLOBAL", classes=classes, feature_names=names or self.names, run_id=run_id,
            gate={"promoted": True, "evidence": evidence or {}},
        )  # fmt: skip
        version = self.registry.publish("GLOBAL", toy_files(), card)
        self.registry.promote("GLOBAL", version, PASSED, run_id=run_id)
        return version

    def judged(self, run_id="now"):
        return champion_evidence(
            self.registry, "GLOBAL", self.dataset, self.predictions, self.bars, self.trade,
            run_id=run_id,
        )  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with bench_in(tmp_path_factory.mktemp("champions"), TINY) as opened:
        yield opened


@pytest.fixture
def scene(bench, tmp_path):
    return Scene(bench, tmp_path / "registry")


def test_without_a_champion_there_is_nothing_to_beat(scene):
    assert scene.judged() is None
    assert scene.traded == []


def test_a_champion_that_was_changed_is_refused_with_the_way_out(scene, tmp_path):
    version = scene.serve()
    (tmp_path / "registry/GLOBAL/versions" / version / "model.json").write_bytes(b"[0.4, 0.7]")
    with pytest.raises(ModelError, match=f"cointrainer retire {version} --symbol GLOBAL"):
        scene.judged()


def test_a_champion_judged_on_this_stretch_stands_by_its_own_number(scene):
    version = scene.serve(evidence={**scene.stretch, "sharpe": 1.25})
    found = scene.judged()
    assert (found.version, found.sharpe) == (version, 1.25)
    assert {"start_ns": found.start_ns, "end_ns": found.end_ns} == scene.stretch
    assert scene.seen == [], "what it learned on this stretch is not asked again"


def test_a_record_reached_with_other_pairs_or_costs_is_no_record(scene):
    kept = {**scene.stretch, "sharpe": 99.0, "notes": {"terms": "other"}}
    scene.serve(evidence=kept)
    assert scene.judged().sharpe != 99.0


def test_a_champion_of_another_stretch_trades_this_one(scene):
    other = {"start_ns": scene.stretch["start_ns"] - 1, "end_ns": scene.stretch["end_ns"]}
    version = scene.serve(evidence={**other, "sharpe": 99.0})
    found = scene.judged()
    assert found.version == version
    assert {"start_ns": found.start_ns, "end_ns": found.end_ns} == scene.stretch
    tested = scene.predictions.is_tested
    theirs = scene.traded[-1].probabilities
    assert np.isnan(theirs[~tested]).all()
    up = scene.dataset.features[tested, 0] > 0
    assert np.allclose(theirs[tested], np.where(up[:, None], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]))
    assert found.sharpe == pool_results(scene.trade(scene.traded[-1])).sharpe
    assert found.sharpe != 99.0


def test_a_champion_of_two_classes_is_compared_by_its_sides(scene):
    scene.serve(classes=(0, 1))
    assert scene.judged().sharpe is not None
    theirs = scene.traded[-1].probabilities[scene.predictions.is_tested]
    up = scene.dataset.features[scene.predictions.is_tested, 0] > 0
    assert np.allclose(theirs[:, 2], np.where(up, 0.8, 0.1))
    assert np.allclose(theirs[:, 0], np.where(up, 0.2, 0.9))
    assert np.allclose(theirs.sum(axis=1), 1.0)


def test_a_champion_of_other_features_reads_its_own(scene):
    scene.serve(names=("return_5", "return_1"))
    assert scene.judged().sharpe is not None
    tested = scene.predictions.is_tested
    (given,) = scene.seen[-1:]
    for k, bars in enumerate(sorted(scene.bars, key=lambda each: each.symbol)):
        own = scene.dataset.symbol_index[tested] == k
        values = compute_features(bars, ("return_5", "return_1")).values
        rows = scene.dataset.bar_index[tested][own]
        assert np.array_equal(given[own], values[rows])


def test_a_run_taken_up_does_not_meet_its_own_promotion(scene):
    scene.serve(run_id="now")
    assert scene.judged("now") is None
    assert scene.judged("later") is not None
    first = scene.serve(run_id="before")
    scene.serve(run_id="now")
    assert incumbent(scene.registry, "GLOBAL", "now") == first
    assert scene.judged("now").version == first


def test_who_was_put_back_by_hand_is_the_one_to_beat(scene):
    first = scene.serve(run_id="one")
    scene.serve(run_id="two")
    scene.registry.rollback("GLOBAL", reason="worse in practice")
    assert incumbent(scene.registry, "GLOBAL", "three") == first
    scene.registry.retire("GLOBAL", first)
    assert incumbent(scene.registry, "GLOBAL", "three") is None


def test_the_order_of_the_pairs_does_not_matter(scene):
    scene.serve(names=("return_5",))
    found = scene.judged()
    scene.bars = scene.bars[::-1]
    assert replace(scene.judged()) == found
