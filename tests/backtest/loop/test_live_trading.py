"""Trading inside the loop when journal, registry or clock fail: who trades goes on, and no session is lost."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from backtest.loop.markets import STORED_DAYS, loop_in, market
from crypto_bot.backtest.loop import live as live_module
from crypto_bot.backtest.loop.choosing import Chosen
from crypto_bot.backtest.loop.live import KIND, LiveTrading
from crypto_bot.backtest.loop.turn_process import TurnEnd
from crypto_bot.backtest.rehearsal import Trader
from crypto_bot.core.errors import StorageError
from crypto_bot.core.timeframes import DAY_NS, MINUTE_NS
from crypto_bot.market import BarStore
from crypto_bot.strategies import get_strategy
from crypto_bot.trading import KeptFeed, ReplayFeed, StrategyDecisions

BAR_NS = 5 * MINUTE_NS


class SetClock:
    """A clock that goes wherever it is set."""

    def __init__(self, now_ns):
        self.at_ns = now_ns

    def now_ns(self):
        return self.at_ns


@pytest.fixture
def trading(tmp_path, monkeypatch):
    bars = market()
    begin_ns = int(bars[0].open_time[0]) + STORED_DAYS * DAY_NS
    clock, exchange = SetClock(begin_ns), SetClock(begin_ns)
    asked = []

    def choose(bench, universe):
        del universe
        asked.append(clock.now_ns())
        maker = StrategyDecisions(get_strategy("sma_cross"))
        trader = Trader("sma_cross", "5m", maker, bench.exits, False, "told so")
        return Chosen(trader, {"trader": trader.name}, "turn")

    monkeypatch.setattr(live_module, "choose", choose)
    with loop_in(tmp_path, clock=clock) as loop:
        feed = KeptFeed(ReplayFeed(bars, exchange), BarStore(loop.bench.settings.data.store_folder))
        live = LiveTrading(loop.bench, feed, symbols=None, announce=loop.announce)
        live.tick(begin_ns)
        yield SimpleNamespace(
            loop=loop, live=live, clock=clock, exchange=exchange, begin_ns=begin_ns, asked=asked
        )


def pass_bars(trading, count=1):
    """So many closes later."""
    for _ in range(count):
        trading.clock.at_ns += BAR_NS
        trading.exchange.at_ns += BAR_NS
        trading.live.tick(trading.clock.at_ns)


def refuse(*_told, **_more):
    raise StorageError("store must be reachable, was not")


def decided(trading):
    journal = trading.loop.bench.journal
    return {
        decision.bar_close_ns
        for run in journal.runs(KIND)
        for decision in journal.decisions(run.id)
    }


def test_a_session_goes_on_after_the_journal_failed_in_the_middle_of_a_close(trading, monkeypatch):
    journal = trading.loop.bench.journal
    pass_bars(trading, 2)
    with monkeypatch.context() as down:
        for method in ("record_close", "finish_run", "_end_step"):
            down.setattr(journal, method, refuse)
        with pytest.raises(StorageError, match="must be reachable"):
            pass_bars(trading)
    trading.live.tick(trading.clock.at_ns)
    pass_bars(trading)
    (run,) = journal.runs(KIND)
    assert any(f"run {run.id} goes on" in line for line in trading.loop.lines)
    assert decided(trading) == {trading.begin_ns + k * BAR_NS for k in (1, 2, 3, 4)}


def test_closes_are_decided_while_nobody_can_say_who_trades_next(trading, monkeypatch):
    monkeypatch.setattr(live_module, "choose", refuse)
    trading.live.choose_again()
    pass_bars(trading, 2)
    assert decided(trading) == {trading.begin_ns + k * BAR_NS for k in (1, 2)}


def test_who_trades_is_asked_again_later_where_it_could_not_be_told(trading, monkeypatch):
    with monkeypatch.context() as down:
        down.setattr(live_module, "choose", refuse)
        trading.live.choose_again()
        pass_bars(trading)
    asked = len(trading.asked)
    pass_bars(trading)
    assert len(trading.asked) == asked + 1


def test_a_failed_turn_does_not_make_a_roll_back_forgotten(trading):
    trading.live.choose_again()
    trading.live.turn_ended(TurnEnd("", promoted=False, error="out of memory"))
    asked = len(trading.asked)
    pass_bars(trading)
    assert len(trading.asked) == asked + 1


def test_a_clock_that_was_days_ahead_and_came_back_stops_no_trading(trading):
    pass_bars(trading)
    trading.clock.at_ns += 400 * DAY_NS
    trading.live.tick(trading.clock.at_ns)
    trading.clock.at_ns -= 400 * DAY_NS
    trading.live.tick(trading.clock.at_ns)
    trading.live.tick(trading.clock.at_ns)
    pass_bars(trading, 2)
    assert decided(trading) == {trading.begin_ns + k * BAR_NS for k in (1, 2, 3)}
    assert len(trading.loop.bench.journal.runs(KIND)) == 1
