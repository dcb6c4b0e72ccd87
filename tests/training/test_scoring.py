"""Classification figures equal scikit-learn's where it has them; hand-made cases elsewhere."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics

from crypto_bot.core.errors import DataError
from crypto_bot.training import score_probabilities


def random_case(classes, rows=400, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, rows).astype(np.int8)
    raw = rng.random((rows, len(classes))) + 0.2 * (labels[:, None] == np.array(classes))
    return labels, raw / raw.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [(0, 1), (-1, 0, 1)])
def test_figures_equal_scikit_learn(classes):
    labels, probabilities = random_case(classes)
    scores = score_probabilities(labels, probabilities, classes)
    guess = np.array(classes)[probabilities.argmax(axis=1)]
    assert scores.accuracy == metrics.accuracy_score(labels, guess)
    assert scores.log_loss == pytest.approx(metrics.log_loss(labels, probabilities))
    assert np.array_equal(scores.confusion, metrics.confusion_matrix(labels, guess))
    precision, recall, _, support = metrics.precision_recall_fscore_support(labels, guess)
    assert [each.precision for each in scores.per_class] == pytest.approx(precision.tolist())
    assert [each.recall for each in scores.per_class] == pytest.approx(recall.tolist())
    assert [each.support for each in scores.per_class] == support.tolist()
    if classes == (0, 1):
        wanted = metrics.brier_score_loss(labels, probabilities[:, 1])
        assert scores.brier == pytest.approx(wanted)


def test_the_majority_is_the_training_rows_when_given():
    labels = np.array([0, 0, 0, 1], dtype=np.int8)
    probabilities = np.tile([0.3, 0.7], (4, 1))
    assert score_probabilities(labels, probabilities, (0, 1)).majority_accuracy == 0.75
    told = score_probabilities(labels, probabilities, (0, 1), majority_class=1)
    assert (told.majority_class, told.majority_accuracy) == (1, 0.25)


def test_rows_without_probabilities_are_left_out_and_counted():
    labels, probabilities = random_case((0, 1))
    wanted = score_probabilities(labels[10:], probabilities[10:], (0, 1))
    probabilities[:10] = np.nan
    found = score_probabilities(labels, probabilities, (0, 1))
    assert (found.rows, found.unpredicted) == (390, 10)
    assert (found.accuracy, found.log_loss) == (wanted.accuracy, wanted.log_loss)
    with pytest.raises(DataError, match="NaN on all 400"):
        score_probabilities(labels, probabilities * np.nan, (0, 1))


def test_calibration_bins_hold_every_row_once_and_tell_promise_from_outcome():
    rng = np.random.default_rng(1)
    upper = rng.random(5000)
    upper[:3] = 0.0, 1.0, 0.1
    labels = (rng.random(5000) < upper).astype(np.int8)
    scores = score_probabilities(labels, np.column_stack((1 - upper, upper)), (0, 1))
    bins = [each for each in scores.calibration if each.label == 1]
    assert sum(each.rows for each in bins) == 5000
    assert all(each.low <= each.mean_probability <= each.high for each in bins)
    assert all(abs(each.mean_probability - each.frequency) < 0.06 for each in bins)


def test_a_class_never_predicted_or_never_there_has_no_made_up_figure():
    scores = score_probabilities(np.array([0, 0], np.int8), np.tile([0.9, 0.1], (2, 1)), (0, 1))
    assert scores.per_class[1].precision is None
    assert scores.per_class[1].recall is None
    json.dumps(scores.to_dict(), allow_nan=False)
    assert scores.summary()["accuracy"] == 1.0


def test_the_wrong_shape_is_refused():
    with pytest.raises(DataError, match=r"probabilities must be \(3, 2\)"):
        score_probabilities(np.zeros(3, np.int8), np.zeros((3, 3)), (0, 1))
