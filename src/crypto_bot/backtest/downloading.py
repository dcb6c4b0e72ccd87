"""The store and the exchange: the first download, and bringing a downloaded store up to date."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from crypto_bot.config import Settings
from crypto_bot.core.files import write_json
from crypto_bot.core.timeframes import DAY_NS, Clock, SystemClock
from crypto_bot.market import BarStore, DownloadOutcome, ExchangeUnreachable

_UNFINISHED = "download.json"
_ORIGIN = "origin.json"


class Origin(NamedTuple):
    """Which exchange filled a store, and at which timeframe."""

    name: str
    timeframe: str


def downloaded_from(store: BarStore) -> Origin | None:
    """The exchange whose candles are in the store; None for files and simulations."""
    origin = _read(store.root / _ORIGIN)
    return Origin(origin["exchange"], origin["timeframe"]) if origin else None


def is_unfinished(store: BarStore) -> bool:
    """Whether a download into the store was cut short."""
    return (store.root / _UNFINISHED).exists()


def download_universe(
    settings: Settings,
    store: BarStore,
    symbols: Sequence[str] | None = None,
    *,
    clock: Clock | None = None,
) -> list[DownloadOutcome]:
    """Download what the store lacks of the top pairs (or of `symbols`) up to now.

    Returns what became of each pair. Raises ExchangeUnreachable where no pair could be completed.

    Notes
    -----
    Until every pair is complete, a file in the store names them: the next run goes on with these.
    Another file keeps which pairs came from which exchange: these alone `refresh_store` renews.
    """
    if not settings.data.exchange:
        raise ExchangeUnreachable("no exchange is configured (data.exchange is empty)")
    unfinished = store.root / _UNFINISHED
    named = list(symbols or _read(unfinished).get("symbols", ()))
    try:
        outcomes = asyncio.run(
            _fetch(settings, store, named, settings.data.base_timeframe, clock or SystemClock())
        )
    except ExchangeUnreachable:
        if not store.catalog():
            unfinished.unlink(missing_ok=True)
        raise
    _remember(settings, store, outcomes)
    if not any(outcome.error for outcome in outcomes):
        unfinished.unlink()
    return outcomes


def refresh_store(
    settings: Settings, symbols: Sequence[str] | None = None, *, clock: Clock | None = None
) -> tuple[str, ...]:
    """Bring the pairs that were downloaded up to now; files and simulated candles stay as they are.

    Parameters
    ----------
    symbols : sequence | None    only these of the downloaded pairs; else `data.symbols`, else all

    Returns
    -------
    tuple of str    what a person should know: pairs that could not be renewed, and why

    Notes
    -----
    An exchange out of reach is a note, no error: the run goes on with what is stored. A download
    that was cut short is left to `gather_candles`, which goes on with it.
    """
    store = BarStore(settings.data.store_folder)
    origin = _read(store.root / _ORIGIN)
    if not origin or not settings.data.exchange or is_unfinished(store):
        return ()
    if origin["exchange"] != settings.data.exchange:
        return (
            f"{store.root} was downloaded from {origin['exchange']} and is not brought up to date: "
            f"data.exchange is {settings.data.exchange}, exchanges are never mixed",
        )
    wanted = symbols or settings.data.symbols or origin["symbols"]
    chosen = [symbol for symbol in origin["symbols"] if symbol in wanted]
    if not chosen:
        return ()
    try:
        outcomes = asyncio.run(
            _fetch(
                settings,
                store,
                chosen,
                origin["timeframe"],
                clock or SystemClock(),
                is_renewal=True,
            )
        )
    except ExchangeUnreachable as error:
        return (f"going on with the stored candles, they could not be brought up to date: {error}",)
    return tuple(f"{o.symbol}: not brought up to date: {o.error}" for o in outcomes if o.error)


async def _fetch(
    settings: Settings,
    store: BarStore,
    symbols: Sequence[str],
    timeframe: str,
    clock: Clock,
    *,
    is_renewal: bool = False,
) -> list[DownloadOutcome]:
    from crypto_bot.adapters.ccxt_source import CcxtSource
    from crypto_bot.market import download_candles

    source = CcxtSource(settings.data.exchange)
    try:
        chosen = list(symbols) or await source.top_symbols(
            settings.data.quote, settings.top_pairs_count, settings.min_volume_usd
        )
        if not is_renewal:
            write_json(store.root / _UNFINISHED, {"symbols": chosen})
        start_ns = clock.now_ns() - settings.lookback_days * DAY_NS
        return await download_candles(
            store, source, chosen, timeframe, start_ns=start_ns, clock=clock
        )
    finally:
        await source.close()


def _remember(settings: Settings, store: BarStore, outcomes: Sequence[DownloadOutcome]) -> None:
    """Keep which pairs came from the exchange; those of an earlier download there stay named."""
    data, path = settings.data, store.root / _ORIGIN
    source = {"exchange": data.exchange, "timeframe": data.base_timeframe}
    origin = _read(path)
    known = origin["symbols"] if {**origin, **source} == origin else []
    added = [o.symbol for o in outcomes if store.entry(o.symbol, o.timeframe) is not None]
    write_json(path, {**source, "symbols": list(dict.fromkeys([*known, *added]))})


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    return found
