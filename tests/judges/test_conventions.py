"""Where a rival fills otherwise than we do: what docs/judges.md says of it, on a few candles."""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.core import Bars
from crypto_bot.core.timeframes import DAY_NS, HOUR_NS
from crypto_bot.engine import CostOptions, ExitOptions, SignalExit, SizingOptions
from judges import backtesting_judge, backtrader_judge, vectorbt_judge
from judges.backtrader_judge import bt
from judges.settings import FREE, Setting
from judges.verdict import ours

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
