"""Regimes, costs and neighbouring settings: what a result is made of."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crypto_bot.core import Signals
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.engine import CostOptions, simulate
from crypto_bot.significance import (
    break_even_cost_frac,
    cost_sensitivity,
    parameter_sensitivity,
    regime_breakdown,
)
from validation_rows import walk_bars


def traded(bars, hold=10):
    sides = np.random.default_rng(1).integers(-1, 2, len(bars) // hold + 1)
    direction = np.repeat(sides, hold)[: len(bars)].astype(np.int8)
    return simulate(bars, Signals(direction, np.abs(direction).astype(np.float64)))


RESULT = traded(walk_bars(600, 3))


def test_regimes_share_the_time_the_trades_and_the_return_of_a_result():
    labels = np.sign(np.diff(RESULT.bars.close, prepend=100.0)).astype(np.int8)
    rows = regime_breakdown(RESULT, labels)
    assert sum(row.share_of_time for row in rows) == pytest.approx(1.0)
    assert sum(row.trades for row in rows) == len(RESULT.trades)
    whole = math.prod(1 + row.total_return for row in rows)
    assert whole == pytest.approx(1 + RESULT.metrics.total_return)
    assert [row.label for row in rows] == sorted(row.label for row in rows)


def test_a_bar_belongs_to_the_regime_known_before_it():
    labels = np.zeros(600, np.int8)
    entry = int(RESULT.trades["entry_bar"][0])
    labels[entry - 1] = 1
    calm, one = regime_breakdown(RESULT, labels)
    assert (one.trades, one.sharpe) == (1, None)
    assert one.share_of_time == pytest.approx(1 / 600)
    before = RESULT.equity[entry - 1]
    assert one.total_return == pytest.approx(RESULT.equity[entry] / before - 1)
    assert calm.trades == len(RESULT.trades) - 1
    with pytest.raises(DataError, match=r"labels must be one a bar, 600, was \(599,\)"):
        regime_breakdown(RESULT, labels[1:])


def test_costs_at_their_multiple_are_those_of_a_new_backtest_and_never_help():
    rows = cost_sensitivity(RESULT, (0.0, 1.0, 4.0))
    assert rows[1].total_return == RESULT.metrics.total_return
    assert rows[0].total_return > rows[1].total_return > rows[2].total_return
    free = CostOptions(taker_fee_frac=0, maker_fee_frac=0, slippage_frac=0)
    again = simulate(RESULT.bars, RESULT.signals, costs=free)
    assert rows[0].total_return == again.metrics.total_return
    assert (break_even_cost_frac(RESULT) > 0.0) == (rows[0].total_return > 0.0)
    for multiple in (-1.0, math.nan):
        with pytest.raises(ConfigError, match="multiples must be finite and >= 0"):
            cost_sensitivity(RESULT, (multiple,))


SETTINGS = [{"fast": fast, "mode": mode} for fast in (5, 10, 20) for mode in ("a", "b")]
FIGURES = [0.1, 0.2, 0.9, 0.3, 0.4, math.nan]


def test_a_chosen_setting_is_seen_beside_those_one_step_away():
    found = parameter_sensitivity(SETTINGS, FIGURES, 2)
    # 10 a has the neighbours 5 a, 20 a and 10 b.
    assert (found.chosen, found.lowest, found.median) == (0.9, 0.1, 0.3)
    assert (found.neighbours, found.steepest) == (3, "fast")
    # 20 b has no figure, 5 a is two steps away from 20 a.
    assert parameter_sensitivity(SETTINGS, FIGURES, 4).neighbours == 1
    assert parameter_sensitivity(SETTINGS[:1], FIGURES[:1], 0) is None


def test_settings_that_cannot_be_compared_are_refused():
    with pytest.raises(DataError, match="the chosen trial must have a figure, was nan"):
        parameter_sensitivity(SETTINGS, FIGURES, 5)
    with pytest.raises(DataError, match="figures must be one a setting"):
        parameter_sensitivity(SETTINGS, FIGURES[1:], 0)
    with pytest.raises(DataError, match="trial 1 does not"):
        parameter_sensitivity([{"fast": 1}, {"slow": 1}], [0.1, 0.2], 0)
