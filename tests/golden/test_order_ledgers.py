"""Every order type on a few bars worked out by hand; the arithmetic stands beside each.

Unless a test says otherwise: 1h candles (open, high, low, close), cash 1,000, no costs. A fill is
(bar, 'open' or 'inside', signed quantity, price, reason).
"""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.core import Bars, FundingRates
from crypto_bot.core.orders import ExitReason
from crypto_bot.core.timeframes import HOUR_NS
from crypto_bot.engine import SizingOptions
from crypto_bot.orders import OnBarStrategy, OrderStatus, simulate_on_bar
from golden.ledgers import COSTLY, FLAT_CANDLE, FREE, START, candles_at

FLAT = FLAT_CANDLE


class Plan(OnBarStrategy):
    """At the close of bar t: plan[t](context)."""

    def __init__(self, plan):
        super().__init__()
        self.plan = plan

    def on_bar(self, context):
        if context.index in self.plan:
            self.plan[context.index](context)


def play(candles, plan, *, hours=None, volume=None, costs=FREE, funding=None, finer=None, **sizing):
    return simulate_on_bar(
        candles_at(candles, hours=hours, volume=volume),
        Plan(plan),
        costs=costs,
        sizing=SizingOptions(**{"initial_cash": 1_000.0, **sizing}),
        funding=funding,
        finer=finer,
    )


def fills(result):
    return [
        (
            int(fill["bar"]),
            "open" if fill["is_at_open"] else "inside",
            pytest.approx(float(fill["quantity"])),
            pytest.approx(float(fill["price"])),
            ExitReason(int(fill["reason"])).name,
        )
        for fill in result.fills
    ]


def ends(result):
    return [(order.status.name, order.reason) for order in result.order_log()]


def test_a_market_order_pays_slippage_and_taker_fee_at_the_next_open():
    result = play([FLAT, (110, 112, 108, 111)], {0: lambda c: c.buy(2)}, costs=COSTLY)
    # 110 * 1.01 = 111.1; fee 2 * 111.1 * .002 = .4444; cash 1000 - 222.2 - .4444 = 777.3556.
    assert fills(result) == [(1, "open", 2, 111.1, "OPEN")]
    assert result.cash[-1] == pytest.approx(777.3556)
    assert result.equity[-1] == pytest.approx(777.3556 + 2 * 111)


def test_a_limit_order_waits_for_its_price_and_pays_the_maker_fee():
    candles = [FLAT, (100, 101, 96, 97), (97, 98, 94, 96)]
    result = play(candles, {0: lambda c: c.buy(2, limit=95)}, costs=COSTLY)
    # Bar 1's low 96 is above 95; bar 2's 94 reaches it: exactly 95, fee 190 * .001 = .19.
    assert fills(result) == [(2, "inside", 2, 95, "OPEN")]
    assert result.fills["fee"][0] == pytest.approx(0.19)


def test_a_limit_order_that_the_open_has_passed_fills_there_as_a_taker_if_it_is_new():
    result = play([FLAT, (93, 94, 92, 93)], {0: lambda c: c.buy(2, limit=95)}, costs=COSTLY)
    # The better open, no slippage; on its first bar it takes: 186 * .002 = .372.
    assert fills(result) == [(1, "open", 2, 93, "OPEN")]
    assert result.fills["fee"][0] == pytest.approx(0.372)


def test_a_limit_order_does_not_fill_at_a_price_never_traded():
    result = play([FLAT, (100, 101, 95.01, 97)], {0: lambda c: c.buy(2, limit=95)})
    assert fills(result) == []
    assert ends(result) == [("WORKING", "")]


def test_a_stop_order_fills_at_its_level_worse_by_the_slippage():
    result = play([FLAT, (100, 106, 99, 104)], {0: lambda c: c.buy(2, stop=105)}, costs=COSTLY)
    # 105 * 1.01 = 106.05, taker.
    assert fills(result) == [(1, "inside", 2, 106.05, "OPEN")]
    assert result.fills["fee"][0] == pytest.approx(2 * 106.05 * 0.002)


def test_a_gap_through_a_stop_order_fills_at_the_open():
    plan = {0: lambda c: c.buy(2, stop_loss=95)}
    result = play([FLAT, FLAT, (90, 92, 88, 91)], plan, costs=COSTLY)
    # Bought at 101; bar 2 opens at 90, beyond 95: 90 * .99 = 89.1.
    assert fills(result) == [(1, "open", 2, 101, "OPEN"), (2, "open", -2, 89.1, "STOP")]


def test_a_stop_limit_order_becomes_a_limit_once_touched():
    candles = [FLAT, (100, 106, 99, 106), (106, 107, 103, 104)]
    result = play(candles, {0: lambda c: c.buy(2, stop=105, limit=104)})
    # Triggered at 105 in bar 1, above its limit; 104 is surely traded after that only in bar 2.
    assert fills(result) == [(2, "inside", 2, 104, "OPEN")]


def test_a_stop_limit_order_whose_limit_allows_the_stop_fills_at_the_stop():
    result = play([FLAT, (100, 106, 99, 106)], {0: lambda c: c.buy(2, stop=105, limit=105.5)})
    assert fills(result) == [(1, "inside", 2, 105, "OPEN")]


def test_a_stop_limit_order_gapped_beyond_its_limit_waits():
    plan = {0: lambda c: c.buy(2, stop=105, limit=106)}
    result = play([FLAT, (110, 111, 107, 108), (108, 108, 105, 107)], plan)
    # Opens at 110: triggered, but above 106, which bar 2 trades.
    assert fills(result) == [(2, "inside", 2, 106, "OPEN")]


def test_the_target_of_a_bracket_cancels_its_stop():
    plan = {0: lambda c: c.buy(2, stop_loss_frac=0.05, take_profit_frac=0.1)}
    result = play([FLAT, FLAT, (100, 112, 99, 111)], plan, costs=COSTLY)
    # Hung on the real fill 101: stop 95.95, target 111.1, sold there without slippage.
    assert fills(result) == [(1, "open", 2, 101, "OPEN"), (2, "inside", -2, 111.1, "TARGET")]
    other = "the other order of its pair was filled"
    assert ends(result) == [("FILLED", ""), ("CANCELLED", other), ("FILLED", "")]


def test_stop_and_target_in_one_bar_is_the_stop_and_is_counted():
    plan = {0: lambda c: c.buy(2, stop_loss=95, take_profit=110)}
    result = play([FLAT, FLAT, (100, 112, 94, 111)], plan)
    assert fills(result)[1] == (2, "inside", -2, 95, "STOP")
    assert (result.ambiguous_exits, result.resolved_exits) == (1, 0)


def test_finer_bars_decide_that_the_target_came_first():
    bars = [FLAT, FLAT, (100, 112, 94, 111)]
    inside = [(100, 112, 99, 105), (105, 111, 94, 111)]
    times = START + 2 * HOUR_NS + np.arange(2) * HOUR_NS // 2
    finer = Bars("BTC/USDT", "30m", times, *np.array(inside, float).T, np.ones(2))
    plan = {0: lambda c: c.buy(2, stop_loss=95, take_profit=110)}
    result = play(bars, plan, finer=finer)
    # The first half hour trades 112 and not 95.
    assert fills(result)[1] == (2, "inside", -2, 110, "TARGET")
    assert (result.ambiguous_exits, result.resolved_exits) == (0, 1)


def test_entry_and_stop_on_one_bar():
    plan = {0: lambda c: c.buy(2, stop_loss_frac=0.05)}
    result = play([FLAT, (100, 101, 94, 96)], plan)
    assert fills(result) == [(1, "open", 2, 100, "OPEN"), (1, "inside", -2, 95, "STOP")]
    # 1000 + 2 * (95 - 100).
    assert result.equity[-1] == pytest.approx(990)


def test_a_trailing_stop_follows_the_best_price_up_to_the_bar_before():
    plan = {0: lambda c: c.buy(2, trailing_frac=0.1)}
    candles = [FLAT, (100, 110, 100, 110), (110, 120, 100, 118), (118, 119, 107, 110)]
    result = play(candles, plan)
    # Bar 2: 110 * .9 = 99 holds against 100. Bar 3: 120 * .9 = 108 does not against 107.
    assert fills(result)[1] == (3, "inside", -2, 108, "TRAILING")


def test_a_trailing_stop_in_atrs_keeps_the_distance_of_its_deciding_close():
    # Fourteen bars of range 2, then a rise: ATR 2 at the close of bar 14.
    candles = [(100, 101, 99, 100)] * 15 + [(100, 110, 100, 110), (110, 110, 105, 106)]
    result = play(candles, {14: lambda c: c.buy(2, trailing_atr=2.0)})
    # Bar 15 reaches 110; 110 - 2 * 2 = 106, touched in bar 16.
    assert fills(result) == [(15, "open", 2, 100, "OPEN"), (16, "inside", -2, 106, "TRAILING")]


def test_cancelled_and_replaced_orders():
    def ask(context):
        context.buy(1, limit=95)
        context.buy(1, limit=90)

    plan = {0: ask, 1: lambda c: (c.cancel(0), c.replace(1, limit=98, quantity=3))}
    result = play([FLAT, FLAT, (100, 100, 97, 99), (99, 99, 80, 85)], plan)
    assert fills(result) == [(2, "inside", 3, 98, "OPEN")]
    assert ends(result) == [("CANCELLED", "cancelled by the strategy"), ("FILLED", "")]


@pytest.mark.parametrize(
    "term", [{"good_till_bars": 2}, {"good_till_ns": START + 3 * HOUR_NS}], ids=str
)
def test_an_order_ends_with_its_time(term):
    candles = [FLAT, FLAT, FLAT, (100, 100, 90, 95)]
    result = play(candles, {0: lambda c: c.buy(1, limit=95, **term)})
    # It may be filled in bars 1 and 2, which closes at hour 3; bar 3 comes too late.
    assert fills(result) == []
    assert ends(result) == [("EXPIRED", "its time was up")]
    assert result.order_log()[0].ended_bar == 3


def test_scale_in_averages_the_price_and_partial_exits_keep_it():
    plan = {0: lambda c: c.buy(2), 1: lambda c: c.buy(2), 2: lambda c: c.close_position(0.25)}
    plan[3] = lambda c: (seen.append((c.position, c.entry_price)), c.close_position())
    candles = [FLAT, (100, 100, 100, 100), (110, 110, 110, 110), (120,) * 4, (90,) * 4]
    seen = []
    result = play(candles, plan)
    assert seen == [(3, 105)]
    assert fills(result) == [
        (1, "open", 2, 100, "OPEN"),
        (2, "open", 2, 110, "OPEN"),
        (3, "open", -1, 120, "SIGNAL"),
        (4, "open", -3, 90, "SIGNAL"),
    ]
    # Average 105: 1 * 15 - 3 * 15 = -30, one trade of at most 4, left at (120 + 3 * 90) / 4 = 97.5.
    (trade,) = result.trades
    assert (trade["quantity"], trade["entry_price"]) == (4, 105)
    assert trade["exit_price"] == pytest.approx(97.5)
    assert trade["pnl_quote"] == pytest.approx(-30)


def test_reverse_fills_both_legs_at_one_open():
    plan = {0: lambda c: c.buy(2), 1: lambda c: c.reverse(3)}
    result = play([FLAT, FLAT, (110,) * 4, (105,) * 4], plan)
    assert fills(result)[1:] == [(2, "open", -2, 110, "REVERSE"), (2, "open", -3, 110, "OPEN")]
    # +20 on the long, then short 3 from 110: +15 at 105.
    assert result.equity[-1] == pytest.approx(1035)


def test_a_larger_opposite_order_closes_and_opens_the_rest():
    result = play([FLAT, FLAT, FLAT], {0: lambda c: c.buy(2), 1: lambda c: c.sell(5)})
    assert fills(result)[1:] == [(2, "open", -2, 100, "REVERSE"), (2, "open", -3, 100, "OPEN")]


def test_a_reduce_only_order_never_opens():
    plan = {0: lambda c: c.buy(2), 1: lambda c: c.sell(5, reduce_only=True)}
    plan[2] = lambda c: c.sell(5, reduce_only=True)
    result = play([FLAT] * 4, plan)
    assert fills(result)[1:] == [(2, "open", -2, 100, "SIGNAL")]
    assert ends(result)[2] == ("REJECTED", "nothing to reduce")


def test_one_cancels_the_other():
    def ask(context):
        context.oco(context.buy(1, stop=105), context.sell(1, stop=95))

    result = play([FLAT, (100, 106, 99, 105), (105, 105, 90, 95)], {0: ask})
    assert fills(result) == [(1, "inside", 1, 105, "OPEN")]
    assert ends(result)[1] == ("CANCELLED", "the other order of its pair was filled")


def test_an_outage_in_the_middle_fills_at_the_first_bar_after_it():
    plan = {0: lambda c: c.buy(2, stop_loss=95), 1: lambda c: c.close_position()}
    result = play([FLAT, FLAT, (80, 85, 79, 84)], plan, hours=[0, 1, 30])
    # Nothing traded for 28 hours: the market exit comes before the stop, at that open.
    assert fills(result)[1] == (2, "open", -2, 80, "SIGNAL")


def test_what_is_asked_for_at_the_last_close_stays_open():
    result = play([FLAT, FLAT], {1: lambda c: c.buy(2)})
    assert fills(result) == []
    assert result.order_log()[0].status is OrderStatus.WORKING


def test_an_open_position_ends_the_list_marked_at_the_last_close():
    result = play([FLAT, FLAT, (100, 105, 100, 104)], {0: lambda c: c.buy(2)})
    (trade,) = result.trades
    assert (trade["exit_bar"], trade["exit_reason"]) == (-1, ExitReason.OPEN)
    assert trade["pnl_quote"] == pytest.approx(8)


def test_a_bar_without_volume_fills_like_any_other():
    result = play([FLAT, FLAT], {0: lambda c: c.buy(2)}, volume=[1, 0])
    assert fills(result) == [(1, "open", 2, 100, "OPEN")]


def test_liquidation_comes_where_equity_is_the_maintenance_margin():
    plan = {0: lambda c: c.buy(50)}
    more = {"leverage": 10.0, "maintenance_margin_frac": 0.05}
    result = play([FLAT, FLAT, (100, 100, 80, 90)], plan, **more)
    # Cash 1000 - 5000 = -4000; -4000 + 50 p = .05 * 50 p at p = 4000 / 47.5 = 84.210526.
    assert fills(result)[1] == (2, "inside", -50, 4000 / 47.5, "LIQUIDATION")
    assert result.equity[-1] == pytest.approx(-4000 + 50 * 4000 / 47.5)


def test_a_stop_nearer_than_the_liquidation_comes_first_and_a_gap_passes_both():
    plan = {0: lambda c: c.buy(50, stop_loss=90)}
    more = {"leverage": 10.0, "maintenance_margin_frac": 0.05}
    result = play([FLAT, FLAT, (100, 100, 80, 90)], plan, **more)
    assert fills(result)[1] == (2, "inside", -50, 90, "STOP")
    result = play([FLAT, FLAT, (70, 75, 65, 70)], plan, **more)
    # Opens beyond both; the stop lies further behind: -4000 + 50 * 70 = -500 is owed.
    assert fills(result)[1] == (2, "open", -50, 70, "STOP")
    assert result.equity[-1] == pytest.approx(-500)
    assert result.metrics.sharpe is None


def test_funding_at_the_edge_is_paid_by_what_was_carried_into_the_open():
    rates = FundingRates("BTC/USDT", START + np.array([1, 2]) * HOUR_NS, np.array([0.5, 0.01]))
    plan = {0: lambda c: c.buy(2), 1: lambda c: c.close_position()}
    result = play([FLAT, FLAT, (110,) * 4], plan, funding=rates)
    # Bought at the open of bar 1, not yet held when that hour's .5 is due; sold at the open of
    # bar 2 and still pays: 2 * 110 * .01 = 2.2.
    (trade,) = result.trades
    assert trade["financing_quote"] == pytest.approx(2.2)
    assert trade["pnl_quote"] == pytest.approx(20 - 2.2)
    assert list(result.financing) == pytest.approx([0, 0, 2.2])


def test_a_short_pays_interest_on_its_value():
    costs = FREE.replace(borrow_rate_annual_frac=0.5)
    result = play([FLAT, FLAT, FLAT], {0: lambda c: c.sell(2)}, costs=costs, hours=[0, 1, 1 + 73])
    # 200 * .5 * 73 hours / 8760 hours = .8333.
    assert result.financing[-1] == pytest.approx(200 * 0.5 * 73 / 8760)


def test_the_venue_floors_to_its_step_and_refuses_what_is_too_small():
    costs = FREE.replace(quantity_step=0.5, minimum_quantity=1.0, minimum_notional_quote=150.0)
    asked = [1.9, 0.9, 1.4]
    plan = {0: lambda c: [c.buy(each) for each in asked]}
    result = play([FLAT, FLAT], plan, costs=costs)
    # 1.9 -> 1.5 at 100; .9 is below 1; 1.4 -> 1.0, 140 asked for is below 150.
    assert fills(result) == [(1, "open", 1.5, 100, "OPEN")]
    small, cheap = "below the minimum quantity", "below the minimum notional"
    assert ends(result) == [("FILLED", ""), ("REJECTED", small), ("REJECTED", cheap)]


def test_spot_refuses_a_short_and_what_cash_does_not_pay_for():
    plan = {0: lambda c: c.sell(1), 1: lambda c: c.buy(11), 2: lambda c: c.buy(fraction=0.5)}
    result = play([FLAT] * 4, plan, allow_short=False)
    assert fills(result) == [(3, "open", 5, 100, "OPEN")]
    assert ends(result)[0] == ("REJECTED", "short not allowed")
    assert ends(result)[1] == ("REJECTED", "insufficient equity or margin")


def test_a_time_exit_is_the_strategys_own():
    def leave(context):
        if context.bars_held >= 2:
            context.close_position(reason=ExitReason.TIME)

    plan = {0: lambda c: c.buy(1), 1: leave, 2: leave}
    # Entry bar 1 is the first close held, bar 2 the second.
    assert fills(play([FLAT] * 4, plan))[1] == (3, "open", -1, 100, "TIME")


def test_risk_to_the_stop_loses_its_share_at_the_stop():
    plan = {0: lambda c: c.buy(stop_loss=95)}
    result = play([FLAT, FLAT, (100, 100, 94, 96)], plan, method="risk_to_stop", risk_frac=0.02)
    # 2 % of 1,000 over a distance of 5: 4 bought; -20 at the stop.
    assert fills(result) == [(1, "open", 4, 100, "OPEN"), (2, "inside", -4, 95, "STOP")]
    assert result.equity[-1] == pytest.approx(980)
