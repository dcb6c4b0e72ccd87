"""Calibration learns on unseen rows, mends what is wrong, and leaves alone what is right."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from crypto_bot.core.errors import ConfigError, DataError, ModelError
from crypto_bot.predictors import CalibratedPredictor, Calibration, calibrate
from crypto_bot.training import (
    CalibratedTrainer,
    CalibrationOptions,
    LightGBMOptions,
    LightGBMTrainer,
    LogisticOptions,
    LogisticTrainer,
    out_of_fold,
    score_probabilities,
)
from crypto_bot.training.calibration_fits import fit_calibration
from training.learnable_rows import dataset

RIDGE = LogisticTrainer(LogisticOptions(l1_ratio=0))
METHODS = ["sigmoid", "isotonic", "temperature"]


def promised(rows=20_000, classes=2, seed=0):
    """True chances and what came of them."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(rows, classes))
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    came = (rng.random((rows, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return chances, np.minimum(came, classes - 1)


def overconfident(chances, power=2.5):
    sharp = chances**power
    return sharp / sharp.sum(axis=1, keepdims=True)


def error_of(probabilities, came):
    labels = came.astype(np.int8)
    return score_probabilities(labels, probabilities, tuple(range(probabilities.shape[1])))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("classes", [2, 3])
def test_an_overconfident_model_is_mended_on_rows_the_fit_never_saw(method, classes):
    chances, came = promised(classes=classes)
    wrong, half = overconfident(chances), slice(0, 10_000)
    fitted = fit_calibration(method, wrong[half], came[half], np.ones(10_000))
    before = error_of(wrong[10_000:], came[10_000:])
    after = error_of(calibrate(fitted, wrong[10_000:]), came[10_000:])
    assert before.calibration_error > 0.05
    assert after.calibration_error < 0.3 * before.calibration_error
    assert after.log_loss < before.log_loss
    assert after.brier < before.brier


@pytest.mark.parametrize("classes", [2, 3])
def test_the_temperature_that_spoiled_the_odds_is_found(classes):
    chances, came = promised(40_000, classes)
    fitted = fit_calibration("temperature", overconfident(chances), came, np.ones(len(came)))
    assert 1.0 / fitted.slopes[0] == pytest.approx(2.5, rel=0.05)


def test_a_sigmoid_finds_the_slope_that_spoiled_two_classes():
    chances, came = promised(40_000)
    fitted = fit_calibration("sigmoid", overconfident(chances), came, np.ones(len(came)))
    assert fitted.slopes[1] == pytest.approx(0.4, rel=0.05)
    assert fitted.intercepts[1] == pytest.approx(0.0, abs=0.05)


def test_isotonic_levels_are_scikit_learns():
    chances, came = promised(3000)
    weights = np.random.default_rng(1).random(3000)
    fitted = fit_calibration("isotonic", overconfident(chances), came, weights)
    wanted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    wanted.fit(overconfident(chances)[:, 1], came == 1, sample_weight=weights)
    asked = np.linspace(0, 1, 999)
    found = calibrate(fitted, np.column_stack((1 - asked, asked)))
    assert np.abs(found[:, 1] - wanted.predict(asked)).max() < 1e-12


def test_a_model_that_is_wrong_all_round_is_reduced_to_the_base_rate_and_never_turned_round():
    chances, came = promised(5000)
    fitted = fit_calibration("sigmoid", chances[:, ::-1], came, np.ones(5000))
    found = calibrate(fitted, chances)
    assert fitted.slopes[1] == 0.0
    assert np.ptp(found[:, 1]) == 0.0
    assert found[0, 1] == pytest.approx(np.mean(came), abs=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_a_doubled_weight_is_the_row_given_twice(method):
    chances, came = promised(2000)
    twice = np.arange(0, 2000, 3)
    weights = np.ones(2000)
    weights[twice] = 2.0
    rows = np.concatenate((np.arange(2000), twice))
    weighted = fit_calibration(method, chances, came, weights)
    given = fit_calibration(method, chances[rows], came[rows], np.ones(len(rows)))
    assert np.allclose(calibrate(weighted, chances), calibrate(given, chances), atol=1e-6)


def test_the_correction_is_fitted_on_rows_the_inner_model_never_learned_from():
    """A model that knows its training rows by heart would be found perfect on them."""
    data = dataset()
    noise = replace(data, labels=np.random.default_rng(3).permutation(data.labels))
    by_heart = LightGBMTrainer(
        LightGBMOptions(
            n_estimators=30, num_leaves=31, min_data_in_leaf=1, learning_rate=0.5, n_jobs=1
        )
    )
    trained = CalibratedTrainer(by_heart, CalibrationOptions(folds=3)).fit(noise)
    assert by_heart.fit(noise).predictor.predict_proba(noise.features).max(axis=1).mean() > 0.75
    assert trained.predictor.predict_proba(noise.features).max(axis=1).mean() < 0.65
    assert trained.evidence["log_loss_after"] < trained.evidence["log_loss_before"]


def test_out_of_fold_predictions_are_those_of_models_of_the_other_folds():
    data = dataset()
    options = CalibrationOptions(folds=3)
    found = out_of_fold(data, RIDGE, options)
    assert np.isfinite(found).all()
    third = np.arange(len(data) * 2 // 3 + 1, len(data))
    learned = data.label_end_ns < data.decided_at_ns[third[0]] - 10 * 300 * 10**9
    again = RIDGE.fit(data.take(learned)).predictor.predict_proba(data.features[third])
    assert np.abs(found[third] - again).max() < 0.02
    everything = RIDGE.fit(data).predictor.predict_proba(data.features)
    assert not np.allclose(found, everything, atol=1e-6)


def test_the_shipped_model_is_the_inner_one_of_all_rows_and_the_correction():
    data = dataset(3)
    trained = CalibratedTrainer(RIDGE, CalibrationOptions(folds=3)).fit(data)
    (inner,) = trained.predictor.members
    wanted = RIDGE.fit(data).predictor.predict_proba(data.features)
    assert np.array_equal(inner.predict_proba(data.features), wanted)
    assert trained.model_type == "calibrated"
    assert sorted(trained.files) == ["0.linear.npz", "calibration.npz"]
    json.dumps([trained.evidence, trained.options, trained.thresholds])


def test_too_few_rows_for_the_folds_are_refused():
    with pytest.raises(DataError, match=r"rows must be at least|must have at least 50 train rows"):
        CalibratedTrainer(RIDGE).fit(dataset().take(np.arange(60)))


def test_unsound_corrections_and_options_are_refused():
    inner = RIDGE.fit(dataset()).predictor
    empty = np.empty(0)
    for method, changes, message in (
        (0, {"slopes": np.array([1.0]), "intercepts": np.zeros(2)}, "slopes must be 2"),
        (0, {"slopes": np.array([1.0, -1.0]), "intercepts": np.zeros(2)}, "slopes must be >= 0"),
        (0, {"slopes": np.ones(2), "intercepts": np.array([0, np.nan])}, "intercepts must be fin"),
        (1, {"knots": np.ones(2), "levels": np.ones(2)}, "starts must begin"),
        (2, {"slopes": np.ones(2)}, "slopes must be 1"),
        (3, {}, "method must be a known one"),
    ):
        arrays = {"slopes": empty, "intercepts": empty, "knots": empty, "levels": empty}
        starts = np.zeros(0, dtype=np.int64)
        broken = Calibration(**{"method": method, **arrays, "starts": starts, **changes})
        with pytest.raises(ModelError, match=message):
            CalibratedPredictor(inner, broken)
    with pytest.raises(ConfigError, match="method must be"):
        CalibrationOptions(method="platt")
    with pytest.raises(ConfigError, match="coverage must be less than 1"):
        CalibrationOptions(coverage=1.0)


def test_reliability_bins_hold_the_truth_and_the_brier_parts_add_up():
    chances, came = promised(20_000)
    scores = error_of(chances, came)
    inside = [b.frequency_low <= b.mean_probability <= b.frequency_high for b in scores.calibration]
    assert np.mean(inside) >= 0.8
    parts = scores.brier_parts
    rounded = parts.reliability - parts.resolution + parts.uncertainty
    assert rounded == pytest.approx(scores.brier, abs=2e-3)
    assert scores.calibration_error < 0.015
    assert error_of(overconfident(chances), came).brier_parts.reliability > 10 * parts.reliability
