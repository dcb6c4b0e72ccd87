"""Tiny ledgers worked out by hand; the arithmetic stands beside each.

Unless a test says otherwise: 1h candles (open, high, low, close), cash 1,000, no costs.
"""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.core import ExitReason
from crypto_bot.core.timeframes import HOUR_NS
from crypto_bot.engine import CostOptions, ExitOptions, Reentry, SignalExit, SizingMethod
from golden.ledgers import COSTLY, FLAT_CANDLE, FREE, START, ledger, run


def test_a_round_trip_pays_slippage_and_taker_fee_twice():
    candles = [FLAT_CANDLE, (100, 111, 99, 110), (110, 121, 109, 120), (120, 120, 120, 120)]
    result = run(candles, [1, 1, 0, 0], costs=COSTLY)
    # Decided at close 0, bought at open 1: 100 * 1.01 = 101.
    # Quantity 1000 / (101 * 1.002) = 9.881227; fee 9.881227 * 101 * .002 = 1.996008.
    # Decided at close 2, sold at open 3: 120 * .99 = 118.8; fee 9.881227 * 118.8 * .002 = 2.347779.
    # pnl 9.881227 * 17.8 - 4.343787 = 171.542048.
    quantity = 1000 / (101 * 1.002)
    pnl = 171.54204865
    assert ledger(result) == [(1, 101, 3, 118.8, quantity, pnl, ExitReason.SIGNAL)]
    assert result.trades["fees_quote"][0] == pytest.approx(4.34378733)
    # Close 1: cash 0, 9.881227 * 110; close 2: * 120; close 3: all cash.
    assert result.equity == pytest.approx([1000, 1086.93494, 1185.74721, 1000 + pnl], rel=1e-7)
    assert list(result.trades["entry_time"]) == [START + HOUR_NS]
    assert list(result.trades["exit_time"]) == [START + 3 * HOUR_NS]


def test_a_gap_through_the_stop_fills_at_the_open():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (90, 95, 88, 92)]
    result = run(candles, [1, 1, 1], costs=COSTLY, exits=ExitOptions(stop_loss_frac=0.05))
    # Bought at 101, stop 95.95; bar 2 opens at 90: sold at 90 * .99 = 89.1, never at 95.95.
    quantity = 1000 / (101 * 1.002)
    fees = quantity * (101 + 89.1) * 0.002
    pnl = quantity * (89.1 - 101) - fees
    assert ledger(result) == [(1, 101, 2, 89.1, quantity, pnl, ExitReason.STOP)]
    assert result.trades["exit_time"][0] == START + 2 * HOUR_NS


def test_a_gap_beyond_the_target_fills_at_the_open_without_slippage():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (120, 125, 118, 119)]
    result = run(candles, [1, 1, 1], costs=COSTLY, exits=ExitOptions(take_profit_frac=0.1))
    # Bought at 101, target 111.1; bar 2 opens at 120: sold at 120, maker fee .001.
    quantity = 1000 / (101 * 1.002)
    fees = quantity * 101 * 0.002 + quantity * 120 * 0.001
    pnl = quantity * 19 - fees
    assert ledger(result) == [(1, 101, 2, 120, quantity, pnl, ExitReason.TARGET)]


def test_a_target_inside_the_bar_fills_exactly_there_with_the_maker_fee():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (100, 115, 99, 112)]
    result = run(candles, [1, 1, 1], costs=COSTLY, exits=ExitOptions(take_profit_frac=0.1))
    quantity = 1000 / (101 * 1.002)
    fees = quantity * 101 * 0.002 + quantity * 111.1 * 0.001
    pnl = quantity * 10.1 - fees
    assert ledger(result) == [(1, 101, 2, 111.1, quantity, pnl, ExitReason.TARGET)]
    # Inside a bar the moment is unknown: the bar's close.
    assert result.trades["exit_time"][0] == START + 3 * HOUR_NS


def test_stop_and_target_in_one_bar_is_a_stop():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (100, 120, 90, 110)]
    exits = ExitOptions(stop_loss_frac=0.05, take_profit_frac=0.1)
    # 10 bought at 100; both 95 and 110 were traded in bar 2: 10 * (95 - 100) = -50.
    assert ledger(run(candles, [1, 1, 1], exits=exits)) == [
        (1, 100, 2, 95, 10, -50, ExitReason.STOP)
    ]


def test_entry_and_exit_on_one_bar():
    candles = [FLAT_CANDLE, (100, 101, 90, 99), FLAT_CANDLE]
    result = run(candles, [1, 1, 1], exits=ExitOptions(stop_loss_frac=0.05))
    # Bought at open 1, stopped at 95 inside bar 1; direction 1 is not new, so no second entry.
    assert ledger(result) == [(1, 100, 1, 95, 10, -50, ExitReason.STOP)]
    assert list(result.equity) == pytest.approx([1000, 950, 950])
    assert list(result.position) == [0, 0, 0]
    assert result.metrics.exposure == 0


def test_a_stop_nearer_than_the_slippage_fills_at_the_entry_bars_open():
    candles = [FLAT_CANDLE, FLAT_CANDLE]
    costs = CostOptions(taker_fee_frac=0, maker_fee_frac=0, slippage_frac=0.01)
    result = run(candles, [1, 1], costs=costs, exits=ExitOptions(stop_loss_frac=0.005))
    # Bought at 101, stop 100.495 > open 100: sold at 100 * .99 = 99, not at 100.495 * .99.
    pnl = 1000 / 101 * (99 - 101)
    assert ledger(result) == [(1, 101, 1, 99, 1000 / 101, pnl, ExitReason.STOP)]


def test_an_outage_is_crossed_by_filling_at_the_next_existing_open():
    candles = [FLAT_CANDLE, (130, 130, 130, 130), (120, 120, 120, 120)]
    result = run(candles, [1, 0, 0], hours=[0, 50, 51])
    # Hours 1..49 are missing: bought at 130, sold at 120; 1000 / 130 * -10.
    pnl = 1000 / 130 * -10
    assert ledger(result) == [(1, 130, 2, 120, 1000 / 130, pnl, ExitReason.SIGNAL)]
    assert result.trades["entry_time"][0] == START + 50 * HOUR_NS
    # Hour 0 lies on day 0, hours 50 and 51 on day 2; day 1 carries 1000 on.
    returns = np.array([0, 0, pnl / 1000])
    sharpe = returns.mean() / returns.std(ddof=1) * np.sqrt(365)
    assert result.metrics.sharpe == pytest.approx(sharpe)


def test_a_signal_on_the_last_bar_fills_nothing_and_an_open_position_is_marked():
    candles = [FLAT_CANDLE, (100, 111, 99, 110), (110, 112, 108, 111)]
    assert ledger(run(candles, [0, 0, 1])) == []
    result = run(candles, [1, 1, 1])
    # 10 bought at 100, marked at the last close 111.
    assert ledger(result) == [(1, 100, -1, 111, 10, 110, ExitReason.OPEN)]
    assert result.metrics.trades == 0
    assert result.metrics.win_rate is None
    assert result.metrics.final_equity == pytest.approx(1110)
    # An exit decided at the last close has no open to be filled at.
    assert run(candles, [1, 1, 0]).trades["exit_reason"][0] == ExitReason.OPEN


def test_the_trailing_stop_hangs_on_the_peak_of_the_bars_before():
    candles = [FLAT_CANDLE, (100, 120, 95, 118), (118, 130, 109, 128), (128, 129, 116, 117)]
    result = run(candles, [1, 1, 1, 1], exits=ExitOptions(trailing_stop_frac=0.1))
    # Bar 1: peak is the entry 100, stop 90, low 95. Bar 2: peak 120, stop 108, low 109: its own
    # high of 130 does not count yet. Bar 3: peak 130, stop 117, low 116: out at 117.
    assert ledger(result) == [(1, 100, 3, 117, 10, 170, ExitReason.TRAILING)]


def test_the_tighter_of_stop_and_trailing_stop_binds():
    candles = [FLAT_CANDLE, (100, 101, 94, 96)]
    exits = ExitOptions(stop_loss_frac=0.05, trailing_stop_frac=0.1)
    # Entry bar: stop 95, trailing 90.
    assert ledger(run(candles, [1, 1], exits=exits)) == [(1, 100, 1, 95, 10, -50, ExitReason.STOP)]


def test_the_time_exit_is_decided_at_the_nth_close():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (101, 101, 101, 101), (102, 102, 102, 102), FLAT_CANDLE]
    result = run(candles, [1, 1, 1, 1, 1], exits=ExitOptions(max_holding_bars=2))
    # In at open 1; closes 1 and 2 are the two; out at open 3: 10 * 2.
    assert ledger(result) == [(1, 100, 3, 102, 10, 20, ExitReason.TIME)]


def test_a_reversal_closes_and_opens_at_one_price():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (110, 110, 110, 110), (99, 99, 99, 99)]
    result = run(candles, [1, -1, -1, -1])
    # Long 10 at 100, out at 110 (+100); short 1100 / 110 = 10 at 110, marked at 99: +110.
    assert ledger(result) == [
        (1, 100, 2, 110, 10, 100, ExitReason.REVERSE),
        (2, 110, -1, 99, -10, 110, ExitReason.OPEN),
    ]
    assert result.equity[-1] == pytest.approx(1210)


def test_without_shorts_the_opposite_direction_only_closes():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (110, 110, 110, 110), (99, 99, 99, 99)]
    result = run(candles, [1, -1, -1, -1], allow_short=False)
    assert ledger(result) == [(1, 100, 2, 110, 10, 100, ExitReason.SIGNAL)]


def test_a_short_pays_its_costs_and_is_stopped_above():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (100, 108, 100, 107)]
    result = run(candles, [-1, -1, -1], costs=COSTLY, exits=ExitOptions(stop_loss_frac=0.05))
    # Sold at 100 * .99 = 99; quantity 1000 / (99 * 1.002). Stop 99 * 1.05 = 103.95, bought at
    # 103.95 * 1.01 = 104.9895, taker fee on both.
    quantity = 1000 / (99 * 1.002)
    fees = quantity * (99 + 104.9895) * 0.002
    pnl = quantity * (99 - 104.9895) - fees
    assert ledger(result) == [(1, 99, 2, 104.9895, -quantity, pnl, ExitReason.STOP)]


def test_a_short_that_loses_everything_is_closed_at_the_next_open_for_ever():
    candles = [FLAT_CANDLE, (100, 250, 100, 250), (240, 240, 240, 240), FLAT_CANDLE, FLAT_CANDLE]
    result = run(candles, [-1, -1, 1, -1, 1])
    # Short 10 at 100: cash 2000; close 1: 2000 - 2500 = -500, ruin. Out at 240: 2000 - 2400 = -400.
    assert ledger(result) == [(1, 100, 2, 240, -10, -1400, ExitReason.STOP)]
    assert list(result.equity) == pytest.approx([1000, -500, -400, -400, -400])
    assert result.metrics.annual_return == -1


def test_cooldown_counts_closes_from_the_exit_bar_on():
    candles = [FLAT_CANDLE] * 7
    direction = [1, 0, 1, 1, 1, 1, 1]
    exits = ExitOptions(cooldown_bars=2, reentry=Reentry.WHILE_SIGNAL)
    result = run(candles, direction, exits=exits)
    # In at 1, out at open 2. Closes 2 and 3 may not enter; close 4 does: in at open 5.
    assert list(result.trades["entry_bar"]) == [1, 5]
    # A new signal is one that changes: at close 2, which cooldown blocks; then never again.
    strict = run(candles, direction, exits=ExitOptions(cooldown_bars=2))
    assert list(strict.trades["entry_bar"]) == [1]
    assert list(run(candles, direction).trades["entry_bar"]) == [1, 3]


def test_signal_exit_says_what_a_direction_does_to_a_position():
    candles = [FLAT_CANDLE] * 5
    direction = [1, 0, -1, -1, -1]
    exit_bars = {
        choice: list(
            run(candles, direction, exits=ExitOptions(signal_exit=choice)).trades["exit_bar"]
        )
        for choice in SignalExit
    }
    # FLAT: out at open 2 (0 at close 1), short in at open 3. OPPOSITE: reversed at open 3.
    assert exit_bars == {
        SignalExit.FLAT: [2, -1],
        SignalExit.OPPOSITE: [3, -1],
        SignalExit.NEVER: [-1],
    }


def test_fixed_quote_buys_that_notional_and_no_more_than_the_account_pays_for():
    candles = [FLAT_CANDLE, FLAT_CANDLE, FLAT_CANDLE]
    costs = CostOptions(taker_fee_frac=0.25, maker_fee_frac=0, slippage_frac=0)
    sizing = {"method": SizingMethod.FIXED_QUOTE}
    small = run(candles, [1, 1, 1], costs=costs, quote=300.0, **sizing)
    assert small.trades["quantity"][0] == pytest.approx(3)
    # 5000 wanted; 1000 / (100 * 1.25) = 8 is what 1000 pays for.
    large = run(candles, [1, 1, 1], costs=costs, quote=5_000.0, **sizing)
    assert large.trades["quantity"][0] == pytest.approx(8)


def test_risk_to_stop_loses_the_risked_share_at_the_stop():
    candles = [FLAT_CANDLE, (100, 100, 90, 90)]
    result = run(
        candles,
        [1, 1],
        exits=ExitOptions(stop_loss_frac=0.05),
        method=SizingMethod.RISK_TO_STOP,
        risk_frac=0.02,
    )
    # .02 * 1000 / (100 * .05) = 4; stopped at 95: 4 * -5 = -20, two percent of 1000.
    assert ledger(result) == [(1, 100, 1, 95, 4, -20, ExitReason.STOP)]
    # 50 % at risk over 5 % distance would be ten times the account: capped at 1000 / 100.
    capped = run(
        candles,
        [1, 1],
        exits=ExitOptions(stop_loss_frac=0.05),
        method=SizingMethod.RISK_TO_STOP,
        risk_frac=0.5,
    )
    assert capped.trades["quantity"][0] == pytest.approx(10)


def test_one_percent_of_an_account_buys_a_fraction_of_an_expensive_coin():
    price = 60_000
    candles = [(price,) * 4] * 3
    result = run(candles, [1, 1, 1], fraction=0.01, initial_cash=100_000.0)
    # .01 * 100000 / 60000 = .016667, where whole units would be 0.
    assert result.trades["quantity"][0] == pytest.approx(1 / 60)


def test_steps_floor_and_minimums_refuse_and_are_counted():
    candles = [(300, 300, 300, 300)] * 3
    stepped = run(candles, [1, 1, 1], costs=FREE.replace(quantity_step=0.5))
    assert stepped.trades["quantity"][0] == 3.0  # 3.33 floored to steps of .5
    for refusal in ({"minimum_notional_quote": 1_000.01}, {"minimum_quantity": 3.4}):
        refused = run(candles, [1, 1, 1], costs=FREE.replace(**refusal))
        assert len(refused.trades) == 0
        assert refused.refused_entries == 1
    # Flooring comes before the minimum: 3 * 300 = 900 < 950.
    both = FREE.replace(quantity_step=1.0, minimum_notional_quote=950.0)
    assert run(candles, [1, 1, 1], costs=both).refused_entries == 1


def test_every_metric_of_a_small_ledger():
    day = 24
    candles = [FLAT_CANDLE, (100, 120, 100, 120), (120, 120, 90, 90), (90, 90, 90, 90), FLAT_CANDLE]
    result = run(candles, [1, 1, 0, -1, -1], hours=[0, day, 2 * day, 3 * day, 4 * day])
    # Long 10 at 100, out at open 3 at 90: -100. Short 900 / 100 = 9 at open 4, marked at 100: 0.
    # Equity 1000, 1200, 900, 900, 900, one mark a day.
    metrics = result.metrics
    returns = np.array([0, 0.2, -0.25, 0, 0])
    assert metrics.total_return == pytest.approx(-0.1)
    # From the first open to the last close: 97 hours.
    annual = 0.9 ** (365 * 24 / 97) - 1
    assert metrics.annual_return == pytest.approx(annual)
    assert metrics.sharpe == pytest.approx(-0.01 / returns.std(ddof=1) * np.sqrt(365))
    assert metrics.sortino == pytest.approx(-0.01 / np.sqrt(0.0625 / 4) * np.sqrt(365))
    assert metrics.max_drawdown == pytest.approx(0.25)  # 1200 -> 900
    assert metrics.max_drawdown_bars == 3  # peak at bar 1, not recovered at bar 4
    assert metrics.calmar == pytest.approx(annual / 0.25)
    assert metrics.trades == 1
    assert metrics.win_rate == 0
    assert metrics.profit_factor == 0
    assert metrics.expectancy_quote == pytest.approx(-100)
    assert metrics.recovery_factor == pytest.approx(-100 / 300)
    assert metrics.exposure == pytest.approx(3 / 5)  # closes 1, 2 and 4
    assert metrics.turnover == pytest.approx((1000 + 900 + 900) / 980)  # mean equity 4900 / 5
    assert metrics.fees_quote == 0
    assert metrics.buy_and_hold_return == 0
    assert metrics.final_equity == pytest.approx(900)


def test_half_kelly_is_the_floor_at_first_and_then_half_of_what_the_trades_say():
    candles = [(price,) * 4 for price in (100, 100, 110, 100, 95, 100)]
    result = run(
        candles,
        [1, 0, 1, 0, 1, 1],
        method=SizingMethod.HALF_KELLY,
        kelly_floor_frac=0.1,
        kelly_cap_frac=0.5,
        kelly_minimum_trades=2,
    )
    # A tenth of 1000 and of 1010: 1 and 1.01 coins, +10 % and -5 %. Then half are winners, who gain
    # twice what losers lose: (.5 - .5 / 2) / 2 = .125 of 1010 - 5.05 = 1004.95.
    assert ledger(result) == [
        (1, 100, 2, 110, 1, 10, ExitReason.SIGNAL),
        (3, 100, 4, 95, 1.01, -5.05, ExitReason.SIGNAL),
        (5, 100, -1, 100, 1.2561875, 0, ExitReason.OPEN),
    ]


def test_a_volatility_target_buys_the_share_that_swings_so_much():
    candles = [(100,) * 4, (110,) * 4, (110,) * 4, (99,) * 4]
    result = run(
        candles,
        [0, 0, 1, 1],
        method=SizingMethod.VOLATILITY_TARGET,
        target_volatility_annual_frac=0.5,
        volatility_bars=2,
    )
    # Returns .1 and 0: deviation .1 / sqrt(2) an hour, times sqrt(24 * 365) a year.
    share = 0.5 / (0.1 / np.sqrt(2) * np.sqrt(24 * 365))
    assert ledger(result) == [(3, 99, -1, 99, share * 1000 / 99, 0, ExitReason.OPEN)]
    # Before two returns are known nothing is entered.
    early = run(candles, [1, 1, 1, 1], method=SizingMethod.VOLATILITY_TARGET, volatility_bars=2)
    assert ledger(early) == []
