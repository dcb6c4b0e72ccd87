"""Polling an exchange that is late, wrong, slow, rude or gone; no network, no sleeping."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from crypto_bot.adapters.ccxt_feed import CcxtFeed, FeedOptions
from crypto_bot.adapters.ccxt_source import CcxtSource
from crypto_bot.core.timeframes import MINUTE_NS, SECOND_NS, ReplayClock

BAR = 5 * MINUTE_NS
FIRST = 20_000 * 86_400 * SECOND_NS
OPTIONS = FeedOptions(
    wait_s=0.2, request_timeout_s=0.05, first_pause_s=0.001, longest_pause_s=0.001
)
SYMBOLS = ("A/USDT", "B/USDT")


def row(number, close=10.0, low=9.0):
    return [(FIRST + number * BAR) // 10**6, 10.0, 11.0, low, close, 5.0]


class Exchange:
    """Candles 0, 1, 2 ... of every symbol up to what its clock shows, the open one included."""

    timeframes = {"5m": "5m"}

    def __init__(self, clock, symbols=SYMBOLS, ahead_ns=0):
        self.clock, self.ahead_ns = clock, ahead_ns
        self.markets = {symbol: {} for symbol in symbols}
        self.answers = defaultdict(list)
        """By symbol what the next questions get instead: an error, 'hang', or rows."""
        self.lacking = defaultdict(set)
        self.asked = []
        self.tells_time = True

    async def load_markets(self):
        self.fail("markets")

    def fail(self, what):
        for answer in self.answers[what][:1]:
            self.answers[what].pop(0)
            if isinstance(answer, Exception):
                raise answer

    async def fetch_time(self):
        if not self.tells_time:
            raise network_error("no time")
        return (self.clock.now_ns() + self.ahead_ns) // 10**6

    async def fetch_ohlcv(self, symbol, timeframe, since_ms, limit):
        self.asked.append(symbol)
        if self.answers[symbol]:
            answer = self.answers[symbol].pop(0)
            if answer == "hang":
                await asyncio.Event().wait()
            if isinstance(answer, Exception):
                raise answer
            return answer
        newest = (self.clock.now_ns() + self.ahead_ns - FIRST) // BAR
        rows = [row(number) for number in range(newest + 1) if number not in self.lacking[symbol]]
        return [each for each in rows if each[0] >= since_ms][:limit]

    async def close(self):
        self.closed = True


def network_error(words="down"):
    import ccxt

    return ccxt.NetworkError(words)


def close_of(number):
    return FIRST + (number + 1) * BAR


@pytest.fixture
def clock():
    return ReplayClock(close_of(0))


@pytest.fixture
def exchange(clock):
    return Exchange(clock)


@pytest.fixture
def feed(exchange, clock):
    feed = CcxtFeed(CcxtSource("fake", exchange=exchange), "5m", clock=clock, options=OPTIONS)
    yield feed
    feed.close()


def numbers(found):
    return {symbol: ((bars.open_time - FIRST) // BAR).tolist() for symbol, bars in found.items()}


HAD = dict.fromkeys(SYMBOLS, close_of(0))


def test_the_candle_that_just_closed_comes_and_the_open_one_does_not(feed, clock):
    assert numbers(feed.closed(SYMBOLS, {}, close_of(0))) == {"A/USDT": [0], "B/USDT": [0]}
    clock.set(close_of(1))
    found = feed.closed(SYMBOLS, HAD, close_of(1))
    assert numbers(found) == {"A/USDT": [1], "B/USDT": [1]}
    assert found["A/USDT"].timeframe == "5m"
    assert not found["A/USDT"].is_simulated


def test_a_candle_that_appears_late_is_asked_for_again(feed, exchange, clock):
    clock.set(close_of(1))
    exchange.answers["A/USDT"] = [[row(0)], [], [row(0)]]
    assert numbers(feed.closed(SYMBOLS, HAD, close_of(1)))["A/USDT"] == [1]
    assert exchange.asked.count("A/USDT") == 4


def test_a_candle_that_does_not_appear_leaves_its_symbol_out_and_comes_next_time(
    feed, exchange, clock
):
    clock.set(close_of(1))
    exchange.lacking["A/USDT"] = {1}
    assert numbers(feed.closed(SYMBOLS, HAD, close_of(1))) == {"B/USDT": [1]}
    exchange.lacking.clear()
    clock.set(close_of(2))
    after = {"A/USDT": close_of(0), "B/USDT": close_of(1)}
    found = feed.closed(SYMBOLS, after, close_of(2))
    assert numbers(found) == {"A/USDT": [1, 2], "B/USDT": [2]}


def test_a_hole_is_asked_for_once_more_and_then_stays(feed, exchange, clock):
    clock.set(close_of(4))
    exchange.answers["A/USDT"] = [[row(0), row(1), row(3), row(4)]]
    exchange.lacking["B/USDT"] = {2}
    found = feed.closed(SYMBOLS, HAD, close_of(4))
    assert numbers(found) == {"A/USDT": [1, 2, 3, 4], "B/USDT": [1, 3, 4]}
    assert exchange.asked.count("B/USDT") == 2


def test_duplicates_and_disorder_come_out_in_order_and_once(feed, exchange, clock):
    clock.set(close_of(3))
    exchange.answers["A/USDT"] = [[row(3), row(1), row(2), row(1, 10.5), row(4), row(0)]]
    found = feed.closed(SYMBOLS, HAD, close_of(3))["A/USDT"]
    assert numbers({"A/USDT": found}) == {"A/USDT": [1, 2, 3]}
    assert found.close.tolist() == [10, 10, 10]


def test_a_candle_once_given_is_not_given_again_when_it_is_revised(feed, exchange, clock, caplog):
    feed.closed(SYMBOLS, {}, close_of(0))
    clock.set(close_of(1))
    exchange.answers["A/USDT"] = [[row(0, 10.7), row(1)]]
    with caplog.at_level("WARNING"):
        found = feed.closed(SYMBOLS, HAD, close_of(1))
    assert numbers(found)["A/USDT"] == [1]
    assert feed.revisions == 1
    assert "A/USDT candle of" in caplog.text
    assert "was revised after it was traded on" in caplog.text


def test_a_candle_that_breaks_the_rules_is_left_out_and_asked_for_again(
    feed, exchange, clock, caplog
):
    clock.set(close_of(1))
    exchange.answers["A/USDT"] = [[row(1, low=99.0)]]
    with caplog.at_level("WARNING"):
        assert numbers(feed.closed(SYMBOLS, HAD, close_of(1)))["A/USDT"] == [1]
    assert "A/USDT candle left out" in caplog.text


def faults():
    import ccxt

    return [
        ccxt.RateLimitExceeded("slow down"),
        ccxt.NetworkError("reset"),
        ccxt.ExchangeNotAvailable("maintenance"),
        ccxt.BadResponse("half an answer"),
        OSError("no route"),
        [["garbage"]],
        [[1, 2]],
        None,
        "hang",
    ]


@pytest.mark.parametrize("place", range(9))
def test_whatever_goes_wrong_once_is_asked_again(feed, exchange, clock, place):
    clock.set(close_of(1))
    exchange.answers["A/USDT"] = [faults()[place]]
    assert numbers(feed.closed(SYMBOLS, HAD, close_of(1))) == {"A/USDT": [1], "B/USDT": [1]}


def test_a_symbol_that_hangs_does_not_hold_up_the_others(feed, exchange, clock):
    clock.set(close_of(1))
    exchange.answers["A/USDT"] = ["hang"] * 50
    assert numbers(feed.closed(SYMBOLS, HAD, close_of(1))) == {"B/USDT": [1]}


def test_an_exchange_that_is_down_leaves_all_out_and_comes_back(feed, exchange, clock):
    exchange.answers["markets"] = [network_error()] * 10_000
    exchange.tells_time = False
    assert feed.closed(SYMBOLS, {}, close_of(0)) == {}
    exchange.answers["markets"] = []
    clock.set(close_of(2))
    found = feed.closed(SYMBOLS, HAD, close_of(2))
    assert numbers(found) == {"A/USDT": [1, 2], "B/USDT": [1, 2]}


def test_a_symbol_the_exchange_does_not_have_is_left_out(feed):
    assert set(feed.closed(["A/USDT", "X/USDT"], {}, close_of(0))) == {"A/USDT"}


def test_long_absences_are_fetched_page_by_page(feed, clock):
    clock.set(close_of(1200))
    found = feed.closed(SYMBOLS[:1], HAD, close_of(1200))
    assert numbers(found)["A/USDT"] == list(range(1, 1201))


def test_a_candle_closes_by_the_exchanges_clock(clock):
    # Ours is 2 s fast: at our close the exchange still shows the candle as open.
    exchange = Exchange(clock, ahead_ns=-2 * SECOND_NS)
    feed = CcxtFeed(CcxtSource("fake", exchange=exchange), "5m", clock=clock, options=OPTIONS)
    feed.closed(SYMBOLS, {}, close_of(0) - BAR)
    assert feed.clock_skew_s == -2.0
    exchange.answers["A/USDT"] = [[row(0, 10.4)]] * 500
    clock.set(close_of(0) + SECOND_NS)
    assert "A/USDT" not in feed.closed(SYMBOLS, {}, close_of(0))
    exchange.answers.clear()
    clock.set(close_of(0) + 3 * SECOND_NS)
    assert feed.closed(SYMBOLS, {}, close_of(0))["A/USDT"].close.tolist() == [10.0]
    feed.close()
    assert exchange.closed


def test_an_exchange_that_does_not_tell_the_time_is_believed_by_ours(feed, exchange, caplog):
    exchange.tells_time = False
    with caplog.at_level("WARNING"):
        assert set(feed.closed(SYMBOLS, {}, close_of(0))) == set(SYMBOLS)
    assert feed.clock_skew_s == 0.0
    assert "did not tell the time" in caplog.text
