"""What an explanation says where the truth is known, and that no training row explains anything."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from crypto_bot.core.errors import DataError
from crypto_bot.explain import (
    ExplainOptions,
    explain_model,
    lag_groups,
    partial_dependence,
    quantile_grid,
)
from crypto_bot.features import DriftLevel, feature_drift
from crypto_bot.training import ForestOptions, ForestTrainer
from crypto_bot.training.permutation import permuted_rises
from explain.made import known_truth, walked


class Recorder:
    """A monotone model of two features that remembers which rows it was asked about."""

    feature_names = ("f0", "f1")
    classes = (0, 1)

    def __init__(self):
        self.asked = []

    def predict_proba(self, features):
        self.asked.append(features.copy())
        up = 1 / (1 + np.exp(-2 * features[:, 0]))
        return np.column_stack((1 - up, up))


@pytest.fixture(scope="module")
def explained():
    dataset = known_truth()
    predictions = walked(dataset)
    return dataset, predictions, explain_model(dataset, predictions)


def test_the_true_feature_is_important_and_noise_is_not(explained):
    permuted = {each.name: each for each in explained[2].permutation}
    assert [each.name for each in explained[2].permutation][:2] == ["f0", "f1"]
    assert permuted["f0"].mean > 0.2
    assert permuted["f0"].helped == 1.0
    assert 0 < permuted["f0"].deviation < permuted["f0"].mean
    for noise in ("f2", "f3"):
        assert abs(permuted[noise].mean) < 0.01


def test_shap_and_dependence_follow_the_same_order(explained):
    found = explained[2]
    assert found.shap.feature_names[:2] == ("f0", "f1")
    assert [each.feature for each in found.dependence] == list(found.shap.feature_names)
    assert (np.diff(found.shap.mean_absolute) <= 0).all()
    curve = found.dependence[0].mean[:, 1]
    assert curve[-1] - curve[0] > 0.5
    assert found.dependence[0].mean.sum(axis=1) == pytest.approx(1.0)


def test_shap_rows_are_rows_that_no_fold_learned_from(explained):
    dataset, predictions, found = explained
    shown = found.shap.features[:, np.argsort(found.shap.feature_names)]
    tested = {row.tobytes() for row in dataset.features[predictions.is_tested]}
    assert all(np.ascontiguousarray(row).tobytes() in tested for row in shown)


def test_every_question_is_asked_out_of_sample():
    dataset = known_truth(900)
    predictions = walked(dataset, folds=2)
    recorders = [Recorder(), Recorder()]
    models = tuple(
        replace(model, predictor=recorder, model_type="random_forest")
        for model, recorder in zip(predictions.models, recorders, strict=True)
    )
    explain_model(dataset, replace(predictions, models=models))
    for recorder, split in zip(recorders, predictions.splits, strict=True):
        allowed = set(dataset.features[split.test, 1].tolist())
        first = recorder.asked[0]
        assert set(first[:, 1].tolist()) <= allowed
        assert len(recorder.asked) > 5


def test_the_same_inputs_give_the_same_explanation(explained):
    dataset, predictions, found = explained
    again = explain_model(dataset, predictions)
    assert json.dumps(again.to_dict(), allow_nan=False) == json.dumps(found.to_dict())
    other = explain_model(dataset, predictions, ExplainOptions(seed=7))
    assert other.to_dict()["permutation_importance"] != found.to_dict()["permutation_importance"]


def test_a_forest_is_explained_without_shap():
    dataset = known_truth(900)
    trainer = ForestTrainer(ForestOptions(n_estimators=10, max_depth=4))
    found = explain_model(dataset, walked(dataset, trainer, folds=2))
    assert found.shap is None
    assert found.to_dict()["mean_absolute_shap"] is None
    assert found.dependence[0].feature == found.permutation[0].name == "f0"


def test_three_classes_are_explained_by_the_last(explained):
    dataset = known_truth(1500, classes=(-1, 0, 1))
    found = explain_model(dataset, walked(dataset, folds=2))
    mean = found.dependence[0].mean
    assert mean.shape[1] == 3
    assert mean[-1, 2] > mean[0, 2]
    assert mean[-1, 0] < mean[0, 0]
    up = found.shap.values[:, 0]
    assert np.corrcoef(up, found.shap.features[:, 0])[0, 1] > 0.5


def test_the_abstain_band_is_counted(explained):
    dataset, predictions, found = explained
    assert found.abstained is None
    band = {"band_up": 0.7, "band_down": 0.7}
    models = tuple(replace(model, thresholds=band) for model in predictions.models)
    share = explain_model(dataset, replace(predictions, models=models)).abstained
    told = predictions.probabilities[predictions.is_tested]
    assert share == pytest.approx((told.max(axis=1) < 0.7).mean())


def test_predictions_without_models_or_rows_are_refused(explained):
    dataset, predictions, _ = explained
    with pytest.raises(DataError, match="must carry the models of their folds to be explained"):
        explain_model(dataset, replace(predictions, models=()))
    untested = np.full_like(predictions.probabilities, np.nan)
    with pytest.raises(DataError, match="must have tested some row to be explained"):
        explain_model(dataset, replace(predictions, probabilities=untested))


def test_partial_dependence_of_a_known_monotone_model():
    features = np.random.default_rng(0).normal(size=(200, 2))
    grid = quantile_grid(features[:, 0], 9)
    found = partial_dependence(Recorder(), features, "f0", grid, single_rows=5)
    assert found.mean[:, 1] == pytest.approx(1 / (1 + np.exp(-2 * grid)))
    assert (np.diff(found.mean[:, 1]) > 0).all()
    assert found.single == pytest.approx(np.tile(found.mean[:, 1], (5, 1)))
    flat = partial_dependence(Recorder(), features, "f1", grid)
    assert np.ptp(flat.mean[:, 1]) < 1e-12
    assert flat.single.shape == (0, 9)
    with pytest.raises(DataError, match="feature must be one the model reads"):
        partial_dependence(Recorder(), features, "f9", grid)


def test_a_grid_holds_each_value_once_and_no_extremes():
    assert quantile_grid(np.repeat([0.0, 1.0], 500), 12).tolist() == [0.0, 1.0]
    values = np.append(np.linspace(0, 1, 1000), 1e9)
    assert quantile_grid(values, 12).max() <= 1.0


def test_lags_of_a_feature_are_one_feature():
    names = ("rsi_14~2", "volume", "rsi_14~1", "rsi_14")
    assert lag_groups(names) == {
        "rsi_14": ("rsi_14~2", "rsi_14~1", "rsi_14"),
        "volume": ("volume",),
    }


def test_lags_are_permuted_together():
    class Difference(Recorder):
        feature_names = ("a~1", "a")

        def predict_proba(self, features):
            up = np.where(features[:, 1] > features[:, 0], 0.9, 0.1)
            return np.column_stack((1 - up, up))

    steps = np.random.default_rng(0).normal(size=600)
    series = np.column_stack((np.arange(600.0), np.arange(600) + steps))
    base = known_truth(600)
    labels = (steps > 0).astype(np.int8)
    dataset = replace(base, features=series, feature_names=("a~1", "a"), labels=labels)
    random = np.random.default_rng(1)
    groups = lag_groups(dataset.feature_names)
    (rises,) = permuted_rises(
        Difference(), dataset, repeats=2, random=random, groups=groups
    ).values()
    assert rises.mean() == pytest.approx(0.5 * (np.log(0.9) - np.log(0.1)), rel=0.15)


def test_permuting_wants_rows_and_repeats():
    with pytest.raises(DataError, match="repeats and rows must be >= 1, were 0"):
        permuted_rises(
            Recorder(),
            known_truth(100).columns(("f0", "f1")),
            repeats=0,
            random=np.random.default_rng(0),
        )


def test_shifted_rows_are_another_distribution(explained):
    dataset, predictions, _ = explained
    now = dataset.features.copy()
    now[:, 2] += 2.0
    drift = feature_drift(dataset.feature_names, dataset.features[:2000], now[2000:])
    found = explain_model(dataset, predictions, drift=drift, level_features=("f2",)).to_dict()[
        "drift"
    ]
    assert next(iter(found)) == "f2"
    assert found["f2"]["level"] == DriftLevel.STRONG == "strong"
    assert found["f2"]["ks"] > 0.5
    assert found["f2"]["carries_a_level"]
    assert found["f0"]["level"] == DriftLevel.STABLE
