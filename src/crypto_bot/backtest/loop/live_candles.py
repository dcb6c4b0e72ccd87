"""Candles for live trading: the feed fills the store, the store is what is traded on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from crypto_bot.backtest.candles import stored_bars, stored_series
from crypto_bot.backtest.downloading import downloaded_from
from crypto_bot.config import Settings
from crypto_bot.core import Bars
from crypto_bot.core.timeframes import Clock, timeframe_ns
from crypto_bot.market import BarStore
from crypto_bot.trading import CandleFeed, KeptFeed

if TYPE_CHECKING:
    from crypto_bot.adapters.ccxt_feed import CcxtFeed


class LiveCandles:
    """Closed candles at any timeframe, from a store that a feed keeps up to date.

    A restart reads the same store and therefore sees the same candles.
    """

    def __init__(self, settings: Settings, clock: Clock, feed: CandleFeed | None) -> None:
        self._settings, self._clock = settings, clock
        self._base = settings.data.base_timeframe
        self._store = BarStore(settings.data.store_folder)
        self._feed = feed
        self._exchange: CcxtFeed | None = None

    def why_closed(self) -> str:
        """Why no candles come in; '' where they do. Opens the exchange's feed once there is one."""
        if self._feed is not None:
            return ""
        exchange, data = downloaded_from(self._store), self._settings.data
        if not data.exchange:
            return "data.exchange is empty, no candles come in"
        if exchange is None:
            return f"the candles in {self._store.root} came from files or were simulated"
        if exchange.name != data.exchange:
            return f"the candles came from {exchange.name}, data.exchange is {data.exchange}"
        from crypto_bot.adapters.ccxt_feed import CcxtFeed
        from crypto_bot.adapters.ccxt_source import CcxtSource

        self._exchange = CcxtFeed(CcxtSource(exchange.name), exchange.timeframe, clock=self._clock)
        self._feed = KeptFeed(self._exchange, self._store)
        return ""

    def refresh(self, symbols: Sequence[str], until_ns: int) -> None:
        """Keep what has closed by `until_ns`; what does not come is missing in the store."""
        had = {}
        for name, entry in stored_series(self._store, self._base, symbols).items():
            had[name] = entry.last_open_ns + timeframe_ns(entry.timeframe)
        if self._feed is not None:
            self._feed.closed(symbols, had, until_ns)

    def stored(
        self, symbols: Sequence[str], timeframe: str, after: Mapping[str, int], until_ns: int
    ) -> dict[str, Bars]:
        """What opened from `after[symbol]` on and closed by `until_ns`; no symbol without a candle."""
        found: dict[str, Bars] = {}
        for name, entry in stored_series(self._store, self._base, symbols).items():
            bars = stored_bars(
                self._store, entry, timeframe, start_ns=after[name], until_ns=until_ns
            )
            if len(bars):
                found[name] = bars
        return found

    def close(self) -> None:
        """Free the exchange's connections."""
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = self._feed = None
