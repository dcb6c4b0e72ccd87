"""Public candles of any exchange that ccxt speaks to: implements `market.CandleSource`."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from crypto_bot.core.bars import Bar
from crypto_bot.core.errors import ConfigError, DataError, Retryable, nearest
from crypto_bot.market.download import DownloadOptions, ExchangeUnreachable, with_retries

if TYPE_CHECKING:
    from ccxt.async_support import Exchange

_MILLISECOND_NS = 1_000_000
_STABLECOINS = frozenset(
    {
        *("USDT", "USDC", "BUSD", "TUSD", "FDUSD", "USDP", "USDD", "USDE", "USDS", "USD1", "DAI"),
        *("PYUSD", "GUSD", "LUSD", "FRAX", "SUSD", "UST", "USTC", "RLUSD", "XUSD", "BFUSD", "PAX"),
        *("AEUR", "EURI", "EURC", "EURT", "USD", "EUR", "GBP", "TRY", "BRL", "AUD", "JPY"),
        *("PAXG", "XAUT"),
    }
)
"""Coins that follow a currency or gold: a pair of two of them has no market to learn from."""
_LEVERAGED = re.compile(r"(?P<coin>.+?)(UP|DOWN|BULL|BEAR|HALF|HEDGE|[2-9][LS])")


class CcxtSource:
    """Candles of one exchange.

    Parameters
    ----------
    name : str                  ccxt's name of the exchange, such as 'binance'
    exchange : Exchange | None  an exchange already configured (a sandbox, a test double)
    retries : DownloadOptions   how often `top_symbols` asks again

    Raises
    ------
    ConfigError    if ccxt knows no such exchange

    Notes
    -----
    ccxt keeps inside the exchange's rate limit. Only spot markets are read, no key is needed, and
    the usual proxy variables of the environment are respected. Until the first answer every fault
    means ExchangeUnreachable, so that a machine without a network is told at once; later ones are
    Retryable.
    """

    def __init__(
        self,
        name: str = "binance",
        *,
        exchange: Exchange | None = None,
        retries: DownloadOptions | None = None,
    ) -> None:
        self.name = name
        self._exchange: Any = make_exchange(name) if exchange is None else exchange
        self._retries = DownloadOptions() if retries is None else retries
        self._is_loaded = False

    async def top_symbols(self, quote: str, count: int, min_volume_quote: float = 0.0) -> list[str]:
        """The spot pairs with the largest traded value of the last day, largest first.

        Raises
        ------
        ExchangeUnreachable    if the exchange does not answer
        DataError              if it trades nothing against `quote`
        """
        markets = await self._load_markets()
        pairs = tradeable_pairs(markets, quote)
        if not pairs:
            quotes = {str(market["quote"]) for market in markets.values()}
            raise DataError(
                f"{self.name} must trade pairs against {quote}, had none{nearest(quote, quotes)}"
            )
        tickers: Mapping[str, Mapping[str, Any]] = await with_retries(
            lambda: self._ask(self._exchange.fetch_tickers), self._retries
        )
        value = {pair: _traded_value(tickers.get(pair, {})) for pair in pairs}
        large = [pair for pair in pairs if value[pair] >= min_volume_quote]
        return sorted(large, key=lambda pair: (-value[pair], pair))[:count]

    async def fetch_candles(
        self, symbol: str, timeframe: str, since_ns: int, limit: int
    ) -> list[Bar]:
        """At most `limit` candles that open at or after `since_ns`; the last may still be open.

        Raises
        ------
        DataError              if the exchange lacks the symbol or timeframe (names the nearest)
        Retryable              for a fault that may pass
        ExchangeUnreachable    if it did not answer the first question
        """
        markets = await self._load_markets()
        if symbol not in markets:
            raise DataError(f"{self.name} must trade {symbol}, does not{nearest(symbol, markets)}")
        known = self._exchange.timeframes or {}
        if timeframe not in known:
            raise DataError(f"{self.name} must offer {timeframe} candles, had {', '.join(known)}")
        since_ms = -(-since_ns // _MILLISECOND_NS)
        rows = await self._ask(
            lambda: self._exchange.fetch_ohlcv(symbol, timeframe, since_ms, limit)
        )
        # A row without a price is a span without a trade: no candle.
        return [_bar(row) for row in rows if None not in row[:5]]

    async def server_time_ns(self) -> int:
        """The exchange's clock, UTC ns; DataError or Retryable where it does not tell."""
        return int(await self._ask(self._exchange.fetch_time)) * _MILLISECOND_NS

    async def close(self) -> None:
        """Free the connections."""
        await self._exchange.close()

    async def _load_markets(self) -> Mapping[str, Mapping[str, Any]]:
        from ccxt.base.errors import BaseError

        if not self._is_loaded:
            try:
                await self._exchange.load_markets()
            except BaseError as error:
                raise ExchangeUnreachable(
                    f"{self.name} must be reachable, was not ({type(error).__name__}: "
                    f"{_short(error)}); check the network, or import candles from files"
                ) from error
            self._is_loaded = True
        markets: Mapping[str, Mapping[str, Any]] = self._exchange.markets
        return markets

    async def _ask(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """One request with ccxt's errors in this project's words."""
        from ccxt.base.errors import BadSymbol, BaseError, OperationFailed

        try:
            return await call()
        except OperationFailed as error:
            raise Retryable(f"{self.name}: {type(error).__name__}: {_short(error)}") from error
        except BadSymbol as error:
            raise DataError(f"{self.name} refused the symbol: {_short(error)}") from error
        except BaseError as error:
            raise DataError(f"{self.name}: {type(error).__name__}: {_short(error)}") from error


def tradeable_pairs(markets: Mapping[str, Mapping[str, Any]], quote: str) -> list[str]:
    """Active spot pairs against `quote`, without stablecoins and leveraged tokens."""
    coins = {str(market["base"]) for market in markets.values()}
    return [
        symbol
        for symbol, market in markets.items()
        if market.get("spot")
        and market.get("active") is not False
        and market["quote"] == quote
        and market["base"] not in _STABLECOINS
        and not _is_leveraged(str(market["base"]), coins)
    ]


def _is_leveraged(base: str, coins: Iterable[str]) -> bool:
    """BTCUP is leveraged because BTC is a coin; JUP is not, for there is no coin J."""
    match = _LEVERAGED.fullmatch(base)
    return match is not None and match["coin"] in coins


def _traded_value(ticker: Mapping[str, Any]) -> float:
    """Quote currency traded in the last day, 0 where the exchange does not say."""
    value = ticker.get("quoteVolume")
    if value is None:
        value = (ticker.get("baseVolume") or 0.0) * (ticker.get("last") or 0.0)
    return float(value)


def _bar(row: list[Any]) -> Bar:
    opened, high, low, close = map(float, row[1:5])
    volume = 0.0 if row[5] is None else float(row[5])
    return Bar(int(row[0]) * _MILLISECOND_NS, opened, high, low, close, volume)


def _short(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:160]


def make_exchange(name: str) -> Exchange:
    import ccxt.async_support as ccxt

    if name not in ccxt.exchanges:
        raise ConfigError(
            f"exchange must be one that ccxt knows, was {name!r}{nearest(name, ccxt.exchanges)}"
        )
    options = {"fetchMarkets": {"types": ["spot"]}} if name == "binance" else {}
    settings = {"enableRateLimit": True, "aiohttp_trust_env": True, "options": options}
    exchange: Exchange = getattr(ccxt, name)(settings)
    return exchange
