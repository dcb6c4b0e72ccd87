"""A download asks only for what is missing, keeps only closed candles, and can stop anywhere."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from crypto_bot.core.errors import DataError, Retryable
from crypto_bot.core.timeframes import ReplayClock
from crypto_bot.market import (
    DownloadOptions,
    ExchangeUnreachable,
    SimulationOptions,
    download_candles,
    simulate_market,
)
from crypto_bot.market.download import with_retries

OPTIONS = DownloadOptions(page_bars=100, attempts=4, backoff_s=1.0, longest_backoff_s=3.0)


class FakeExchange:
    """Serves known candles as Binance does: from `since` on, whatever outages lie between."""

    def __init__(self, series, clock, *, windowed=False):
        self.series = {bars.symbol: list(bars) for bars in series}
        self.clock = clock
        self.windowed = windowed
        self.asked = []
        self.faults = []
        self.busy = 0
        self.most_busy = 0

    async def top_symbols(self, quote, count, min_volume_quote=0.0):
        return sorted(self.series)[:count]

    async def fetch_candles(self, symbol, timeframe, since_ns, limit):
        self.asked.append((symbol, since_ns))
        self.busy += 1
        self.most_busy = max(self.busy, self.most_busy)
        await asyncio.sleep(0)
        self.busy -= 1
        if self.faults:
            raise self.faults.pop(0)
        if symbol not in self.series:
            raise DataError(f"fake must trade {symbol}, does not")
        interval = 300 * 10**9
        upto = since_ns + limit * interval if self.windowed else 2**63
        found = [b for b in self.series[symbol] if since_ns <= b.open_time < upto]
        return [b for b in found if b.open_time <= self.clock.now_ns()][:limit]

    async def close(self):
        pass


class Sleeper:
    def __init__(self):
        self.waits = []

    async def __call__(self, seconds):
        self.waits.append(seconds)


@pytest.fixture(scope="module")
def market():
    made = simulate_market(SimulationOptions(seed=5, symbols=6, bars=1200, outages_per_year=200))
    return [replace(bars, is_simulated=False) for bars in made]


@pytest.fixture
def clock(market):
    return ReplayClock(int(market[0].close_time[-1]))


@pytest.fixture
def exchange(market, clock):
    return FakeExchange(market, clock)


def download(store, exchange, clock, *, start, symbols=None, options=OPTIONS, sleep=None):
    names = sorted(exchange.series) if symbols is None else symbols
    return asyncio.run(
        download_candles(
            store,
            exchange,
            names,
            "5m",
            start_ns=int(start),
            clock=clock,
            options=options,
            sleep=sleep or Sleeper(),
        )
    )


def test_everything_closed_arrives_and_several_symbols_are_fetched_at_once(
    store, exchange, clock, market
):
    outcomes = download(store, exchange, clock, start=market[0].open_time[0])
    assert [outcome.error for outcome in outcomes] == [None] * 6
    assert [outcome.symbol for outcome in outcomes] == sorted(exchange.series)
    for bars in market:
        assert store.load(bars.symbol, "5m").fingerprint == bars.fingerprint
    assert exchange.most_busy == OPTIONS.symbols_at_once


def test_the_open_candle_is_never_stored(store, exchange, clock, market):
    clock = ReplayClock(int(market[0].close_time[500]) - 1)
    exchange.clock = clock
    download(store, exchange, clock, start=market[0].open_time[0])
    assert store.last_open_time("BTC/USDT", "5m") == market[0].open_time[499]
    clock.set(int(market[0].close_time[500]))
    outcomes = download(store, exchange, clock, start=market[0].open_time[0])
    assert {outcome.added for outcome in outcomes} == {1}


def test_a_second_run_goes_on_where_the_store_stops_with_one_question(
    store, exchange, clock, market
):
    download(store, exchange, clock, start=market[0].open_time[0])
    exchange.asked.clear()
    outcomes = download(store, exchange, clock, start=market[0].open_time[0])
    assert {(outcome.added, outcome.replaced) for outcome in outcomes} == {(0, 0)}
    assert exchange.asked == [(name, market[0].open_time[-1]) for name in sorted(exchange.series)]


def test_a_candle_taken_too_early_is_corrected_by_the_next_run(store, exchange, clock, market):
    part = market[0][:300]
    volume = part.volume.copy()
    volume[-1] /= 2
    store.append(replace(part, volume=volume))
    (outcome,) = download(store, exchange, clock, start=part.open_time[0], symbols=["BTC/USDT"])
    assert (outcome.added, outcome.replaced) == (len(market[0]) - 300, 1)
    assert store.load("BTC/USDT", "5m").fingerprint == market[0].fingerprint


@pytest.mark.parametrize("windowed", [False, True])
def test_an_earlier_start_fills_the_head_backwards(store, exchange, clock, market, windowed):
    exchange.windowed = windowed
    store.append(market[0][700:])
    exchange.faults = []
    (outcome,) = download(
        store, exchange, clock, start=market[0].open_time[0], symbols=["BTC/USDT"]
    )
    assert outcome.added == 700
    assert store.load("BTC/USDT", "5m").fingerprint == market[0].fingerprint


@pytest.mark.parametrize("pages", [1, 2, 4, 6, 9])
def test_wherever_it_breaks_no_hole_is_left_and_the_next_run_completes(
    store, exchange, clock, market, pages
):
    whole = market[0]
    store.append(whole[600:800])
    answered = [0]
    fetch = exchange.fetch_candles

    async def breaks(*arguments):
        answered[0] += 1
        if answered[0] > pages:
            raise ExchangeUnreachable("the line is down")
        return await fetch(*arguments)

    exchange.fetch_candles = breaks
    with pytest.raises(ExchangeUnreachable, match="the line is down"):
        download(store, exchange, clock, start=whole.open_time[0], symbols=["BTC/USDT"])
    stored = store.load("BTC/USDT", "5m")
    between = whole.between(int(stored.open_time[0]), int(stored.close_time[-1]))
    assert stored.fingerprint == between.fingerprint
    exchange.fetch_candles = fetch
    download(store, exchange, clock, start=whole.open_time[0], symbols=["BTC/USDT"])
    assert store.load("BTC/USDT", "5m").fingerprint == whole.fingerprint


def test_a_listing_after_the_start_is_found_by_exchanges_that_answer_by_window(
    store, exchange, clock, market
):
    exchange.windowed = True
    exchange.series["ETH/USDT"] = exchange.series["ETH/USDT"][850:]
    (outcome,) = download(
        store, exchange, clock, start=market[0].open_time[0], symbols=["ETH/USDT"]
    )
    assert outcome.added == len(market[1]) - 850


def test_an_empty_page_in_the_middle_ends_the_run_without_a_hole(store, exchange, clock, market):
    fetch = exchange.fetch_candles

    async def hiccup(symbol, timeframe, since_ns, limit):
        found = await fetch(symbol, timeframe, since_ns, limit)
        return [] if len(exchange.asked) == 4 else found

    exchange.fetch_candles = hiccup
    download(store, exchange, clock, start=market[0].open_time[0], symbols=["BTC/USDT"])
    assert len(store.load("BTC/USDT", "5m")) == 300
    exchange.fetch_candles = fetch
    download(store, exchange, clock, start=market[0].open_time[0], symbols=["BTC/USDT"])
    assert store.load("BTC/USDT", "5m").fingerprint == market[0].fingerprint


def test_repeated_and_unsorted_rows_of_a_page_are_put_right(store, exchange, clock, market):
    fetch = exchange.fetch_candles

    async def messy(*arguments):
        found = list(await fetch(*arguments))
        return found[::-1] + found[:5] + list(market[0][:2])

    exchange.fetch_candles = messy
    download(store, exchange, clock, start=market[0].open_time[0], symbols=["BTC/USDT"])
    assert store.load("BTC/USDT", "5m").fingerprint == market[0].fingerprint


def test_passing_faults_are_tried_again_after_growing_waits(store, exchange, clock, market):
    exchange.faults = [Retryable("busy"), Retryable("busy"), Retryable("busy")]
    sleeper = Sleeper()
    (outcome,) = download(
        store, exchange, clock, start=market[0].open_time[0], symbols=["BTC/USDT"], sleep=sleeper
    )
    assert outcome.error is None
    assert sleeper.waits == [1.0, 2.0, 3.0]
    assert store.load("BTC/USDT", "5m").fingerprint == market[0].fingerprint


def test_an_exchange_that_stays_away_is_unreachable_after_bounded_tries(
    store, exchange, clock, market
):
    exchange.faults = [Retryable("gone")] * 1000
    sleeper = Sleeper()
    with pytest.raises(ExchangeUnreachable, match=r"failed 4 times \(gone\); try again later"):
        download(store, exchange, clock, start=market[0].open_time[0], sleep=sleeper)
    assert len(exchange.asked) <= OPTIONS.symbols_at_once * OPTIONS.attempts
    assert store.catalog() == []


def test_one_bad_symbol_does_not_stop_the_others(store, exchange, clock, market):
    outcomes = download(
        store, exchange, clock, start=market[0].open_time[0], symbols=["BTC/USDT", "NOPE/USDT"]
    )
    assert outcomes[0].error is None
    assert "must trade NOPE/USDT" in outcomes[1].error
    assert [entry.symbol for entry in store.catalog()] == ["BTC/USDT"]


def test_an_impossible_candle_is_reported_and_the_pages_before_it_kept(
    store, exchange, clock, market
):
    rows = exchange.series["BTC/USDT"]
    rows[250] = rows[250]._replace(low=-1.0)
    (outcome,) = download(
        store, exchange, clock, start=market[0].open_time[0], symbols=["BTC/USDT"]
    )
    assert "low must be finite and > 0" in outcome.error
    assert outcome.added == len(store.load("BTC/USDT", "5m")) == 200


def test_a_simulated_store_takes_no_download(store, exchange, clock, simulated):
    store.append(simulated)
    (outcome,) = download(
        store, exchange, clock, start=simulated.open_time[0], symbols=["ETH/USDT"]
    )
    assert "must hold only SIMULATED candles" in outcome.error


def test_retries_return_the_first_success():
    answers = [Retryable("once"), 7]

    async def call():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert asyncio.run(with_retries(call, OPTIONS, Sleeper())) == 7
