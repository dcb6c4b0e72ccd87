"""A user's own feature: one step, both drivers, the same laws."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError
from crypto_bot.features import (
    FeatureStream,
    compute_features,
    feature,
    forget_feature,
    known_names,
    register_feature,
)
from crypto_bot.features.history import STRETCH
from features.sample_bars import random_bars


class Streak(NamedTuple):
    """Bars in a row that closed above their mean."""

    length: float


def enrol(name: str = "streak", **changes):
    entry = {
        "inputs": ["close", "sma_5"],
        "start": Streak(0.0),
        "warmup_bars": 4,
        "settled_bars": None,
        "definition": "closes in a row above sma_5",
    }

    @register_feature(name, **(entry | changes))
    def streak_step(state, x):
        if np.isnan(x[1]):
            return Streak(0.0), np.nan
        length = state.length + 1.0 if x[0] > x[1] else 0.0
        return Streak(length), length


@pytest.fixture
def streak():
    enrol()
    yield
    forget_feature("streak")


@pytest.mark.usefixtures("streak")
def test_an_own_feature_is_computed_beside_the_others_over_history_and_live():
    bars = random_bars(STRETCH + 50)
    names = ["rsi_14", "streak", "sma_5"]
    table = compute_features(bars, names)
    stream = FeatureStream.from_history(bars[:900], names)
    stream = FeatureStream.from_bytes(stream.to_bytes())
    live = np.array([stream.update(bar) for bar in bars[900:]])
    assert np.array_equal(table.values[900:], live)
    expected = 0
    for t in range(4, 60):
        expected = expected + 1 if bars.close[t] > table.column("sma_5")[t] else 0
        assert table.column("streak")[t] == expected
    assert np.isnan(table.column("streak")[:4]).all()


@pytest.mark.usefixtures("streak")
def test_an_own_feature_is_in_the_catalogue():
    assert "streak" in known_names()
    assert feature("streak").inputs == ("close",)
    assert feature("streak").definition == "closes in a row above sma_5"
    assert (feature("streak").warmup_bars, feature("streak").settled_bars) == (4, None)


def test_a_forgotten_feature_is_unknown_again():
    enrol()
    forget_feature("streak")
    with pytest.raises(ConfigError, match="was 'streak'"):
        feature("streak")
    with pytest.raises(ConfigError, match="streak must be a registered feature"):
        forget_feature("streak")


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("sma_7", {}, "feature name must be new, was 'sma_7'"),
        ("close", {}, "feature name must be new, was 'close'"),
        ("My Feature", {}, "must be lower-case"),
        ("mine", {"start": (0.0,)}, "start must be a NamedTuple of floats"),
        ("mine", {"start": Streak(0)}, "start must be a NamedTuple of floats"),
        ("mine", {"inputs": ["closee"]}, "was 'closee'"),
    ],
)
def test_a_registration_that_cannot_work_is_refused(name, changes, message):
    with pytest.raises(ConfigError, match=message):
        enrol(name, **changes)
