"""Awkward bars worked out by hand: outages, the last bar, no volume, all in one bar, money due.

Unless a test says otherwise: 1h candles (open, high, low, close), cash 1,000, no costs.
"""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.core import ExitReason, FundingRates
from crypto_bot.core.timeframes import HOUR_NS
from crypto_bot.engine import CostOptions, ExitOptions, SizingMethod
from golden.ledgers import COSTLY, FLAT_CANDLE, FREE, START, candles_at, ledger, run

BOTH = ExitOptions(stop_loss_frac=0.05, take_profit_frac=0.1)


def funding(rates):
    """Rates by hour since START."""
    times = np.array([START + int(hour * HOUR_NS) for hour in rates], np.int64)
    return FundingRates("BTC/USDT", times, np.array(list(rates.values()), np.float64))


# Outages.


def test_a_stop_passed_in_an_outage_fills_at_the_first_open_after_it():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (80, 99, 78, 82)]
    result = run(candles, [1, 1, 1], hours=[0, 1, 30], exits=BOTH)
    # Bought 10 at 100, stop 95; the next price there is is 80, at hour 30.
    assert ledger(result) == [(1, 100, 2, 80, 10, -200, ExitReason.STOP)]
    assert result.trades["exit_time"][0] == START + 30 * HOUR_NS
    assert list(result.equity) == pytest.approx([1000, 1000, 800])


def test_a_target_passed_in_an_outage_fills_at_the_first_open_after_it():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (125, 126, 90, 91)]
    result = run(candles, [1, 1, 1], hours=[0, 1, 30], exits=BOTH)
    # Beyond the target of 110 at the open already; the low of 90 comes too late for the stop.
    assert ledger(result) == [(1, 100, 2, 125, 10, 250, ExitReason.TARGET)]
    assert result.ambiguous_exits == 0


def test_holding_time_and_cooldown_count_bars_that_exist_not_hours():
    hours = [0, 1, 50, 51, 52, 90, 91]
    exits = ExitOptions(max_holding_bars=2, cooldown_bars=1)
    result = run([FLAT_CANDLE] * 7, [1, 1, 1, 0, 1, 1, 1], hours=hours, exits=exits)
    # In at bar 1; closes 1 and 2, 49 hours apart, are the two; out at open 3. Close 3 cools down;
    # close 4 wants anew: in at bar 5, 38 hours later.
    assert [(int(t["entry_bar"]), int(t["exit_bar"])) for t in result.trades] == [(1, 3), (5, -1)]
    assert list(result.trades["entry_time"]) == [START + HOUR_NS, START + 90 * HOUR_NS]


# One bar.


def test_entry_and_target_on_one_bar():
    candles = [FLAT_CANDLE, (100, 112, 96, 105)]
    result = run(candles, [1, 1], costs=COSTLY, exits=ExitOptions(take_profit_frac=0.1))
    # Bought at 101, target 111.1: taker fee .002 in, maker fee .001 out.
    quantity = 1000 / (101 * 1.002)
    pnl = quantity * (111.1 - 101 - 101 * 0.002 - 111.1 * 0.001)
    assert ledger(result) == [(1, 101, 1, 111.1, quantity, pnl, ExitReason.TARGET)]
    assert list(result.position) == [0, 0]


def test_entry_stop_and_target_on_one_bar_is_a_stop_and_counted():
    result = run([FLAT_CANDLE, (100, 112, 94, 105)], [1, 1], exits=BOTH)
    assert ledger(result) == [(1, 100, 1, 95, 10, -50, ExitReason.STOP)]
    assert (result.ambiguous_exits, result.resolved_exits) == (1, 0)


def test_finer_candles_say_which_came_first():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (100, 112, 94, 105)]
    halves = [(100, 112, 99, 111), (111, 111, 94, 105)]
    finer = candles_at(halves, hours=np.array([2, 2.5]), timeframe="30m")
    result = run(candles, [1, 1, 1], exits=BOTH, finer=finer)
    # In the first half hour 112 reaches the target of 110, and 99 not the stop of 95.
    assert ledger(result) == [(1, 100, 2, 110, 10, 100, ExitReason.TARGET)]
    assert (result.ambiguous_exits, result.resolved_exits) == (0, 1)


def test_a_reversal_stopped_in_its_own_bar_has_three_fills_in_one():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (110, 120, 108, 109), (109, 109, 109, 109)]
    exits = ExitOptions(stop_loss_frac=0.05)
    result = run(candles, [1, -1, -1, -1], exits=exits)
    # Long 10 from 100 to 110: +100. Short 1100 / 110 = 10 at 110, stop 115.5: -55.
    assert ledger(result) == [
        (1, 100, 2, 110, 10, 100, ExitReason.REVERSE),
        (2, 110, 2, 115.5, -10, -55, ExitReason.STOP),
    ]
    assert list(result.fills["bar"]) == [1, 2, 2, 2]
    assert list(result.fills["is_at_open"]) == [True, True, True, False]
    assert list(result.equity) == pytest.approx([1000, 1000, 1045, 1045])


def test_an_exit_wanted_at_the_close_comes_before_the_stop_of_the_next_bar():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (98, 99, 90, 91)]
    result = run(candles, [1, 0, 0], exits=BOTH)
    assert ledger(result) == [(1, 100, 2, 98, 10, -20, ExitReason.SIGNAL)]


def test_a_candle_that_only_just_touches_counts_as_touched():
    stopped = run([FLAT_CANDLE, FLAT_CANDLE, (100, 100, 95, 99)], [1, 1, 1], exits=BOTH)
    assert ledger(stopped) == [(1, 100, 2, 95, 10, -50, ExitReason.STOP)]
    candles = [FLAT_CANDLE, FLAT_CANDLE, (100, 110.00000000000001, 99, 99)]
    reached = run(candles, [1, 1, 1], exits=BOTH)
    assert ledger(reached) == [(1, 100, 2, 110, 10, 100, ExitReason.TARGET)]


# The last bar.


def test_the_last_bar_enters_is_stopped_and_marked_like_any_other():
    entered = run([FLAT_CANDLE, (100, 108, 96, 107)], [1, 1], exits=BOTH)
    assert ledger(entered) == [(1, 100, -1, 107, 10, 70, ExitReason.OPEN)]
    stopped = run([FLAT_CANDLE, FLAT_CANDLE, (100, 101, 94, 99)], [1, 1, 1], exits=BOTH)
    assert ledger(stopped) == [(1, 100, 2, 95, 10, -50, ExitReason.STOP)]
    assert stopped.trades["exit_time"][0] == START + 3 * HOUR_NS
    assert stopped.equity[-1] == pytest.approx(950)


def test_an_open_position_has_paid_its_entry_fee_only():
    result = run([FLAT_CANDLE, (100, 108, 96, 107)], [1, 1], costs=COSTLY)
    quantity = 1000 / (101 * 1.002)
    pnl = quantity * (107 - 101 - 101 * 0.002)
    assert ledger(result) == [(1, 101, -1, 107, quantity, pnl, ExitReason.OPEN)]
    assert result.metrics.final_equity == pytest.approx(1000 + pnl)


def test_one_bar_alone_trades_nothing():
    result = run([(100, 200, 50, 60)], [1])
    assert ledger(result) == []
    assert list(result.equity) == [1000]


# No volume.


def test_a_candle_without_volume_fills_like_any_other():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (100, 101, 94, 99)]
    result = run(candles, [1, 1, 1], volume=[1, 0, 0], exits=BOTH)
    # Nobody traded, but the price stood there; only slippage by volume asks how much was traded.
    assert ledger(result) == [(1, 100, 2, 95, 10, -50, ExitReason.STOP)]


def test_slippage_by_volume_is_the_square_root_of_the_share_and_without_volume_nothing_is_entered():
    costs = FREE.replace(slippage_volume_mult=0.1)
    sizing = {"method": SizingMethod.FIXED_QUANTITY, "quantity": 1.0}
    wanted = [0] * 20 + [1, 1, 0, 0]
    thin = run([FLAT_CANDLE] * 24, wanted, volume=[4] * 24, costs=costs, **sizing)
    # .1 * sqrt(1 / 4) = .05: bought at 105, sold at 95.
    assert ledger(thin) == [(21, 105, 23, 95, 1, -10, ExitReason.SIGNAL)]
    dead = run([FLAT_CANDLE] * 24, wanted, volume=[0] * 24, costs=costs, **sizing)
    assert ledger(dead) == []
    assert list(dead.equity) == [1000] * 24


# Leverage and liquidation.


def test_a_leveraged_long_is_liquidated_where_the_margin_is_gone():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (98, 99, 75, 90)]
    result = run(candles, [1, 1, 1], leverage=4.0)
    # 40 bought at 100, cash -3000. Equity 40 p - 3000 = .05 * 40 p at p = 3000 / 38 = 78.947368.
    level = 3000 / 38
    pnl = 40 * (level - 100)
    assert ledger(result) == [(1, 100, 2, level, 40, pnl, ExitReason.LIQUIDATION)]
    assert result.equity[-1] == pytest.approx(1000 + pnl)  # 157.89, the margin of 5 %


def test_a_gap_through_the_liquidation_price_can_owe_money_and_is_the_end():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (70, 72, 69, 71), FLAT_CANDLE, FLAT_CANDLE]
    result = run(candles, [1, 1, 0, 1, 1], leverage=4.0)
    # Sold at the open: 40 * -30 = -1200, 200 more than there was.
    assert ledger(result) == [(1, 100, 2, 70, 40, -1200, ExitReason.LIQUIDATION)]
    assert list(result.equity) == pytest.approx([1000, 1000, -200, -200, -200])


def test_a_leveraged_short_is_liquidated_above_and_a_nearer_stop_comes_first():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (101, 125, 100, 110)]
    result = run(candles, [-1, -1, -1], leverage=4.0)
    # 40 sold at 100, cash 5000. 5000 - 40 p = .05 * 40 p at p = 5000 / 42 = 119.047619.
    level = 5000 / 42
    pnl = 40 * (100 - level)
    assert ledger(result) == [(1, 100, 2, level, -40, pnl, ExitReason.LIQUIDATION)]
    stopped = run(candles, [-1, -1, -1], leverage=4.0, exits=ExitOptions(stop_loss_frac=0.1))
    assert ledger(stopped) == [(1, 100, 2, 110, -40, -400, ExitReason.STOP)]


def test_an_entry_is_liquidated_in_its_own_bar():
    result = run([FLAT_CANDLE, (100, 101, 75, 90), FLAT_CANDLE], [1, 1, 1], leverage=4.0)
    # 40 bought at 100, sold at 3000 / 38 inside the same bar; direction 1 is not new.
    level = 3000 / 38
    pnl = 40 * (level - 100)
    assert ledger(result) == [(1, 100, 1, level, 40, pnl, ExitReason.LIQUIDATION)]
    assert list(result.equity) == pytest.approx([1000, 1000 + pnl, 1000 + pnl])


def test_a_stop_and_the_liquidation_price_passed_at_one_open_fill_there_by_the_nearer():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (77, 78, 76, 77)]
    result = run(candles, [1, 1, 1], leverage=4.0, exits=ExitOptions(stop_loss_frac=0.1))
    # The stop of 90 was passed before 78.95: its reason; the open is the price of either.
    assert ledger(result) == [(1, 100, 2, 77, 40, -920, ExitReason.STOP)]


# Funding and interest.


def test_funding_at_the_edge_of_a_bar_is_paid_by_what_was_carried_over_it():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (110, 110, 110, 110), (120, 120, 120, 120), FLAT_CANDLE]
    rates = funding({0: 0.01, 1: 0.01, 2: 0.01, 3: 0.01, 4: 0.01})
    result = run(candles, [1, 1, 0, 0, 0], funding=rates)
    # In at the open of bar 1: not yet there when its payment was due. Open 2: 10 * 110 * .01 = 11;
    # open 3, at which it is sold: 12. Nothing at open 4.
    assert ledger(result) == [(1, 100, 3, 120, 10, 200 - 23, ExitReason.SIGNAL)]
    assert result.trades["financing_quote"][0] == pytest.approx(23)
    assert list(result.equity) == pytest.approx([1000, 1000, 1089, 1177, 1177])


def test_a_short_receives_a_positive_rate_and_payments_of_an_outage_come_at_the_next_open():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (90, 90, 90, 90)]
    rates = funding({8: 0.01, 16: 0.02, 24: -0.005, 26: 0.5})
    result = run(candles, [-1, -1, -1], hours=[0, 1, 25], funding=rates)
    # Short 10 at 100; at hour 25 the sum .025 of three payments: 10 * 90 * .025 = 22.5 received.
    assert ledger(result) == [(1, 100, -1, 90, -10, 100 + 22.5, ExitReason.OPEN)]
    assert result.equity[-1] == pytest.approx(1122.5)


def test_funding_at_the_edge_of_a_bar_is_charged_before_the_margin_is_looked_at():
    candles = [FLAT_CANDLE, FLAT_CANDLE, (98, 99, 84, 90)]
    held = run(candles, [1, 1, 1], leverage=4.0)
    # 40 bought at 100, cash -3000: 3000 / 38 = 78.95 is not touched by a low of 84.
    assert ledger(held) == [(1, 100, -1, 90, 40, -400, ExitReason.OPEN)]
    # At the open of 98: 40 * 98 * .05 = 196, cash -3196: 3196 / 38 = 84.105 is.
    result = run(candles, [1, 1, 1], leverage=4.0, funding=funding({2: 0.05}))
    level = 3196 / 38
    pnl = 40 * (level - 100) - 196
    assert ledger(result) == [(1, 100, 2, level, 40, pnl, ExitReason.LIQUIDATION)]
    assert result.equity[-1] == pytest.approx(1000 + pnl)


def test_interest_is_paid_on_what_is_borrowed_for_as_long_as_it_is():
    costs = CostOptions(
        taker_fee_frac=0, maker_fee_frac=0, slippage_frac=0, borrow_rate_annual_frac=0.365
    )
    candles = [FLAT_CANDLE, FLAT_CANDLE, (90, 90, 90, 90)]
    short = run(candles, [-1, -1, -1], hours=[0, 1, 25], costs=costs)
    # A day: .001 of the borrowed 10 coins at 90: .9.
    assert ledger(short) == [(1, 100, -1, 90, -10, 100 - 0.9, ExitReason.OPEN)]
    levered = run(candles, [1, 1, 1], hours=[0, 1, 25], costs=costs, leverage=2.0)
    # 20 bought at 100, 1000 borrowed: 1.0.
    assert ledger(levered) == [(1, 100, -1, 90, 20, -200 - 1.0, ExitReason.OPEN)]
    plain = run(candles, [1, 1, 1], hours=[0, 1, 25], costs=costs)
    assert ledger(plain) == [(1, 100, -1, 90, 10, -100, ExitReason.OPEN)]


# Distances in ATR.


def test_distances_in_atr_hang_on_the_fill_and_are_those_of_the_decision():
    # Every true range is 4, so the ATR is 4 at close 15; the wild bar after the entry changes nothing.
    candles = [(100, 102, 98, 100)] * 16 + [(101, 120, 100, 119), (119, 119, 92, 93)]
    wanted = [0] * 15 + [1, 1, 1]
    exits = ExitOptions(stop_loss_atr=2.0)
    result = run(candles, wanted, exits=exits)
    # In at 101; stop 101 - 2 * 4 = 93.
    quantity = 1000 / 101
    assert ledger(result) == [(16, 101, 17, 93, quantity, quantity * -8, ExitReason.STOP)]
    target = run(candles, wanted, exits=ExitOptions(take_profit_atr=4.0))
    assert ledger(target) == [(16, 101, 16, 117, quantity, quantity * 16, ExitReason.TARGET)]
    trailed = run(candles, wanted, exits=ExitOptions(trailing_stop_atr=3.0))
    # Entry bar: 101 - 12 = 89. Then the peak is 120: 108, inside bar 17.
    assert ledger(trailed) == [(16, 101, 17, 108, quantity, quantity * 7, ExitReason.TRAILING)]
