"""Windows over columns: equal to a plain computation, and exact where it matters."""

import numpy as np
import pytest

from crypto_bot.strategies.moments import BLOCK, window_moments, window_residual, window_z

WINDOWS = [2, 3, 5, 20, 31, 64, 100]


def walk(count, seed=1):
    return np.exp(np.cumsum(0.01 * np.random.default_rng(seed).normal(size=count)))


def windows(values, window):
    return np.lib.stride_tricks.sliding_window_view(values, window)


@pytest.mark.parametrize("window", WINDOWS)
def test_z_is_that_of_a_plain_computation(window):
    values = 1_000 * walk(3 * BLOCK)
    seen = windows(values, window)
    found = window_z(values, window)
    assert np.isnan(found[: window - 1]).all()
    plain = (seen[:, -1] - seen.mean(1)) / seen.std(1)
    assert np.allclose(found[window - 1 :], plain, rtol=0, atol=1e-9)


@pytest.mark.parametrize("window", WINDOWS)
def test_moments_are_those_of_a_plain_computation(window):
    x, y = walk(700), walk(700, seed=2)
    found = window_moments(x, y, window)[:, window - 1 :]
    px, py = windows(x, window), windows(y, window)
    dx, dy = px - px.mean(1)[:, None], py - py.mean(1)[:, None]
    plain = [px.mean(1), py.mean(1), (dx * dx).sum(1), (dy * dy).sum(1), (dx * dy).sum(1)]
    assert np.allclose(found, plain, rtol=1e-10, atol=1e-13)


def test_residuals_are_those_of_a_plain_computation():
    values, weights = walk(2 * BLOCK + 7), np.array([0.1, 0.2, 0.3, 0.4])
    found = window_residual(values, weights)
    assert np.isnan(found[:3]).all()
    assert np.allclose(found[3:], values[3:] - windows(values, 4) @ weights, rtol=0, atol=1e-12)


@pytest.mark.parametrize("window", WINDOWS)
def test_any_tail_gives_the_same_bits(window):
    values = walk(2 * BLOCK + 300)
    whole, weights = window_z(values, window), np.full(window, 1 / window)
    residual = window_residual(values, weights)
    for start in (1, 17, BLOCK, BLOCK + 111):
        settled = slice(window - 1, None)
        assert np.array_equal(window_z(values[start:], window)[settled], whole[start:][settled])
        tail = window_residual(values[start:], weights)
        assert np.array_equal(tail[settled], residual[start:][settled])


@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_of_equal_values_has_no_z(window):
    values = np.full(300, 1 / 3)
    assert np.isnan(window_z(values, window)).all()
    values[150] = 1.0
    assert np.isfinite(window_z(values, window)[150 : 150 + window]).all()
    assert np.isnan(window_z(values, window)[150 + window :]).all()
    assert (window_residual(np.full(300, 1 / 3), np.full(window, 1 / window))[window:] == 0).all()


def test_a_nan_is_felt_as_long_as_its_window_and_no_longer():
    values = walk(100)
    values[40] = np.nan
    assert np.flatnonzero(np.isnan(window_z(values, 10))).tolist() == [*range(9), *range(40, 50)]


@pytest.mark.parametrize("count", [0, 1, 4])
def test_fewer_values_than_the_window_give_nothing(count):
    assert np.isnan(window_z(np.ones(count), 5)).all()
    assert np.isnan(window_residual(np.ones(count), np.full(5, 0.2))).all()
