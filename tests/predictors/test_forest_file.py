"""forest.npz predicts what scikit-learn predicts, is deterministic, and trusts nothing it reads."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from crypto_bot.core.errors import ModelError
from crypto_bot.predictors import (
    TreePredictor,
    forest_file,
    load_predictor,
    read_forest,
    read_lightgbm,
    write_forest,
)
from crypto_bot.training.forest import export_forest
from predictors.library_models import (
    NAMES,
    booster_text,
    card,
    damaged,
    forest,
    forest_answer,
    forest_bytes,
    random_rows,
)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("holes", [False, True])
def test_predictions_equal_scikit_learn_bit_for_bit(classes, holes):
    values = random_rows(9, 1111, holes=holes)
    predictor = TreePredictor(*read_forest(forest_bytes(classes, holes=holes)))
    wanted = forest_answer(forest(classes, holes=holes), values)
    assert np.array_equal(predictor.probabilities_as_library(values), wanted)


def test_values_at_a_threshold_go_where_float32_sends_them():
    fitted = forest()
    thresholds = np.unique(fitted.model.estimators_[0].tree_.threshold)[:200]
    values = np.repeat(thresholds[:, None], len(NAMES), axis=1) * fitted.scaler.scale_
    values += fitted.scaler.mean_
    for nudged in (values, np.nextafter(values, np.inf), np.nextafter(values, -np.inf)):
        predictor = TreePredictor(*read_forest(forest_bytes()))
        assert np.array_equal(predictor.predict_proba(nudged), forest_answer(fitted, nudged))


def test_the_same_model_gives_the_same_bytes():
    labels = (0, 1)
    assert write_forest(export_forest(forest(), labels), NAMES, labels) == forest_bytes()
    assert write_forest(*read_forest(forest_bytes())) == forest_bytes()


def test_numpy_opens_the_file_without_pickle():
    with np.load(io.BytesIO(forest_bytes()), allow_pickle=False) as arrays:
        assert arrays["threshold"].dtype == np.float64
        assert len(arrays["roots"]) == 20


def test_a_damaged_file_is_refused_or_predicts_the_same():
    values = random_rows(4, 50)
    wanted = forest_answer(forest(), values)
    refused = 0
    for seed in range(300):
        files = {"forest.npz": damaged(forest_bytes(), seed)}
        try:
            predictor = load_predictor(card("random_forest"), files)
        except ModelError:
            refused += 1
            continue
        assert np.array_equal(predictor.predict_proba(values), wanted), seed
    assert refused > 200


def rewritten(**changes):
    """The file with some members replaced: arrays, or raw bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(forest_bytes())) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            name = entry.filename.removesuffix(".npy")
            content = changes.pop(name, old.read(entry))
            if isinstance(content, np.ndarray):
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, content)
                content = buffer.getvalue()
            new.writestr(entry.filename, content)
        for name, content in changes.items():
            new.writestr(name, content)
    return out.getvalue()


def arrays_of_forest():
    return read_forest(forest_bytes())[0]


def test_rewriting_nothing_is_still_read():
    read_forest(rewritten())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": np.array([None], dtype=object)}, r"threshold is \|O"),
        ({"threshold": np.zeros(3, dtype=np.float32)}, "threshold is <f4"),
        ({"threshold": b"not an array"}, "must be an intact forest"),
        ({"extra.npy": b""}, "it states 10 members"),
        ({"schema": np.frombuffer(b"[1]", np.uint8)}, "format is not ours"),
        ({"schema": np.frombuffer(b"{", np.uint8)}, "must be an intact forest"),
        ({"schema": np.frombuffer(b"[" * 100_000, np.uint8)}, "must be an intact forest"),
        ({"roots": np.zeros((2, 2), dtype=np.int32)}, "with 2 axes"),
    ],
)
def test_members_that_are_not_a_forest_are_refused(changes, message):
    with pytest.raises(ModelError, match=message):
        read_forest(rewritten(**changes))


def test_a_stated_shape_larger_than_the_bytes_is_refused_before_memory_is_taken():
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 50,)}
    )
    with pytest.raises(ModelError, match="states shape"):
        read_forest(rewritten(threshold=header.getvalue() + b"\0" * 80))


def test_a_file_that_unpacks_beyond_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(forest_file, "SIZE_LIMIT_BYTES", 1000)
    with pytest.raises(ModelError, match="more than 1000"):
        read_forest(forest_bytes())


@pytest.mark.parametrize(
    ("field", "change", "message"),
    [
        ("children", lambda x: np.where(x > 0, 0, x), "behind their parent|exactly one parent"),
        ("children", lambda x: np.where(x > 0, x + 10**6, x), "children must be one of"),
        ("children", lambda x: np.where(x < 0, -(10**6), x), "children must be one of"),
        ("feature", lambda x: x + 100, "feature must lie in 0..5"),
        ("roots", lambda x: x * 0, "exactly one parent"),
        ("leaf_values", lambda x: x * np.nan, "leaf_values must be finite"),
        ("leaf_values", lambda x: x[:, :1], "leaf_values must have 2 columns"),
        ("scale", lambda x: x * 0, "scale must be > 0"),
        ("mean", lambda x: x[:2], "scaler must hold 6"),
        ("missing", lambda x: x[:2], "node arrays must all have"),
    ],
)
def test_arrays_a_walk_could_leave_or_never_finish_are_refused(field, change, message):
    ensemble = arrays_of_forest()
    changed = ensemble._replace(**{field: change(getattr(ensemble, field))})
    with pytest.raises(ModelError, match=message):
        TreePredictor(changed, NAMES, (0, 1))


def test_only_forests_are_written():
    ensemble, names = read_lightgbm(booster_text())
    with pytest.raises(ModelError, match="must hold a forest"):
        write_forest(ensemble, names, (0, 1))
