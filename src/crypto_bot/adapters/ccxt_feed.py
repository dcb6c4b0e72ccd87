"""Closed candles of an exchange as they come, through ccxt: implements `trading.CandleFeed`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from crypto_bot.adapters.ccxt_source import CcxtSource
from crypto_bot.core.bars import OHLCV, Bar, Bars
from crypto_bot.core.errors import CryptoBotError, DataError
from crypto_bot.core.options import Options
from crypto_bot.core.timeframes import SECOND_NS, Clock, SystemClock, iso_time, timeframe_ns
from crypto_bot.trading.feeds import timeframe_of

_LOG = logging.getLogger(__name__)
_PAGE = 500
_FAULTS = (CryptoBotError, OSError, TimeoutError, ValueError, TypeError, LookupError)
"""What an exchange, a network or a garbled answer can do to us; none of it ends the loop."""


class FeedOptions(Options):
    """How long and how often an exchange is asked for the candles of a close."""

    wait_s: float = Field(
        default=2.0, gt=0, description="asking ends after this; what did not come is missing"
    )
    request_timeout_s: float = Field(
        default=1.5, gt=0, description="a single question that takes longer is given up"
    )
    first_pause_s: float = Field(
        default=0.1, ge=0, description="before asking again; doubles each time"
    )
    longest_pause_s: float = Field(default=1.0, ge=0, description="longest such pause")
    symbols_at_once: int = Field(
        default=50, ge=1, description="pairs asked for at the same time, inside the rate limit"
    )
    skew_minutes: float = Field(
        default=30.0, gt=0, description="between two measurements of the exchange's clock"
    )


class CcxtFeed:
    """Polls all symbols at once right after a close until their candle is there, or time is up.

    Parameters
    ----------
    source : CcxtSource                   how the exchange is asked
    timeframes : str, or symbol -> str    of the candles
    clock : Clock | None                  None: the machine's
    options : FeedOptions | None
    sleep : async callable                how to wait between two questions

    Notes
    -----
    A candle counts as closed by the exchange's clock: its difference from ours is measured at the
    first call and again every `skew_minutes`; where the exchange does not tell the time, ours holds.
    A candle once given is never given again, however it is revised; a revision is logged. Holes are
    asked for once more; what the exchange does not have stays missing. Whatever goes wrong leaves a
    symbol out: the next call asks for all it has not had.

    One thread uses a feed; it keeps an event loop of its own.
    """

    def __init__(
        self,
        source: CcxtSource,
        timeframes: str | Mapping[str, str],
        *,
        clock: Clock | None = None,
        options: FeedOptions | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._source = source
        self._timeframes = timeframes
        self._clock: Clock = SystemClock() if clock is None else clock
        self._options = FeedOptions() if options is None else options
        self._sleep = sleep
        self._runner = asyncio.Runner()
        self._skew_ns = 0
        self._measured_ns: int | None = None
        self._given: dict[str, Bar] = {}
        self.revisions = 0

    @property
    def clock_skew_s(self) -> float:
        """How far the exchange's clock is ahead of ours, as last measured; 0 before."""
        return self._skew_ns / SECOND_NS

    def closed(
        self, symbols: Sequence[str], after: Mapping[str, int], until_ns: int
    ) -> Mapping[str, Bars]:
        """As the port says; a symbol that `after` does not name begins with the candle of `until_ns`."""
        return self._runner.run(self._closed(symbols, after, until_ns))

    def close(self) -> None:
        """Free the connections."""
        try:
            self._runner.run(self._source.close())
        finally:
            self._runner.close()

    async def _closed(
        self, symbols: Sequence[str], after: Mapping[str, int], until_ns: int
    ) -> dict[str, Bars]:
        if self._measured_ns is None:
            await self._measure()
        gate = asyncio.Semaphore(self._options.symbols_at_once)
        wanted = {symbol: _Wanted(self, symbol, after.get(symbol), until_ns) for symbol in symbols}
        tasks = [asyncio.create_task(each.fetch(gate)) for each in wanted.values()]
        tasks.append(asyncio.create_task(self._measure()))
        done, pending = await asyncio.wait(tasks, timeout=self._options.wait_s)
        for each in wanted.values():
            each.is_over = True
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for task in done:
            task.result()
        found = {symbol: bars for symbol, each in wanted.items() if len(bars := each.bars())}
        for symbol, bars in found.items():
            (self._given[symbol],) = bars[-1:]
        missing = sorted(set(symbols) - set(found))
        if missing:
            _LOG.warning("no candle of %s for %s", iso_time(until_ns), ", ".join(missing))
        return found

    async def _measure(self) -> None:
        """Read the exchange's clock; half the way there and back is not its difference."""
        before = self._clock.now_ns()
        due_ns = int(self._options.skew_minutes * 60 * SECOND_NS)
        if self._measured_ns is not None and 0 <= before - self._measured_ns < due_ns:
            return
        try:
            async with asyncio.timeout(self._options.request_timeout_s):
                theirs = await self._source.server_time_ns()
        except _FAULTS as error:
            _LOG.warning("the exchange did not tell the time (%s)", error or type(error).__name__)
            return
        after = self._clock.now_ns()
        self._skew_ns, self._measured_ns = theirs - (before + after) // 2, after

    def their_now_ns(self) -> int:
        """What the exchange's clock shows."""
        return self._clock.now_ns() + self._skew_ns

    async def ask(self, symbol: str, since_ns: int) -> list[Bar]:
        """One question, given up when it takes too long."""
        timeframe = timeframe_of(self._timeframes, symbol)
        async with asyncio.timeout(self._options.request_timeout_s):
            return await self._source.fetch_candles(symbol, timeframe, since_ns, _PAGE)

    async def pause(self, tries: int) -> None:
        """Before asking again."""
        longest = self._options.longest_pause_s
        await self._sleep(min(self._options.first_pause_s * 2.0 ** min(tries, 20), longest))

    def timeframe(self, symbol: str) -> str:
        """Of a symbol's candles."""
        return timeframe_of(self._timeframes, symbol)

    def revise(self, symbol: str, bar: Bar) -> None:
        """Say where a candle already given has other values now."""
        given = self._given.get(symbol)
        if given is not None and given.open_time == bar.open_time and given != bar:
            self.revisions += 1
            self._given[symbol] = bar
            _LOG.warning(
                "%s candle of %s was revised after it was traded on: %s became %s",
                symbol,
                iso_time(bar.open_time),
                given[1:],
                bar[1:],
            )


class _Wanted:
    """The candles of one symbol after a moment, as far as they came."""

    def __init__(self, feed: CcxtFeed, symbol: str, after_ns: int | None, until_ns: int) -> None:
        self._feed = feed
        self._symbol = symbol
        self._timeframe = feed.timeframe(symbol)
        self._interval_ns = timeframe_ns(self._timeframe)
        self._after_ns = until_ns - self._interval_ns if after_ns is None else after_ns
        self._until_ns = until_ns
        self._found: dict[int, Bar] = {}
        self._asked_again: set[int] = set()
        self.is_over = False
        """Set when time is up: nothing more is asked."""

    async def fetch(self, gate: asyncio.Semaphore) -> None:
        """Ask until the candle that closes last is there; whoever waits ends it when time is up."""
        tries = 0
        while not self.is_over and not self._is_complete():
            since_ns = self._next_ns()
            try:
                async with gate:
                    rows = await self._feed.ask(self._symbol, since_ns - self._interval_ns)
                fresh = self._keep(rows)
            except _FAULTS as error:
                _LOG.info("%s: %s", self._symbol, error or type(error).__name__)
                fresh = False
            if not fresh:
                await self._feed.pause(tries)
                tries += 1

    def _is_complete(self) -> bool:
        return self._until_ns <= self._after_ns or (
            self._until_ns - self._interval_ns in self._found and self._hole_ns() is None
        )

    def _next_ns(self) -> int:
        """Opening of the first candle to ask for."""
        hole_ns = self._hole_ns()
        if hole_ns is not None:
            self._asked_again.add(hole_ns)
            return hole_ns
        return max(self._found, default=self._after_ns - self._interval_ns) + self._interval_ns

    def _hole_ns(self) -> int | None:
        """Opening of the first candle that is missing between others and was not asked for twice."""
        expected_ns = self._after_ns
        for time_ns in sorted(self._found):
            if time_ns > expected_ns and expected_ns not in self._asked_again:
                return expected_ns
            expected_ns = time_ns + self._interval_ns
        return None

    def _keep(self, rows: Sequence[Bar]) -> bool:
        """Take the closed candles that are new; True when there were some."""
        before = len(self._found)
        last_ns = min(self._until_ns, self._feed.their_now_ns()) - self._interval_ns
        for bar in rows:
            if bar.open_time < self._after_ns:
                self._feed.revise(self._symbol, bar)
            elif bar.open_time <= last_ns and self._is_candle(bar):
                self._found.setdefault(bar.open_time, bar)
        return len(self._found) > before

    def _is_candle(self, bar: Bar) -> bool:
        try:
            self._made([bar])
        except DataError as error:
            _LOG.warning("%s candle left out: %s", self._symbol, error)
            return False
        return True

    def bars(self) -> Bars:
        """What came, oldest first."""
        return self._made([self._found[time_ns] for time_ns in sorted(self._found)])

    def _made(self, rows: Sequence[Bar]) -> Bars:
        values: Any = np.array([row[1:] for row in rows], np.float64).reshape(-1, len(OHLCV))
        times = np.array([row.open_time for row in rows], np.int64)
        columns = dict(zip(OHLCV, values.T, strict=True))
        return Bars(self._symbol, self._timeframe, times, **columns, is_simulated=False)
