"""What position probabilities ask for, and that its account is an honest one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candle_files_made import market
from crypto_bot.cli.simulation_policies import (
    SIMULATED,
    Position,
    PositionRule,
    costs_of,
    trade_positions,
)
from crypto_bot.core.errors import ConfigError
from crypto_bot.core.timeframes import DAY_NS
from crypto_bot.engine import CostOptions, SizingOptions

THREE = (-1, 0, 1)
FREE = CostOptions(taker_fee_frac=0.0, maker_fee_frac=0.0, slippage_frac=0.0)


def rows(*likely):
    """Probabilities of short and long; flat has the rest."""
    return np.array([[short, 1.0 - short - long, long] for short, long in likely])


def test_gated_opens_above_one_probability_and_closes_below_another():
    rule = PositionRule(open_threshold=0.6, close_threshold=0.5)
    found = rule.wanted(
        THREE, rows((0, 0.58), (0, 0.61), (0, 0.55), (0, 0.5), (0, 0.49), (0, 0.55), (0, 0.7))
    )
    assert found.tolist() == [0, 1, 1, 1, 0, 0, 1]


def test_gated_turns_to_the_other_side_only_where_that_is_likely_enough():
    rule = PositionRule(open_threshold=0.6, close_threshold=0.3)
    found = rule.wanted(THREE, rows((0.1, 0.7), (0.55, 0.4), (0.62, 0.35), (0.35, 0.3)))
    assert found.tolist() == [1, 1, -1, -1]


def test_without_a_closing_threshold_it_closes_where_it_opens():
    found = PositionRule(open_threshold=0.6).wanted(THREE, rows((0, 0.7), (0, 0.6), (0, 0.59)))
    assert found.tolist() == [1, 1, 0]


def test_flat_as_the_likeliest_class_opens_nothing():
    rule = PositionRule(open_threshold=0.3)
    assert rule.wanted(THREE, rows((0.1, 0.35), (0.1, 0.5))).tolist() == [0, 1]


def test_sized_is_the_side_times_twice_what_is_above_a_half():
    rule = PositionRule(Position.SIZED)
    found = rule.wanted(THREE, rows((0, 0.75), (0.9, 0.0), (0.2, 0.5), (0.3, 0.4), (0, 1.0)))
    np.testing.assert_allclose(found, [0.5, -0.8, 0.0, 0.0, 1.0])


def test_of_two_classes_the_lower_is_the_short_side_and_shorts_can_be_forbidden():
    likely = np.array([[0.2, 0.8], [0.8, 0.2]])
    for position in Position:
        rule = PositionRule(position)
        assert np.sign(rule.wanted((0, 1), likely)).tolist() == [1, -1]
        assert np.sign(rule.wanted((0, 1), likely, allow_short=False)).tolist() == [1, 0]


def test_a_row_without_a_prediction_asks_for_nothing():
    likely = rows((0, 0.9), (0, 0.9), (0, 0.9))
    likely[1] = np.nan
    for position in Position:
        assert PositionRule(position).wanted(THREE, likely)[1] == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"open_threshold": 1.2}, "open_thr must be from 0 to 1"),
        ({"close_threshold": -0.1}, "close_thr must be from 0 to 1"),
        ({"close_threshold": 0.7}, "close_thr must be at most open_thr"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        PositionRule(**change)


def traded(bars, wanted, position, costs=FREE):
    return trade_positions(bars, wanted, PositionRule(position), costs, SizingOptions())


@pytest.mark.parametrize("position", Position)
def test_a_position_earns_from_the_open_after_its_decision_and_never_the_bar_it_was_made_on(
    position,
):
    """The original multiplied a position by the return of the bar that decided it."""
    bars = market(2000)[:800]
    same_bar = np.concatenate([[0.0], (np.diff(bars.close) > 0).astype(float)])
    found = traded(bars, same_bar, position)
    lagged = 1.0 + same_bar[:-2] * (bars.open[2:] / bars.open[1:-1] - 1.0)
    expected = np.prod(lagged) * (bars.close[-1] / bars.open[-1] if same_bar[-2] else 1.0)
    assert found.equity[-1] / 100_000.0 == pytest.approx(expected, rel=1e-9)
    peeked = np.prod(1.0 + same_bar[1:] * (bars.close[1:] / bars.close[:-1] - 1.0))
    assert peeked > 1.5 * expected


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(5, 150), st.sampled_from(list(Position)), st.integers(0, 2**20))
def test_nothing_up_to_a_bar_depends_on_what_comes_after_it(bar, position, seed):
    bars = market(2000)[:200]
    shares = np.clip(np.random.default_rng(seed).normal(size=200), -1, 1)
    wanted = np.sign(shares) if position is Position.GATED else shares
    whole = traded(bars, wanted, position)
    cut = traded(bars[: bar + 1], wanted[: bar + 1], position)
    np.testing.assert_array_equal(whole.equity[: bar + 1], cut.equity)


def test_all_in_gated_and_sized_are_the_same_account():
    bars = market(2000)[:600]
    side = np.sign(np.sin(np.arange(600) / 9.0).round(1))
    costs = costs_of(CostOptions(), fee_bps=2.0, slip_bps=1.0)
    gated, sized = (traded(bars, side, position, costs) for position in Position)
    np.testing.assert_allclose(gated.equity, sized.equity, rtol=1e-12)


def test_a_sized_position_is_brought_to_its_share_at_each_change():
    bars = market(2000)[:600]
    shares = np.clip(np.random.default_rng(3).normal(size=600) / 2, -0.95, 0.95)
    found = traded(bars, shares, Position.SIZED)
    held = found.held * bars.close / found.equity
    assert np.abs(held[1:] - shares[:-1]).max() < 0.05


def test_fees_are_basis_points_of_what_is_traded():
    bars = market(2000)[:300]
    wanted = np.zeros(300)
    wanted[10:20] = 1.0
    costs = costs_of(CostOptions(), fee_bps=10.0, slip_bps=0.0)
    paid = traded(bars, wanted, Position.GATED, costs)
    free = traded(bars, wanted, Position.GATED)
    assert paid.metrics.fees_quote == pytest.approx(2 * 0.001 * 100_000, rel=0.02)
    assert paid.equity[-1] < free.equity[-1]


def test_figures_have_the_original_names_and_count_by_the_calendar():
    bars = market(2000)[:960]
    wanted = np.tile([0.0, 1.0], 480)
    figures = traded(bars, wanted, Position.GATED).figures
    assert tuple(figures) == SIMULATED
    days = (bars.close_time[-1] - bars.open_time[0]) / DAY_NS
    assert days == pytest.approx(10.0)
    assert figures["trades_per_day"] == pytest.approx(figures["trades"] / 10.0)
    grown = figures["final_equity"] / 100_000.0
    assert figures["cagr"] == pytest.approx(grown**36.5 - 1.0, rel=1e-9)
