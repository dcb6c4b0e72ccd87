"""Candles from an exchange into the store: several pairs at once, closed candles only, resumable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from pydantic import Field

from crypto_bot.core.bars import OHLCV, Bar, Bars
from crypto_bot.core.errors import DataError, Retryable
from crypto_bot.core.options import Options
from crypto_bot.core.progress import Progress, progress
from crypto_bot.core.timeframes import Clock, SystemClock, timeframe_ns
from crypto_bot.market.store import BarStore

Result = TypeVar("Result")
Sleep = Callable[[float], Awaitable[None]]


class ExchangeUnreachable(DataError):  # noqa: N818 - a state of the world
    """The exchange did not answer, or refuses this country or address: use candles from elsewhere."""


class CandleSource(Protocol):
    """An exchange's public candles.

    Methods raise Retryable for a passing fault, ExchangeUnreachable when asking again is useless
    now, and DataError for a symbol or timeframe the exchange does not have.
    """

    async def top_symbols(self, quote: str, count: int, min_volume_quote: float = 0.0) -> list[str]:
        """The pairs with the largest traded value of the last day, largest first.

        Stablecoins against each other and leveraged tokens are left out.
        """
        ...

    async def fetch_candles(
        self, symbol: str, timeframe: str, since_ns: int, limit: int
    ) -> Sequence[Bar]:
        """At most `limit` candles that open at or after `since_ns`; the last may still be open."""
        ...

    async def close(self) -> None:
        """Free the connections."""
        ...


class DownloadOptions(Options):
    """How a download behaves towards the exchange."""

    page_bars: int = Field(default=1000, ge=10, le=5000, description="candles asked for at once")
    symbols_at_once: int = Field(
        default=4, ge=1, le=50, description="pairs fetched at the same time, inside the rate limit"
    )
    attempts: int = Field(default=5, ge=1, le=20, description="tries before a page is given up")
    backoff_s: float = Field(
        default=1.0, ge=0, description="wait after the first failure, seconds; doubles each time"
    )
    longest_backoff_s: float = Field(default=60.0, ge=0, description="longest such wait, seconds")


@dataclass(frozen=True)
class DownloadOutcome:
    """One symbol after a download: bars added and corrected, and why it stopped early if it did."""

    symbol: str
    timeframe: str
    added: int
    replaced: int
    error: str | None


async def download_candles(
    store: BarStore,
    source: CandleSource,
    symbols: Sequence[str],
    timeframe: str,
    *,
    start_ns: int,
    clock: Clock | None = None,
    options: DownloadOptions | None = None,
    sleep: Sleep = asyncio.sleep,
) -> list[DownloadOutcome]:
    """Bring the store up to now, fetching only what it lacks.

    Parameters
    ----------
    store : BarStore
    source : CandleSource
    symbols : sequence of str
    timeframe : str
    start_ns : int             UTC ns of the first candle wanted
    clock : Clock              where 'now' comes from
    options : DownloadOptions
    sleep : async callable     how to wait between tries

    Returns
    -------
    list[DownloadOutcome]    in the order of `symbols`; a symbol that fails is reported, not raised

    Raises
    ------
    ExchangeUnreachable    if no symbol could be completed because the exchange did not answer
    StorageError           if the store cannot be written

    Notes
    -----
    Each page is stored as it comes. A later call goes on at the last stored candle, which it asks
    for again, so that a candle once taken too early is corrected; where the store begins later than
    `start_ns` the span before it is filled backwards. At no time does the store get a hole that
    looks like an outage. A candle whose close lies in the future is never stored.
    """
    options = DownloadOptions() if options is None else options
    clock = SystemClock() if clock is None else clock
    expected = max(1, (clock.now_ns() - start_ns) // timeframe_ns(timeframe)) * len(symbols)
    gate = asyncio.Semaphore(options.symbols_at_once)
    with progress("downloading candles", expected) as shown:
        pull = _Pull(store, source, timeframe, start_ns, clock, options, sleep, shown, [])
        results = await asyncio.gather(*(_one(pull, symbol, gate) for symbol in symbols))
    outcomes = [outcome for outcome, _ in results]
    unreachable = [error for _, error in results if error is not None]
    if unreachable and len(unreachable) == len(results):
        raise unreachable[0]
    return outcomes


async def with_retries(
    call: Callable[[], Awaitable[Result]], options: DownloadOptions, sleep: Sleep = asyncio.sleep
) -> Result:
    """Await `call`, again after a growing wait when it raises Retryable.

    Raises ExchangeUnreachable when the attempts are used up.
    """
    attempt = 1
    while True:
        try:
            return await call()
        except Retryable as error:
            if attempt >= options.attempts:
                raise ExchangeUnreachable(
                    f"the exchange must answer, failed {attempt} times ({error}); try again later"
                ) from error
        await sleep(min(options.backoff_s * 2.0 ** (attempt - 1), options.longest_backoff_s))
        attempt += 1


class _Pull(NamedTuple):
    store: BarStore
    source: CandleSource
    timeframe: str
    start_ns: int
    clock: Clock
    options: DownloadOptions
    sleep: Sleep
    shown: Progress
    gave_up: list[ExchangeUnreachable]

    @property
    def interval_ns(self) -> int:
        return timeframe_ns(self.timeframe)


class _Count:
    """Bars added and replaced so far; survives the failure that ends a download."""

    def __init__(self) -> None:
        self.added = 0
        self.replaced = 0


async def _one(
    pull: _Pull, symbol: str, gate: asyncio.Semaphore
) -> tuple[DownloadOutcome, ExchangeUnreachable | None]:
    count, fault, unreachable = _Count(), None, None
    async with gate:
        try:
            if pull.gave_up:
                raise pull.gave_up[0]
            await _fill_head(pull, symbol, count)
            await _fill_tail(pull, symbol, count)
        except ExchangeUnreachable as error:
            fault, unreachable = str(error), error
            pull.gave_up.append(error)
        except DataError as error:
            fault = str(error)
    outcome = DownloadOutcome(symbol, pull.timeframe, count.added, count.replaced, fault)
    return outcome, unreachable


async def _fill_tail(pull: _Pull, symbol: str, count: _Count) -> None:
    """Forward from the last stored candle (asked for again) to the last closed one.

    Before the first candle an empty page is stepped over: exchanges that answer by window give
    one before the listing. Later it ends the download, for to step over it could leave a hole.
    """
    last = pull.store.last_open_time(symbol, pull.timeframe)
    since = pull.start_ns if last is None else last
    page_ns = pull.options.page_bars * pull.interval_ns
    while since + pull.interval_ns <= pull.clock.now_ns():
        page = await _page(pull, symbol, since)
        if not page and last is not None:
            return
        _store(pull, symbol, page, count)
        last = page[-1].open_time if page else None
        upto = since + page_ns if last is None else last + pull.interval_ns
        pull.shown.advance((upto - since) // pull.interval_ns)
        since = upto


async def _fill_head(pull: _Pull, symbol: str, count: _Count) -> None:
    """Backward from the first stored candle, so that an interruption leaves no hole behind it."""
    entry = pull.store.entry(symbol, pull.timeframe)
    if entry is None or entry.first_open_ns <= pull.start_ns:
        return
    upto = entry.first_open_ns
    earliest = await _page(pull, symbol, pull.start_ns)
    start = min((bar.open_time for bar in earliest), default=upto)
    page_ns = pull.options.page_bars * pull.interval_ns
    while upto > start:
        since = max(start, upto - page_ns)
        page = await _page(pull, symbol, since)
        if not page:
            return
        _store(pull, symbol, [bar for bar in page if bar.open_time < upto], count)
        pull.shown.advance((upto - since) // pull.interval_ns)
        upto = since


async def _page(pull: _Pull, symbol: str, since: int) -> list[Bar]:
    """Closed candles from `since` on, in order, each once."""
    found = await with_retries(
        lambda: pull.source.fetch_candles(symbol, pull.timeframe, since, pull.options.page_bars),
        pull.options,
        pull.sleep,
    )
    last_open = pull.clock.now_ns() - pull.interval_ns
    closed = {bar.open_time: bar for bar in found if since <= bar.open_time <= last_open}
    return [closed[time] for time in sorted(closed)]


def _store(pull: _Pull, symbol: str, page: Sequence[Bar], count: _Count) -> None:
    if not page:
        return
    columns = np.array([bar[1:] for bar in page], np.float64)
    values = dict(zip(OHLCV, columns.T, strict=True))
    times = np.array([bar.open_time for bar in page], np.int64)
    bars = Bars(symbol, pull.timeframe, times, **values, is_simulated=False)
    report = pull.store.append(bars)
    count.added += report.added
    count.replaced += report.replaced
