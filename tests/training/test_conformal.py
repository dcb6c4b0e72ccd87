"""The abstain band: covered as promised, carried by the card, and honoured alike everywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.models import side_columns
from crypto_bot.splits import WalkForwardOptions, split_dataset
from crypto_bot.trading import ModelDecisions
from crypto_bot.training import (
    CalibratedTrainer,
    CalibrationOptions,
    LogisticOptions,
    LogisticTrainer,
    conformal_sets,
    conformal_thresholds,
    make_card,
)
from crypto_bot.training.conformal import band_thresholds
from crypto_bot.validation import out_of_sample, prediction_columns
from training.learnable_rows import dataset, market
from training.test_calibration import overconfident, promised

RIDGE = LogisticTrainer(LogisticOptions(l1_ratio=0))


def labelled(classes, rows=4000, seed=0):
    """Overconfident probabilities (a band must not need calibrated ones) and labels."""
    chances, came = promised(rows, classes, seed)
    names = (0, 1) if classes == 2 else (-1, 0, 1)
    return overconfident(chances), np.array(names, dtype=np.int8)[came], names


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("coverage", [0.6, 0.8, 0.95])
def test_sets_hold_each_class_as_often_as_promised(classes, coverage):
    held = []
    for seed in range(6):
        probabilities, labels, names = labelled(classes, seed=seed)
        first, later = slice(0, 1000), slice(1000, None)
        limits = conformal_thresholds(labels[first], probabilities[first], names, coverage)
        sets = conformal_sets(probabilities[later], names, limits)
        truth = np.searchsorted(names, labels[later])
        is_held = sets[np.arange(len(truth)), truth]
        held.append([is_held[truth == k].mean() for k in range(classes)])
    assert np.mean(held, axis=0) == pytest.approx(coverage, abs=0.03)


def test_the_threshold_is_the_hand_counted_rank():
    given = np.array([0.9, 0.2, 0.5, 0.7, 0.4, 0.8, 0.6, 0.3, 0.1])
    probabilities = np.column_stack((1 - given, given))
    labels = np.ones(9, dtype=np.int8)
    # floor(0.2 x 10) = 2nd smallest; floor(0.05 x 10) = 0: nothing can be ruled out.
    assert conformal_thresholds(labels, probabilities, (0, 1), 0.8)[1] == 0.2
    assert conformal_thresholds(labels, probabilities, (0, 1), 0.95)[1] == 1e-12


def test_a_band_needs_known_probabilities_and_a_coverage_between_0_and_1():
    with pytest.raises(DataError, match="probabilities of class 1 must be known"):
        conformal_thresholds(np.ones(3, np.int8), np.full((3, 2), np.nan), (0, 1), 0.8)
    with pytest.raises(ConfigError, match="coverage must be between 0 and 1, was 1"):
        conformal_thresholds(np.ones(3, np.int8), np.ones((3, 2)), (0, 1), 1)
    with pytest.raises(ConfigError, match="coverage must be for classes"):
        band_thresholds({0: 0.1, 1: 0.1, 2: 0.1})


def test_a_row_has_a_side_only_where_its_set_is_that_side_alone():
    limits = {"band_down": 0.3, "band_hold": 0.3, "band_up": 0.3}
    rows = np.array([[0.1, 0.1, 0.8], [0.1, 0.35, 0.55], [0.45, 0.1, 0.45], [0.7, 0.2, 0.1]])
    found = side_columns((-1, 0, 1), rows, limits)
    assert np.array_equal(found["p_up"], [0.8, np.nan, np.nan, 0.1], equal_nan=True)
    assert np.array_equal(found["p_down"], [0.1, np.nan, np.nan, 0.7], equal_nan=True)
    two = side_columns((0, 1), rows[:, 1:] * 1.0, {"band_down": 0.3, "band_up": 0.3})
    assert np.array_equal(two["p_up"], [0.8, np.nan, 0.45, np.nan], equal_nan=True)
    assert np.array_equal(side_columns((0, 1), rows[:, 1:], {})["p_up"], rows[:, 2])
    assert side_columns((0, 2), rows[:, 1:], {})["p_up"].tolist() == [0.0] * 4


def partly_known(classes):
    """Labels that one feature explains in part."""
    data = dataset(classes)
    known = data.features[:, 2]
    score = (known - known.mean()) / known.std() + np.random.default_rng(0).normal(size=len(data))
    edges = [0.0] if classes == 2 else [-0.7, 0.7]
    return replace(data, labels=np.array(data.classes, np.int8)[np.digitize(score, edges)])


@pytest.mark.parametrize("classes", [2, 3])
def test_backtest_and_live_abstain_on_the_same_rows(classes):
    data = partly_known(classes)
    trainer = CalibratedTrainer(RIDGE, CalibrationOptions(folds=3, coverage=0.8))
    predictions = out_of_sample(data, trainer, split_dataset(data, WalkForwardOptions(folds=2)))
    bars = market()[0]
    columns = prediction_columns(data, predictions, bars)
    kept, given = 0, 0
    for split, model in zip(predictions.splits, predictions.models, strict=True):
        thresholds = make_card(data.take(split.train), model).thresholds
        assert {name for name in thresholds if name.startswith("band_")} == set(model.thresholds)
        maker = ModelDecisions(model.predictor, threshold=0.3, thresholds=thresholds)
        mine = split.test[data.symbol_index[split.test] == 0]
        live = [maker.decide(row, None)[0] for row in data.features[mine]]
        up, down = (columns[name][data.bar_index[mine]] for name in ("p_up", "p_down"))
        wanted = np.where((up > 0.3) & (up > down), 1, np.where((down > 0.3) & (down > up), -1, 0))
        assert live == wanted.tolist()
        kept, given = kept + np.count_nonzero(np.isfinite(up)), given + len(mine)
    assert 0 < kept < given


def test_without_a_wanted_coverage_there_is_no_band():
    trained = CalibratedTrainer(RIDGE, CalibrationOptions(folds=3)).fit(dataset())
    assert trained.thresholds == {}
