"""Scores of predictions, drawdown, thinning and plain JSON, by hand and by scikit-learn."""

import numpy as np
import pytest

from crypto_bot.report import ModelView
from crypto_bot.report.measures import drawdown, growth, plain, score_model, thin
from crypto_bot.report.page import cell, found, number, percent, whole

NAN = float("nan")


def view(labels, probabilities, classes=(0, 1)):
    return ModelView("m", "forest", classes, np.array(labels), np.array(probabilities, float))


def test_scores_by_hand():
    rows = [[0.8, 0.2], [0.4, 0.6], [0.3, 0.7], [0.5, 0.5], [NAN, NAN]]
    scores = score_model(view([0, 0, 1, 1, 1], rows))
    assert scores.confusion.tolist() == [[1, 1], [1, 1]]
    assert (scores.rows, scores.untested, scores.accuracy, scores.majority_accuracy) == (
        4,
        1,
        0.5,
        0.5,
    )
    assert scores.log_loss == pytest.approx(-np.log([0.8, 0.4, 0.7, 0.5]).mean())
    assert scores.base_rate_log_loss == pytest.approx(np.log(2))
    assert scores.calibration.counts.tolist() == [1, 1, 1, 1]
    assert scores.calibration.happened.tolist() == [0, 1, 0, 1]


def test_scores_agree_with_scikit_learn():
    from sklearn import metrics

    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet([2, 3, 1], 500)
    labels = rng.choice([-1, 0, 1], 500, p=[0.3, 0.5, 0.2])
    said = np.array([-1, 0, 1])[probabilities.argmax(axis=1)]
    scores = score_model(view(labels, probabilities, (-1, 0, 1)))
    assert (scores.confusion == metrics.confusion_matrix(labels, said)).all()
    assert scores.accuracy == pytest.approx(metrics.accuracy_score(labels, said))
    assert scores.log_loss == pytest.approx(metrics.log_loss(labels, probabilities))
    precision, recall, _, _ = metrics.precision_recall_fscore_support(labels, said, zero_division=0)
    assert [score.precision for score in scores.classes] == pytest.approx(precision)
    assert [score.recall for score in scores.classes] == pytest.approx(recall)


def test_what_was_never_said_or_never_happened_has_no_score():
    scores = score_model(view([0, 0], [[0.9, 0.1], [0.8, 0.2]]))
    assert scores.classes[1].precision is None
    assert scores.classes[1].recall is None
    assert scores.majority_accuracy == 1.0


def test_nothing_tested_is_no_score():
    assert score_model(view([0, 1], [[NAN, NAN]] * 2)) is None


def test_drawdown_and_growth_by_hand():
    curve = np.array([NAN, 2.0, 4.0, 3.0, 5.0, 1.0])
    assert drawdown(curve)[1:].tolist() == [0, 0, -0.25, 0, -0.8]
    assert growth(curve)[1:].tolist() == [1, 2, 1.5, 2.5, 0.5]


def test_thinning_keeps_both_ends_and_every_extreme():
    curve = np.sin(np.arange(50_000) / 700.0)
    curve[12_345], curve[33_333] = 9.0, -9.0
    rows = thin([curve])
    assert rows[0] == 0
    assert rows[-1] == 49_999
    assert {12_345, 33_333} <= set(rows.tolist())
    assert len(rows) <= 1_300
    assert (np.diff(rows) > 0).all()
    assert thin([curve[:10]]).tolist() == list(range(10))


def test_plain_json_has_no_nan_and_no_numpy():
    value = {1: np.float64(NAN), "a": np.array([1.0, np.inf]), "b": (np.int64(3), None, True)}
    assert plain(value) == {"1": None, "a": [1.0, None], "b": [3, None, True]}


def test_numbers_as_people_read_them():
    assert (number(-1234.567), whole(1234567), percent(-0.0123)) == (
        "−1,234.57",
        "1,234,567",
        "−1.2 %",
    )
    assert (number(None), percent(NAN), whole(np.nan), cell(None)) == ("–",) * 4
    assert (cell(True), cell(12345), cell(0.000123456), cell("x")) == (
        "yes",
        "12,345",
        "0.0001235",
        "x",
    )
    assert cell({"fast": 5, "slow": 10.0}) == "fast 5, slow 10"
    assert (found({"gaps": 2, "nan": 0}), found({"nan": 0})) == ("gaps 2", "nothing")
