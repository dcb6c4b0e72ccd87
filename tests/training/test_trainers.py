"""Trainers: reproducible files, exports that equal their library, devices told truthfully."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import replace

import lightgbm
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler

from crypto_bot.core.errors import ConfigError, DataError, ModelError
from crypto_bot.predictors import load_predictor
from crypto_bot.training import (
    ForestOptions,
    ForestTrainer,
    LightGBMOptions,
    LightGBMTrainer,
    boosting,
    devices,
    make_card,
    trainers,
)
from training.learnable_rows import dataset


def small(kind, **options):
    if kind == "forest":
        return ForestTrainer(ForestOptions(n_estimators=8, **options))
    return LightGBMTrainer(LightGBMOptions(n_estimators=8, **options))


KINDS = ["forest", "lightgbm"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [2, 3])
def test_the_same_rows_and_seed_give_byte_identical_files(kind, classes):
    first = small(kind, n_jobs=1).fit(dataset(classes))
    assert first.files == small(kind, n_jobs=1).fit(dataset(classes)).files


def test_the_number_of_threads_changes_no_byte_of_a_forest():
    assert small("forest", n_jobs=1).fit(dataset()).files == small("forest").fit(dataset()).files


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_gives_another_model(kind):
    name = "random_state" if kind == "forest" else "seed"
    more = {} if kind == "forest" else {"subsample": 0.5}
    one, other = (small(kind, **{name: seed}, **more).fit(dataset()) for seed in (1, 2))
    assert one.files != other.files
    assert (one.seed, other.seed) == (1, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [2, 3])
def test_the_trained_predictor_is_the_one_the_files_give(kind, classes):
    data = dataset(classes)
    trained = small(kind).fit(data)
    loaded = load_predictor(make_card(data, trained), trained.files)
    wanted = trained.predictor.predict_proba(data.features)
    assert np.array_equal(loaded.predict_proba(data.features), wanted)
    assert trained.predictor.feature_names == data.feature_names
    assert trained.predictor.classes == data.classes
    assert sum(trained.importance.values()) == pytest.approx(1.0)
    assert tuple(trained.importance) == data.feature_names


def test_a_forest_equals_the_guides_scaler_and_classifier():
    data = dataset()
    scaler = StandardScaler().fit(data.features)
    rows = scaler.transform(data.features)
    wanted = RandomForestClassifier(8, random_state=42).fit(rows, data.labels).predict_proba(rows)
    assert np.array_equal(small("forest").fit(data).predictor.predict_proba(data.features), wanted)


def test_lightgbm_equals_the_classifier_of_its_other_door_with_balanced_classes():
    data = dataset(3)
    model = lightgbm.LGBMClassifier(
        n_estimators=8,
        learning_rate=0.05,
        num_leaves=63,
        max_bin=63,
        class_weight="balanced",
        random_state=42,
        verbosity=-1,
        deterministic=True,
        force_row_wise=True,
    )
    rows = data.features
    model.fit(rows, data.labels)
    wanted = model.booster_.predict(rows)
    assert np.array_equal(small("lightgbm").fit(data).predictor.predict_proba(rows), wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_the_scaler_and_model_see_only_the_rows_given(kind):
    data = dataset()
    part = data.take(np.arange(500))
    trained = small(kind).fit(part)
    if kind == "forest":
        assert np.allclose(trained.predictor.scaler.mean, part.features.mean(axis=0))
    assert make_card(part, trained).rows == 500


@pytest.mark.parametrize("kind", KINDS)
def test_an_absent_class_keeps_its_column_and_is_never_expected(kind):
    data = dataset(3)
    trained = small(kind).fit(data.take(data.labels != -1))
    probabilities = trained.predictor.predict_proba(data.features)
    assert trained.predictor.classes == (-1, 0, 1)
    assert probabilities[:, 0].max() < 1e-9
    assert np.allclose(probabilities.sum(axis=1), 1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_one_class_is_refused_by_name(kind):
    data = dataset()
    with pytest.raises(DataError, match=r"at least two classes to train on, were \{0: \d+, 1: 0\}"):
        small(kind).fit(data.take(data.labels == 0))


@pytest.mark.parametrize("kind", KINDS)
def test_a_learnable_label_is_learned(kind):
    data = dataset()
    known = data.features[:, 0] > np.median(data.features[:, 0])
    easy = replace(data, labels=known.astype(np.int8))
    trained = small(kind, n_jobs=1).fit(easy.take(np.arange(900)))
    rest = np.arange(900, len(data))
    guess = trained.predictor.predict_proba(data.features[rest]).argmax(axis=1)
    assert np.mean(guess == known[rest]) > 0.95
    assert max(trained.importance, key=trained.importance.get) == data.feature_names[0]


@pytest.mark.parametrize("device", ["gpu", "cuda"])
def test_a_device_that_cannot_be_used_becomes_the_cpu_and_says_so_once(device, caplog, monkeypatch):
    def refuses(*_):
        return lightgbm.basic.LightGBMError("No OpenCL device found.\nmore")

    monkeypatch.setattr(devices, "_failure", refuses)
    devices.usable_device.cache_clear()
    with caplog.at_level(logging.WARNING):
        trained = [small("lightgbm", device_type=device, n_jobs=1).fit(dataset()) for _ in range(2)]
    devices.usable_device.cache_clear()
    assert [each.device for each in trained] == [
        f"cpu ({device} asked: No OpenCL device found)"
    ] * 2
    assert len(caplog.records) == 1
    assert "\n" not in caplog.records[0].getMessage()
    on_cpu = small("lightgbm", n_jobs=1).fit(dataset())
    assert trained[0].files == on_cpu.files
    assert on_cpu.device == "cpu"


def test_a_device_that_gives_up_during_training_becomes_the_cpu_too(caplog, monkeypatch):
    monkeypatch.setattr(boosting, "usable_device", lambda *_: ("gpu", "gpu"))
    plain = boosting._train

    def train(data, options, device, *rest):
        if device == "gpu":
            raise lightgbm.basic.LightGBMError("out of memory")
        return plain(data, options, device, *rest)

    monkeypatch.setattr(boosting, "_train", train)
    trained = small("lightgbm", device_type="gpu").fit(dataset())
    assert trained.device == "cpu (gpu asked: out of memory)"


def test_no_line_of_the_library_reaches_the_terminal():
    script = """
import sys, logging
logging.disable(logging.CRITICAL)
import numpy as np
from crypto_bot.training.devices import usable_device
print([usable_device(name)[1].split()[0] for name in ("gpu", "cuda", "cpu")])
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "cpu']" in result.stdout
    assert result.stderr == ""


def test_lines_of_others_on_stderr_pass_through_while_a_device_is_tried(capfd):
    with devices._library_lines_dropped():
        sys.stderr.write("ours\n")
        sys.stderr.flush()
        os.write(2, b"[LightGBM] [Fatal] theirs\nother\n")
    shown = capfd.readouterr().err
    assert shown.endswith("other\n")
    assert "theirs" not in shown


def test_an_export_that_differs_from_its_library_is_refused(monkeypatch):
    monkeypatch.setattr(
        boosting, "booster_probabilities", lambda *_: np.full((512, 2), 0.5), raising=True
    )
    with pytest.raises(ModelError, match="exported model must predict what the library does"):
        small("lightgbm").fit(dataset())


def test_options_out_of_range_or_unknown_are_refused():
    with pytest.raises(ConfigError, match="learning_rate must be greater than 0, was 0"):
        LightGBMOptions(learning_rate=0)
    with pytest.raises(ConfigError, match="did you mean 'device_type'"):
        LightGBMOptions(device="gpu")
    with pytest.raises(ConfigError, match="n_estimators must be"):
        ForestOptions(n_estimators=0)


def test_the_defaults_are_the_guides():
    forest, boosted = ForestOptions(), LightGBMOptions()
    assert (forest.n_estimators, forest.random_state, forest.max_depth) == (100, 42, None)
    assert (boosted.n_estimators, boosted.learning_rate) == (400, 0.05)
    assert (boosted.num_leaves, boosted.max_bin, boosted.seed) == (63, 63, 42)
    assert (boosted.class_weight, boosted.device_type) == ("balanced", "cpu")


def test_importing_the_stage_imports_no_training_library():
    script = (
        "import sys, crypto_bot.training\n"
        "print(sorted({'lightgbm', 'sklearn', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_shares_of_nothing_are_zeros():
    assert trainers.shares(("a", "b"), np.zeros(2)) == {"a": 0.0, "b": 0.0}
