"""Compiled labels and weights agree with their plain twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.labels import (
    TrendScanningOptions,
    TripleBarrierOptions,
    average_uniqueness,
    make_labels,
    scan_trends,
    trailing_volatility,
)
from features.sample_bars import random_bars, rough_bars
from reference.label_twins import (
    trend_twin,
    triple_barrier_twin,
    uniqueness_twin,
    volatility_twin,
)

laws = settings(deadline=None, derandomize=True, max_examples=25)
markets = st.builds(rough_bars, st.integers(1, 120), st.integers(0, 2**32 - 1))


@laws
@given(bars=markets, span=st.integers(2, 30))
def test_the_volatility_is_that_of_pandas(bars, span):
    found = trailing_volatility(bars.close, bars.open_time, bars.interval_ns, span)
    np.testing.assert_allclose(found, volatility_twin(bars, span), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("vertical", ["flat", "sign"])
@pytest.mark.parametrize("horizon", [1, 5, 24])
def test_barriers_are_touched_where_the_plain_walk_touches_them(vertical, horizon):
    bars = random_bars(600, seed=3)
    options = TripleBarrierOptions(
        horizon_bars=horizon, volatility_bars=20, lower_deviations=0.6, vertical_touch=vertical
    )
    labels = make_labels(bars, options)
    twin = triple_barrier_twin(bars, options)
    assert labels.is_labelled.tolist() == [answer is not None for answer in twin]
    rows = np.flatnonzero(labels.is_labelled)
    assert rows.size > 100
    assert [(labels.values[i], labels.end_bar[i]) for i in rows] == [twin[i] for i in rows]
    assert labels.count(1) > 0
    assert labels.count(-1) > labels.count(1)


@laws
@given(bars=markets, horizon=st.integers(1, 20), upper=st.floats(0.1, 3))
def test_barriers_agree_on_rough_bars(bars, horizon, upper):
    options = TripleBarrierOptions(horizon_bars=horizon, volatility_bars=5, upper_deviations=upper)
    labels = make_labels(bars, options)
    twin = triple_barrier_twin(bars, options)
    found = [
        (int(value), int(end)) if known else None
        for value, end, known in zip(labels.values, labels.end_bar, labels.is_labelled, strict=True)
    ]
    assert found == twin


@pytest.mark.parametrize("step", [1, 4])
def test_trends_are_those_of_least_squares(step):
    bars = random_bars(250, seed=4)
    options = TrendScanningOptions(minimum_bars=3, maximum_bars=22, step_bars=step)
    scan, twin = scan_trends(bars, options), trend_twin(bars, options)
    known = [answer is not None for answer in twin]
    assert (scan.horizon_bars >= 0).tolist() == known
    for i in np.flatnonzero(known):
        assert scan.t_value[i] == pytest.approx(twin[i][0], rel=1e-6)
        assert scan.horizon_bars[i] == twin[i][1]


@laws
@given(bars=markets, longest=st.integers(4, 25))
def test_trends_agree_on_rough_bars(bars, longest):
    options = TrendScanningOptions(minimum_bars=4, maximum_bars=longest)
    scan, twin = scan_trends(bars, options), trend_twin(bars, options)
    for t_value, horizon, answer in zip(*scan, twin, strict=True):
        assert (answer is None) == (horizon < 0) == np.isnan(t_value)
        if answer is not None:
            # Which of two all but equal lines wins is a matter of rounding, its size is not.
            assert abs(t_value) == pytest.approx(abs(answer[0]), rel=1e-4, abs=1e-6)


@laws
@given(data=st.data(), bars=st.integers(2, 60))
def test_uniqueness_is_that_of_the_whole_matrix(data, bars):
    pairs = data.draw(
        st.lists(st.tuples(st.integers(0, bars - 2), st.integers(1, bars)), max_size=40)
    )
    decided = np.array([first for first, _ in pairs], dtype=np.int64)
    end = np.array([min(first + span, bars - 1) for first, span in pairs], dtype=np.int64)
    found = average_uniqueness(decided, end, bars)
    np.testing.assert_allclose(found, uniqueness_twin(decided, end, bars), rtol=1e-12)
    assert ((found > 0) & (found <= 1)).all()
    # Each bar that some label covers is shared out once.
    covered = np.zeros(bars, bool)
    for first, last in zip(decided, end, strict=True):
        covered[first + 1 : last + 1] = True
    assert (found * (end - decided)).sum() == pytest.approx(covered.sum())
