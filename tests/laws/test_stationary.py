"""What every stationary twin owes: the same value at any price and any volume; members enrol themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crypto_bot.core import OHLCV, Bars
from crypto_bot.core.errors import ConfigError
from crypto_bot.features import (
    S0_FEATURES,
    TRAINER_FEATURES,
    compute_features,
    stationary_twin,
)
from crypto_bot.features.catalogue import FAMILIES, feature
from crypto_bot.features.stationary import _TWINS
from features.sample_bars import LAGGED, LONGER, names_of_one_pair, random_bars

BARS = random_bars(1_500, seed=31)
NAMES = tuple(dict.fromkeys((*names_of_one_pair(), *LONGER, *LAGGED)))
UNCHANGED = 1e-9


def dearer(bars: Bars, price: float, volume: float) -> Bars:
    factors = {name: volume if name == "volume" else price for name in OHLCV}
    return replace(bars, **{name: getattr(bars, name) * by for name, by in factors.items()})


def is_without_size(name: str) -> bool:
    before = compute_features(BARS, [name]).values[:, 0]
    usual = np.sqrt(np.nanmean(before**2)) or 1.0
    for price, volume in ((731.0, 1.0), (0.0137, 11.3)):
        after = compute_features(dearer(BARS, price, volume), [name]).values[:, 0]
        if not np.array_equal(np.isnan(after), np.isnan(before)):
            return False
        # Of a value that passes through 0 its usual size counts.
        size = np.maximum(np.abs(before), usual)
        if not np.nanmax(np.abs(after - before) / size) <= UNCHANGED:
            return False
    return True


@pytest.mark.parametrize("name", [name for name in NAMES if stationary_twin(name) is not None])
def test_a_twin_is_the_same_at_any_price_and_volume(name):
    twin = stationary_twin(name)
    assert is_without_size(twin), twin
    assert stationary_twin(twin) == twin


@pytest.mark.parametrize("template", _TWINS)
def test_what_has_a_twin_has_a_size(template):
    (family,) = [family for family in FAMILIES if family.template == template]
    assert not is_without_size(family.example)


def test_each_feature_of_the_guides_has_a_twin_that_settles():
    for name in (*S0_FEATURES, *TRAINER_FEATURES):
        assert feature(stationary_twin(name)).settled_bars is not None


def test_a_twin_keeps_windows_timeframe_and_lag():
    assert stationary_twin("ema_21~4@1h") == "close_to_ema_21~4@1h"
    assert stationary_twin("macd_line") == "macd_line_frac_12_26"
    assert stationary_twin("bb_lower@4h~2") == "close_to_bb_lower_20@4h~2"
    assert stationary_twin("close~1") is None


@pytest.mark.parametrize(
    ("name", "message"),
    [("smaa_5", "was 'smaa_5'"), ("volume_sma_1", "windows of volume_ratio_1 must be 2 to")],
)
def test_a_twin_that_cannot_be_is_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        stationary_twin(name)
