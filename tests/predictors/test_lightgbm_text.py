"""LightGBM's text is read strictly and predicts what LightGBM predicts, to the last bit."""

from __future__ import annotations

import re

import lightgbm
import numpy as np
import pytest

from crypto_bot.core.errors import ModelError
from crypto_bot.predictors import TreePredictor, lightgbm_text, load_predictor, read_lightgbm
from predictors.library_models import (
    NAMES,
    booster,
    booster_answer,
    booster_predictor,
    booster_text,
    card,
    damaged,
    random_labels,
    random_rows,
)

TEXT = booster(3).model_to_string()


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("use_missing", [True, False])
@pytest.mark.parametrize("zero_as_missing", [True, False])
def test_predictions_equal_lightgbm_bit_for_bit(classes, holes, use_missing, zero_as_missing):
    settings = {"holes": holes, "use_missing": use_missing, "zero_as_missing": zero_as_missing}
    values = random_rows(9, 1111, holes=True)
    predictor = booster_predictor(classes, **settings)
    assert np.array_equal(
        predictor.probabilities_as_library(values),
        booster_answer(booster(classes, **settings), values),
    )


def test_a_steeper_logistic_and_more_rounds_stay_exact():
    values = random_rows(9)
    for settings in ({"sigmoid": 2.5}, {"rounds": 150}, {"boost_from_average": False}):
        wanted = booster_answer(booster(2, **settings), values)
        assert np.array_equal(booster_predictor(2, **settings).predict_proba(values), wanted)


def test_trees_without_any_split_are_read():
    values = random_rows(1)
    labels = random_labels(1, values, 3)
    rows = lightgbm.Dataset(np.zeros((len(values), 2)), label=labels, feature_name=["a", "b"])
    settings = {"objective": "multiclass", "num_class": 3, "verbosity": -1}
    model = lightgbm.train(settings, rows, num_boost_round=2)
    ensemble, names = read_lightgbm(model.model_to_string().encode())
    found = TreePredictor(ensemble, names, (0, 1, 2)).predict_proba(np.zeros((5, 2)))
    assert np.array_equal(found, model.predict(np.zeros((5, 2))))


def test_a_sealed_text_is_still_a_lightgbm_model():
    values = random_rows(9)
    again = lightgbm.Booster(model_str=booster_text(3).decode())
    assert np.array_equal(again.predict(values), booster(3).predict(values))


def outcome(content):
    """Probabilities of the loaded content, or None if it is refused."""
    try:
        predictor = load_predictor(card("lightgbm", 3), {"model.txt": content})
    except ModelError:
        return None
    return predictor.predict_proba(random_rows(4, 50))


def test_a_damaged_sealed_file_is_refused_or_predicts_the_same():
    wanted = booster(3).predict(random_rows(4, 50))
    found = [outcome(damaged(booster_text(3), seed)) for seed in range(300)]
    for seed, probabilities in enumerate(found):
        assert probabilities is None or np.array_equal(probabilities, wanted), seed
    assert sum(each is None for each in found) > 200


def test_a_damaged_unsealed_text_is_refused_or_predicts_numbers():
    content = TEXT[: TEXT.index("end of trees") + 13].encode()
    found = [outcome(damaged(content, seed)) for seed in range(400)]
    for seed, probabilities in enumerate(found):
        assert probabilities is None or np.isfinite(probabilities).all(), seed
    assert sum(each is None for each in found) > 200


def test_a_truncated_text_is_refused():
    for end in np.linspace(0, TEXT.index("end of trees"), 60).astype(int):
        with pytest.raises(ModelError, match="intact LightGBM model text"):
            read_lightgbm(TEXT[:end].encode())


def edited(key, change):
    """The text with the first tree's line of `key` changed and tree_sizes made to fit."""
    start = TEXT.index("Tree=0")
    line = re.search(rf"^{key}=.*$", TEXT[start:], re.MULTILINE)
    new = change(line[0])
    text = TEXT[:start] + TEXT[start:].replace(line[0], new, 1)
    sizes = re.search(r"tree_sizes=(\d+)", text)
    size = int(sizes[1]) + len(new) - len(line[0])
    return text.replace(sizes[0], f"tree_sizes={size}", 1).encode()


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("left_child", lambda line: re.sub(r"=\S+", "=0", line), "behind their parent|leave"),
        ("left_child", lambda line: re.sub(r"=\S+", "=999", line), "leave their tree"),
        ("right_child", lambda line: re.sub(r"\S+$", "-999", line), "leave their tree"),
        ("right_child", lambda line: re.sub(r"\S+$", "-1", line), "leave their tree"),
        ("split_feature", lambda line: re.sub(r"=\S+", "=6", line), "feature must lie in 0..5"),
        ("split_feature", lambda line: re.sub(r"=\S+", "=-1", line), "feature must lie in 0..5"),
        ("split_feature", lambda line: re.sub(r"=\S+", "=" + "9" * 30, line), "intact"),
        ("threshold", lambda line: line + " 1.0", "threshold holds"),
        ("threshold", lambda line: re.sub(r"=\S+", "=1_0", line), "threshold holds"),
        ("threshold", lambda line: re.sub(r"=\S+", "=abc", line), "intact"),
        ("leaf_value", lambda line: re.sub(r"=\S+", "=nan", line), "leaf_values must be finite"),
        ("num_leaves", lambda line: "num_leaves=999999999999", "num_leaves is"),
        ("num_leaves", lambda line: "num_leaves=0", "num_leaves is 0"),
        ("num_cat", lambda line: "num_cat=1", "categorical splits or linear trees"),
        ("is_linear", lambda line: "is_linear=1", "categorical splits or linear trees"),
        ("decision_type", lambda line: re.sub(r"=\S+", "=1", line), "had categorical"),
        ("decision_type", lambda line: re.sub(r"=\S+", "=12", line), "intact"),
        ("shrinkage", lambda line: "num_leaves=3", "num_leaves stands twice"),
    ],
)
def test_a_tree_that_breaks_the_rules_is_refused_by_name(key, change, message):
    with pytest.raises(ModelError, match=message):
        load_predictor(card("lightgbm", 3), {"model.txt": edited(key, change)})


def test_the_edited_text_of_the_test_above_is_read_when_nothing_is_changed():
    assert edited("threshold", lambda line: line) == TEXT.encode()
    load_predictor(card("lightgbm", 3), {"model.txt": edited("shrinkage", lambda line: line + "0")})


@pytest.mark.parametrize(
    "settings",
    [
        {"objective": "regression"},
        {"objective": "cross_entropy"},
        {"objective": "multiclassova", "num_class": 3},
        {"objective": "binary", "linear_tree": True},
        {"objective": "binary", "categorical_feature": [5]},
        {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
    ],
)
def test_kinds_of_models_the_walker_does_not_do_are_refused(settings):
    values = random_rows(1)
    values[:, 5] = np.abs(np.round(values[:, 5])) % 5
    labels = random_labels(1, values, 2) ^ (values[:, 5] % 2 > 0)
    options = {"verbosity": -1, "num_leaves": 7, **settings}
    rows = lightgbm.Dataset(
        values,
        label=labels,
        feature_name=list(NAMES),
        categorical_feature=options.pop("categorical_feature", []),
        params=options,
    )
    model = lightgbm.train(options, rows, num_boost_round=3)
    with pytest.raises(ModelError, match=r"must (be|hold|not)"):
        read_lightgbm(model.model_to_string().encode())


def test_a_text_beyond_the_size_limit_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(lightgbm_text, "SIZE_LIMIT_BYTES", 1000)
    with pytest.raises(ModelError, match="at most 1000 bytes"):
        read_lightgbm(TEXT.encode())
