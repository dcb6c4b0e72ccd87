"""Laws of every model kind: a new trainer enrols by one line in MODELS."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crypto_bot.core.errors import DataError, LeakError, ModelError
from crypto_bot.predictors import load_predictor
from crypto_bot.splits import WalkForwardOptions, split_dataset
from crypto_bot.training import (
    CalibratedTrainer,
    CalibrationOptions,
    DownsamplingTrainer,
    ForestOptions,
    ForestTrainer,
    InnerFolds,
    LightGBMOptions,
    LightGBMTrainer,
    LogisticOptions,
    LogisticTrainer,
    LSTMTrainer,
    SelectingTrainer,
    SelectionOptions,
    SoftVoteTrainer,
    StackedTrainer,
    make_card,
)
from crypto_bot.validation import out_of_sample
from training import network_runs
from training.learnable_rows import dataset

TREES = LightGBMTrainer(LightGBMOptions(n_estimators=8, num_leaves=7, n_jobs=1))
LINE = LogisticTrainer()
RIDGE = LogisticTrainer(LogisticOptions(l1_ratio=0))
FOLDS = InnerFolds(folds=3)
MODELS = {
    "forest": ForestTrainer(ForestOptions(n_estimators=8, n_jobs=1)),
    "lightgbm": TREES,
    "logistic": LINE,
    "lstm": LSTMTrainer(network_runs.LAWFUL),
    "logistic_ridge": RIDGE,
    "sigmoid": CalibratedTrainer(TREES, CalibrationOptions(folds=3, coverage=0.8)),
    "isotonic": CalibratedTrainer(TREES, CalibrationOptions(folds=3, method="isotonic")),
    "temperature": CalibratedTrainer(RIDGE, CalibrationOptions(folds=3, method="temperature")),
    "soft_vote": SoftVoteTrainer([TREES, RIDGE], [1, 3]),
    "stacked": StackedTrainer([TREES, RIDGE], options=FOLDS),
    "thinned": DownsamplingTrainer(TREES),
    "selecting": SelectingTrainer(TREES, SelectionOptions(folds=2, repeats=1)),
    "nested": CalibratedTrainer(SoftVoteTrainer([RIDGE, TREES]), CalibrationOptions(folds=2)),
}
DOUBLED = ("logistic_ridge",)
"""Kinds whose library promises that a doubled weight is the row given twice."""

every_model = pytest.mark.parametrize("trainer", MODELS.values(), ids=MODELS)
_FITTED = {}


def fitted(trainer, classes=2):
    key = (trainer.name, classes)
    if key not in _FITTED:
        _FITTED[key] = trainer.fit(dataset(classes))
    return _FITTED[key]


def read(model, data):
    return data.columns(model.predictor.feature_names).features


@every_model
@pytest.mark.parametrize("classes", [2, 3])
def test_card_and_files_give_the_same_predictor_back(trainer, classes):
    data, model = dataset(classes), fitted(trainer, classes)
    loaded = load_predictor(make_card(data, model), model.files)
    rows = read(model, data)
    found = loaded.predict_proba(rows)
    assert np.array_equal(found, model.predictor.predict_proba(rows))
    assert (loaded.feature_names, loaded.classes) == (model.predictor.feature_names, data.classes)
    assert np.allclose(found.sum(axis=1), 1.0)
    assert found.min() >= 0.0


@every_model
def test_the_same_rows_and_seed_give_byte_identical_files_and_evidence(trainer):
    first, again = fitted(trainer), trainer.fit(dataset())
    assert first.files == again.files
    assert first.evidence == again.evidence
    assert make_card(dataset(), first) == make_card(dataset(), again)


@every_model
@pytest.mark.parametrize("classes", [2, 3])
def test_a_row_answers_the_same_alone_and_in_company(trainer, classes):
    model = fitted(trainer, classes)
    rows = read(model, dataset(classes))[:40]
    together = model.predictor.predict_proba(rows)
    turned = model.predictor.predict_proba(np.asfortranarray(rows[::-1]))
    assert np.array_equal(turned[::-1], together)
    for row, wanted in zip(rows, together, strict=True):
        assert np.array_equal(model.predictor.predict_proba(row[None])[0], wanted)
        assert np.array_equal(model.predictor.predict_one(row), wanted)


@every_model
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_gives_no_answer_for_its_row_alone(trainer, value):
    predictor = fitted(trainer).predictor
    rows = read(fitted(trainer), dataset())[:6].copy()
    wanted = predictor.predict_proba(rows)
    for column in range(rows.shape[1]):
        holed = rows.copy()
        holed[2, column] = value
        found = predictor.predict_proba(holed)
        assert np.isnan(found[2]).all()
        assert np.isnan(predictor.predict_one(holed[2])).all()
        assert np.array_equal(np.delete(found, 2, axis=0), np.delete(wanted, 2, axis=0))


@every_model
def test_no_rows_give_no_answers(trainer):
    predictor = fitted(trainer).predictor
    assert predictor.predict_proba(np.empty((0, len(predictor.feature_names)))).shape == (0, 2)


@every_model
def test_an_extra_or_a_missing_column_is_refused(trainer):
    predictor = fitted(trainer).predictor
    rows = read(fitted(trainer), dataset())[:3]
    for wrong in (np.hstack((rows, rows[:, :1])), rows[:, 1:], rows[0]):
        with pytest.raises(ModelError, match="features must be float64"):
            predictor.predict_proba(wrong)
    with pytest.raises(ModelError, match="values must be float64"):
        predictor.predict_one(np.append(rows[0], 1.0))


@every_model
def test_a_card_with_other_names_is_refused(trainer):
    model = fitted(trainer)
    card = make_card(dataset(), model)
    names = card.feature_names
    for wrong in (names[::-1], names[1:], (*names, "extra"), (names[0], *names[:-1])):
        with pytest.raises(ModelError, match="feature_names must"):
            load_predictor(card.replace(feature_names=wrong), model.files)
    with pytest.raises(ModelError, match="classes must"):
        load_predictor(card.replace(classes=(0, 1, 2)), model.files)


@every_model
def test_a_file_that_is_missing_or_cut_is_refused(trainer):
    model = fitted(trainer)
    card = make_card(dataset(), model)
    for name, content in model.files.items():
        rest = {other: bytes_ for other, bytes_ in model.files.items() if other != name}
        with pytest.raises(ModelError, match="must include"):
            load_predictor(card, rest)
        with pytest.raises(ModelError):
            load_predictor(card, {**rest, name: content[: len(content) // 2]})


@every_model
def test_rows_of_one_class_are_refused_by_name(trainer):
    data = dataset()
    with pytest.raises(DataError, match=r"at least two classes to train on, were \{0: \d+, 1: 0\}"):
        trainer.fit(data.take(data.labels == 0))
    weightless = replace(data, weights=(data.labels == 1).astype(np.float64))
    with pytest.raises(DataError, match="at least two classes to train on"):
        trainer.fit(weightless)


@every_model
@pytest.mark.parametrize("weight", [np.nan, np.inf, -1.0])
def test_a_weight_that_is_no_weight_is_refused(trainer, weight):
    data = dataset()
    weights = np.ones(len(data))
    weights[7] = weight
    with pytest.raises(DataError, match=r"weights must be finite and >= 0, was .* at row 7"):
        trainer.fit(replace(data, weights=weights))


@every_model
def test_a_class_that_was_never_seen_keeps_its_column_and_is_never_expected(trainer):
    data = dataset(3)
    model = trainer.fit(data.take(data.labels != -1))
    found = model.predictor.predict_proba(read(model, data))
    assert model.predictor.classes == (-1, 0, 1)
    assert found[:, 0].max() < 1e-9
    assert np.allclose(found.sum(axis=1), 1.0)


@every_model
def test_weights_matter(trainer):
    data = dataset()
    weights = np.where(np.arange(len(data)) < len(data) // 2, 0.1, 1.0)
    assert trainer.fit(replace(data, weights=weights)).files != fitted(trainer).files


@pytest.mark.parametrize("name", DOUBLED)
@pytest.mark.parametrize("classes", [2, 3])
def test_a_doubled_weight_is_the_row_given_twice(name, classes):
    data = dataset(classes)
    twice = np.arange(0, len(data), 3)
    weights = np.ones(len(data))
    weights[twice] = 2.0
    rows = np.sort(np.concatenate((np.arange(len(data)), twice)))
    weighted = MODELS[name].fit(replace(data, weights=weights)).predictor
    given_twice = MODELS[name].fit(data.take(rows)).predictor
    assert np.allclose(
        weighted.predict_proba(data.features), given_twice.predict_proba(data.features), atol=1e-6
    )


@every_model
def test_importance_names_every_feature_read_and_sums_to_one(trainer):
    model = fitted(trainer)
    assert tuple(model.importance) == model.predictor.feature_names
    assert sum(model.importance.values()) == pytest.approx(1.0)


@every_model
def test_folds_are_predicted_out_of_sample_by_every_kind(trainer):
    data = dataset()
    found = out_of_sample(data, trainer, split_dataset(data, WalkForwardOptions(folds=2)))
    assert np.isfinite(found.probabilities[found.is_tested]).all()


class Narrow:
    """Trains on some of the features only."""

    def __init__(self, names):
        self.names, self.name = names, "narrow"

    def fit(self, data):
        return LINE.fit(data.columns(self.names))


def test_a_model_that_reads_some_features_is_given_those_and_no_others():
    data = dataset()
    names = (data.feature_names[3], data.feature_names[1])
    found = out_of_sample(data, Narrow(names), split_dataset(data, WalkForwardOptions(folds=2)))
    split, model = found.splits[0], found.models[0]
    wanted = LINE.fit(data.take(split.train).columns(names)).predictor
    rows = data.columns(names).features[split.test]
    assert np.array_equal(found.probabilities[split.test], wanted.predict_proba(rows))
    card = make_card(data, model)
    assert card.feature_names == names
    assert set(card.feature_definitions) == set(names)


class Foreign(Narrow):
    """Answers with a model of other features."""

    def fit(self, data):
        return replace(LINE.fit(data), predictor=renamed(LINE.fit(data).predictor))


def renamed(predictor):
    names = ("elsewhere", *predictor.feature_names[1:])
    return type(predictor)(predictor.model, names, predictor.classes)


def test_a_model_of_another_schema_is_refused():
    data = dataset()
    with pytest.raises(ModelError, match=r"had extra|lacked \['elsewhere'\]"):
        out_of_sample(data, Foreign(()), split_dataset(data))
    with pytest.raises(DataError, match="dataset must be the one the model was trained on"):
        make_card(data, Foreign(()).fit(data))


class SeesEverything(Narrow):
    """Scales by rows of the whole dataset, whatever rows it is given."""

    def fit(self, data):
        return LINE.fit(dataset())


def test_a_linear_models_scaler_that_saw_other_rows_is_caught():
    data = dataset()
    with pytest.raises(LeakError, match="check_scaler_inside_fold"):
        out_of_sample(data, SeesEverything(()), split_dataset(data))


def test_a_weighted_scaler_inside_its_fold_is_no_leak():
    data = dataset()
    weights = np.random.default_rng(0).random(len(data))
    weighted = replace(data, weights=weights)
    for trainer in (LINE, MODELS["forest"]):
        out_of_sample(weighted, trainer, split_dataset(weighted, WalkForwardOptions(folds=2)))
