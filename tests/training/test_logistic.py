"""The baseline: scikit-learn's answers to rounding, deterministic, and honest when it cannot converge."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from crypto_bot.core.errors import ConfigError, ModelError
from crypto_bot.training import LogisticOptions, LogisticTrainer, logistic
from training.learnable_rows import dataset


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_probabilities_are_scikit_learns_to_rounding(classes, l1_ratio):
    data = dataset(classes)
    options = LogisticOptions(l1_ratio=l1_ratio)
    found = LogisticTrainer(options).fit(data).predictor.predict_proba(data.features)
    scaler, model = logistic.fit_logistic(data, options)
    wanted = model.predict_proba(scaler.transform(data.features))
    assert np.abs(found - wanted).max() <= 1e-15


def test_the_fit_is_scikit_learns_own_classifier_with_balanced_classes():
    data = dataset(3)
    rows = StandardScaler().fit_transform(data.features)
    wanted = LogisticRegression(
        C=0.3, solver="newton-cholesky", class_weight="balanced", max_iter=100
    ).fit(rows, data.labels)
    found = logistic.fit_logistic(data, LogisticOptions(C=0.3, l1_ratio=0)).model
    assert np.allclose(found.coef_, wanted.coef_, atol=1e-9)


def test_a_strong_lasso_leaves_out_features_and_says_so_in_the_importance():
    trained = LogisticTrainer(LogisticOptions(C=0.03, l1_ratio=1.0)).fit(dataset())
    assert 0 < sum(share == 0 for share in trained.importance.values()) < 8


def test_a_solver_that_runs_out_of_passes_is_an_error_and_not_half_a_model():
    with pytest.raises(ModelError, match="max_iter must let the solver converge, 1 passes did not"):
        LogisticTrainer(LogisticOptions(max_iter=1)).fit(dataset())


def test_another_seed_orders_the_rows_otherwise():
    one, other = (LogisticTrainer(LogisticOptions(seed=seed)).fit(dataset()) for seed in (1, 2))
    assert one.files != other.files


def test_an_export_that_differs_from_its_library_is_refused(monkeypatch):
    monkeypatch.setattr(logistic, "logistic_probabilities", lambda *_: np.full((512, 2), 0.5))
    with pytest.raises(ModelError, match="exported model must predict what the library does"):
        LogisticTrainer().fit(dataset())


def test_options_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="l1_ratio must be less than or equal to 1, was 2"):
        LogisticOptions(l1_ratio=2)
    with pytest.raises(ConfigError, match="C must be greater than 0"):
        LogisticOptions(C=0)
