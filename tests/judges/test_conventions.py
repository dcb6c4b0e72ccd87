"""Where a rival fills otherwise than we do: what docs/judges.md says of it, on a few candles.

The page names the test of each of its rows; `test_the_page_names_every_test_here` compares.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from crypto_bot.core import Bars
from crypto_bot.core.timeframes import DAY_NS, HOUR_NS
from crypto_bot.engine import CostOptions, ExitOptions, SignalExit, SizingOptions
from judges import backtesting_judge, backtrader_judge, defaults, vectorbt_judge
from judges.backtrader_judge import bt
from judges.defaults import candles
from judges.settings import FEES, FREE, Setting
from judges.verdict import ours

PAGE = Path(__file__).resolve().parents[2] / "docs" / "judges.md"

QUIET = (100, 100, 100, 100)
SLIPPED = CostOptions(taker_fee_frac=0, maker_fee_frac=0, slippage_frac=0.01)


def tiny(*candles, costs=FREE, **exits):
    """Candles after two quiet ones, a long wanted from the second on, entered at the third's open."""
    rows = np.array([QUIET, QUIET, *candles], np.float64)
    times = 20_000 * DAY_NS + np.arange(len(rows)) * HOUR_NS
    bars = Bars("BTC/USDT", "1h", times, *rows.T, np.ones(len(rows)))
    direction = np.ones(len(rows), np.int8)
    direction[0] = 0
    setting = Setting(
        "tiny",
        *("", {}, "", 0),
        costs=costs,
        exits=ExitOptions(signal_exit=SignalExit.FLAT, **exits),
        sizing=SizingOptions(fraction=0.5),
    )
    return bars, direction, setting


def exit_of(judge, market):
    """Bar and price of the only exit."""
    (trip,) = judge(*market).trips
    return trip.exit_bar, pytest.approx(trip.exit_price)


@pytest.mark.parametrize("rival", [backtrader_judge.judge, backtesting_judge.judge])
def test_a_target_passed_at_the_open_comes_before_a_stop_inside_the_bar(rival):
    # The open of 112 is beyond the target of 110 before the low of 90 can touch the stop of 95.
    market = tiny(QUIET, (112, 113, 90, 91), stop_loss_frac=0.05, take_profit_frac=0.1)
    assert exit_of(ours, market) == (3, 112)
    assert exit_of(vectorbt_judge.judge_in_steps, market) == (3, 112)
    assert exit_of(rival, market) == (3, 95)


def test_backtrader_slips_a_limit_order_that_the_open_has_passed():
    # Bought at 101, target 111.1, open 120.
    market = tiny(QUIET, (120, 121, 115, 116), costs=SLIPPED, take_profit_frac=0.1)
    assert exit_of(ours, market) == (3, 120)
    assert exit_of(backtrader_judge.judge, market) == (3, 120 * 0.99)


def test_backtrader_trails_from_the_close_and_we_from_the_high():
    class Trailing(backtrader_judge.Wanting):
        def protect(self, size):
            kind = {"exectype": bt.Order.StopTrail, "trailpercent": 0.1}
            self.protection.append(self.order(-size, **kind))

        def unprotect(self):
            pass

    market = tiny(QUIET, (100, 120, 99, 105), (105, 106, 93, 94), trailing_stop_frac=0.1)
    bars, direction, setting = market
    # Best price 120: ours is at 108, which the open of 105 has passed; backtrader's at 94.5.
    assert exit_of(ours, market) == (4, 105)
    follower = setting.exits.replace(trailing_stop_frac=None)
    theirs = (bars, direction, Setting("t", "", {}, "", 0, FREE, follower, setting.sizing))
    trailing = backtrader_judge.judge(*theirs, strategy=Trailing)
    assert trailing.trips[0][:3] == (2, 4, 1)
    assert trailing.trips[0].exit_price == pytest.approx(94.5)


def test_backtesting_py_pays_the_spread_at_entry_only_and_stops_without_it():
    market = tiny(QUIET, (100, 101, 90, 91), costs=SLIPPED, stop_loss_frac=0.05)
    # Bought at 101, stop 95.95, left one percent below it; there at the stop.
    assert exit_of(ours, market) == (3, 95.95 * 0.99)
    (trip,) = backtesting_judge.judge(*market, spread=0.01).trips
    assert (trip.entry_price, trip.exit_price) == pytest.approx((101, 95.95))


def test_backtesting_py_refuses_a_stop_that_a_gap_has_put_beyond_the_last_close():
    market = tiny((110, 111, 109, 110), QUIET, stop_loss_frac=0.05)
    assert exit_of(ours, market) == (3, 100)
    with pytest.raises(ValueError, match="Long orders require"):
        backtesting_judge.judge(*market)


def test_vectorbt_leaves_the_entry_bar_unprotected_and_looks_at_a_stop_before_the_signals():
    market = tiny((100, 101, 90, 98), (98, 99, 97, 98), stop_loss_frac=0.05)
    assert exit_of(ours, market) == (2, 95)
    assert exit_of(vectorbt_judge.judge_in_rows, market) == (-1, 98)
    bars, direction, setting = tiny(QUIET, (97, 98, 90, 91), stop_loss_frac=0.05)
    direction[2] = 0
    # Left at the open of 97 before the low can touch 95.
    assert exit_of(ours, (bars, direction, setting)) == (3, 97)
    assert exit_of(vectorbt_judge.judge_in_rows, (bars, direction, setting)) == (3, 95)


def test_vectorbt_slips_stops_and_targets_alike():
    market = tiny(
        QUIET, (100, 120, 99, 115), costs=SLIPPED, stop_loss_frac=0.05, take_profit_frac=0.1
    )
    assert exit_of(ours, market) == (3, 111.1)
    assert exit_of(vectorbt_judge.judge_in_steps, market) == (3, 111.1 * 0.99)


def buys_one(who, bar):
    """A script for all: one coin bought at the close of bar 1."""
    if bar == 1:
        defaults.buy(who, 1)


def test_vectorbt_fills_at_the_close_that_gave_the_signal():
    market = candles(QUIET, (100, 105, 99, 104), (110, 111, 109, 110), (120, 121, 117, 118), QUIET)
    assert defaults.vectorbt(market, entries=[1], exits=[3]) == [(1, 1, 104), (3, -1, 118)]
    # Known at the close of bar 1, so bought at the next open; the others do the same.
    assert defaults.ours(market, buys_one).fills == [(2, 1, 110)]
    assert defaults.backtrader(market, buys_one).fills == [(2, 1, 110)]
    (trade,) = defaults.backtesting(market, buys_one, finalize_trades=True)[0]
    assert (trade.entry_bar, trade.entry_price) == (2, 110)


def test_backtrader_and_backtesting_py_buy_whole_units():
    dear = candles(*[(600,) * 4] * 4)

    def half(who, bar):
        if bar == 1:
            who.order_target_percent(target=0.5)

    def half_of_ours(context, bar):
        if bar == 1:
            context.buy(fraction=0.5)

    def half_of_theirs(who, bar):
        if bar == 1:
            who.buy(size=0.5)

    assert defaults.ours(dear, half_of_ours).fills == [(2, pytest.approx(500 / 600), 600)]
    assert defaults.backtrader(dear, half).fills == []
    closing = {"finalize_trades": True}
    assert defaults.backtesting(dear, half_of_theirs, **closing)[0] == []
    (trade,) = defaults.backtesting(dear, half_of_theirs, cash=2_000.0, **closing)[0]
    assert trade.quantity == 1  # 1000 / 600, rounded down


def test_backtrader_sizes_at_the_close_and_refuses_what_the_next_open_makes_too_dear():
    market = candles(QUIET, QUIET, (101, 101, 101, 101), QUIET)

    def all_in(who, bar):
        if bar == 1:
            who.order_target_percent(target=1.0)

    def all_of_ours(context, bar):
        if bar == 1:
            context.buy(fraction=1.0)

    assert defaults.backtrader(market, all_in).fills == []
    # The size follows from the price of the fill, so all of the money buys at 101.
    assert defaults.ours(market, all_of_ours).fills == [(2, pytest.approx(1_000 / 101), 101)]


def test_the_fee_of_the_entry_is_set_aside_in_its_size():
    bars, direction, setting = tiny(QUIET, QUIET, costs=FEES)
    setting = Setting(**{**vars(setting), "sizing": SizingOptions(initial_cash=1_000.0)})
    for judge in (ours, backtesting_judge.judge, vectorbt_judge.judge_in_rows):
        (trip,) = judge(bars, direction, setting).trips
        assert trip.quantity * trip.entry_price * 1.001 == pytest.approx(1_000, rel=1e-11)
    # backtrader sizes without the fee, and then refuses the order.
    with pytest.raises(AssertionError, match="refused by backtrader"):
        backtrader_judge.judge(bars, direction, setting, strategy=WithoutFee)


class WithoutFee(backtrader_judge.Wanting):
    """Spends all of the cash on coins."""

    def enter(self, side, cash):
        self.order(side * cash / self.slipped(side))


def test_a_fee_is_paid_on_both_sides_and_the_rivals_have_one_rate():
    costs = CostOptions(taker_fee_frac=0.002, maker_fee_frac=0.0005, slippage_frac=0)
    market = tiny(QUIET, (100, 112, 99, 111), costs=costs, take_profit_frac=0.1)
    for judge in (ours, backtrader_judge.judge, backtesting_judge.judge):
        (trip,) = judge(*market).trips
        assert (trip.entry_price, trip.exit_price) == pytest.approx((100, 110))
        # The target is a limit order that rested: the maker's fee, which the rivals do not know.
        rate = 0.0005 if judge is ours else 0.002
        assert trip.fees == pytest.approx(trip.quantity * (100 * 0.002 + 110 * rate))


def test_backtrader_cuts_slippage_off_at_the_high():
    market = candles(QUIET, QUIET, (100, 100, 99, 99), QUIET)
    assert defaults.backtrader(market, buys_one, slippage=0.01).fills == [(2, 1, 100)]
    assert defaults.ours(market, buys_one, SLIPPED).fills == [(2, 1, 101)]


def test_backtesting_py_lists_no_trade_that_is_open_and_we_mark_it():
    market = candles(QUIET, QUIET, (100, 105, 99, 104), (104, 111, 103, 110))
    trades, equity, _ = defaults.backtesting(market, buys_one)
    assert (trades, equity[-1]) == ([], 1_010)
    assert defaults.backtesting(market, buys_one, finalize_trades=True)[0][0].exit_bar == 3
    bars, direction, setting = tiny((100, 105, 99, 104), (104, 111, 103, 110))
    (trip,) = ours(bars, direction, setting).trips
    assert (trip.exit_bar, trip.exit_price) == (-1, 110)


def test_ruin_closes_at_the_next_open_and_the_loss_stays():
    market = candles(QUIET, QUIET, (100, 250, 100, 250), (240,) * 4, QUIET, QUIET)

    def short(who, bar):
        if bar == 1:
            defaults.sell(who, 9)
        elif bar == 4 and isinstance(who, bt.Strategy):
            who.close()

    # 9 sold at 100: 1900 - 2250 = -350, then bought back at 240: 1900 - 2160 = -260, and the end.
    assert defaults.ours(market, short).equity == [1_000, 1_000, -350, -260, -260, -260]
    # backtrader holds on and is saved by the fall; backtesting.py closes at that close and forgets.
    assert defaults.backtrader(market, short).equity == [1_000, 1_000, -350, -260, 1_000, 1_000]
    assert defaults.backtesting(market, short)[1] == [1_000, 1_000, 0, 0, 0, 0]


def test_of_two_entries_touched_in_one_bar_backtrader_takes_the_one_given_first():
    market = candles(QUIET, QUIET, (100, 106, 96, 100), QUIET)

    def either_side(who, bar):
        if bar == 1:
            above = who.buy(size=1, exectype=bt.Order.Stop, price=105)
            who.sell(size=1, exectype=bt.Order.Stop, price=97, oco=above)

    def ours_either_side(context, bar):
        if bar == 1:
            context.oco(context.buy(1.0, stop=105.0), context.sell(1.0, stop=97.0))

    assert defaults.backtrader(market, either_side).fills == [(2, 1, 105)]
    # The nearer to the open: less has to have happened before.
    assert defaults.ours(market, ours_either_side).fills == [(2, -1, 97)]


def test_of_stop_and_target_in_one_bar_backtrader_takes_the_one_given_first():
    market = candles(QUIET, QUIET, QUIET, (100, 112, 90, 100))

    def target_first(who, bar):
        if bar == 1:
            who.buy(size=1)
        elif bar == 2:
            target = who.sell(size=1, exectype=bt.Order.Limit, price=110)
            who.sell(size=1, exectype=bt.Order.Stop, price=92, oco=target)

    def ours_target_first(context, bar):
        if bar == 1:
            context.buy(1.0, take_profit=110.0, stop_loss=92.0)

    assert defaults.backtrader(market, target_first).fills[1] == (3, -1, 110)
    assert defaults.ours(market, ours_target_first).fills[1] == (3, -1, 92)


def test_backtrader_leaves_the_bar_of_a_bracket_s_entry_unprotected():
    market = candles(QUIET, QUIET, (100, 101, 90, 94), (96, 97, 94, 95))

    def bracket(who, bar):
        if bar == 1:
            who.buy_bracket(size=1, exectype=bt.Order.Market, stopprice=95, limitprice=110)

    def our_bracket(context, bar):
        if bar == 1:
            context.buy(1.0, stop_loss=95.0, take_profit=110.0)

    assert defaults.backtrader(market, bracket).fills[1] == (3, -1, 95)
    assert defaults.ours(market, our_bracket).fills[1] == (2, -1, 95)


@pytest.mark.parametrize(("close", "bar", "price"), [(100.5, 2, 101), (102.5, 3, 100)])
def test_a_stop_limit_that_the_bar_must_have_filled_is_filled_in_it(close, bar, price):
    # Triggered at 102, to be bought at 101 or less. From 102 to a close of 100.5 the price passes
    # 101; with a close of 102.5 nobody knows whether the low of 99 came before the trigger.
    market = candles(QUIET, QUIET, (100, 103, 99, close), QUIET)

    def stop_limit(who, bar):
        if bar == 1:
            who.buy(size=1, exectype=bt.Order.StopLimit, price=102, plimit=101)

    def our_stop_limit(context, bar):
        if bar == 1:
            context.buy(1.0, stop=102.0, limit=101.0)

    assert defaults.ours(market, our_stop_limit).fills == [(bar, 1, price)]
    assert defaults.backtrader(market, stop_limit).fills == [(3, 1, 100)]


def test_a_strategy_is_first_asked_when_its_averages_are_known():
    market = candles(*[QUIET] * 6)

    def average(who, bar):
        who.average = bt.ind.SMA(period=3)

    def their_average(who, bar):
        who.average = who.I(lambda x: x.s.rolling(3).mean(), who.data.Close)

    def nothing(who, bar):
        pass

    assert defaults.backtrader(market, nothing, prepare=average).calls == [2, 3, 4, 5]
    assert defaults.backtesting(market, nothing, prepare=their_average)[2] == [3, 4, 5]
    assert defaults.ours(market, nothing).calls == [0, 1, 2, 3, 4, 5]


def test_the_page_names_every_test_here():
    page = PAGE.read_text(encoding="utf-8")
    tests = {name for name in globals() if name.startswith("test_")}
    tests.remove("test_the_page_names_every_test_here")
    assert set(re.findall(r"`(test_\w+)`", page)) == tests
