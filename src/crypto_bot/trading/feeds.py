"""Where closed candles come from: the port, stored or replayed candles, and keeping them first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import ConfigError
from crypto_bot.core.timeframes import Clock, timeframe_ns
from crypto_bot.market import BarStore


class CandleFeed(Protocol):
    """Closed candles as they come; a candle that is still open is never among them."""

    def closed(
        self, symbols: Sequence[str], after: Mapping[str, int], until_ns: int
    ) -> Mapping[str, Bars]:
        """Candles with after[symbol] < close <= until_ns, oldest first; no symbol without one.

        Parameters
        ----------
        symbols : Sequence[str]
        after : symbol -> int    close of the last candle already had; a symbol not named: from the
                                 first there is
        until_ns : int           close of the newest candle wanted, UTC ns

        Notes
        -----
        A symbol that has nothing (yet) is left out; what the feed cannot get is no error.
        """
        ...


class ReplayFeed:
    """Candles given beforehand, each released when the clock has passed its close.

    Parameters
    ----------
    bars : Iterable[Bars]    one per symbol
    clock : Clock
    """

    def __init__(self, bars: Iterable[Bars], clock: Clock) -> None:
        self._bars = {each.symbol: each for each in bars}
        self._clock = clock

    def closed(
        self, symbols: Sequence[str], after: Mapping[str, int], until_ns: int
    ) -> Mapping[str, Bars]:
        """As the port says; what the clock has not reached is not there yet."""
        until_ns = min(until_ns, self._clock.now_ns())
        chosen = {
            symbol: closed_between(self._bars[symbol], after.get(symbol), until_ns)
            for symbol in symbols
            if symbol in self._bars
        }
        return {symbol: bars for symbol, bars in chosen.items() if len(bars)}


class StoreFeed:
    """Candles of a store that someone else fills.

    Parameters
    ----------
    store : BarStore
    timeframes : str, or symbol -> str    of the candles
    clock : Clock                         what it has not reached is not there yet
    """

    def __init__(self, store: BarStore, timeframes: str | Mapping[str, str], clock: Clock) -> None:
        self._store = store
        self._timeframes = timeframes
        self._clock = clock

    def closed(
        self, symbols: Sequence[str], after: Mapping[str, int], until_ns: int
    ) -> Mapping[str, Bars]:
        """As the port says; a symbol that is not stored has nothing."""
        until_ns = min(until_ns, self._clock.now_ns())
        found: dict[str, Bars] = {}
        for symbol in symbols:
            timeframe = timeframe_of(self._timeframes, symbol)
            if self._store.entry(symbol, timeframe) is None:
                continue
            interval_ns = timeframe_ns(timeframe)
            last = after.get(symbol)
            start_ns = None if last is None else last - interval_ns + 1
            bars = self._store.load(
                symbol, timeframe, start_ns=start_ns, end_ns=until_ns - interval_ns + 1
            )
            if len(bars):
                found[symbol] = bars
        return found


class KeptFeed:
    """A feed whose candles are in a store before anyone sees them, so that a restart finds them.

    Parameters
    ----------
    feed : CandleFeed
    store : BarStore

    Notes
    -----
    Raises what the store raises: candles that cannot be kept are not traded on.
    """

    def __init__(self, feed: CandleFeed, store: BarStore) -> None:
        self._feed = feed
        self._store = store

    def closed(
        self, symbols: Sequence[str], after: Mapping[str, int], until_ns: int
    ) -> Mapping[str, Bars]:
        """As the port says, kept first."""
        found = self._feed.closed(symbols, after, until_ns)
        for bars in found.values():
            self._store.append(bars)
        return found


def closed_between(bars: Bars, after_ns: int | None, until_ns: int) -> Bars:
    """The bars with after_ns < close <= until_ns; None leaves that end open."""
    start_ns = None if after_ns is None else after_ns - bars.interval_ns + 1
    return bars.between(start_ns, None).closed_by(until_ns)


def timeframe_of(timeframes: str | Mapping[str, str], symbol: str) -> str:
    """The timeframe of one symbol; ConfigError where none was given."""
    if isinstance(timeframes, str):
        return timeframes
    if symbol not in timeframes:
        raise ConfigError(
            f"timeframes must name every symbol, lacked {symbol}; had {', '.join(timeframes)}"
        )
    return timeframes[symbol]
