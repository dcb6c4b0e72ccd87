"""Several models as one: exact compositions of their members, learned without looking."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError, ModelError
from crypto_bot.predictors import EnsemblePredictor
from crypto_bot.training import (
    InnerFolds,
    LightGBMOptions,
    LightGBMTrainer,
    LogisticOptions,
    LogisticTrainer,
    SoftVoteTrainer,
    StackedTrainer,
    out_of_fold,
)
from training.learnable_rows import dataset

RIDGE = LogisticTrainer(LogisticOptions(l1_ratio=0))
TREES = LightGBMTrainer(LightGBMOptions(n_estimators=8, num_leaves=7, n_jobs=1))
BY_HEART = LightGBMTrainer(
    LightGBMOptions(n_estimators=30, num_leaves=31, min_data_in_leaf=1, learning_rate=0.5, n_jobs=1)
)


class Narrow:
    """Reads some features only."""

    name = "narrow"

    def __init__(self, *places):
        self.places = places

    def fit(self, data):
        return RIDGE.fit(data.columns([data.feature_names[k] for k in self.places]))


@pytest.mark.parametrize("classes", [2, 3])
def test_a_vote_is_the_weighted_mean_of_its_members_to_the_last_bit(classes):
    data = dataset(classes)
    found = SoftVoteTrainer([RIDGE, TREES], [1, 3]).fit(data)
    one, other = (each.fit(data).predictor.predict_proba(data.features) for each in (RIDGE, TREES))
    assert np.array_equal(found.predictor.predict_proba(data.features), 0.25 * one + 0.75 * other)
    assert sorted(found.files) == ["0.linear.npz", "1.model.txt", "ensemble.npz"]
    even = SoftVoteTrainer([RIDGE, TREES]).fit(data).predictor.predict_proba(data.features)
    assert np.array_equal(even, 0.5 * one + 0.5 * other)


def test_members_may_read_different_features_and_the_whole_reads_their_union():
    data = dataset()
    found = SoftVoteTrainer([Narrow(4, 1), Narrow(2)]).fit(data).predictor
    assert found.feature_names == tuple(data.feature_names[k] for k in (1, 2, 4))
    rows = data.columns(found.feature_names).features
    parts = [Narrow(*k).fit(data).predictor for k in ((4, 1), (2,))]
    answers = [p.predict_proba(data.columns(p.feature_names).features) for p in parts]
    assert np.array_equal(found.predict_proba(rows), 0.5 * answers[0] + 0.5 * answers[1])


@pytest.mark.parametrize("classes", [2, 3])
def test_a_stack_is_its_last_model_on_its_members_answers(classes):
    data = dataset(classes)
    found = StackedTrainer([RIDGE, TREES], options=InnerFolds(folds=3)).fit(data)
    answers = [each.fit(data).predictor.predict_proba(data.features) for each in (RIDGE, TREES)]
    read = np.hstack([answer[:, 1:] for answer in answers])
    wanted = found.members[-1].predictor.predict_proba(read)
    assert np.array_equal(found.predictor.predict_proba(data.features), wanted)
    assert "final.linear.npz" in found.files


def test_a_stack_learns_from_unseen_predictions_and_so_mistrusts_a_model_that_knows_by_heart():
    data = dataset()
    noise = np.random.default_rng(3).permutation(data.labels)
    shuffled = replace(data, labels=noise)
    found = StackedTrainer([BY_HEART], options=InnerFolds(folds=3)).fit(shuffled)
    inside = BY_HEART.fit(shuffled).predictor.predict_proba(data.features)
    unseen = out_of_fold(shuffled, BY_HEART, InnerFolds(folds=3))
    assert np.mean(inside.argmax(axis=1) == noise) > 0.9
    assert np.mean(unseen.argmax(axis=1) == noise) < 0.6
    answer = found.predictor.predict_proba(data.features)
    assert answer.max(axis=1).mean() < 0.65


def test_importance_and_evidence_tell_what_the_last_model_makes_of_each_member():
    found = StackedTrainer([RIDGE, TREES], options=InnerFolds(folds=3)).fit(dataset())
    assert set(found.evidence["reads"]) == {"member 0 of class 1", "member 1 of class 1"}
    assert sum(found.importance.values()) == pytest.approx(1.0)
    assert [each.model_type for each in found.members] == ["logistic", "lightgbm", "logistic"]


def test_unsound_votes_are_refused():
    for weights in ([1], [1, -1], [0, 0], [np.nan, 1]):
        with pytest.raises(ConfigError, match="weights must be one >= 0"):
            SoftVoteTrainer([RIDGE, TREES], weights)
    with pytest.raises(ConfigError, match="trainers must be at least one"):
        SoftVoteTrainer([])
    part = RIDGE.fit(dataset()).predictor
    with pytest.raises(ModelError, match="feature_names must hold those of every member"):
        EnsemblePredictor([part], np.ones(1), part.feature_names[1:], part.classes)
    with pytest.raises(ModelError, match="classes must be every member's"):
        EnsemblePredictor([part], np.ones(1), part.feature_names, (0, 1, 2))
    with pytest.raises(ModelError, match="weights must be one"):
        EnsemblePredictor([part], np.ones(2), part.feature_names, part.classes)
