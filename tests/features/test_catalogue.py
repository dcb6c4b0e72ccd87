"""Names: the guides' lists, any window, and refusals that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from crypto_bot.core.errors import ConfigError
from crypto_bot.features import (
    S0_FEATURES,
    TRAINER_FEATURES,
    compute_features,
    feature,
    known_names,
)
from crypto_bot.features.catalogue import ALIASES, EVERY_FAMILY
from features.sample_bars import random_bars


def test_the_guides_features_stand_in_their_order():
    assert len(S0_FEATURES) == 23
    assert S0_FEATURES[:3] == ("sma_10", "sma_30", "ema_10")
    assert S0_FEATURES[-2:] == ("return_10d", "return_std_5d")
    assert TRAINER_FEATURES == ("ema_8", "ema_21", "rsi_14", "atr_14", "roc_5", "obv")


def test_any_window_has_a_feature():
    assert feature("sma_77").warmup_bars == 76
    assert feature("donchian_high_55").warmup_bars == 55
    assert feature("macd_hist_5_35_5").definition == "macd_line_5_35 - macd_signal_5_35_5"


def test_settled_bars_are_exact_for_windows_and_long_enough_for_averages():
    assert feature("sma_30").settled_bars == 29
    assert feature("rsi_14").settled_bars == 14 + 404
    assert feature("obv").settled_bars is None
    assert feature("obv_frac_20").settled_bars == 20


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smaa_10", r"feature must be a known name, was 'smaa_10'; did you mean 'sma_10'\?"),
        ("sma_", r"was 'sma_'; did you mean"),
        ("sma_0", r"feature must be a known name, was 'sma_0'"),
        ("sma_010", r"feature must be a known name, was 'sma_010'"),
        ("sma_100001", r"windows of sma_100001 must be 1 to 100000 bars, was 100001"),
        ("rsi_1", r"windows of rsi_1 must be 2 to 100000 bars, was 1"),
        ("macd_line_26_12", r"macd_line_26_12 must be fast then slow, was 26 before 12"),
        ("fracdiff_100", r"windows of fracdiff_100 must be 1 to 99 bars, was 100"),
        ("close", r"feature must be a known name, was 'close'"),
    ],
)
def test_an_unknown_feature_is_refused_with_the_nearest(name, message):
    with pytest.raises(ConfigError, match=message):
        feature(name)


def test_known_names_are_sorted_and_all_resolve():
    assert list(known_names()) == sorted(known_names())
    assert {*S0_FEATURES, *TRAINER_FEATURES} <= set(known_names())
    assert [feature(name).name for name in known_names()] == list(known_names())


def test_no_name_belongs_to_two_families():
    for name in known_names():
        assert sum(f.pattern.fullmatch(name) is not None for f in EVERY_FAMILY) <= 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["sma_10", "ema_x"], "'ema_x'"),
        (["sma_10", "sma_10"], "names must differ, was 'sma_10' twice"),
        ([], "at least one feature, was empty"),
        ("sma_10", "must be a sequence of feature names, was 'sma_10'"),
    ],
)
def test_a_list_that_cannot_be_computed_is_refused(names, message):
    with pytest.raises(ConfigError, match=message):
        compute_features(random_bars(5), names)


def test_every_family_and_short_name_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "features.md").read_text()
    for family in EVERY_FAMILY:
        letters = "N" if len(family.windows) < 2 else "FSG"
        assert f"`{family.template.format(*letters)}`" in page, family.template
    lacking = [name for name in ALIASES if f"`{name}`" not in page]
    shortened = {"close_to_bb_lower", "close_to_bb_upper", "macd_line", "macd_signal", "macd_hist"}
    assert set(lacking) <= shortened
