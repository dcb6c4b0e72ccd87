"""Contributions add up to the score, whatever the model and the number of classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crypto_bot.core.errors import ModelError
from crypto_bot.explain import can_contribute, contributions
from crypto_bot.predictors import LIGHTGBM_FILE
from crypto_bot.training import (
    CalibratedTrainer,
    CalibrationOptions,
    ForestOptions,
    ForestTrainer,
    LightGBMTrainer,
    LogisticTrainer,
)
from explain.made import BOOSTING, known_truth

CLASSES = [(0, 1), (-1, 0, 1)]
IDS = ["binary", "three-class"]


def booster_of(model):
    import lightgbm

    return lightgbm.Booster(model_str=model.files[LIGHTGBM_FILE].decode())


@pytest.mark.parametrize("classes", CLASSES, ids=IDS)
def test_shap_values_add_up_to_the_raw_score_of_lightgbm(classes):
    dataset = known_truth(1200, classes=classes)
    model = LightGBMTrainer(BOOSTING).fit(dataset)
    found = contributions(model, dataset.features[:300])
    raw = booster_of(model).predict(dataset.features[:300], raw_score=True).reshape(300, -1)
    assert found.values.shape == (300, 4, 1 if classes == (0, 1) else 3)
    assert np.abs(found.scores - raw).max() < 1e-9


@pytest.mark.parametrize(
    "trainer", [LightGBMTrainer(BOOSTING), LogisticTrainer()], ids=lambda t: t.name
)
@pytest.mark.parametrize("classes", CLASSES, ids=IDS)
def test_the_sums_squashed_are_the_served_probabilities(trainer, classes):
    dataset = known_truth(1200, seed=1, classes=classes)
    model = trainer.fit(dataset)
    scores = contributions(model, dataset.features).scores
    if scores.shape[1] == 1:
        scores = np.column_stack((np.zeros(len(scores)), scores[:, 0]))
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    said = powers / powers.sum(axis=1, keepdims=True)
    assert np.abs(said - model.predictor.predict_proba(dataset.features)).max() < 1e-9


def test_a_linear_model_s_contributions_are_weights_times_distances_from_the_mean():
    dataset = known_truth(1200)
    found = contributions(LogisticTrainer().fit(dataset), dataset.features)
    assert np.abs(found.values.mean(axis=0)).max() < 1e-9
    steps = np.diff(found.values[:, 0, 0]) / np.diff(dataset.features[:, 0])
    assert steps == pytest.approx(steps[0])


def test_the_feature_that_matters_contributes_most_and_noise_next_to_nothing():
    dataset = known_truth()
    size = contributions(
        LightGBMTrainer(BOOSTING).fit(dataset), dataset.features[:400]
    ).mean_absolute
    assert size[0] > size[1] > 3 * size[2:].max()


def test_a_calibrated_model_is_explained_by_the_model_below():
    dataset = known_truth(1500)
    trainer = CalibratedTrainer(LightGBMTrainer(BOOSTING), CalibrationOptions(folds=2))
    model = trainer.fit(dataset)
    found = contributions(model, dataset.features[:50])
    below = contributions(model.members[0], dataset.features[:50])
    assert (found.values == below.values).all()
    order = np.argsort(found.scores[:, 0])
    assert (np.diff(model.predictor.predict_proba(dataset.features[:50])[order, 1]) >= 0).all()


def test_other_models_say_that_shap_is_not_theirs():
    model = ForestTrainer(ForestOptions(n_estimators=3)).fit(known_truth(400))
    assert not can_contribute(model)
    with pytest.raises(
        ModelError, match="must be lightgbm or logistic to be taken apart, was random"
    ):
        contributions(model, known_truth(400).features)


def test_a_file_that_is_not_the_served_model_is_noticed():
    dataset = known_truth(800)
    model, other = (LightGBMTrainer(BOOSTING).fit(known_truth(800, seed=s)) for s in (0, 5))
    with pytest.raises(ModelError, match="must add up to the model's score, were off by"):
        contributions(replace(model, files=other.files), dataset.features)


def test_a_damaged_file_is_refused():
    model = LightGBMTrainer(BOOSTING).fit(known_truth(800))
    text = model.files[LIGHTGBM_FILE].replace(b"num_leaves=7", b"num_leaves=8", 1)
    assert text != model.files[LIGHTGBM_FILE]
    with pytest.raises(ModelError, match="checksum"):
        contributions(replace(model, files={LIGHTGBM_FILE: text}), known_truth(400).features)


def test_a_row_of_another_width_is_refused():
    model = LightGBMTrainer(BOOSTING).fit(known_truth(400))
    with pytest.raises(ModelError, match="features must be float64"):
        contributions(model, np.ones((3, 5)))
