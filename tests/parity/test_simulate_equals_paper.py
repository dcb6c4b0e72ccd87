"""One fill rule: a backtest's bars replayed through the paper session give the same trades."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core import ExitReason
from crypto_bot.engine import (
    CostOptions,
    ExitOptions,
    SizingOptions,
    conditions_of,
    exits_for,
    matching_rules,
)
from crypto_bot.feedback import compare_with_backtest
from crypto_bot.strategies import get_strategy, list_strategies, parameter_grid
from crypto_bot.trading import (
    ModelDecisions,
    PaperOptions,
    PaperSession,
    RiskGuard,
    Step,
    StrategyDecisions,
    TradedSymbol,
    expected_backtest,
    expected_signals,
    expected_trades,
)
from crypto_bot.trading.port import EXIT, leg_of
from crypto_bot.trading.replay import replay_with_steps
from paper_markets import NO_LIMITS, ModelLike, Scripted, market, traded

HISTORY, STRETCH = 3_300, 260
CANDLES_ONLY = {"stat_arb_bot": {"mode": "single"}}
"""What makes a strategy run on candles alone that by default needs more."""
TWO_TIMEFRAMES = {
    "adaptive_stop": {"timeframe": "1h"},
    "confluence": {"timeframe": "1h"},
    "daily_pivot": {"timeframe": "1h"},
    "daily_trend_rsi": {"timeframe": "1h"},
    "dual_ma_atr": {"trend_timeframe": "1h"},
}
"""Longer bars of which enough close within the few days of these candles."""
CHANGED = CANDLES_ONLY | TWO_TIMEFRAMES
RULES = tuple(
    name for name in list_strategies() if not get_strategy(name, **CHANGED.get(name, {})).needs
)
# Asks less than the defaults, so that it trades within a short stretch.
EAGER = {
    "dip_hunter": {
        "dip_frac": 0.005,
        "rsi_max": 50,
        "rsi_exit": 60,
        "percent_b_max": 0.5,
        "volume_ratio_min": 1.0,
        "adx_max": 60,
    },
    "dca_bot": {"discount_frac": 0.005},
    "flash_crash_bot": {"drop_frac": 0.02, "volume_ratio_min": 3.0, "hold_bars": 12},
    "bounce_scalper": {"pattern": "none", "rsi_z_min": 0.5, "volume_z_min": 0.5},
}


def maker_of(name, variant=0):
    if name == "model":
        return ModelDecisions(ModelLike(), threshold=0.5)
    if name == "binary model":
        return ModelDecisions(ModelLike((0, 1)), threshold=0.55)
    parameters = EAGER.get(name, {}) if variant == 0 else parameter_grid(name, 4)[variant]
    return StrategyDecisions(get_strategy(name, **parameters | CHANGED.get(name, {})))


MAKERS = (*RULES, "model", "binary model")

fractions = st.one_of(st.none(), st.sampled_from([0.002, 0.01, 0.03]))
exits = st.builds(
    ExitOptions,
    stop_loss_frac=st.sampled_from([0.001, 0.004, 0.01, 0.03]),
    take_profit_frac=fractions,
    trailing_stop_frac=fractions,
    max_holding_bars=st.one_of(st.none(), st.integers(1, 30)),
    cooldown_bars=st.integers(0, 6),
    signal_exit=st.sampled_from([None, "flat", "opposite", "never"]),
    reentry=st.sampled_from(["new_signal", "while_signal"]),
)
sizing = st.builds(
    SizingOptions,
    method=st.sampled_from(["percent_of_equity", "fixed_quote", "risk_to_stop"]),
    fraction=st.sampled_from([0.1, 0.73, 1.0]),
    quote=st.sampled_from([333.0, 50_000.0]),
    allow_short=st.booleans(),
    initial_cash=st.sampled_from([1_000.0, 100_000.0]),
)
costs = st.builds(
    CostOptions,
    taker_fee_frac=st.sampled_from([0.0, 0.001]),
    maker_fee_frac=st.sampled_from([0.0, 0.0004]),
    slippage_frac=st.sampled_from([0.0, 0.001]),
    quantity_step=st.sampled_from([0.0, 0.01, 1.0]),
    minimum_notional_quote=st.sampled_from([0.0, 400.0]),
)


@cache
def market_of(seed):
    return market("BTC/USDT", HISTORY + STRETCH, seed)


def session_of(symbols, options):
    return PaperSession(symbols, options=PaperOptions(limits=NO_LIMITS, **options)).run()


@pytest.mark.parametrize("name", MAKERS)
@given(seed=st.integers(0, 20), variant=st.integers(0, 3), exits=exits, sizing=sizing, costs=costs)
@settings(max_examples=12, deadline=None, derandomize=True)
def test_paper_gives_the_trades_of_the_backtest_to_the_last_bit(
    name, seed, variant, exits, sizing, costs
):
    bars = market_of(seed)
    one = TradedSymbol(bars[HISTORY:], maker_of(name, variant), bars[:HISTORY])
    options = {"exits": exits, "sizing": sizing, "costs": costs}
    paper, backtest = session_of([one], options), expected_backtest(one, **options)
    agreement = compare_with_backtest(paper.trades, {"BTC/USDT": backtest.trades})
    assert agreement.equal, agreement.describe()
    assert paper.trades["BTC/USDT"].tobytes() == backtest.trades.tobytes()
    assert paper.equity.tobytes() == backtest.equity.tobytes()
    fills = [(fill.quantity, fill.price, fill.fee_quote) for fill in paper.fills]
    rows = backtest.fills
    assert fills == list(zip(np.abs(rows["quantity"]), rows["price"], rows["fee"], strict=True))


@given(
    directions=st.lists(st.integers(-1, 1), min_size=STRETCH, max_size=STRETCH),
    seed=st.integers(0, 20),
    exits=exits,
    sizing=sizing,
)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_any_sequence_of_directions_trades_as_in_the_backtest(directions, seed, exits, sizing):
    one = TradedSymbol(market_of(seed)[HISTORY:], Scripted(directions))
    options = {"exits": exits, "sizing": sizing}
    paper, backtest = session_of([one], options), expected_backtest(one, **options)
    assert paper.trades["BTC/USDT"].tobytes() == backtest.trades.tobytes()
    assert paper.equity.tobytes() == backtest.equity.tobytes()


limits = st.builds(
    NO_LIMITS.replace,
    max_daily_loss_frac=st.sampled_from([0.01, 1.0, 1.0]),
    max_drawdown_frac=st.sampled_from([0.05, 1.0, 1.0]),
    max_open_positions=st.sampled_from([1, 2, 10_000]),
    max_exposure_frac=st.sampled_from([0.5, 0.9, 1e9]),
)
patient_exits = st.builds(
    ExitOptions,
    stop_loss_frac=st.sampled_from([0.01, 0.03]),
    take_profit_frac=st.sampled_from([None, 0.03]),
    max_holding_bars=st.sampled_from([None, 20]),
    cooldown_bars=st.sampled_from([0, 0, 3]),
    signal_exit=st.sampled_from([None, None, "flat", "opposite", "never"]),
    reentry=st.sampled_from(["new_signal", "while_signal"]),
)
"""Exits that leave most positions to the signals, so that limits meet reversals."""


class Switch(RiskGuard):
    """A guard whose kill switch is on at some closes; asked once a close."""

    def __init__(self, limits, on_at):
        super().__init__(limits)
        self.closes, self.on_at = 0, on_at

    def killed_because(self):
        return "for a while" if self.closes - 1 in self.on_at else None


def limited_session(symbols, risk, switched_on, options):
    guard = Switch(risk, switched_on)

    def count():
        guard.closes += 1
        return False

    paper_options = PaperOptions(limits=risk, **options)
    return PaperSession(symbols, options=paper_options, guard=guard, should_stop=count).run()


@pytest.mark.parametrize("kind", ["scripted", "makers"])
@given(
    shares=st.sampled_from([(0.1, 0.8, 0.1), (0.3, 0.4, 0.3), (0.5, 0.0, 0.5)]),
    seed=st.integers(0, 20),
    signal_exit=st.sampled_from(["flat", "opposite"]),
    risk=limits,
    switched_on=st.sets(st.integers(0, 300), max_size=40),
    exits=patient_exits,
    sizing=sizing,
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_under_limits_that_bite_paper_equals_the_backtest_with_the_same_interventions(
    kind, shares, seed, signal_exit, risk, switched_on, exits, sizing
):
    names = ("model", "sma_cross", "rsi")
    drawn = np.random.default_rng(seed).choice([-1, 0, 1], (3, 150), p=shares)
    scripts = [Scripted(each, signal_exit) for each in drawn.tolist()]
    makers = scripts if kind == "scripted" else [maker_of(name) for name in names]
    symbols = [
        traded(f"A{place}/USDT", 150, seed + place, maker, history=500)
        if kind == "makers"
        else TradedSymbol(market(f"A{place}/USDT", 150, seed + place), maker)
        for place, maker in enumerate(makers)
    ]
    options = {"exits": exits, "sizing": sizing}
    paper = limited_session(symbols, risk, switched_on, options)
    twin = expected_trades(symbols, interventions=paper.blocked, **options)
    for symbol, trades in twin.items():
        assert paper.trades[symbol].tobytes() == trades.tobytes()
    agreement = compare_with_backtest(
        paper.trades, expected_trades(symbols, **options), under_limits=twin
    )
    assert agreement.unexplained == 0


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("max_daily_loss_frac", 0.05),
        ("max_drawdown_frac", 0.1),
        ("max_open_positions", 2),
        ("max_exposure_frac", 0.5),
        ("kill_switch", None),
    ],
)
def test_each_limit_bites_and_a_blocked_reversal_still_leaves(limit, value):
    steps, reversals, differing = set(), 0, 0
    risk = NO_LIMITS if value is None else NO_LIMITS.replace(**{limit: value})
    switched_on = set(range(20, 150, 7)) if value is None else set()
    options = {"exits": ExitOptions(stop_loss_frac=0.03)}
    for seed in range(6):
        drawn = np.random.default_rng(seed).integers(-1, 2, (3, 150)).tolist()
        symbols = [
            TradedSymbol(market(f"A{place}/USDT", 150, seed + place), Scripted(each))
            for place, each in enumerate(drawn)
        ]
        paper = limited_session(symbols, risk, switched_on, options)
        twin = expected_trades(symbols, interventions=paper.blocked, **options)
        agreement = compare_with_backtest(
            paper.trades, expected_trades(symbols, **options), under_limits=twin
        )
        assert agreement.unexplained == 0, agreement.describe()
        differing += not agreement.equal
        sent = paper.orders
        left = {(order.symbol, order.created_at_ns) for order in sent if leg_of(order) == EXIT}
        blocked = [found for found in paper.blocked if found.step is Step.BLOCKED_ENTRY]
        reversals += sum((found.symbol, found.time_ns) in left for found in blocked)
        steps |= {(found.limit, found.step) for found in paper.blocked}
    closes = {("kill_switch", Step.CLOSED)} if value is None else set()
    assert steps == {(limit, Step.BLOCKED_ENTRY)} | closes
    assert reversals > 0
    assert differing == 6


@pytest.mark.parametrize("name", MAKERS)
@given(seed=st.integers(0, 20), exits=exits, sizing=sizing, costs=costs)
@settings(max_examples=4, deadline=None, derandomize=True)
def test_the_replay_with_nothing_changed_is_the_backtest(name, seed, exits, sizing, costs):
    bars = market_of(seed)
    one = TradedSymbol(bars[HISTORY:], maker_of(name), bars[:HISTORY])
    rules = matching_rules(costs, exits_for(one.maker, exits), sizing)
    conditions = conditions_of(one.bars, CostOptions(), exits, sizing)
    replayed = replay_with_steps(
        one.bars, expected_signals(one), rules, conditions, sizing.initial_cash, {}
    )
    backtest = expected_backtest(one, exits=exits, sizing=sizing, costs=costs)
    assert replayed.tobytes() == backtest.trades.tobytes()


@pytest.mark.parametrize("name", MAKERS)
def test_every_maker_trades_in_the_markets_it_is_compared_on(name):
    trades = [
        len(expected_backtest(TradedSymbol(bars[HISTORY:], maker_of(name), bars[:HISTORY])).trades)
        for bars in map(market_of, range(20))
    ]
    assert sum(trades) > 0


def test_every_reason_to_exit_occurs_in_what_is_compared():
    tight = ExitOptions(
        stop_loss_frac=0.01,
        take_profit_frac=0.012,
        trailing_stop_frac=0.011,
        max_holding_bars=12,
        cooldown_bars=2,
    )
    seen = set()
    for seed in range(6):
        for name, options in (
            ("sma_cross", {"exits": tight}),
            ("mean_bot", {}),
            ("sma_cross", {}),
            ("sma_cross", {"sizing": SizingOptions(leverage=60, allow_short=True)}),
        ):
            bars = market_of(seed)
            one = TradedSymbol(bars[HISTORY:], maker_of(name), bars[:HISTORY])
            paper = session_of([one], options).trades["BTC/USDT"]
            assert paper.tobytes() == expected_backtest(one, **options).trades.tobytes()
            seen |= set(paper["exit_reason"].tolist())
    assert {ExitReason(reason).name for reason in seen} == set(ExitReason.__members__)


def test_many_symbols_at_once_trade_as_each_does_alone():
    symbols = [
        traded(f"A{seed}/USDT", 200 + 30 * seed, seed, maker_of(name), history=500)
        for seed, name in enumerate(("model", "sma_cross", "trend_bot", "rsi"))
    ]
    options = {"exits": ExitOptions(stop_loss_frac=0.01)}
    agreement = compare_with_backtest(
        session_of(symbols, options).trades, expected_trades(symbols, **options)
    )
    assert agreement.equal, agreement.describe()
    assert agreement.matched > 20


def test_symbols_that_share_a_model_trade_as_each_does_alone():
    shared = maker_of("model")
    symbols = [traded(f"A{seed}/USDT", 150, seed, shared, history=500) for seed in range(3)]
    agreement = compare_with_backtest(session_of(symbols, {}).trades, expected_trades(symbols))
    assert agreement.equal, agreement.describe()
    assert agreement.matched > 9


def test_without_history_nothing_is_traded_until_features_have_settled():
    bars = market_of(3)
    one = TradedSymbol(bars, maker_of("ema_cross"))
    paper = session_of([one], {}).trades["BTC/USDT"]
    assert paper.tobytes() == expected_backtest(one).trades.tobytes()
    assert len(paper) > 0
    assert paper["entry_bar"][0] > get_strategy("ema_cross").history_bars() - 2
