"""Where the candles of a run come from: a named folder, the store, the exchange, else a simulation."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from crypto_bot.backtest.downloading import download_universe, is_unfinished
from crypto_bot.backtest.warm_up import WARM_UP_DAYS, coarser, warm_up_days
from crypto_bot.backtest.workbench import SIMULATED_SUFFIX
from crypto_bot.config import Settings
from crypto_bot.core import Bars, FundingRates
from crypto_bot.core.bars import OHLCV
from crypto_bot.core.errors import DataError, nearest
from crypto_bot.core.files import write_json
from crypto_bot.core.timeframes import DAY_NS, iso_time, timeframe_ns
from crypto_bot.market import (
    BarStore,
    CatalogEntry,
    ExchangeUnreachable,
    ImportOutcome,
    ImportStatus,
    SimulationOptions,
    import_candles,
    import_funding,
    load_funding,
    pair_symbol,
    resample,
    simulate_market,
)

_LOG = logging.getLogger(__name__)
_COMPLETE = "complete.json"


@dataclass(frozen=True)
class Universe:
    """The candles of one run.

    Attributes
    ----------
    bars : tuple of Bars       one per symbol, at `timeframe`, largest traded value first; each
                               begins before `start_ns` where older candles exist, so that features
                               have settled when it counts
    start_ns, end_ns : int     the look-back window: first close counted, last close
    origin : str               where the candles come from, for people
    outcomes : tuple           what an import found, file by file
    notes : tuple of str       what a person should know, in plain words
    earlier : mapping          coarser timeframe -> per symbol its candles before `bars` begin
    funding : mapping          symbol -> funding rates, of those perpetuals whose rates are stored
    """

    bars: tuple[Bars, ...]
    timeframe: str
    start_ns: int
    end_ns: int
    origin: str
    outcomes: tuple[ImportOutcome, ...] = ()
    notes: tuple[str, ...] = ()
    earlier: Mapping[str, Mapping[str, Bars]] = field(default_factory=dict)
    funding: Mapping[str, FundingRates] = field(default_factory=dict)

    @property
    def is_simulated(self) -> bool:
        """True marks everything made from it as SIMULATED."""
        return any(bars.is_simulated for bars in self.bars)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols in order."""
        return tuple(bars.symbol for bars in self.bars)

    def at(self, timeframe: str) -> tuple[Bars, ...]:
        """The same candles at a coarser timeframe; only buckets that have closed, only pairs with one.

        They begin earlier where strategies need it (see `warm_up_days`) and the store reaches back.
        """
        if timeframe == self.timeframe:
            return self.bars
        resampled = (_resampled(bars, timeframe) for bars in self.bars)
        earlier = self.earlier.get(timeframe, {})
        return tuple(_joined(earlier.get(bars.symbol), bars) for bars in resampled if len(bars))


class DefaultPairs(tuple[str, ...]):
    """Pairs that nobody asked for by name: those without candles are left out with a note."""

    __slots__ = ()


def gather_candles(
    settings: Settings,
    *,
    data: str | None = None,
    symbols: Sequence[str] | None = None,
    timeframes: Sequence[str] | None = None,
    until_ns: int | None = None,
) -> Universe:
    """Find the candles of a run, in this order: `data`, the store, the exchange, a simulation.

    Parameters
    ----------
    settings : Settings
    data : str | None          a folder or file to import first; its symbols are then the universe
    symbols : sequence | None  restrict to these, in any usual spelling, else to `data.symbols` of
                               the settings; an unknown one is refused with the nearest name
    timeframes : sequence | None    those that `Universe.at` will be asked for; else the settings'
    until_ns : int | None      only candles that had closed then; None: all there are

    Raises
    ------
    DataError    if nothing usable is in `data`, or a symbol is unknown

    Notes
    -----
    A download that was killed or lost its connection goes on before the store is used.
    """
    if timeframes is not None:
        settings = settings.model_copy(update={"timeframes": tuple(timeframes)})
    store = BarStore(settings.data.store_folder)
    chosen = _usual_spelling(symbols or settings.data.symbols) or None
    if data is not None:
        return _from_folder(settings, store, Path(data), chosen, until_ns)
    is_stored = bool(store.catalog())
    if is_stored and not is_unfinished(store):
        return _select(settings, store, chosen, f"store {store.root} (re-used)", until_ns=until_ns)
    try:
        return _from_exchange(settings, store, chosen, until_ns)
    except ExchangeUnreachable as error:
        if not is_stored:
            _LOG.warning("SIMULATED market: %s; every number is made from invented candles", error)
            return _simulated(settings, chosen, str(error), until_ns)
        note = f"the last download was cut short and cannot go on: {error}"
        found = _select(settings, store, chosen, f"store {store.root} (re-used)", until_ns=until_ns)
        return _noted(found, note)


def _usual_spelling(symbols: Sequence[str]) -> Sequence[str]:
    """`BTCUSDT` and `btc-usdt` as `BTC/USDT`; what is no pair as it came."""
    if isinstance(symbols, DefaultPairs):
        return symbols
    return tuple(dict.fromkeys(pair_symbol(symbol) or symbol for symbol in symbols))


def stored_candles(settings: Settings, symbols: Sequence[str] | None = None) -> Universe:
    """The candles of the store, real if there are any, else simulated; downloads nothing."""
    store = BarStore(settings.data.store_folder)
    if store.catalog():
        return _select(settings, store, symbols, f"store {store.root} (re-used)")
    return _simulated(settings, symbols, "the store holds no candles")


def _from_folder(
    settings: Settings,
    store: BarStore,
    folder: Path,
    symbols: Sequence[str] | None,
    until_ns: int | None,
) -> Universe:
    refused = []
    try:
        import_funding(folder, store.root)
    except DataError as error:
        refused.append(f"funding not kept: {error}")
    outcomes = tuple(import_candles(folder, store, timeframes=[settings.data.base_timeframe]))
    usable = _usable(outcomes)
    if not usable:
        outcomes = tuple(import_candles(folder, store))
        usable = _usable(outcomes)
    if not usable:
        reasons = "; ".join(o.error or "" for o in outcomes[:3])
        raise DataError(
            f"{folder} must hold candles of {settings.data.base_timeframe} or finer, had none: {reasons}"
        )
    named = sorted({outcome.symbol for outcome in usable})
    known = sum(outcome.status is ImportStatus.ALREADY_STORED for outcome in usable)
    origin = f"{folder} ({len(usable) - known} files imported, {known} already stored)"
    universe = _select(
        settings,
        store,
        symbols or named,
        origin,
        is_choice=symbols is not None,
        until_ns=until_ns,
    )
    refused += [f"{o.file.name}: {o.error}" for o in outcomes if o.status is ImportStatus.REFUSED]
    skipped = {o.symbol for o in outcomes if o.status is ImportStatus.SKIPPED and o.timeframe}
    unused = skipped - {*named, ""}
    if unused:
        refused.append(f"no {universe.timeframe} files of {', '.join(sorted(unused))}; left out")
    return replace(_noted(universe, *refused), outcomes=outcomes)


def _noted(universe: Universe, *notes: str) -> Universe:
    return replace(universe, notes=(*universe.notes, *notes))


def _usable(outcomes: Sequence[ImportOutcome]) -> list[ImportOutcome]:
    stored = (ImportStatus.IMPORTED, ImportStatus.ALREADY_STORED)
    return [outcome for outcome in outcomes if outcome.status in stored]


def _bars_of(settings: Settings, days: int) -> int:
    return days * DAY_NS // timeframe_ns(settings.data.base_timeframe)


def _from_exchange(
    settings: Settings, store: BarStore, symbols: Sequence[str] | None, until_ns: int | None
) -> Universe:
    outcomes = download_universe(settings, store, symbols)
    failed = [f"{o.symbol}: download incomplete: {o.error}" for o in outcomes if o.error]
    origin = f"{settings.data.exchange}, downloaded now"
    return _noted(_select(settings, store, symbols, origin, until_ns=until_ns), *failed)


def _simulated(
    settings: Settings,
    symbols: Sequence[str] | None,
    reason: str,
    until_ns: int | None = None,
) -> Universe:
    store = _simulated_store(settings)
    universe = _select(settings, store, symbols, "an invented market", until_ns=until_ns)
    return replace(universe, notes=(f"SIMULATED market: {reason}", *universe.notes))


def _simulated_store(settings: Settings) -> BarStore:
    """The market that belongs to these settings; one left half-made by a killed run is completed."""
    options = settings.simulation.of(
        SimulationOptions,
        symbols=settings.top_pairs_count,
        timeframe=settings.data.base_timeframe,
        bars=_bars_of(settings, settings.lookback_days + WARM_UP_DAYS),
    )
    name = hashlib.sha256(options.model_dump_json().encode()).hexdigest()[:12]
    store = BarStore(Path(settings.data.store_folder + SIMULATED_SUFFIX) / name)
    if not (store.root / _COMPLETE).exists():
        for bars in simulate_market(options):
            store.append(bars)
        write_json(store.root / _COMPLETE, options.model_dump(mode="json"))
    return store


def _select(
    settings: Settings,
    store: BarStore,
    symbols: Sequence[str] | None,
    origin: str,
    *,
    is_choice: bool = True,
    until_ns: int | None = None,
) -> Universe:
    catalog = store.catalog()
    timeframe, notes = _base_timeframe(settings, catalog, symbols)
    series = _finest_series(catalog, timeframe)
    if isinstance(symbols, DefaultPairs):
        notes = (*notes, *_missing_defaults(store, symbols, series))
    elif symbols is not None and is_choice:
        for symbol in symbols:
            if symbol not in series:
                raise DataError(
                    f"symbol must be one of the {len(series)} stored at {timeframe} or finer, "
                    f"was {symbol!r}{nearest(symbol, series)}"
                )
    chosen = [name for name in (symbols if symbols is not None else series) if name in series]
    if not chosen:
        raise DataError(f"{store.root} must hold candles of {timeframe} or finer, had none")
    days = {timeframe: warm_up_days(timeframe)}
    days |= {name: warm_up_days(name) for name in coarser(settings.timeframes, timeframe)}
    pieces = [
        _load(store, series[name], timeframe, settings.lookback_days, days, until_ns)
        for name in chosen
    ]
    loaded = [bars for bars, _ in pieces]
    filled = [bars for bars in loaded if len(bars)]
    if not filled:
        raise DataError(f"{chosen[0]} must have candles for one bar of {timeframe}, had too few")
    end_ns = max(int(bars.close_time[-1]) for bars in filled)
    start_ns = end_ns - settings.lookback_days * DAY_NS
    recent = [bars for bars in filled if bars.close_time[-1] > start_ns]
    left_out = tuple(_left_out(bars, start_ns) for bars in loaded if bars not in recent)
    known_ns = _hold_out_bound(settings, recent, end_ns)
    days_back = settings.lookback_days
    ranked = sorted(recent, key=lambda b: _traded_value(b, known_ns, days_back), reverse=True)
    most = settings.top_pairs_count
    if len(ranked) > most and (symbols is None or not is_choice):
        more = f"of {len(ranked)} pairs the {most} of the largest traded value (top_pairs_count)"
        ranked, notes = ranked[:most], (*notes, more)
    earlier = {
        name: {bars.symbol: before[name] for bars, before in pieces if name in before}
        for name in days
    }
    notes = (*notes, *left_out)
    funding, uncharged = _funding(store, [bars.symbol for bars in ranked], start_ns, end_ns)
    notes = (*notes, *uncharged)
    return Universe(
        tuple(ranked),
        timeframe,
        start_ns,
        end_ns,
        origin,
        notes=notes,
        earlier=earlier,
        funding=funding,
    )


def _funding(
    store: BarStore, symbols: Sequence[str], start_ns: int, end_ns: int
) -> tuple[dict[str, FundingRates], tuple[str, ...]]:
    """Stored rates that cover the look-back window, and a note on those that do not."""
    funding: dict[str, FundingRates] = {}
    notes: list[str] = []
    for symbol in symbols:
        rates = load_funding(store.root, symbol)
        if rates is None:
            continue
        if rates.time_ns[0] > start_ns + DAY_NS or rates.time_ns[-1] < end_ns - DAY_NS:
            notes.append(
                f"{symbol}: funding is not charged, its rates ({iso_time(int(rates.time_ns[0]))} to "
                f"{iso_time(int(rates.time_ns[-1]))}) do not cover the look-back window"
            )
            continue
        funding[symbol] = rates
    return funding, tuple(notes)


def _missing_defaults(
    store: BarStore, symbols: Sequence[str], series: Mapping[str, CatalogEntry]
) -> tuple[str, ...]:
    missing = [symbol for symbol in symbols if symbol not in series]
    if len(missing) == len(symbols):
        raise DataError(
            f"{store.root} must hold one of the default pairs {', '.join(symbols)}, had none; "
            f"name others, such as --pairs {' '.join(sorted(series)[:3])}"
        )
    return tuple(f"{symbol}: left out, the default pair has no candles here" for symbol in missing)


def _left_out(bars: Bars, start_ns: int) -> str:
    if not len(bars):
        return f"{bars.symbol}: left out, its candles do not fill one bar of {bars.timeframe}"
    return (
        f"{bars.symbol}: left out, its candles end {iso_time(int(bars.close_time[-1]))}, before the "
        f"look-back window begins {iso_time(start_ns)}"
    )


def _base_timeframe(
    settings: Settings, catalog: Sequence[CatalogEntry], symbols: Sequence[str] | None
) -> tuple[str, tuple[str, ...]]:
    """The configured base timeframe, or the finest one stored where nothing is that fine."""
    wanted = settings.data.base_timeframe
    rows = [entry for entry in catalog if symbols is None or entry.symbol in symbols] or list(
        catalog
    )
    if any(timeframe_ns(entry.timeframe) <= timeframe_ns(wanted) for entry in rows):
        return wanted, ()
    finest = min((entry.timeframe for entry in rows), key=timeframe_ns)
    return finest, (f"no candles of {wanted} or finer are stored; working at {finest}",)


def _finest_series(catalog: Sequence[CatalogEntry], timeframe: str) -> dict[str, CatalogEntry]:
    """Per symbol the coarsest stored series that still gives `timeframe` exactly."""
    target = timeframe_ns(timeframe)
    found: dict[str, CatalogEntry] = {}
    for entry in catalog:
        interval = timeframe_ns(entry.timeframe)
        if interval > target or target % interval:
            continue
        known = found.get(entry.symbol)
        if known is None or interval > timeframe_ns(known.timeframe):
            found[entry.symbol] = entry
    return found


def stored_series(
    store: BarStore, timeframe: str, symbols: Sequence[str]
) -> dict[str, CatalogEntry]:
    """The stored series of each symbol that gives `timeframe` exactly; no symbol without one."""
    series = _finest_series(store.catalog(), timeframe)
    return {name: series[name] for name in symbols if name in series}


def stored_bars(
    store: BarStore, entry: CatalogEntry, timeframe: str, *, start_ns: int, until_ns: int
) -> Bars:
    """Candles of a series at `timeframe` that open from `start_ns` on and have closed by `until_ns`."""
    end_ns = until_ns - timeframe_ns(entry.timeframe) + 1
    bars = store.load(entry.symbol, entry.timeframe, start_ns=start_ns, end_ns=end_ns)
    return bars if entry.timeframe == timeframe else _resampled(bars, timeframe)


def _load(
    store: BarStore,
    entry: CatalogEntry,
    timeframe: str,
    lookback_days: int,
    days: Mapping[str, int],
    until_ns: int | None,
) -> tuple[Bars, dict[str, Bars]]:
    """The candles of the window and its warm-up, and what coarser timeframes need before them."""
    last_ns = entry.last_open_ns
    if until_ns is not None:
        last_ns = min(last_ns, until_ns - timeframe_ns(entry.timeframe))
    window_ns = last_ns - lookback_days * DAY_NS
    start_ns = window_ns - max(days.values()) * DAY_NS
    whole = store.load(entry.symbol, entry.timeframe, start_ns=start_ns, end_ns=last_ns + 1)
    bars = _resampled(whole.between(window_ns - days[timeframe] * DAY_NS, None), timeframe)
    earlier = {}
    for name in days:
        if (
            not len(bars)
            or days[name] <= days[timeframe]
            or whole.open_time[0] >= bars.open_time[0]
        ):
            continue
        # Beyond the first candle of `bars` by one bucket: it may begin in the middle of that one.
        end_ns = int(bars.open_time[0]) + timeframe_ns(name)
        before = whole.between(window_ns - days[name] * DAY_NS, end_ns)
        earlier[name] = _resampled(before, name)
    return bars, earlier


def _joined(earlier: Bars | None, bars: Bars) -> Bars:
    """`bars` with the candles that open before them in front."""
    before = None if earlier is None else earlier.between(None, int(bars.open_time[0]))
    if before is None or not len(before):
        return bars
    names = ("open_time", *OHLCV)
    arrays: dict[str, Any] = {
        n: np.concatenate((getattr(before, n), getattr(bars, n))) for n in names
    }
    return replace(bars, **arrays)


def _resampled(bars: Bars, timeframe: str) -> Bars:
    """As `resample`, but no bars where not one bucket is complete: one short pair stops no other."""
    try:
        return resample(bars, timeframe)
    except DataError:
        return replace(bars[:0], timeframe=timeframe)


def _hold_out_bound(settings: Settings, bars: Sequence[Bars], end_ns: int) -> int:
    """A moment before which nothing of the hold-out lies: the choice of pairs must not see it."""
    first_ns = min(int(each.open_time[0]) for each in bars)
    window_ns = min(end_ns - first_ns, settings.lookback_days * DAY_NS)
    return end_ns - int(settings.validation.holdout_frac * window_ns)


def _traded_value(bars: Bars, known_ns: int, lookback_days: int) -> float:
    start_ns = int(bars.open_time[-1]) - (lookback_days + WARM_UP_DAYS) * DAY_NS
    known = bars.between(start_ns, known_ns)
    return float(np.dot(known.close, known.volume))


def describe(universe: Universe) -> str:
    """One line for people: how many pairs, which candles, which days, from where."""
    mark = "SIMULATED " if universe.is_simulated else ""
    return (
        f"{mark}{len(universe.bars)} pairs at {universe.timeframe}, "
        f"{iso_time(universe.start_ns)[:10]} to {iso_time(universe.end_ns)[:10]}, from {universe.origin}"
    )
