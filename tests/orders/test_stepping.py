"""Live stepping: one closed bar at a time, saved and restored, gives the backtest's bytes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.engine import CostOptions, SizingOptions
from crypto_bot.engine.financing import funding_due
from crypto_bot.orders import OnBarStrategy, OrderAccount, simulate_on_bar
from reference.engine_cases import finer_bars, funding_every_eight_hours, random_bars

COSTS = CostOptions(
    slippage_atr_mult=0.1,
    slippage_volume_mult=0.02,
    borrow_rate_annual_frac=0.3,
    quantity_step=0.01,
)
SIZING = SizingOptions(leverage=3.0, initial_cash=1_000.0)


class Busy(OnBarStrategy):
    """Uses every kind of order, and remembers what was filled."""

    defaults = {"slow": 7}
    lookback_bars = 3

    def __init__(self, **parameters):
        super().__init__(**parameters)
        self.filled = 0

    def features(self):
        return "sma_3", f"sma_{self.parameters['slow']}", "close"

    def on_fill(self, context, fill):
        self.filled += 1

    def on_bar(self, context):
        fast, slow, close = context.features
        assert close == context.close == context.window("close", 2)[-1]
        choice = (context.index + self.filled) % 9
        if choice == 0 and fast > slow:
            context.buy(
                fraction=0.3, stop_loss_atr=1.0, take_profit_frac=0.02, trailing_frac=0.03, tag="a"
            )
        elif choice == 1:
            first = context.buy(quote=100, limit=close * 0.99, good_till_bars=3)
            context.oco(first, context.sell(quote=90, limit=close * 1.01, good_till_bars=5))
        elif choice == 2 and context.position:
            context.reverse(fraction=0.5, trailing_atr=2.0)
        elif choice == 3 and context.position:
            context.close_position(0.5)
        elif choice == 4:
            context.sell(
                1.0, stop=close * 0.98, limit=close * 0.975, good_till_ns=context.time_ns * 2
            )
        elif choice == 5:
            for order in context.orders:
                if order.limit_price and order.entry_id is None:
                    context.replace(order.order_id, limit=order.limit_price * 1.001)
        elif choice == 6 and context.orders:
            context.cancel(context.orders[0].order_id)


def stepped(bars, account, due, fine, first=0, last=None):
    for t, bar in list(enumerate(bars))[first:last]:
        account.on_bar(bar, funding_due=due[t], finer=fine)
    return account


def assert_same(account, twin):
    assert len(twin.fills) > 20
    assert account.fills.tobytes() == twin.fills.tobytes()
    assert account.orders.tobytes() == twin.orders.tobytes()
    assert account.equity.tobytes() == twin.equity.tobytes()
    assert account.trades().tobytes() == twin.trades.tobytes()
    assert account.financing == twin.financing[-1]
    assert account.position == twin.position[-1]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("has_history", [False, True])
def test_stepping_gives_the_bytes_of_the_backtest_also_when_restored(seed, has_history):
    whole = random_bars(seed, 400)
    history, bars = (whole[:60], whole[60:]) if has_history else (None, whole)
    funding, fine = funding_every_eight_hours(bars, 0.001), finer_bars(bars)
    due = funding_due(bars, funding)
    options = {"costs": COSTS, "sizing": SIZING}
    twin = simulate_on_bar(bars, Busy(), funding=funding, finer=fine, history=history, **options)
    symbol, timeframe = bars.symbol, bars.timeframe
    account = OrderAccount(symbol, timeframe, Busy(), history=history, **options)
    assert_same(stepped(bars, account, due, fine), twin)

    account = OrderAccount(symbol, timeframe, Busy(), history=history, **options)
    for cut in (0, 5, 150, 151, len(bars)):
        done = len(account.equity)
        stepped(bars, account, due, fine, done, cut)
        state = json.loads(json.dumps(account.to_state(), allow_nan=False))
        account = OrderAccount.from_state(state, Busy(), **options)
    assert_same(account, twin)
    assert account.strategy.filled == twin.strategy.filled > 0


def account_of(**more):
    return OrderAccount("BTC/USDT", "1h", Busy(**more), sizing=SIZING)


def test_a_state_of_another_kind_is_refused():
    bars = random_bars(0, 30)
    account = account_of()
    for bar in bars:
        account.on_bar(bar)
    state = account.to_state()
    with pytest.raises(DataError, match="account state must have parameters"):
        account_of(slow=9).restore(state)
    with pytest.raises(DataError, match="account state must have rules"):
        OrderAccount("BTC/USDT", "1h", Busy(), sizing=SizingOptions()).restore(state)
    with pytest.raises(DataError, match="account state must be of format 1, was 7"):
        account_of().restore({**state, "format": 7})


def test_a_bar_given_twice_is_refused():
    account, bars = account_of(), random_bars(0, 2)
    account.on_bar(next(iter(bars)))
    with pytest.raises(DataError, match="open_time must be after"):
        account.on_bar(next(iter(bars)))
    with pytest.raises(ConfigError, match="funding_due must be finite, was nan"):
        account.on_bar(list(bars)[1], funding_due=np.nan)


def test_history_of_another_symbol_is_refused():
    with pytest.raises(DataError, match="history must be of ETH/USDT 1h, was of BTC/USDT 1h"):
        OrderAccount("ETH/USDT", "1h", Busy(), history=random_bars(0, 5))


def test_what_is_not_json_must_be_saved_by_the_strategy_itself():
    account = account_of()
    account.strategy.kept = {1, 2}
    with pytest.raises(ConfigError, match="Busy must keep JSON values to be saved"):
        account.to_state()
