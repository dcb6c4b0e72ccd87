"""linear.npz: the hand-checked formula, sound arrays only, damage noticed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crypto_bot.core.errors import ModelError
from crypto_bot.predictors import LinearModel, LinearPredictor, read_linear, write_linear
from predictors.library_models import damaged

NAMES = ("a", "b")


def model(**changes):
    parts = {
        "mean": np.array([1.0, 2.0]),
        "scale": np.array([2.0, 4.0]),
        "coefficients": np.array([[3.0, -1.0]]),
        "intercepts": np.array([0.5]),
        "columns": np.array([0, 1]),
    }
    return LinearModel(**{**parts, **changes})


def test_two_classes_are_the_logistic_function_of_the_scaled_sum():
    up = 1.0 / (1.0 + math.exp(-(3.0 * (5.0 - 1.0) / 2.0 - (10.0 - 2.0) / 4.0 + 0.5)))
    found = LinearPredictor(model(), NAMES, (0, 1)).predict_proba(np.array([[5.0, 10.0]]))
    assert found.tolist() == [[1.0 - up, up]]


def test_two_of_three_classes_leave_the_third_at_zero():
    predictor = LinearPredictor(model(columns=np.array([0, 2])), NAMES, (-1, 0, 1))
    found = predictor.predict_one(np.array([1.0, 2.0]))
    assert found[1] == 0.0
    assert found[2] == 1.0 / (1.0 + math.exp(-0.5))


def test_three_classes_are_a_softmax():
    three = model(
        coefficients=np.zeros((3, 2)), intercepts=np.log([1.0, 2.0, 5.0]), columns=np.arange(3)
    )
    found = LinearPredictor(three, NAMES, (-1, 0, 1)).predict_one(np.zeros(2))
    assert found == pytest.approx([0.125, 0.25, 0.625])


def test_a_row_too_far_out_to_add_up_gives_no_answer():
    predictor = LinearPredictor(model(scale=np.array([1e-200, 1e-200])), NAMES, (0, 1))
    assert np.isnan(predictor.predict_one(np.array([1e200, 1e200]))).all()


def test_the_same_model_gives_the_same_bytes_and_reads_back():
    content = write_linear(model(), NAMES, (0, 1))
    found, names, classes = read_linear(content)
    assert write_linear(found, names, classes) == content
    assert (names, classes) == (NAMES, (0, 1))


def test_a_damaged_file_is_refused_or_reads_the_same():
    content = write_linear(model(), NAMES, (0, 1))
    refused = 0
    for seed in range(200):
        try:
            found, names, classes = read_linear(damaged(content, seed))
        except ModelError:
            refused += 1
            continue
        assert write_linear(found, names, classes) == content, seed
    assert refused > 100
    with pytest.raises(ModelError, match=r"linear.npz must be an intact linear model, was not"):
        read_linear(content[:-9])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": np.array([0.0, 1.0])}, "scale must be > 0"),
        ({"mean": np.array([np.nan, 1.0])}, "mean must be finite"),
        ({"coefficients": np.ones((2, 2))}, r"coefficients must have shape \(1, 2\)"),
        ({"intercepts": np.ones(3)}, r"intercepts must have shape \(1,\)"),
        ({"columns": np.array([0, 2])}, "columns must be at least two ascending"),
        ({"columns": np.array([1, 0])}, "columns must be at least two ascending"),
    ],
)
def test_unsound_arrays_are_refused(changes, message):
    with pytest.raises(ModelError, match=message):
        LinearPredictor(model(**changes), NAMES, (0, 1))


def test_doubled_names_and_unordered_classes_are_refused():
    with pytest.raises(ModelError, match="feature_names must differ"):
        LinearPredictor(model(), ("a", "a"), (0, 1))
    with pytest.raises(ModelError, match="classes must be at least two ascending"):
        LinearPredictor(model(), NAMES, (1, 0))
