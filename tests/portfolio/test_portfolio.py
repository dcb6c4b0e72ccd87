"""Many strategies on one cash account: alone it is `simulate`, together it adds up to the cent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core import Bars, ExitReason, FundingRates, Signals
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.timeframes import DAY_NS, HOUR_NS
from crypto_bot.engine import (
    METRICS,
    CostOptions,
    ExitOptions,
    SizingOptions,
    matching_rules,
    simulate,
)
from crypto_bot.engine.rules import MatchingRules
from crypto_bot.engine.settling import settled_bars
from crypto_bot.portfolio import PortfolioOptions, Slot, portfolio_slots, simulate_portfolio
from crypto_bot.portfolio.account import rules_from
from crypto_bot.strategies import get_strategy
from reference.engine_cases import (
    funding_every_eight_hours,
    markets,
    random_bars,
    random_direction,
    rich_option_sets,
    signals,
)

START = 20_000 * DAY_NS
FREE = CostOptions(taker_fee_frac=0, maker_fee_frac=0, slippage_frac=0)
CASH = SizingOptions(initial_cash=1_000.0)


def candles(symbol, opens, *, first_hour=0):
    """Hours whose four prices are one, each the open of the next."""
    prices = np.array(opens, np.float64)
    times = START + (first_hour + np.arange(len(prices))) * HOUR_NS
    return Bars(symbol, "1h", times, prices, prices, prices, prices, np.ones(len(prices)))


def wanted(directions, score=1.0):
    direction = np.array(directions, np.int8)
    return Signals(direction, np.where(direction != 0, score, 0.0))


def cash_account(sizing):
    return sizing.replace(leverage=1.0, maintenance_margin_frac=None)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(markets(), rich_option_sets(), st.sampled_from([0.0, 0.0003]))
def test_a_portfolio_of_one_trades_as_simulate_bit_for_bit(market, options, rate):
    bars, direction = market
    costs, exits, sizing = options
    sizing = cash_account(sizing)
    funding = funding_every_eight_hours(bars, rate) if rate else None
    alone = simulate(
        bars, signals(direction), costs=costs, exits=exits, sizing=sizing, funding=funding
    )
    slot = Slot("only", bars, signals(direction), exits, funding)
    result = simulate_portfolio([slot], costs=costs, sizing=sizing)
    assert result.trades[0].tobytes() == alone.trades.tobytes()
    # What is added to the opening cash is rounded at its size, however little of it is left.
    np.testing.assert_allclose(
        result.equity, alone.equity, rtol=0, atol=1e-14 * sizing.initial_cash
    )
    assert result.metrics.trades == alone.metrics.trades
    for name in METRICS:
        if name != "buy_and_hold_return":
            assert getattr(result.metrics, name) == pytest.approx(getattr(alone.metrics, name)), (
                name
            )


def many_slots(seed, count=4):
    """Two symbols of different spans, two strategies each, stops of their own."""
    slots = []
    for number in range(count):
        symbol = ("BTC/USDT", "ETH/USDT")[number % 2]
        bars = replace(random_bars(seed + number % 2, 300 + 60 * (number % 2)), symbol=symbol)
        exits = ExitOptions(stop_loss_frac=0.03, take_profit_frac=0.05 + 0.01 * number)
        slots.append(
            Slot(f"s{number}", bars, signals(random_direction(seed + 9 * number, len(bars))), exits)
        )
    return slots


@pytest.mark.parametrize("seed", range(8))
def test_attribution_adds_up_to_the_account(seed):
    options = PortfolioOptions(max_open_positions=2, max_symbol_exposure_frac=0.6)
    sizing = SizingOptions(fraction=0.4, initial_cash=10_000.0)
    costs = CostOptions(borrow_rate_annual_frac=0.2)
    result = simulate_portfolio(many_slots(seed), costs=costs, sizing=sizing, options=options)
    np.testing.assert_allclose(result.equity, 10_000 + result.gains.sum(axis=1), rtol=0, atol=1e-9)
    for place, trades in enumerate(result.trades):
        assert trades["pnl_quote"].sum() == pytest.approx(result.gains[-1, place], abs=1e-7)
    assert result.attribution["gain_quote"].sum() == pytest.approx(
        result.equity[-1] - 10_000, abs=0.005
    )
    assert sum(len(trades) for trades in result.trades) > 40
    assert set(result.refusals["limit"]) <= {"max_open_positions", "max_symbol_exposure_frac"}
    assert len(result.refusals) > 5


@pytest.mark.parametrize("seed", range(4))
def test_limits_hold_after_every_entry(seed):
    slots = many_slots(seed)
    options = PortfolioOptions(
        max_open_positions=2, max_symbol_exposure_frac=0.5, max_exposure_frac=0.8
    )
    result = simulate_portfolio(slots, costs=FREE, sizing=CASH, options=options)
    moments = sorted({int(t) for trades in result.trades for t in trades["entry_time"]})
    assert len(moments) > 30
    for moment in moments:
        held = [
            (slot, trade)
            for slot, trades in zip(slots, result.trades, strict=True)
            for trade in trades
            if trade["entry_time"] <= moment
            and (trade["exit_bar"] < 0 or trade["exit_time"] > moment)
        ]
        assert len(held) <= 2
        worth = [trade["quantity"] * _price(slot.bars, moment) for slot, trade in held]
        before = result.times_ns <= moment
        equity = result.equity[before][-1] if before.any() else 1_000.0
        if any(trade["entry_time"] == moment for _, trade in held):
            assert sum(worth) <= 0.8 * equity * 1.05


def _price(bars, moment):
    place = int(np.searchsorted(bars.open_time, moment, side="right")) - 1
    return float(bars.open[place])


def test_the_higher_score_is_served_first_and_of_equals_the_slot_given_first():
    one, two = candles("BTC/USDT", [10, 10, 20]), candles("ETH/USDT", [5, 5, 5])
    only_one = PortfolioOptions(max_open_positions=1)

    def entered(first, second):
        slots = [
            Slot("a", one, wanted([1, 1, 1], first)),
            Slot("b", two, wanted([1, 1, 1], second)),
        ]
        result = simulate_portfolio(slots, costs=FREE, sizing=CASH, options=only_one)
        assert result.refusals["limit"].to_list() == ["max_open_positions"]
        return [len(trades) for trades in result.trades]

    assert entered(0.5, 0.9) == [0, 1]
    assert entered(0.9, 0.5) == [1, 0]
    assert entered(0.7, 0.7) == [1, 0]


def test_of_equals_the_slot_given_first_is_served_whatever_its_market():
    one, two = candles("BTC/USDT", [10, 10, 10]), candles("ETH/USDT", [5, 5, 5])
    slots = [
        Slot(name, bars, wanted([1, 1, 1]))
        for name, bars in zip("abc", (one, two, one), strict=True)
    ]
    options = PortfolioOptions(max_open_positions=2)
    sizing = CASH.replace(fraction=0.3)
    result = simulate_portfolio(slots, costs=FREE, sizing=sizing, options=options)
    assert [len(trades) for trades in result.trades] == [1, 1, 0]


def test_each_limit_refuses_by_its_name():
    one, two = candles("BTC/USDT", [10, 10, 10]), candles("ETH/USDT", [5, 5, 5])

    def refused(second, **limits):
        slots = [Slot("a", one, wanted([1, 1, 1])), Slot("b", second, wanted([1, 1, 1]))]
        options = PortfolioOptions(**limits)
        sizing = CASH.replace(fraction=0.5)
        return (
            simulate_portfolio(slots, costs=FREE, sizing=sizing, options=options)
            .refusals["limit"]
            .to_list()
        )

    assert refused(two) == []
    assert refused(two, max_open_positions=1) == ["max_open_positions"]
    assert refused(two, max_exposure_frac=0.5) == ["max_exposure_frac"]
    assert refused(one, max_symbol_exposure_frac=0.5) == ["max_symbol_exposure_frac"]
    assert refused(two, max_symbol_exposure_frac=0.5) == []


def test_what_an_exit_frees_is_spent_at_the_same_open():
    # a holds BTC from 10 to 20 (1,000 -> 2,000), sold at the open of hour 3; b, decided at the
    # same close, buys ETH at 5 with all of it: 400 coins, worth 6 at the end.
    one = candles("BTC/USDT", [10, 10, 15, 20, 20])
    two = candles("ETH/USDT", [5, 5, 5, 5, 6])
    slots = [
        Slot("b", two, wanted([0, 0, 1, 1, 1])),
        Slot("a", one, wanted([1, 1, 0, 0, 0])),
    ]
    result = simulate_portfolio(slots, costs=FREE, sizing=CASH)
    assert result.trades[1]["pnl_quote"].tolist() == [1_000.0]
    assert result.trades[0]["quantity"].tolist() == [400.0]
    assert result.equity.tolist() == [1_000.0, 1_000.0, 1_500.0, 2_000.0, 2_400.0]
    assert result.attribution["gain_quote"].to_list() == [400.0, 1_000.0]


def test_an_entry_is_made_smaller_where_less_is_left():
    # a takes 70 % of 1,000; b wants 70 % too and gets the 300 that are left.
    one, two = candles("BTC/USDT", [10, 10, 10]), candles("ETH/USDT", [5, 5, 5])
    slots = [Slot("a", one, wanted([1, 1, 1])), Slot("b", two, wanted([1, 1, 1]))]
    result = simulate_portfolio(slots, costs=FREE, sizing=CASH.replace(fraction=0.7))
    assert result.trades[0]["quantity"].tolist() == [pytest.approx(70.0)]
    assert result.trades[1]["quantity"].tolist() == [pytest.approx(60.0)]


def test_a_symbol_that_begins_later_joins_then():
    one = candles("BTC/USDT", [10, 10, 10, 10, 10])
    two = candles("ETH/USDT", [5, 5, 10], first_hour=2)
    slots = [Slot("a", two, wanted([1, 1, 1])), Slot("b", one, wanted([0, 0, 0, 0, 0]))]
    result = simulate_portfolio(slots, costs=FREE, sizing=CASH)
    assert result.times_ns.tolist() == one.close_time.tolist()
    assert result.equity.tolist() == [1_000.0, 1_000.0, 1_000.0, 1_000.0, 2_000.0]


def test_funding_is_charged_to_the_slot_that_holds():
    bars = candles("BTC/USDT", [10, 10, 10, 10])
    rates = FundingRates("BTC/USDT", bars.open_time[2:3], np.array([0.01]))
    slots = [Slot("a", bars, wanted([1, 1, 1, 1]), funding=rates)]
    result = simulate_portfolio(slots, costs=FREE, sizing=CASH)
    # 100 coins x 10 x 1 % at the open of hour 2.
    assert result.equity.tolist() == [1_000.0, 1_000.0, 990.0, 990.0]
    assert result.attribution["financing_quote"].to_list() == [10.0]


def test_bars_after_t_change_nothing_up_to_t():
    slots = many_slots(5)
    cut = int(slots[0].bars.close_time[200])
    early = []
    for slot in slots:
        kept = slot.bars.closed_by(cut)
        early.append(
            replace(slot, bars=kept, signals=Signals(*(v[: len(kept)] for v in slot.signals)))
        )
    sizing = SizingOptions(fraction=0.5)
    whole = simulate_portfolio(slots, sizing=sizing)
    part = simulate_portfolio(early, sizing=sizing)
    shown = np.searchsorted(whole.times_ns, part.times_ns[-1], side="right")
    np.testing.assert_array_equal(part.equity, whole.equity[:shown])


def test_strategies_trade_real_features_and_are_attributed():
    bars = [
        replace(random_bars(seed, 2_500, timeframe="1h"), symbol=symbol)
        for seed, symbol in enumerate(["BTC/USDT", "ETH/USDT", "SOL/USDT"])
    ]
    strategies = [get_strategy("sma_cross", fast=5, slow=20), get_strategy("rsi")]
    slots = portfolio_slots(bars, strategies)
    result = simulate_portfolio(slots, sizing=SizingOptions(fraction=0.2))
    assert result.attribution["strategy"].to_list() == ["sma_cross"] * 3 + ["rsi"] * 3
    assert all(len(trades) > 0 for trades in result.trades)
    assert result.metrics.buy_and_hold_return == pytest.approx(
        np.mean([one.close[-1] / one.close[0] for one in bars]) - 1, abs=0.2
    )


def test_nothing_is_wanted_before_the_features_have_settled():
    bars = replace(random_bars(3, 2_500, timeframe="1h"), symbol="BTC/USDT")
    strategy = get_strategy("rsi")
    settled = settled_bars(strategy.features(), "1h")
    (slot,) = portfolio_slots([bars], [strategy])
    assert strategy.signals_on(bars).direction[:settled].any()
    assert not slot.signals.direction[:settled].any()
    assert slot.signals.direction[settled:].any()


def test_two_timeframes_share_the_account():
    hours = candles("BTC/USDT", [10] * 8)
    long = Bars("BTC/USDT", "4h", hours.open_time[::4], *[np.full(2, 10.0)] * 4, np.ones(2))
    slots = [Slot("a", hours, wanted([1] * 8)), Slot("b", long, wanted([1, 1]))]
    result = simulate_portfolio(slots, costs=FREE, sizing=CASH.replace(fraction=0.5))
    assert [trades["entry_time"].tolist() for trades in result.trades] == [
        [hours.open_time[1]],
        [long.open_time[1]],
    ]


def test_rules_survive_the_way_through_a_row():
    exits = ExitOptions(stop_loss_frac=0.1, trailing_stop_atr=3.0, max_holding_bars=7)
    rules = matching_rules(CostOptions(slippage_volume_mult=0.1), exits, SizingOptions())
    assert rules_from(np.array([float(v) for v in rules])) == rules
    assert len(rules) == len(MatchingRules._fields)


def test_bad_portfolios_are_refused():
    bars = candles("BTC/USDT", [10, 10, 10])
    later = candles("ETH/USDT", [5, 5], first_hour=50)
    slot = Slot("a", bars, wanted([1, 1, 1]))
    with pytest.raises(ConfigError, match="at least one slot"):
        simulate_portfolio([])
    with pytest.raises(ConfigError, match="leverage must be 1"):
        simulate_portfolio([slot], sizing=SizingOptions(leverage=2))
    with pytest.raises(DataError, match="span in common, ETH/USDT begins after BTC/USDT ends"):
        simulate_portfolio([slot, Slot("b", later, wanted([1, 1]))])
    next_to_it = candles("ETH/USDT", [5, 5], first_hour=3)
    with pytest.raises(DataError, match="span in common, ETH/USDT begins after BTC/USDT ends"):
        simulate_portfolio([slot, Slot("b", next_to_it, wanted([1, 1]))])
    other = candles("BTC/USDT", [10, 11, 10])
    with pytest.raises(DataError, match="same candles"):
        simulate_portfolio([slot, Slot("b", other, wanted([1, 1, 1]))])
    with pytest.raises(DataError, match="direction must be int8"):
        simulate_portfolio([Slot("a", bars, wanted([1, 1]))])
    with pytest.raises(ConfigError, match="max_open_positions"):
        PortfolioOptions(max_open_positions=0)


@pytest.mark.parametrize("score", [np.nan, np.inf, 1.5])
def test_signals_of_any_slot_that_are_no_numbers_are_refused(score):
    bars = candles("BTC/USDT", [10, 10, 10])
    good, bad = wanted([1, 1, 1]), Signals(np.ones(3, np.int8), np.array([1.0, score, 1.0]))
    with pytest.raises(
        DataError, match=rf"score must be finite and 0.0..1.0, was {score} at row 1"
    ):
        simulate_portfolio([Slot("a", bars, good), Slot("b", bars, bad)])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PortfolioOptions(max_exposure_frac=np.nan), "max_exposure_frac must be a finite"),
        (lambda: PortfolioOptions(max_symbol_exposure_frac=-1), "must be greater than 0, was -1"),
        (lambda: PortfolioOptions(max_positions=2), "did you mean 'max_open_positions'"),
        (lambda: CostOptions(taker_fee_frac=1.2), "taker_fee_frac must be less .* 1, was 1.2"),
    ],
)
def test_limits_out_of_range_are_refused_by_name(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_reasons_of_trades_are_those_of_the_matching_step():
    reasons = {
        ExitReason(int(reason))
        for seed in range(3)
        for trades in simulate_portfolio(many_slots(seed)).trades
        for reason in trades["exit_reason"]
    }
    assert reasons >= {ExitReason.SIGNAL, ExitReason.REVERSE, ExitReason.STOP, ExitReason.TARGET}
