"""Laws of every strategy in a sweep; a new one enrols itself through `list_strategies`."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from crypto_bot.core import FundingRates
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.engine import (
    METRICS,
    CostOptions,
    ExitOptions,
    SizingOptions,
    is_plain,
    matching_rules,
    settled_bars,
    sweep,
)
from crypto_bot.features import compute_features
from crypto_bot.strategies import get_strategy, list_strategies, parameter_grid
from crypto_bot.strategies.base import StrategyParameters, enrolled
from crypto_bot.trading import PaperSession, StrategyDecisions, TradedSymbol, expected_backtest
from paper_markets import market
from reference.engine_cases import funding_every_eight_hours

NAMES = list_strategies()
CANDLES_ONLY = {"stat_arb_bot": {"mode": "single", "hold_bars": 1}}
"""What makes a strategy run on candles alone that by default needs more."""
TWO_TIMEFRAMES = {
    "adaptive_stop": {"timeframe": "1h"},
    "confluence": {"timeframe": "1h"},
    "daily_pivot": {"timeframe": "1h", "hold_bars": 12},
    "daily_trend_rsi": {"timeframe": "1h", "hold_bars": 12},
    "dual_ma_atr": {"trend_timeframe": "1h"},
}
"""Longer bars of which enough close within the few days of these candles."""
CHANGED = CANDLES_ONLY | TWO_TIMEFRAMES
RULES = tuple(name for name in NAMES if not get_strategy(name, **CHANGED.get(name, {})).needs)
MODELS = tuple(name for name in NAMES if get_strategy(name).predictions)
EXITS = ExitOptions(stop_loss_frac=0.02, reentry="while_signal")
BARS = market("BTC/USDT", 3_500, 5)
FUNDING = funding_every_eight_hours(BARS, 0.0003)


def variants(name):
    more = CHANGED.get(name, {})
    return [get_strategy(name, **values | more) for values in parameter_grid(name, 4)]


def expected(strategy, bars, first, funding=None, exits=EXITS, **options):
    one = TradedSymbol(bars[first:], StrategyDecisions(strategy), bars[:first], funding)
    return expected_backtest(one, exits=exits, **options)


def check_rows(bars, first, strategies, funding=None, exits=EXITS, **options):
    """Compare every row with the paper session's twin; returns the trades of all rows."""
    result = sweep(
        [bars],
        strategies,
        exits=[exits],
        start_ns=int(bars.open_time[first]),
        funding=None if funding is None else {bars.symbol: funding},
        workers=1,
        **options,
    )
    rows = {row["parameters"]: row for row in result.table.iter_rows(named=True)}
    skipped = {trial.parameters: trial.reason for trial in result.skipped}
    assert len(rows) + len(skipped) == len(strategies)
    for strategy in strategies:
        twin = expected(strategy, bars, first, funding, exits, **options)
        key = json.dumps(strategy.parameters.model_dump(mode="json"), sort_keys=True)
        if key in skipped:
            assert len(twin.trades) == 0
            assert f"for {strategy.name}, had {len(bars)}" in skipped[key]
            continue
        for name in METRICS:
            wanted = getattr(twin.metrics, name)
            close = None if wanted is None else pytest.approx(wanted, rel=1e-9, abs=1e-9)
            assert rows[key][name] == close, name
    return sum(row["trades"] for row in rows.values())


@pytest.mark.parametrize("name", RULES)
def test_a_row_is_what_a_paper_session_would_trade(name):
    strategies = variants(name)
    assert check_rows(BARS, 2_800, strategies) > 0
    assert check_rows(BARS, 0, strategies) > 0


@pytest.mark.parametrize("name", RULES)
def test_a_row_is_what_a_paper_session_would_trade_after_a_short_history(name):
    strategies = variants(name)
    for settled in {settled_bars(each.features(), BARS.timeframe) for each in strategies}:
        # Settled halfway through the stretch, at its last bar, and only after it.
        for length in (settled + 200, settled + 1, settled):
            if 1 < length <= len(BARS):
                bars = BARS[:length]
                check_rows(bars, 0, strategies)
                check_rows(bars, min(length - 1, max(0, settled - 40)), strategies)


@pytest.mark.parametrize("name", RULES)
def test_a_strategy_that_compares_two_features_does_nothing_else(name):
    for strategy in variants(name):
        if strategy.compared() is not None:
            above, below = (
                compute_features(BARS, [each]).values[:, 0] for each in strategy.compared()
            )
            signals = strategy.signals_on(BARS)
            side = (above > below).astype(np.int8) - (above < below).astype(np.int8)
            np.testing.assert_array_equal(signals.direction, side)


WALKED = {
    "ATR exits": {"exits": ExitOptions(stop_loss_atr=2.0, take_profit_atr=3.0, atr_bars=10)},
    "leverage": {"sizing": SizingOptions(leverage=4.0, maintenance_margin_frac=0.1)},
    "slippage that grows": {
        "costs": CostOptions(slippage_atr_mult=0.1, slippage_volume_mult=0.01),
        "exits": ExitOptions(trailing_stop_atr=3.0, stop_loss_frac=0.05),
    },
    "financing": {"costs": CostOptions(borrow_rate_annual_frac=0.5), "funding": FUNDING},
    "remembered sizes": {"sizing": SizingOptions(method="half_kelly", kelly_minimum_trades=3)},
    "volatility": {"sizing": SizingOptions(method="volatility_target", volatility_bars=15)},
}
"""Rules that let no bar be skipped."""


@pytest.mark.parametrize("name", RULES)
def test_a_row_by_rules_that_skip_no_bar_is_what_a_paper_session_would_trade(name):
    strategies = variants(name)[:2]
    trades = [check_rows(BARS, 2_000, strategies, **options) for options in WALKED.values()]
    assert min(trades) > 0


@pytest.mark.parametrize("options", WALKED.values(), ids=WALKED)
def test_nothing_is_traded_until_what_the_rules_read_has_settled(options):
    cross = get_strategy("sma_cross", fast=2, slow=3)
    for length in (40, 300, 900):
        check_rows(BARS[:length], 0, [cross], **{**options, "funding": None})


@pytest.mark.parametrize("options", WALKED.values(), ids=WALKED)
def test_none_of_these_rules_is_plain(options):
    given = [options.get("costs"), options.get("exits"), options.get("sizing")]
    kinds = zip(given, (CostOptions, ExitOptions, SizingOptions), strict=True)
    rules = matching_rules(
        *(one or kind() for one, kind in kinds), has_funding="funding" in options
    )
    assert not is_plain(rules)


def test_funding_belongs_to_its_symbol_and_must_fit_it():
    cross = get_strategy("sma_cross")
    free = sweep([BARS], [cross]).table
    other = FundingRates("ETH/USDT", FUNDING.time_ns, FUNDING.rate)
    assert sweep([BARS], [cross], funding={"ETH/USDT": other}).table.equals(free)
    paid = sweep([BARS], [cross], funding={BARS.symbol: FUNDING}).table
    assert paid["total_return"][0] != free["total_return"][0]
    for mistyped in ({BARS.symbol: other}, {"BTCUSDT": FUNDING}):
        with pytest.raises(DataError, match=r"must be rates of BTC/?USDT, was of"):
            sweep([BARS], [cross], funding=mistyped)


@pytest.mark.parametrize("name", [name for name in NAMES if get_strategy(name).needs])
def test_a_strategy_that_needs_more_than_candles_is_skipped_with_what_it_needs(name):
    result = sweep([BARS], [name, "sma_cross"], workers=1)
    assert result.table["strategy"].to_list() == ["sma_cross"]
    ((strategy, reason),) = [(trial.strategy, trial.reason) for trial in result.skipped]
    assert strategy == name
    assert reason == str(get_strategy(name).refusal())
    refused = (ConfigError, "ModelDecisions") if name in MODELS else (DataError, f"{name} needs")
    with pytest.raises(refused[0], match=refused[1]):
        StrategyDecisions(get_strategy(name))


def test_a_setting_that_settles_too_late_says_what_it_needs():
    settled = settled_bars(get_strategy("rsi").features())
    result = sweep([BARS[:settled]], ["rsi"])
    assert len(result.table) == 0
    reason = f"must have at least {settled + 1} bars for rsi, had {settled}"
    assert reason in result.skipped[0].reason


def test_a_feature_that_never_settles_is_refused_as_by_a_session():
    class Forever(StrategyParameters):
        def features(self):
            return ("obv",)

    definition = replace(enrolled()["rsi"], name="forever", parameters=Forever)
    strategy = definition.bind({})
    one = TradedSymbol(BARS[:50], StrategyDecisions(strategy))
    words = "feature must settle to be traded on, obv never forgets its first bar"
    for refused in (lambda: sweep([BARS], [strategy]), lambda: PaperSession([one])):
        with pytest.raises(ConfigError, match=words):
            refused()
