"""Three ways to write a strategy, one meaning: what is asked for at every close trades as `simulate`."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core import TRADE
from crypto_bot.core.errors import DataError
from crypto_bot.engine import ExitOptions, exits_for, settled_bars, simulate
from crypto_bot.orders import DeclaredSignals, DirectionStrategy, simulate_on_bar
from crypto_bot.strategies import get_strategy, list_strategies
from paper_markets import market as rough_market
from reference.engine_cases import (
    finer_bars,
    funding_every_eight_hours,
    markets,
    option_sets,
    rich_option_sets,
    signals,
)


class Given(DirectionStrategy):
    """Directions known beforehand."""

    def __init__(self, directions, exits):
        super().__init__(exits)
        self.directions = directions.tolist()

    def direction(self, context):
        return self.directions[context.index]


def assert_same(ours, twin):
    """Trades, fills, curves and metrics to the last bit."""
    assert ours.trades.dtype == twin.trades.dtype == TRADE
    for name in TRADE.names:
        np.testing.assert_array_equal(ours.trades[name], twin.trades[name], err_msg=name)
    for name in twin.fills.dtype.names:
        np.testing.assert_array_equal(ours.fills[name], twin.fills[name], err_msg=name)
    np.testing.assert_array_equal(ours.equity, twin.equity)
    np.testing.assert_array_equal(ours.position, twin.position)
    assert asdict(ours.metrics) == asdict(twin.metrics)
    assert ours.ambiguous_exits == twin.ambiguous_exits
    assert ours.resolved_exits == twin.resolved_exits
    assert ours.refused_orders == twin.refused_entries


@settings(max_examples=150, deadline=None, derandomize=True)
@given(markets(), option_sets())
def test_directions_asked_for_as_market_orders_trade_as_simulate(market, options):
    bars, direction = market
    costs, exits, sizing = options
    twin = simulate(bars, signals(direction), costs=costs, exits=exits, sizing=sizing)
    ours = simulate_on_bar(bars, Given(direction, exits), costs=costs, sizing=sizing)
    assert_same(ours, twin)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(markets(), rich_option_sets(), st.booleans(), st.sampled_from([0.0, 0.0003, -0.01]))
def test_they_do_with_every_option(market, options, has_finer, rate):
    bars, direction = market
    costs, exits, sizing = options
    more = {
        "funding": funding_every_eight_hours(bars, rate) if rate else None,
        "finer": finer_bars(bars) if has_finer else None,
    }
    twin = simulate(bars, signals(direction), costs=costs, exits=exits, sizing=sizing, **more)
    ours = simulate_on_bar(bars, Given(direction, exits), costs=costs, sizing=sizing, **more)
    assert_same(ours, twin)


EXITS = ExitOptions(stop_loss_frac=0.02, take_profit_atr=3.0, reentry="while_signal")
EAGER = {
    "dca_bot": {"discount_frac": 0.005},
    "flash_crash_bot": {"drop_frac": 0.01, "volume_ratio_min": 1.5, "hold_bars": 12},
    "stat_arb_bot": {"mode": "single"},
}
"""Asks less than the defaults: trades on a few hundred candles alone."""
RULES = tuple(
    name for name in list_strategies() if not get_strategy(name, **EAGER.get(name, {})).needs
)
STRETCH = 700


def wanted_once_settled(strategy, whole, settled):
    """Signals over all bars at once, 0 where a feature still depends on where the data began."""
    is_settled = np.arange(len(whole)) >= settled
    found = strategy.signals_on(whole)
    return np.where(is_settled, found.direction, 0).astype(np.int8)


@pytest.mark.parametrize("name", RULES)
def test_every_declared_strategy_trades_bar_by_bar_as_in_simulate(name):
    strategy = get_strategy(name, **EAGER.get(name, {}))
    settled = settled_bars(strategy.features(), "1h")
    # Every other strategy begins inside the data, with features that have settled before.
    first = settled + 100 if RULES.index(name) % 2 else 0
    whole = rough_market("BTC/USDT", settled + 100 + STRETCH, 6, timeframe="1h")
    bars, history = whole[first:], whole[:first]
    wanted = signals(wanted_once_settled(strategy, whole, settled)[first:])
    twin = simulate(bars, wanted, exits=exits_for(strategy, EXITS), history=history)
    ours = simulate_on_bar(bars, DeclaredSignals(strategy, EXITS), history=history)
    assert len(twin.trades) > 0
    assert_same(ours, twin)


def test_a_declared_strategy_that_needs_more_than_candles_is_refused():
    with pytest.raises(DataError, match="model needs a model's predictions"):
        DeclaredSignals(get_strategy("model"))
