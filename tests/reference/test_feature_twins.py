"""Compiled features agree with their plain twins, families enrolling themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.features import compute_features
from crypto_bot.features.catalogue import FAMILIES
from crypto_bot.features.families import Family
from features.sample_bars import random_bars, rough_bars
from reference.feature_twins import TWINS


def both(family: Family, bars, windows):
    name = family.template.format(*windows)
    return compute_features(bars, [name]).values[:, 0], TWINS[family.template](bars, *windows)


def assert_close(values, twin, tolerance, rounding=0.0):
    assert np.array_equal(np.isnan(values), np.isnan(twin))
    seen = twin[~np.isnan(twin)]
    size = np.sqrt(np.mean(seen**2)) if len(seen) else 0.0
    np.testing.assert_allclose(values, twin, rtol=tolerance, atol=tolerance * size + rounding)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.template)
def test_a_family_agrees_with_its_twin_on_a_random_walk(family):
    wide = tuple(min(3 * window + 1, family.widest) for window in family.windows)
    for windows in {family.windows, wide}:
        assert_close(*both(family, random_bars(700, seed=7), windows), 1e-9)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.template)
@settings(deadline=None, derandomize=True, max_examples=12)
@given(length=st.integers(1, 150), seed=st.integers(0, 2**32 - 1), wider=st.integers(0, 3))
def test_a_family_agrees_with_its_twin_on_rough_bars(family, length, seed, wider):
    windows = tuple(family.narrowest + wider + 2 * k for k in range(len(family.windows)))
    bars = rough_bars(length, seed)
    # A MACD of flat prices is 0 or what rounding leaves of them. Jumps beside all but flat
    # stretches make both sides round differently.
    rounding = 1e-14 * bars.close.max() if "macd" in family.template else 0.0
    if family.template.startswith("close_to"):  # The line through two closes ends at the last.
        rounding = 1e-14
    assert_close(*both(family, bars, windows), 1e-7, rounding)


def test_every_family_has_a_twin():
    assert sorted(TWINS) == sorted(family.template for family in FAMILIES)
