"""Feature sets: lists as data, strict about what stands in them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError
from crypto_bot.features import (
    S0_FEATURES,
    TRAINER_FEATURES,
    FeatureSet,
    compute_features,
    compute_panel,
    feature,
    feature_sets,
    forget_feature,
    load_feature_set,
    register_feature,
    stationary_twin,
)
from crypto_bot.market import SimulationOptions, simulate_market

GOOD = """name: mine
version: 3
description: for a test
features: [rsi_14, sma_10]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", feature_sets())
def test_a_set_of_the_package_is_called_like_its_file_and_all_of_it_settles(name):
    found = load_feature_set(name)
    assert (found.name, found.version) == (name, 1)
    assert all(feature(each).settled_bars is not None for each in found.features)
    assert load_feature_set(name).fingerprint == found.fingerprint


def test_the_guides_sets_are_the_guides_lists():
    assert load_feature_set("bot_v31").features == S0_FEATURES
    swapped = tuple("obv_frac_20" if name == "obv" else name for name in TRAINER_FEATURES)
    assert load_feature_set("trainer").features == swapped


def test_the_stationary_set_holds_no_size_and_the_market_set_adds_the_market():
    stationary, market = load_feature_set("stationary"), load_feature_set("market")
    assert 35 <= len(stationary.features) <= 45
    assert all(stationary_twin(name) == name for name in stationary.features)
    assert market.features[: len(stationary.features)] == stationary.features
    added = market.features[len(stationary.features) :]
    assert added
    assert all(feature(name).needs_market for name in added)


def test_every_set_can_be_computed():
    pairs = simulate_market(SimulationOptions(symbols=2, bars=700))
    for name in feature_sets():
        (table, _) = compute_panel(pairs, load_feature_set(name).features)
        assert np.isfinite(table.values[600:]).all(), name


def test_longer_timeframes_are_added_by_name():
    names = load_feature_set("stationary").with_longer("1h", "4h")
    assert names[: len(load_feature_set("stationary").features)][-1] == "weekday_cos"
    assert [name for name in names if name.endswith("@4h")][:2] == [
        "close_to_sma_10@4h",
        "rsi_14@4h",
    ]
    (bars,) = simulate_market(SimulationOptions(symbols=1, bars=3_000))
    assert np.isfinite(compute_features(bars, names).values[-1]).all()
    with pytest.raises(
        ConfigError, match="longer of feature set bot_v31 must name features for 1h"
    ):
        load_feature_set("bot_v31").with_longer("1h")
    with pytest.raises(ConfigError, match="timeframe must be"):
        load_feature_set("stationary").with_longer("1x")


def test_a_set_of_ones_own_is_read_from_a_file(tmp_path):
    path = written(tmp_path, GOOD)
    expected = FeatureSet("mine", 3, "for a test", ("rsi_14", "sma_10"))
    assert load_feature_set(path) == load_feature_set(str(path)) == expected
    assert load_feature_set(path).with_longer() == ("rsi_14", "sma_10")


class Last(NamedTuple):
    close: float


def test_a_set_may_name_a_feature_of_ones_own_with_lag_and_timeframe(tmp_path):
    @register_feature("my_last", inputs=["close"], start=Last(0.0), warmup_bars=0,
                      settled_bars=0, definition="the close itself")  # fmt: skip
    def last_step(state, x):
        return Last(x[0]), x[0]

    try:
        text = GOOD.replace("sma_10", "my_last, my_last~2, my_last@1h")
        names = load_feature_set(written(tmp_path, text)).features
        pairs = simulate_market(SimulationOptions(symbols=2, bars=100))
        table = compute_panel(pairs, [*names, "market_return_2"])[0]
        assert np.array_equal(table.column("my_last"), pairs[0].close)
        assert np.array_equal(table.column("my_last~2")[2:], pairs[0].close[:-2])
        assert stationary_twin("my_last") is None
    finally:
        forget_feature("my_last")
    with pytest.raises(ConfigError, match="feature must be a known name, was 'my_last'"):
        load_feature_set(written(tmp_path, text))


def test_another_list_has_another_fingerprint():
    sets = [
        FeatureSet("a", 1, "x", ("rsi_14",)),
        FeatureSet("b", 1, "x", ("rsi_14",)),
        FeatureSet("a", 2, "x", ("rsi_14",)),
        FeatureSet("a", 1, "x", ("rsi_15",)),
        FeatureSet("a", 1, "x", ("rsi_14",), ("sma_10",)),
    ]
    assert len({each.fingerprint for each in sets}) == 5
    assert FeatureSet("a", 1, "other words", ("rsi_14",)).fingerprint == sets[0].fingerprint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("sma_10", "smaa_10"), r"was 'smaa_10'; did you mean 'sma_10'\?"),
        (GOOD.replace("sma_10", "rsi_14"), "features must differ, had 'rsi_14' twice"),
        (
            GOOD.replace("rsi_14", "daily_return, return_1"),
            "features must differ, had 'daily_return' and 'return_1', one",
        ),
        (GOOD + "feature: [sma_3]\n", r"only, had 'feature'; did you mean 'features'\?"),
        (GOOD + "longer: [sma_x]\n", "was 'sma_x'"),
        (GOOD + "version: 4\n", "must have each key once, had 'version' twice"),
        (GOOD.replace("version: 3\n", ""), r"mine.yaml must have version, had not"),
        (GOOD.replace("version: 3", "version: 0"), "version must be a whole number .*, was 0"),
        (
            GOOD.replace("version: 3", "version: true"),
            "version must be a whole number .*, was True",
        ),
        (GOOD.replace("version: 3", "version: '3'"), "version must be a whole number .*, was '3'"),
        (GOOD.replace("name: mine", "name: My set"), "name must be lower-case .*, was 'My set'"),
        (GOOD.replace("for a test", "''"), "description must say what the set is for, was ''"),
        (GOOD.replace("[rsi_14, sma_10]", "[]"), "at least one name, was empty"),
        (GOOD.replace("[rsi_14, sma_10]", "rsi_14"), "must be a list of names, was 'rsi_14'"),
        (GOOD.replace("rsi_14", "14"), r"must be a list of names, was \[14, 'sma_10'\]"),
        ("- rsi_14\n", "must be keys and values, was list"),
        ("", "must be keys and values, was NoneType"),
        ("a: [", "must be YAML, was not"),
        ("name: !!python/object/apply:os.getcwd []\n", "must be YAML, was not"),
    ],
)
def test_a_set_that_is_wrong_is_refused_with_its_file(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as error:
        load_feature_set(written(tmp_path, text))
    assert "mine.yaml" in str(error.value)


def test_a_set_that_is_not_there_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match=r"was 'stationery'; did you mean 'stationary'\?"):
        load_feature_set("stationery")
    with pytest.raises(ConfigError, match="must be a readable file"):
        load_feature_set(tmp_path / "none.yaml")
