"""The ccxt adapter against a loopback double of Binance's public API: no network."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from crypto_bot.adapters.ccxt_source import CcxtSource, tradeable_pairs
from crypto_bot.core.errors import ConfigError, DataError, Retryable
from crypto_bot.core.timeframes import ReplayClock
from crypto_bot.market import (
    BarStore,
    DownloadOptions,
    ExchangeUnreachable,
    SimulationOptions,
    download_candles,
    simulate_market,
)

MILLISECOND_NS = 10**6
RETRIES = DownloadOptions(attempts=2, backoff_s=0.0, page_bars=100)
COINS = {
    "BTC": 9e9,
    "ETH": 5e9,
    "SOL": 2e9,
    "USDC": 8e9,
    "BTCUP": 3e9,
    "JUP": 1e8,
    "DOGE": 4e6,
    "OLD": 7e9,
}


def market_entry(base, quote="USDT"):
    filters = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": "0.01",
            "maxPrice": "1000000",
            "tickSize": "0.01",
        },
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
        {"filterType": "NOTIONAL", "minNotional": "5"},
    ]
    return {
        "symbol": base + quote,
        "status": "BREAK" if base == "OLD" else "TRADING",
        "baseAsset": base,
        "quoteAsset": quote,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "permissions": ["SPOT"],
        "permissionSets": [["SPOT"]],
        "filters": filters,
    }


class Double(ThreadingHTTPServer):
    """Answers like api.binance.com/api/v3; `statuses` are given out first, one a request."""

    daemon_threads = True

    def __init__(self, series):
        super().__init__(("127.0.0.1", 0), Handler)
        self.series = {bars.symbol.replace("/", ""): list(bars) for bars in series}
        self.statuses = []
        self.asked = []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/api/v3"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        self.server.asked.append(path.rsplit("/", 1)[-1])
        if self.server.statuses:
            return self.reply("the gateway is unwell", self.server.statuses.pop(0))
        if path.endswith("/exchangeInfo"):
            pairs = [market_entry(base) for base in COINS] + [market_entry("BTC", "EUR")]
            return self.reply({"timezone": "UTC", "rateLimits": [], "symbols": pairs})
        if path.endswith("/ticker/24hr"):
            keys = {"lastPrice": "1", "priceChange": "0", "volume": "1"}
            return self.reply(
                [
                    {"symbol": f"{base}USDT", "quoteVolume": str(v), **keys}
                    for base, v in COINS.items()
                ]
            )
        since, limit = int(query["startTime"][0]), int(query["limit"][0])
        rows = [
            [
                b.open_time // MILLISECOND_NS,
                *(f"{value:.10f}" for value in b[1:]),
                0,
                "0",
                0,
                "0",
                "0",
                "0",
            ]
            for b in self.server.series[query["symbol"][0]]
            if b.open_time >= since * MILLISECOND_NS
        ]
        return self.reply(rows[:limit])

    def reply(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if status != 200 else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def market():
    made = simulate_market(SimulationOptions(seed=5, symbols=3, bars=500))
    # The double writes ten decimals, as an exchange would write its own.
    rounded = ("open", "high", "low", "close", "volume")
    return [
        replace(b, is_simulated=False, **{name: getattr(b, name).round(10) for name in rounded})
        for b in made
    ]


@pytest.fixture
def double(market):
    server = Double(market)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def make_source(address):
    """Must run inside the loop: ccxt binds its connections to it."""
    import ccxt.async_support as ccxt

    exchange = ccxt.binance({"rateLimit": 1, "options": {"fetchMarkets": {"types": ["spot"]}}})
    exchange.urls["api"]["public"] = address
    return CcxtSource("binance", exchange=exchange, retries=RETRIES)


def ask(address, question):
    async def run():
        source = make_source(address)
        try:
            return await question(source)
        finally:
            await source.close()

    return asyncio.run(run())


def test_top_pairs_are_ranked_by_traded_value_without_stablecoins_and_leveraged_tokens(double):
    top = ask(double.address, lambda source: source.top_symbols("USDT", 20))
    assert top == ["BTC/USDT", "ETH/USDT", "SOL/USDT", "JUP/USDT", "DOGE/USDT"]
    assert ask(double.address, lambda s: s.top_symbols("USDT", 2)) == ["BTC/USDT", "ETH/USDT"]
    assert ask(double.address, lambda s: s.top_symbols("USDT", 9, 1e9)) == top[:3]


def test_an_unknown_quote_names_the_nearest(double):
    with pytest.raises(DataError, match=r"must trade pairs against USDX, had none.*'USDT'"):
        ask(double.address, lambda source: source.top_symbols("USDX", 3))


def test_candles_arrive_in_nanoseconds_from_the_time_asked(double, market):
    since = int(market[0].open_time[10])
    rows = ask(double.address, lambda s: s.fetch_candles("BTC/USDT", "5m", since, 5))
    assert rows == list(market[0][10:15])
    between = ask(double.address, lambda s: s.fetch_candles("BTC/USDT", "5m", since + 1, 1))
    assert between == list(market[0][11:12])


def test_unknown_symbols_and_timeframes_are_refused_before_asking(double):
    with pytest.raises(DataError, match="must trade BTC/USDX, does not; did you mean 'BTC/USDT'"):
        ask(double.address, lambda s: s.fetch_candles("BTC/USDX", "5m", 0, 5))
    with pytest.raises(DataError, match="must offer 7m candles, had 1s, 1m"):
        ask(double.address, lambda s: s.fetch_candles("BTC/USDT", "7m", 0, 5))
    assert "klines" not in double.asked


@pytest.mark.parametrize("status", [429, 418, 500, 503, 504])
def test_faults_after_the_first_answer_are_retryable(double, status):
    async def question(source):
        await source.top_symbols("USDT", 1)
        double.statuses = [status]
        with pytest.raises(Retryable, match="binance: "):
            await source.fetch_candles("BTC/USDT", "5m", 0, 5)
        return await source.fetch_candles("BTC/USDT", "5m", 0, 5)

    assert len(ask(double.address, question)) == 5


def test_top_pairs_are_asked_for_again_after_a_passing_fault(double):
    async def question(source):
        await source.fetch_candles("BTC/USDT", "5m", 0, 1)
        double.statuses = [503]
        assert await source.top_symbols("USDT", 1) == ["BTC/USDT"]
        double.statuses = [503, 503]
        with pytest.raises(ExchangeUnreachable, match="failed 2 times"):
            await source.top_symbols("USDT", 1)

    ask(double.address, question)


@pytest.mark.parametrize("status", [403, 451, 503])
def test_a_refusal_at_the_first_question_means_unreachable(double, status):
    double.statuses = [status]
    with pytest.raises(ExchangeUnreachable, match="binance must be reachable, was not"):
        ask(double.address, lambda source: source.top_symbols("USDT", 1))
    assert double.asked == ["exchangeInfo"]


def test_a_closed_port_means_unreachable_at_once(double):
    address = "http://127.0.0.1:1/api/v3"
    with pytest.raises(ExchangeUnreachable, match="import candles from files"):
        ask(address, lambda source: source.fetch_candles("BTC/USDT", "5m", 0, 1))


def test_a_whole_download_through_ccxt_equals_the_exchange(double, market, tmp_path):
    store = BarStore(tmp_path)
    symbols = [bars.symbol for bars in market]
    clock = ReplayClock(int(market[0].close_time[-1]) - 1)
    start = int(market[0].open_time[0])

    def question(source):
        return download_candles(
            store, source, symbols, "5m", start_ns=start, clock=clock, options=RETRIES
        )

    outcomes = ask(double.address, question)
    assert [outcome.error for outcome in outcomes] == [None] * 3
    for bars in market:
        assert store.load(bars.symbol, "5m").fingerprint == bars[:-1].fingerprint


def test_an_unknown_exchange_is_a_configuration_fault():
    with pytest.raises(ConfigError, match=r"must be one that ccxt knows, was 'binanse'.*'binance'"):
        CcxtSource("binanse")


def test_rows_without_a_price_are_no_candles_and_a_missing_volume_is_zero():
    class Exchange:
        timeframes = {"5m": "5m"}
        markets = {"A/USDT": {}}

        async def load_markets(self):
            pass

        async def fetch_ohlcv(self, *_):
            return [
                [1000, 1, 1, 1, 1, None],
                [2000, None, None, None, None, 0],
                [3000, 2, 2, 2, 2, 5],
            ]

    source = CcxtSource("fake", exchange=Exchange())
    rows = asyncio.run(source.fetch_candles("A/USDT", "5m", 0, 9))
    assert [(row.open_time, row.volume) for row in rows] == [(10**9, 0.0), (3 * 10**9, 5.0)]


def test_markets_that_say_little_are_judged_by_what_they_say():
    markets = {
        "A/USDT": {"base": "A", "quote": "USDT", "spot": True, "active": None},
        "A/USDT:USDT": {"base": "A", "quote": "USDT", "spot": False, "active": True},
        "A3L/USDT": {"base": "A3L", "quote": "USDT", "spot": True, "active": True},
        "A/BTC": {"base": "A", "quote": "BTC", "spot": True, "active": True},
    }
    assert tradeable_pairs(markets, "USDT") == ["A/USDT"]
