"""Candles for live trading: the feed fills the store, the store is what is traded on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crypto_bot.backtest.candles import stored_bars, stored_series
from crypto_bot.config import Settings
from crypto_bot.core import Bars
from crypto_bot.core.timeframes import timeframe_ns
from crypto_bot.market import BarStore
from crypto_bot.trading import CandleFeed


class LiveCandles:
    """Closed candles at any timeframe, from a store that a feed keeps up to date.

    A restart reads the same store and therefore sees the same candles.
    """

    def __init__(self, settings: Settings, feed: CandleFeed) -> None:
        self._base = settings.data.base_timeframe
        self._store = BarStore(settings.data.store_folder)
        self._feed = feed

    def closed(
        self, symbols: Sequence[str], timeframe: str, after: Mapping[str, int], until_ns: int
    ) -> dict[str, Bars]:
        """What closed after `after[symbol]` up to `until_ns`, fetched first."""
        had = {}
        for name, entry in stored_series(self._store, self._base, symbols).items():
            had[name] = entry.last_open_ns + timeframe_ns(entry.timeframe)
        self._feed.closed(symbols, had, until_ns)
        return self.stored(symbols, timeframe, after, until_ns)

    def stored(
        self, symbols: Sequence[str], timeframe: str, after: Mapping[str, int], until_ns: int
    ) -> dict[str, Bars]:
        """The same without asking the feed; no symbol without a candle."""
        found: dict[str, Bars] = {}
        for name, entry in stored_series(self._store, self._base, symbols).items():
            bars = stored_bars(
                self._store, entry, timeframe, start_ns=after[name], until_ns=until_ns
            )
            if len(bars):
                found[name] = bars
        return found
