"""The `Predictor` port over trees: NaN in, NaN out; one row equals many; no training library."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from crypto_bot.core.errors import ModelError
from crypto_bot.predictors import TreePredictor, load_predictor, predictor, read_forest
from predictors.library_models import (
    NAMES,
    booster_predictor,
    booster_text,
    card,
    forest,
    forest_bytes,
    random_rows,
)


def models():
    return [
        booster_predictor(2),
        booster_predictor(3, zero_as_missing=True, holes=True),
        booster_predictor(3, rounds=1),
        TreePredictor(*read_forest(forest_bytes(3))),
    ]


@pytest.mark.parametrize("model", models())
def test_a_row_that_is_not_finite_gives_nan_and_leaves_its_neighbours_alone(model):
    values = random_rows(7, 300)
    wanted = model.predict_proba(values)
    broken = values.copy()
    broken[5, 2], broken[100, 0], broken[299, 5] = np.nan, np.inf, -np.inf
    found = model.predict_proba(broken)
    is_broken = np.zeros(300, dtype=bool)
    is_broken[[5, 100, 299]] = True
    assert np.isnan(found[is_broken]).all()
    assert np.array_equal(found[~is_broken], wanted[~is_broken])
    assert np.isnan(model.predict_one(broken[5])).all()


@pytest.mark.parametrize("model", models())
def test_one_row_equals_the_same_row_among_many(model):
    values = random_rows(8, 130)
    many = model.predict_proba(values)
    assert all(np.array_equal(model.predict_one(row), many[i]) for i, row in enumerate(values))
    assert np.allclose(many.sum(axis=1), 1.0)


@pytest.mark.parametrize("model", models())
def test_the_number_of_rows_layout_and_threads_change_no_bit(model, monkeypatch):
    values = random_rows(8, 1000)
    wanted = model.predict_proba(values)
    assert np.array_equal(model.predict_proba(np.asfortranarray(values)), wanted)
    for rows in (0, 1, 3, 63, 64, 65, 129):
        assert np.array_equal(model.predict_proba(values[:rows]), wanted[:rows])
    monkeypatch.setattr(predictor, "_ROWS_A_THREAD", 300)
    monkeypatch.setattr(predictor, "available_cores", lambda: 3)
    assert np.array_equal(model.predict_proba(values), wanted)


def test_a_value_too_large_for_float32_gives_nan_for_a_forest():
    model = TreePredictor(*read_forest(forest_bytes()))
    values = np.zeros((1, 6))
    values[0, 3] = 1e300
    assert np.isnan(model.predict_proba(values)).all()


def test_the_wrong_shape_is_refused():
    model = booster_predictor(2)
    with pytest.raises(
        ModelError, match=r"features must be float64 \(rows, 6\), was float64 \(3, 5\)"
    ):
        model.predict_proba(np.zeros((3, 5)))
    with pytest.raises(ModelError, match=r"values must be float64 \(6,\)"):
        model.predict_one(np.zeros(5))
    with pytest.raises(ModelError, match=r"values must be float64 \(6,\)"):
        model.predict_one(np.zeros(6, dtype=np.float32))


def test_the_scaler_travels_with_the_forest():
    loaded = load_predictor(card("random_forest"), {"forest.npz": forest_bytes()})
    assert np.array_equal(loaded.scaler.mean, forest().scaler.mean_)
    assert np.array_equal(loaded.scaler.scale, forest().scaler.scale_)
    assert booster_predictor().scaler is None


@pytest.mark.parametrize(
    ("asked", "files", "message"),
    [
        (card("lightgbm"), {}, "must include model.txt"),
        (card("random_forest"), {"model.txt": b""}, "must include forest.npz"),
        (card("lightgmb"), {}, "model_type must be one of .*did you mean 'lightgbm'"),
        (card("lightgbm"), {"model.txt": b""}, "intact"),
        (card("random_forest"), {"forest.npz": b""}, "intact"),
        (card("lightgbm", 3), {"model.txt": booster_text(2)}, "classes must be 2"),
        (card("random_forest", 3), {"forest.npz": forest_bytes(2)}, "card.classes must equal"),
        (
            card("lightgbm", names=NAMES[::-1]),
            {"model.txt": booster_text(2)},
            "card.feature_names must equal",
        ),
    ],
)
def test_a_card_and_files_that_disagree_are_refused(asked, files, message):
    with pytest.raises(ModelError, match=message):
        load_predictor(asked, files)


def test_predicting_imports_no_training_library(tmp_path):
    (tmp_path / "model.txt").write_bytes(booster_text(2))
    (tmp_path / "card.json").write_text(card("lightgbm").model_dump_json())
    script = """
import json, sys, numpy
from pathlib import Path
from crypto_bot.core import ModelCard
from crypto_bot.predictors import load_predictor
folder = Path(sys.argv[1])
card = ModelCard.from_mapping(json.loads((folder / "card.json").read_text()))
model = load_predictor(card, {"model.txt": (folder / "model.txt").read_bytes()})
model.predict_one(numpy.zeros(6))
heavy = {"lightgbm", "sklearn", "pandas", "polars", "scipy.optimize", "matplotlib"}
print(sorted(heavy & set(sys.modules)))
"""
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
