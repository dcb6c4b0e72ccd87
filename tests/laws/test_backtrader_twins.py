"""Every declared strategy in Backtrader trades as in `simulate`; a new one enrols itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from crypto_bot.adapters.backtrader_declared import declared_strategy
from crypto_bot.adapters.backtrader_run import run_backtrader, standard_analyzers
from crypto_bot.engine import (
    CostOptions,
    ExitOptions,
    Metrics,
    SizingOptions,
    exits_for,
    is_plain,
    matching_rules,
    simulate,
)
from crypto_bot.features import compute_features
from crypto_bot.market import read_candles
from crypto_bot.strategies import get_strategy, list_strategies
from crypto_bot.strategies.needs import needed_columns
from crypto_bot.trading import ModelDecisions
from reference.engine_cases import markets, option_sets, random_bars, random_direction, signals
from shared_data import shared_data
from strategies.markets import extra_columns
from strategies.markets import random_bars as market_bars

NAMES = list_strategies()
GUARDED = ExitOptions(
    stop_loss_frac=0.006,
    take_profit_frac=0.01,
    trailing_stop_frac=0.008,
    max_holding_bars=40,
    cooldown_bars=2,
    reentry="while_signal",
)
RULES = [
    pytest.param(ExitOptions(), SizingOptions(), id="signals-alone"),
    pytest.param(GUARDED, SizingOptions(method="risk_to_stop"), id="stop-target-trailing-time"),
]
BARS = market_bars(800, seed=11)
EXTRA = extra_columns(BARS.close)


def signals_of(strategy):
    """Its signals on BARS, with made-up columns where it needs more than candles."""
    return strategy.signals_on(BARS, {name: EXTRA[name] for name in needed_columns(strategy.needs)})


def differences(twin, expected):
    """What a run in Backtrader has differently from the engine's, to 1e-9 of its size."""
    found = []
    if len(twin.trades) != len(expected.trades):
        return [f"{len(twin.trades)} trades, not {len(expected.trades)}"]
    notional = expected.trades["quantity"] * expected.trades["entry_price"]
    for name in expected.trades.dtype.names:
        mine, theirs = (each.trades[name].astype(np.float64) for each in (twin, expected))
        # A profit near 0 is the difference of two amounts as large as the position.
        scale = notional if name == "pnl_quote" else 1.0 if name == "return_frac" else abs(theirs)
        if not np.all(np.abs(mine - theirs) <= 1e-9 * scale):
            found.append(name)
    for name in ("bar", "is_at_open", "reason"):
        if not np.array_equal(twin.fills[name], expected.fills[name]):
            found.append(f"fills.{name}")
    for name in ("quantity", "price", "fee"):
        if not np.allclose(twin.fills[name], expected.fills[name], rtol=1e-9, atol=0):
            found.append(f"fills.{name}")
    if not np.allclose(twin.equity, expected.equity, rtol=1e-9, atol=1e-6):
        found.append("equity")
    if not np.allclose(twin.position, expected.position, rtol=1e-9, atol=0):
        found.append("position")
    return found


@pytest.mark.parametrize(("exits", "sizing"), RULES)
@pytest.mark.parametrize("name", NAMES)
def test_a_declared_strategy_trades_in_backtrader_as_in_the_engine(name, exits, sizing):
    strategy = get_strategy(name)
    wanted = signals_of(strategy)
    # Backtrader asks a strategy bar by bar; what candles lack is given as the signals it makes.
    given = wanted if strategy.needs else None
    declared = declared_strategy(strategy, exits=exits, sizing=sizing, signals=given)
    twin = run_backtrader(declared, BARS)
    expected = simulate(BARS, wanted, exits=exits_for(strategy, exits), sizing=sizing)
    assert differences(twin, expected) == []


def test_together_they_trade_often_and_end_in_every_way():
    reasons: list[int] = []
    for name in NAMES:
        strategy = get_strategy(name)
        wanted = signals_of(strategy)
        for rules in RULES:
            exits, sizing = rules.values
            result = simulate(BARS, wanted, exits=exits_for(strategy, exits), sizing=sizing)
            reasons += result.trades["exit_reason"].tolist()
    assert len(reasons) > 200
    assert {1, 2, 3, 4, 5, 6} <= set(reasons)


class Confident:
    """Sure of a rise after a fall of five bars, of a fall after a rise."""

    feature_names = ("return_5",)
    classes = (0, 1)

    def predict_proba(self, features):
        up = np.where(features[:, 0] < -0.004, 0.9, np.where(features[:, 0] > 0.004, 0.1, 0.5))
        up = np.where(np.isnan(features[:, 0]), np.nan, up)
        return np.column_stack([1.0 - up, up])


def test_a_model_trades_in_backtrader_as_in_the_engine():
    maker = ModelDecisions(Confident(), threshold=0.6)
    columns = {"return_5": compute_features(BARS, ["return_5"]).column("return_5")}
    twin = run_backtrader(declared_strategy(maker, exits=GUARDED), BARS)
    expected = simulate(BARS, maker.signals(columns), exits=exits_for(maker, GUARDED))
    assert len(expected.trades) > 20
    assert differences(twin, expected) == []


def twins(bars, direction, costs, exits, sizing):
    strategy = get_strategy("sma_cross")
    exits = exits_for(strategy, exits)
    declared = declared_strategy(strategy, exits=exits, sizing=sizing, signals=signals(direction))
    twin = run_backtrader(declared, bars, costs=costs)
    return twin, simulate(bars, signals(direction), costs=costs, exits=exits, sizing=sizing)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(markets(most=60), option_sets())
def test_any_signals_and_plain_options_give_the_engine_s_trades(market, options):
    bars, direction = market
    costs, exits, sizing = options
    if sizing.method == "risk_to_stop" and exits.stop_loss_frac is None:
        return
    if not is_plain(matching_rules(costs, exits, sizing)):
        return
    twin, expected = twins(bars, direction, costs, exits, sizing)
    assert differences(twin, expected) == []
    assert twin.strategy.refused_entries == expected.refused_entries


def test_a_wild_market_with_outages_gaps_and_ruin_is_traded_alike():
    bars = random_bars(4, 600, move=0.15)
    exits = ExitOptions(stop_loss_frac=0.4, take_profit_frac=0.1, reentry="while_signal")
    twin, expected = twins(
        bars, random_direction(5, 600), CostOptions(), exits, SizingOptions(fraction=1.0)
    )
    assert differences(twin, expected) == []
    assert len(expected.trades) > 50


def test_ruin_closes_the_position_and_ends_trading():
    prices = np.array([100.0, 100.0, 100.0, 250.0, 250.0, 100.0, 100.0, 100.0])
    bars = random_bars(1, 8, outages=0.0)
    bars = type(bars)(bars.symbol, bars.timeframe, bars.open_time, *([prices] * 4), np.ones(8))
    exits = ExitOptions(signal_exit="never", reentry="while_signal")
    twin, expected = twins(bars, [-1] * 8, CostOptions(), exits, SizingOptions())
    assert expected.metrics.final_equity < 0
    assert len(expected.trades) == 1
    assert differences(twin, expected) == []


@pytest.mark.parametrize("name", ["sma_cross", "rsi", "ema_cross"])
def test_on_real_candles_too(name):
    bars, _ = read_candles(shared_data("binance/BTC_USDT-1h.parquet"))
    bars = bars[-1_200:]
    strategy = get_strategy(name)
    exits = exits_for(strategy, GUARDED.replace(stop_loss_frac=0.02, take_profit_frac=0.03))
    twin = run_backtrader(declared_strategy(strategy, exits=exits), bars)
    expected = simulate(bars, strategy.signals_on(bars), exits=exits)
    assert len(expected.trades) > 10
    assert differences(twin, expected) == []


def test_metrics_and_backtrader_s_own_sharpe_are_the_engine_s():
    strategy = get_strategy("sma_cross")
    bars = market_bars(2_000, seed=2)
    twin = run_backtrader(declared_strategy(strategy), bars, analyzers=standard_analyzers(bars))
    expected = simulate(bars, strategy.signals_on(bars), exits=exits_for(strategy)).metrics
    for name in Metrics.__dataclass_fields__:
        assert getattr(twin.metrics, name) == pytest.approx(getattr(expected, name), rel=1e-9)
    assert twin.analyzers["sharpe"]["sharperatio"] == pytest.approx(expected.sharpe, rel=1e-9)
    drawdown = twin.analyzers["drawdown"]["max"]["drawdown"] / 100
    assert drawdown == pytest.approx(expected.max_drawdown, rel=1e-9)


def test_the_comparison_sees_a_fee_of_a_millionth():
    strategy = get_strategy("sma_cross")
    costs = CostOptions(taker_fee_frac=0.001 + 1e-9)
    twin = run_backtrader(declared_strategy(strategy), BARS, costs=costs)
    expected = simulate(BARS, strategy.signals_on(BARS), exits=exits_for(strategy))
    assert "fees_quote" in differences(twin, expected)
