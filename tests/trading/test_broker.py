"""The paper broker: orders before fills, ids that repeat, a state that survives."""

from __future__ import annotations

import json

import numpy as np
import pytest

from crypto_bot.core import Order, OrderType, Side
from crypto_bot.core.errors import ConfigError, DataError, Rejected
from crypto_bot.core.timeframes import DAY_NS, HOUR_NS
from crypto_bot.engine import CostOptions, ExitOptions, SizingOptions, matching_rules
from crypto_bot.trading import PaperBroker
from paper_markets import market, priced

FIRST = 20_000 * DAY_NS
FREE = CostOptions(taker_fee_frac=0, maker_fee_frac=0, slippage_frac=0)


def broker_of(exits=None, costs=FREE, run_id="run", cash=1000.0):
    rules = matching_rules(costs, exits or ExitOptions(), SizingOptions())
    return PaperBroker("BTC/USDT", "1h", rules, cash_quote=cash, run_id=run_id)


def legs(orders):
    return [order.client_id.rpartition("-")[2] for order in orders]


def test_an_order_fills_at_the_next_open_under_its_own_id():
    broker, bars = broker_of(), list(priced("BTC/USDT", [100, 200, 300, 400]))
    assert broker.on_bar(bars[0]) == ()
    (order,) = broker.intents(1, 1.0)
    assert order == Order(
        client_id=f"run-BTC-USDT-{(FIRST + HOUR_NS) // 10**9}-entry",
        symbol="BTC/USDT",
        side=Side.BUY,
        type=OrderType.MARKET,
        quantity=5.0,
        created_at_ns=FIRST + HOUR_NS,
        reason="signal",
    )
    broker.submit([order])
    (fill,) = broker.on_bar(bars[1])
    assert (fill.client_id, fill.quantity, fill.price) == (order.client_id, 5.0, 200.0)
    assert fill.filled_at_ns == FIRST + HOUR_NS
    assert broker.position().quantity == 5.0
    assert broker.exposure_quote == 1500.0
    assert broker.equity_quote == 1500.0


def test_an_order_that_was_not_submitted_is_never_filled():
    broker, bars = broker_of(), list(priced("BTC/USDT", [100, 200, 300]))
    broker.on_bar(bars[0])
    assert legs(broker.intents(1, 1.0)) == ["entry"]
    assert broker.on_bar(bars[1]) == ()
    assert len(broker.trades()) == 0


def test_a_reversal_asks_for_the_exit_first_and_a_stop_rests_with_the_entry():
    broker = broker_of(ExitOptions(stop_loss_frac=0.5, take_profit_frac=4))
    bars = list(priced("BTC/USDT", [100, 100, 110, 100]))
    broker.on_bar(bars[0])
    first = broker.intents(1, 1.0)
    assert legs(first) == ["entry", "protect"]
    assert (first[1].type, first[1].side, first[1].reason) == (
        OrderType.STOP,
        Side.SELL,
        "stop 0.5, target 4",
    )
    broker.submit(first)
    broker.on_bar(bars[1])
    second = broker.intents(-1, 1.0)
    assert legs(second) == ["exit", "entry", "protect"]
    broker.submit(second)
    assert [fill.reason for fill in broker.on_bar(bars[2])] == ["reverse", "entry"]
    assert broker.position().quantity < 0


@pytest.mark.parametrize(
    ("opens", "closes", "reason", "at_open"),
    [
        ([100, 100, 100, 90], [100, 100, 94, 90], "stop", False),
        ([100, 100, 90, 90], [100, 100, 91, 90], "stop", True),
        ([100, 100, 100, 90], [100, 100, 111, 90], "target", False),
    ],
)
def test_stops_and_targets_fill_under_the_protective_order(opens, closes, reason, at_open):
    broker = broker_of(ExitOptions(stop_loss_frac=0.05, take_profit_frac=0.1))
    bars = list(priced("BTC/USDT", opens, closes=closes))
    broker.on_bar(bars[0])
    orders = broker.intents(1, 1.0)
    broker.submit(orders)
    broker.on_bar(bars[1])
    assert broker.intents(1, 1.0) == ()
    (fill,) = broker.on_bar(bars[2])
    assert (fill.client_id, fill.reason) == (orders[1].client_id, reason)
    assert fill.filled_at_ns == bars[2].open_time + (0 if at_open else HOUR_NS)


def test_a_position_can_be_closed_whatever_the_signal_says():
    broker = broker_of(ExitOptions(signal_exit="never"))
    bars = list(priced("BTC/USDT", [100, 100, 120, 130]))
    broker.on_bar(bars[0])
    assert broker.closing_intents("kill_switch") == ()
    broker.submit(broker.intents(1, 1.0))
    broker.on_bar(bars[1])
    assert broker.intents(1, 1.0) == ()
    (order,) = broker.closing_intents("kill_switch")
    assert order.reason == "kill_switch"
    broker.submit([order])
    (fill,) = broker.on_bar(bars[2])
    assert (fill.client_id, fill.price) == (order.client_id, 120.0)
    assert broker.position().quantity == 0
    assert broker.trades()["pnl_quote"].tolist() == [200.0]


def test_only_what_the_last_close_intended_can_be_submitted():
    broker, bars = broker_of(ExitOptions(stop_loss_frac=0.1)), list(priced("BTC/USDT", [1, 1, 1]))
    broker.on_bar(bars[0])
    old = broker.intents(1, 1.0)
    with pytest.raises(Rejected, match="entry must come with its protective order, came alone"):
        broker.submit(old[:1])
    broker.on_bar(bars[1])
    broker.intents(0, 0.0)
    with pytest.raises(Rejected, match="order must come from the last intents, was run-BTC-USDT"):
        broker.submit(old)


def test_a_bar_is_taken_once():
    broker, bars = broker_of(), list(priced("BTC/USDT", [100, 100]))
    broker.on_bar(bars[1])
    for bar in bars:
        with pytest.raises(DataError, match="BTC/USDT open_time must increase"):
            broker.on_bar(bar)


def test_an_account_needs_cash():
    with pytest.raises(ConfigError, match="BTC/USDT cash_quote must be > 0, was 0"):
        broker_of(cash=0.0)


def run_on(broker, bars, directions):
    for bar, direction in zip(bars, directions, strict=True):
        broker.on_bar(bar)
        broker.submit(broker.intents(direction, abs(direction)))


def test_a_restored_account_goes_on_as_if_it_had_never_stopped():
    bars = list(market("BTC/USDT", 300, 4, timeframe="1h"))
    directions = np.random.default_rng(1).integers(-1, 2, 300).tolist()
    exits = ExitOptions(stop_loss_frac=0.01, trailing_stop_frac=0.01, cooldown_bars=2)
    whole = broker_of(exits, CostOptions())
    run_on(whole, bars, directions)
    for cut in (1, 77, 150, 299):
        first, second = broker_of(exits, CostOptions()), broker_of(exits, CostOptions())
        run_on(first, bars[:cut], directions[:cut])
        second.restore(json.loads(json.dumps(first.to_state(), allow_nan=False)))
        run_on(second, bars[cut:], directions[cut:])
        assert second.trades().tobytes() == whole.trades().tobytes()
        assert second.account == whole.account
    assert len(whole.trades()) > 20


def test_a_state_of_another_account_is_refused():
    state = broker_of().to_state()
    with pytest.raises(DataError, match="BTC/USDT account state must have prefix other-BTC-USDT"):
        broker_of(run_id="other").restore(state)
    with pytest.raises(DataError, match=r"must have rules .* start a new run to change it"):
        broker_of(ExitOptions(cooldown_bars=1)).restore(state)
