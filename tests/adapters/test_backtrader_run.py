"""Any Backtrader strategy over our candles: fills, records and measures."""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.adapters.backtrader_broker import EngineBroker
from crypto_bot.adapters.backtrader_declared import declared_strategy
from crypto_bot.adapters.backtrader_feed import bars_feed
from crypto_bot.adapters.backtrader_package import bt
from crypto_bot.adapters.backtrader_run import run_backtrader, standard_analyzers
from crypto_bot.core import Bars
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.orders import ExitReason
from crypto_bot.core.timeframes import HOUR_NS, timeframe_ns
from crypto_bot.engine import CostOptions, ExitOptions, SizingOptions
from crypto_bot.market import BarStore, SimulationOptions, resample, simulate_market
from crypto_bot.strategies import get_strategy

(MARKET,) = simulate_market(SimulationOptions(seed=7, symbols=1, bars=1_200))
COSTS = CostOptions(taker_fee_frac=0.001, maker_fee_frac=0.0005, slippage_frac=0.01)
FREE = CostOptions(taker_fee_frac=0, maker_fee_frac=0, slippage_frac=0)


def candles(rows, timeframe="1h", symbol="BTC/USDT"):
    """Bars from (open, high, low, close) rows."""
    prices = np.array(rows, np.float64).T
    opened = timeframe_ns(timeframe) * np.arange(prices.shape[1]) + 10**18 // HOUR_NS * HOUR_NS
    return Bars(symbol, timeframe, opened, *prices, np.ones(prices.shape[1]))


def steady(opens):
    return candles([(price, price + 1, price - 1, price) for price in opens])


def scripted(**steps):
    """A strategy that does `b3=...` at the close of bar 3."""

    class Scripted(bt.Strategy):
        def next(self):
            step = steps.get(f"b{len(self.data) - 1}")
            if step is not None:
                step(self)

    return Scripted


def row(record, *names):
    return tuple(record[name].item() for name in names)


# Records, by hand.


def test_a_position_built_and_left_in_steps_is_one_round_trip():
    bars = steady([100, 102, 104, 103, 101, 105])
    script = scripted(
        b0=lambda s: s.buy(size=2),
        b1=lambda s: s.buy(size=1),
        b2=lambda s: s.sell(size=1),
        b3=lambda s: s.sell(size=2),
    )
    result = run_backtrader(script, bars, costs=COSTS)
    bought = (102 * 1.01 * 2, 104 * 1.01)
    sold = (103 * 0.99, 101 * 0.99 * 2)
    fees = 0.001 * (sum(bought) + sum(sold))
    (trade,) = result.trades
    assert row(trade, "entry_bar", "exit_bar", "direction", "quantity") == (1, 4, 1, 3.0)
    assert trade["entry_price"] == pytest.approx(sum(bought) / 3, rel=1e-12)
    assert trade["exit_price"] == pytest.approx(sum(sold) / 3, rel=1e-12)
    assert trade["fees_quote"] == pytest.approx(fees, rel=1e-12)
    assert trade["pnl_quote"] == pytest.approx(sum(sold) - sum(bought) - fees, rel=1e-12)
    assert trade["entry_time"] == bars.open_time[1]
    assert trade["exit_time"] == bars.open_time[4]
    assert trade["exit_reason"] == ExitReason.SIGNAL
    assert result.fills["quantity"].tolist() == [2, 1, -1, -2]
    assert result.position.tolist() == [0, 2, 3, 2, 0, 0]
    assert result.metrics.final_equity == pytest.approx(100_000 + trade["pnl_quote"], rel=1e-12)
    assert result.metrics.trades == 1
    assert result.metrics.fees_quote == pytest.approx(fees, rel=1e-12)


def test_one_order_that_reverses_ends_a_trade_and_begins_another():
    bars = steady([100, 102, 104, 103])
    script = scripted(b0=lambda s: s.buy(size=2), b1=lambda s: s.sell(size=5))
    result = run_backtrader(script, bars, costs=COSTS, cash=1_000)
    first, second = result.trades
    price = 104 * 0.99
    assert row(first, "direction", "quantity", "exit_bar") == (1, 2.0, 2)
    assert first["exit_price"] == price
    assert row(second, "direction", "quantity", "exit_bar") == (-1, 3.0, -1)
    assert second["entry_price"] == price
    assert second["exit_price"] == 103.0
    assert second["exit_time"] == bars.close_time[-1]
    assert second["exit_reason"] == ExitReason.OPEN
    assert second["pnl_quote"] == pytest.approx(3 * (price - 103) - 3 * price * 0.001, rel=1e-12)
    assert result.equity[-1] == pytest.approx(
        1_000 + first["pnl_quote"] + second["pnl_quote"], rel=1e-12
    )


def test_cash_and_position_less_fees_are_the_equity_at_every_bar():
    script = scripted(
        **{f"b{k}": (lambda s: s.buy(size=0.3)) for k in range(0, 1_000, 14)},
        **{f"b{k}": (lambda s: s.close()) for k in range(7, 1_000, 28)},
    )
    result = run_backtrader(script, MARKET, costs=COSTS)
    cash = np.zeros(len(MARKET))
    held = np.zeros(len(MARKET))
    for fill in result.fills:
        cash[fill["bar"] :] -= fill["quantity"] * fill["price"] + fill["fee"]
        held[fill["bar"] :] += fill["quantity"]
    assert len(result.trades) > 30
    assert np.allclose(result.equity, 100_000 + cash + held * MARKET.close, rtol=1e-12)
    assert np.allclose(result.position, held, atol=1e-9)


# The broker: costs and the order of events inside a bar.


def bracket(strategy):
    strategy.buy_bracket(size=1, exectype=bt.Order.Market, stopprice=95, limitprice=110)


def test_a_stop_pays_slippage_and_the_taker_a_limit_neither():
    rows = [(100, 101, 99, 100), (100, 101, 99, 100)]
    stopped = run_backtrader(
        scripted(b0=bracket), candles([*rows, (100, 101, 94, 96)]), costs=COSTS
    )
    (trade,) = stopped.trades
    assert trade["exit_price"] == 95 * 0.99
    assert stopped.fills["fee"][1] == pytest.approx(95 * 0.99 * 0.001, rel=1e-12)
    assert trade["exit_reason"] == ExitReason.STOP
    assert trade["exit_time"] == stopped.bars.close_time[2]
    reached = run_backtrader(
        scripted(b0=bracket), candles([*rows, (100, 112, 99, 111)]), costs=COSTS
    )
    (trade,) = reached.trades
    assert trade["exit_price"] == 110
    assert reached.fills["fee"][1] == pytest.approx(110 * 0.0005, rel=1e-12)
    assert trade["exit_reason"] == ExitReason.TARGET


def test_slippage_may_leave_the_bar():
    flat = candles([(100, 100, 100, 100)] * 3)
    result = run_backtrader(scripted(b0=lambda s: s.buy(size=1)), flat, costs=COSTS)
    assert result.fills["price"].tolist() == [101.0]


@pytest.mark.parametrize(
    ("bar", "price", "reason"),
    [
        ((100, 112, 94, 100), 95, ExitReason.STOP),
        ((115, 116, 94, 100), 115, ExitReason.TARGET),
        ((93, 112, 92, 100), 93, ExitReason.STOP),
    ],
    ids=["both inside: the stop", "target passed at the open", "stop passed at the open"],
)
def test_what_the_open_decides_comes_before_what_happens_inside(bar, price, reason):
    rows = [(100, 101, 99, 100), (100, 101, 99, 100), bar]
    result = run_backtrader(scripted(b0=bracket), candles(rows), costs=FREE)
    (trade,) = result.trades
    assert (trade["exit_price"], trade["exit_reason"]) == (price, reason)
    at_open = bar[0] != 100
    times = result.bars.open_time if at_open else result.bars.close_time
    assert trade["exit_time"] == times[2]


def test_an_order_larger_than_the_cash_is_refused_at_the_real_price():
    bars = steady([100, 120, 120])
    result = run_backtrader(scripted(b0=lambda s: s.buy(size=9)), bars, costs=FREE, cash=1_000)
    assert len(result.trades) == 0
    assert result.equity.tolist() == [1_000] * 3


def test_an_order_on_a_daily_feed_waits_for_the_next_day():
    """Backtrader's own broker fills it five minutes later, on the day that is already over."""
    days = resample(MARKET, "1d")

    class SellsYesterday(bt.Strategy):
        def __init__(self):
            self.given = False

        def next(self):
            if not self.given:
                self.given = True
                middle = (self.data1.high[0] + self.data1.low[0]) / 2
                self.sell(self.data1, size=1, exectype=bt.Order.Limit, price=middle)

    result = run_backtrader(SellsYesterday, [MARKET, days], costs=FREE)
    bars_filled = result.feeds[1].fills["bar"].tolist()
    assert all(bar > 0 for bar in bars_filled)

    class Stock(SellsYesterday):
        filled = ()

        def notify_order(self, order):
            if order.status == order.Completed:
                self.filled = (*self.filled, len(order.data) - 1)

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bars_feed(MARKET, "5m"))
    cerebro.adddata(bars_feed(days, "1d"))
    cerebro.addstrategy(Stock)
    assert cerebro.run()[0].filled[:1] == (0,)


class Cross(bt.Strategy):
    """Written for Backtrader alone."""

    params = (("fast", 10), ("slow", 30))

    def __init__(self):
        averages = [bt.ind.SMA(period=period) for period in (self.p.fast, self.p.slow)]
        self.cross = bt.ind.CrossOver(*averages)

    def next(self):
        if self.cross > 0:
            self.buy(size=0.5 * self.broker.getvalue() / self.data.close[0])
        elif self.cross < 0:
            self.close()


def test_without_slippage_it_trades_as_under_backtrader_s_own_broker():
    costs = CostOptions(slippage_frac=0)
    result = run_backtrader(Cross, MARKET, costs=costs, parameters={"fast": 5})
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bars_feed(MARKET))
    cerebro.addstrategy(Cross, fast=5)
    cerebro.broker.setcash(100_000)
    cerebro.broker.setcommission(0.001)
    cerebro.run()
    assert len(result.trades) > 10
    assert result.metrics.final_equity == pytest.approx(cerebro.broker.getvalue(), rel=1e-12)


def test_a_cerebro_of_one_s_own_takes_the_broker_and_a_declared_strategy():
    strategy = get_strategy("sma_cross")
    declared = declared_strategy(strategy)
    cerebro = bt.Cerebro(stdstats=False, cheat_on_open=True)
    cerebro.adddata(bars_feed(MARKET))
    cerebro.addstrategy(declared)
    cerebro.broker = EngineBroker()
    cerebro.broker.set_costs(CostOptions())
    cerebro.broker.setcash(100_000)
    cerebro.broker.set_coo(True)
    (ran,) = cerebro.run()
    assert declared.__name__ == "sma_cross"
    assert ran.broker.getvalue() == run_backtrader(declared, MARKET).equity[-1]


# Feeds, store, analyzers.


def test_each_feed_has_its_own_trades_and_the_account_adds_them_up():
    one, other = simulate_market(SimulationOptions(seed=1, symbols=2, bars=400))

    class Pair(bt.Strategy):
        def next(self):
            if len(self) % 50 == 1:
                self.order_target_percent(self.data0, 0.4)
                self.order_target_percent(self.data1, -0.3)
            elif len(self) % 50 == 26:
                self.close(self.data0)
                self.close(self.data1)

    result = run_backtrader(Pair, [one, other])
    first, second = result.feeds
    assert [feed.bars.symbol for feed in result.feeds] == [one.symbol, other.symbol]
    assert set(first.trades["direction"]) == {1}
    assert set(second.trades["direction"]) == {-1}
    gained = first.trades["pnl_quote"].sum() + second.trades["pnl_quote"].sum()
    assert result.equity[-1] - result.cash == pytest.approx(gained, rel=1e-9)
    assert result.metrics.trades == len(first.trades) + len(second.trades) > 10


def test_a_store_is_read_by_symbol_and_timeframes(tmp_path):
    store = BarStore(tmp_path)
    store.append(MARKET)
    store.append(resample(MARKET, "1h"))
    result = run_backtrader(Cross, store, symbol=MARKET.symbol, timeframes=["5m", "1h"])
    assert result.bars.fingerprint == MARKET.fingerprint
    assert [data._name for data in result.strategy.datas] == ["BTC/USDT", "BTC/USDT 1h"]
    with pytest.raises(DataError, match="must hold BTC/USDT 1d, had none"):
        run_backtrader(Cross, store, symbol="BTC/USDT", timeframes=["1d"])
    with pytest.raises(ConfigError, match="symbol and timeframes must be given"):
        run_backtrader(Cross, store)
    with pytest.raises(ConfigError, match="must be left out unless candles are a BarStore"):
        run_backtrader(Cross, MARKET, symbol="BTC/USDT")


def test_equity_is_marked_once_a_bar_also_with_a_second_timeframe():
    alone = run_backtrader(Cross, MARKET)
    both = run_backtrader(Cross, [MARKET, resample(MARKET, "15m")])
    assert len(both.equity) == len(MARKET)
    assert np.array_equal(alone.equity[-300:], both.equity[-300:])


def test_the_sharpe_analyzer_is_defined_within_a_day_too():
    bars = MARKET[:250]
    analyzers = standard_analyzers(bars)
    result = run_backtrader(Cross, bars, analyzers=analyzers)
    assert analyzers["sharpe"][1]["timeframe"] == bt.TimeFrame.Minutes
    assert result.analyzers["sharpe"]["sharperatio"] is not None
    yearly = run_backtrader(Cross, bars, analyzers={"it": (bt.analyzers.SharpeRatio, {})})
    assert yearly.analyzers["it"]["sharperatio"] is None


# What is refused, and what is not hidden.


@pytest.mark.parametrize("name", ["slippage_atr_mult", "borrow_rate_annual_frac"])
def test_costs_that_backtrader_cannot_charge_are_refused(name):
    with pytest.raises(ConfigError, match=f"costs.{name} must be 0.0 in Backtrader, was 0.5"):
        run_backtrader(Cross, MARKET, costs=CostOptions(**{name: 0.5}))


def test_limits_of_the_venue_are_refused_where_nobody_would_heed_them():
    costs = CostOptions(quantity_step=0.1)
    with pytest.raises(ConfigError, match="quantity_step must be 0 for a strategy that sizes"):
        run_backtrader(Cross, MARKET, costs=costs)
    run_backtrader(declared_strategy(get_strategy("sma_cross")), MARKET[:100], costs=costs)


@pytest.mark.parametrize(
    "options",
    [
        {"exits": ExitOptions(stop_loss_atr=2.0)},
        {"sizing": SizingOptions(leverage=3.0)},
        {"sizing": SizingOptions(method="half_kelly")},
    ],
    ids=["atr", "leverage", "kelly"],
)
def test_rules_that_need_more_than_the_candle_are_refused(options):
    declared = declared_strategy(get_strategy("sma_cross"), **options)
    with pytest.raises(ConfigError, match="must need the candle alone in Backtrader"):
        run_backtrader(declared, MARKET[:50])


def test_a_strategy_that_needs_other_data_is_refused_unless_its_signals_are_given():
    strategy = get_strategy("market_making_bot")
    with pytest.raises(DataError, match="market_making_bot needs an order book"):
        declared_strategy(strategy)
    rng = np.random.default_rng(0)
    book = {
        name: MARKET.close * factor for name, factor in (("best_bid", 0.9999), ("best_ask", 1.0001))
    } | {name: rng.exponential(5, len(MARKET)) for name in ("bid_size", "ask_size")}
    signals = strategy.signals_on(MARKET, book)
    result = run_backtrader(declared_strategy(strategy, signals=signals), MARKET)
    assert (len(result.trades) > 0) == bool(signals.direction.any())
    short = type(signals)(signals.direction[:-1], signals.score[:-1])
    with pytest.raises(DataError, match="signals must hold one a bar of the first feed"):
        run_backtrader(declared_strategy(strategy, signals=short), MARKET)


def test_a_declared_strategy_says_what_its_cerebro_lacks():
    declared = declared_strategy(get_strategy("sma_cross"))
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bars_feed(MARKET[:40]))
    cerebro.addstrategy(declared)
    with pytest.raises(ConfigError, match="broker must be an EngineBroker, was BackBroker"):
        cerebro.run()
    cerebro.broker = EngineBroker()
    with pytest.raises(ConfigError, match="cheat_on_open must be True"):
        cerebro.run()


def test_what_a_strategy_raises_is_told():
    def fails(strategy):
        raise RuntimeError("bar three is broken")

    with pytest.raises(RuntimeError, match="bar three is broken"):
        run_backtrader(scripted(b3=fails), MARKET[:10])


def test_nothing_to_run_on_is_refused():
    with pytest.raises(DataError, match="candles must hold at least one Bars"):
        run_backtrader(Cross, [])
    with pytest.raises(ConfigError, match=r"cash must be greater than 0, was 0.0"):
        run_backtrader(Cross, MARKET, cash=0)

    class Unwilling(bt.Strategy):
        def __init__(self):
            raise bt.errors.StrategySkipError

    with pytest.raises(DataError, match="Unwilling must run, was skipped"):
        run_backtrader(Unwilling, MARKET[:10])
