"""Laws every simulation obeys, whatever the market and the options."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core import Bars, ExitReason, FundingRates, Signals
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.engine import (
    FILL,
    UNASKED,
    CostOptions,
    ExitOptions,
    SizingMethod,
    SizingOptions,
    advance,
    decide,
    fill_rows,
    matching_rules,
    open_account,
    round_trips,
    simulate,
)
from crypto_bot.strategies import get_strategy
from reference.engine_cases import markets, option_sets, random_bars, random_direction, signals

FREE = CostOptions(taker_fee_frac=0, maker_fee_frac=0, slippage_frac=0)
law = settings(max_examples=60, deadline=None, derandomize=True)


def run(market, options):
    costs, exits, sizing = options
    return simulate(market[0], signals(market[1]), costs=costs, exits=exits, sizing=sizing)


@law
@given(markets(), option_sets())
def test_cash_plus_position_is_equity_at_every_close(market, options):
    result = run(market, options)
    cash = np.full(len(result.bars), options[2].initial_cash)
    for fill in result.fills:
        cash[fill["bar"] :] -= fill["quantity"] * fill["price"] + fill["fee"]
    np.testing.assert_allclose(
        cash + result.position * result.bars.close, result.equity, rtol=1e-9, atol=1e-9
    )


@law
@given(markets(), option_sets())
def test_the_pnl_of_all_trades_is_the_change_of_equity(market, options):
    result = run(market, options)
    change = result.equity[-1] - options[2].initial_cash
    assert result.trades["pnl_quote"].sum() == pytest.approx(change, rel=1e-9, abs=1e-7)
    assert result.trades["fees_quote"].sum() == pytest.approx(result.metrics.fees_quote)


@law
@given(markets(), option_sets(), st.floats(0, 1))
def test_bars_after_t_change_nothing_up_to_t(market, options, share):
    bars, direction = market
    t = int(share * (len(bars) - 1))
    whole = run(market, options)
    part = run((bars[: t + 1], direction[: t + 1]), options)
    np.testing.assert_array_equal(part.equity, whole.equity[: t + 1])
    np.testing.assert_array_equal(part.position, whole.position[: t + 1])
    np.testing.assert_array_equal(part.fills, whole.fills[whole.fills["bar"] <= t])
    closed = part.trades[part.trades["exit_bar"] >= 0]
    np.testing.assert_array_equal(closed, whole.trades[: len(closed)])


@law
@given(markets(), option_sets(), st.sampled_from([2.0**-8, 2.0**5]))
def test_prices_in_another_unit_give_the_same_returns(market, options, scale):
    bars, direction = market
    free = CostOptions(**{**options[0].model_dump(), "quantity_step": 0, "minimum_quantity": 0})
    if options[2].method is SizingMethod.FIXED_QUANTITY:
        return
    scaled = replace(
        bars, **{name: getattr(bars, name) * scale for name in ("open", "high", "low", "close")}
    )
    ours = run((bars, direction), (free, *options[1:]))
    theirs = run((scaled, direction), (free, *options[1:]))
    np.testing.assert_array_equal(ours.equity, theirs.equity)
    np.testing.assert_array_equal(ours.position, theirs.position * scale)
    assert ours.metrics == theirs.metrics


@law
@given(markets(), option_sets())
def test_the_two_steps_called_bar_by_bar_give_the_same_trades(market, options):
    bars, direction = market
    rules, state = matching_rules(*options), open_account(options[2].initial_cash)
    rows, equity = [], []
    for t, bar in enumerate(bars):
        price = (bar.open, bar.high, bar.low, bar.close)
        state, events = advance(state, t, *price, 0.0, 0.0, False, rules)
        rows += fill_rows(t, events)
        equity.append(state.equity)
        state = decide(state, int(direction[t]), 1.0, UNASKED, rules)
    result = run(market, options)
    np.testing.assert_array_equal(result.fills, np.array(rows, FILL))
    np.testing.assert_array_equal(result.equity, equity)
    trades = round_trips(rows, bars.open_time, bars.close_time, float(bars.close[-1]))
    np.testing.assert_array_equal(result.trades, trades)


@law
@given(markets(), option_sets())
def test_metrics_are_finite_or_absent_and_trades_well_formed(market, options):
    result = run(market, options)
    values = [v for v in asdict(result.metrics).values() if v is not None]
    assert np.isfinite(values).all()
    trades = result.trades
    assert (trades["quantity"] > 0).all()
    assert (trades["exit_time"] >= trades["entry_time"]).all()
    assert (trades["exit_bar"][:-1] >= trades["entry_bar"][:-1]).all()
    assert (trades["entry_bar"][1:] >= trades["exit_bar"][:-1]).all()
    assert ((trades["exit_reason"] == ExitReason.OPEN) == (trades["exit_bar"] == -1)).all()


def test_fills_lie_inside_the_bar_before_slippage():
    bars = random_bars(3, 2_000, timeframe="5m", move=0.01, decimals=4)
    exits = ExitOptions(stop_loss_frac=0.02, take_profit_frac=0.03, trailing_stop_frac=0.025)
    result = simulate(bars, signals(random_direction(4, 2_000)), costs=FREE, exits=exits)
    low, high = bars.low[result.fills["bar"]], bars.high[result.fills["bar"]]
    assert len(result.fills) > 100
    assert ((result.fills["price"] >= low) & (result.fills["price"] <= high)).all()


def test_random_cases_reach_every_reason_for_an_exit():
    exits = ExitOptions(
        stop_loss_frac=0.04, take_profit_frac=0.06, trailing_stop_frac=0.05, max_holding_bars=3
    )
    bars = random_bars(1, 3_000)
    result = simulate(bars, signals(random_direction(2, 3_000)), exits=exits)
    never = {ExitReason.OPEN, ExitReason.LIQUIDATION}
    assert set(result.trades["exit_reason"]) >= set(ExitReason) - never


def test_a_sign_of_return_signal_does_not_get_rich():
    """Applied to its own bar it would double the account again and again; a bar later it cannot."""
    bars = random_bars(7, 5_000, timeframe="5m", move=0.003, decimals=8, outages=0)
    change = np.diff(bars.close, prepend=bars.close[0])
    result = simulate(bars, signals(np.sign(change)), costs=FREE)
    cheating = np.prod(1 + np.abs(change[1:]) / bars.close[:-1])
    assert cheating > 1e4
    assert result.metrics.total_return < 1.0


def test_one_bar_is_a_result_without_trades():
    bars = random_bars(1, 1)
    result = simulate(bars, signals([1]))
    assert len(result.trades) == 0
    assert result.metrics.sharpe is None
    assert result.metrics.final_equity == 100_000


@pytest.mark.parametrize(
    ("direction", "score", "message"),
    [
        (np.zeros(4, np.int8), np.zeros(5), r"direction must be int8 \(5,\).*was int8 \(4,\)"),
        (np.zeros(5), np.zeros(5), r"direction must be int8 \(5,\).*was float64"),
        (np.full(5, np.nan), np.zeros(5), r"direction must be int8 \(5,\).*was float64"),
        ([0] * 5, np.zeros(5), "direction must be a numpy array, was list"),
        (
            np.full(5, 2, np.int8),
            np.zeros(5),
            r"direction must be finite and -1..1, was 2 at row 0",
        ),
        (np.zeros(5, np.int8), np.full(5, np.nan), r"score must be finite.*was nan at row 0"),
        (np.zeros(5, np.int8), np.full(5, np.inf), r"score must be finite.*was inf at row 0"),
        (np.zeros(5, np.int8), np.zeros((5, 1)), r"score must be float64 \(5,\).*\(5, 1\)"),
    ],
)
def test_signals_that_do_not_fit_are_refused(direction, score, message):
    with pytest.raises(DataError, match=message):
        simulate(random_bars(1, 5), Signals(direction, score))


@pytest.mark.parametrize("rows", [slice(None, None, -1), [0, 2, 1, 3, 4], [0, 1, 1, 2, 3]])
def test_unsorted_and_repeated_bars_never_reach_the_engine(rows):
    bars = random_bars(1, 5)
    columns = (bars.open_time, bars.open, bars.high, bars.low, bars.close, bars.volume)
    with pytest.raises(DataError, match=r"open_time must increase, was \d+ after \d+ at row \d"):
        simulate(Bars(bars.symbol, "1h", *(column[rows] for column in columns)), signals([0] * 5))


@pytest.mark.parametrize("wrong", [np.zeros(3, np.int8), get_strategy("sma_cross"), None])
def test_what_is_no_signals_or_no_bars_is_named(wrong):
    bars = random_bars(1, 30)
    with pytest.raises(
        DataError, match=r"signals must be Signals, was \w+; give strategy.signals_on"
    ):
        simulate(bars, wrong)
    with pytest.raises(DataError, match="bars must be Bars of one symbol, was list"):
        simulate([bars], wrong)


def test_funding_of_a_part_of_the_bars_is_refused():
    bars = random_bars(1, 24 * 5, outages=0)
    times = bars.open_time[: 24 * 2 : 8]
    rates = FundingRates(bars.symbol, times, np.full(len(times), 0.001))
    with pytest.raises(
        DataError, match="funding must be of the whole span of the bars but for a day"
    ):
        simulate(bars, signals(np.ones(len(bars), np.int8)), funding=rates)


@pytest.mark.parametrize("leverage", [2.0, 20.0, 125.0])
def test_an_entry_of_full_leverage_is_not_liquidated_at_once(leverage):
    times = random_bars(1, 30).open_time
    flat = np.full(len(times), 100.0)
    bars = Bars("BTC/USDT", "1h", times, flat, flat, flat, flat, flat)
    wanted = signals(np.ones(len(bars), np.int8))
    result = simulate(bars, wanted, costs=FREE, sizing=SizingOptions(leverage=leverage))
    assert result.trades["exit_reason"].tolist() == [ExitReason.OPEN]


def test_no_bars_are_refused():
    with pytest.raises(DataError, match="bars must hold at least one bar, was 0"):
        simulate(random_bars(1, 5)[:0], signals([]))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CostOptions(taker_fee_frac=1.01), "taker_fee_frac must be less .* 1, was 1.01"),
        (lambda: CostOptions(maker_fee_frac=1.01), "maker_fee_frac must be less .* 1, was 1.01"),
        (lambda: CostOptions(slippage_frac=1), "slippage_frac must be less than 1, was 1"),
        (
            lambda: CostOptions(taker_fee_frac=float("inf")),
            "taker_fee_frac must be a finite number",
        ),
        (lambda: CostOptions(slippage_frac=-0.1), "slippage_frac must be greater than or equal to"),
        (lambda: CostOptions(maker_fee=0.1), "did you mean 'maker_fee_frac'"),
        (lambda: ExitOptions(stop_loss_frac=0), "stop_loss_frac must be greater than 0"),
        (
            lambda: ExitOptions(stop_loss_frac=float("nan")),
            "stop_loss_frac must be a finite number",
        ),
        (lambda: ExitOptions(trailing_stop_frac=1), "trailing_stop_frac must be less than 1"),
        (lambda: ExitOptions(max_holding_bars=1.5), "max_holding_bars must be a valid integer"),
        (lambda: SizingOptions(leverage=0.5), "leverage must be greater than or equal to 1"),
        (lambda: SizingOptions(maintenance_margin_frac=1), "maintenance_margin_frac must be less"),
        (lambda: ExitOptions(signal_exit="sometimes"), "signal_exit must be 'flat', 'opposite'"),
        (lambda: SizingOptions(fraction=2), "fraction must be less than or equal to 1"),
        (lambda: SizingOptions(initial_cash=float("nan")), "initial_cash must be"),
    ],
)
def test_options_out_of_range_are_refused_by_name(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_risk_to_stop_needs_a_stop():
    with pytest.raises(ConfigError, match=r"exits.stop_loss_frac must be set.*risk_to_stop"):
        simulate(random_bars(1, 5), signals([0] * 5), sizing=SizingOptions(method="risk_to_stop"))
