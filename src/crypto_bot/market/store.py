"""`BarStore`: candles on disk as partitioned Parquet, safe against crashes and a second writer.

::

    <root>/store.json                                   real or SIMULATED, never both
    <root>/imports.json                                 files already imported, by content
    <root>/symbol=BTC-USDT/timeframe=5m/2024-01.parquet one month (a year from 1h upwards)

A partition is replaced in one step, so whoever dies in the middle of an append leaves each one
either old or new, and running the append again completes it.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from crypto_bot.core.arrays import PerBarTime
from crypto_bot.core.bars import OHLCV, Bars, symbol_slug
from crypto_bot.core.errors import DataError, StorageError, nearest
from crypto_bot.core.files import TEMPORARY_SUFFIX, write_file, write_json
from crypto_bot.core.timeframes import HOUR_NS, timeframe_ns
from crypto_bot.market.locking import folder_lock

_COLUMNS = ("open_time", *OHLCV)
_TIME = pl.Datetime("ns", "UTC")
_SCHEMA = pl.Schema({"open_time": _TIME, **dict.fromkeys(OHLCV, pl.Float64())})
_MARK = "store.json"
_FORMAT = "1"


@dataclass(frozen=True)
class AppendReport:
    """What an append did, in bars: new ones, ones already stored, ones whose values changed."""

    added: int
    unchanged: int
    replaced: int


@dataclass(frozen=True)
class CatalogEntry:
    """One stored series; times are those of the first and last candle's opening, UTC ns."""

    symbol: str
    timeframe: str
    rows: int
    first_open_ns: int
    last_open_ns: int
    is_simulated: bool


class _Partition(NamedTuple):
    path: Path
    entry: CatalogEntry


class BarStore:
    """Candles by symbol and timeframe below one folder.

    Parameters
    ----------
    root : Path    made at the first append; a store holds real or simulated candles, never both

    Examples
    --------
    >>> import tempfile
    >>> from crypto_bot.market import SimulationOptions, simulate_market
    >>> store = BarStore(Path(tempfile.mkdtemp()))
    >>> (bars,) = simulate_market(SimulationOptions(symbols=1, bars=50, timeframe="1h"))
    >>> store.append(bars).added == len(bars), store.append(bars).added
    (True, 0)
    >>> store.load(bars.symbol, "1h").fingerprint == bars.fingerprint
    True
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def append(self, bars: Bars) -> AppendReport:
        """Merge bars into the stored ones; where a time is stored already, the new values win.

        Raises
        ------
        DataError       if real bars meet a SIMULATED store or the reverse, or a partition is corrupt
        StorageError    if the folder cannot be written, or the file name belongs to another symbol

        Notes
        -----
        Partitions without a change are not rewritten. They are written towards the outside of the
        stored span, so that an interrupted append leaves no hole which looks like an outage.
        """
        if not len(bars):
            return AppendReport(0, 0, 0)
        self._mark(bars)
        folder = self._folder(bars.symbol, bars.timeframe)
        with folder_lock(folder):
            delete_leftovers(folder)
            stored = _partitions(folder)
            _refuse_other_symbol(folder, stored, bars)
            counts = np.zeros(3, np.int64)
            pieces = list(_by_partition(bars))
            if stored and bars.open_time[0] < stored[0].entry.first_open_ns:
                pieces.reverse()
            for name, piece in pieces:
                counts += _merge_partition(folder / name, piece)
        return AppendReport(*counts.tolist())

    def load(
        self,
        symbol: str,
        timeframe: str,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> Bars:
        """The stored bars with start_ns <= open_time < end_ns; None leaves that end open.

        Raises
        ------
        DataError    if the store has no such series (names the nearest) or a file is corrupt
        """
        folder = self._folder(symbol, timeframe)
        series = self._series(folder, symbol, timeframe)
        chosen = [
            part.path
            for part in series
            if (start_ns is None or part.entry.last_open_ns >= start_ns)
            and (end_ns is None or part.entry.first_open_ns < end_ns)
        ]
        frame = pl.concat([_empty_frame(), *(_read_partition(path) for path in chosen)])
        bars = _bars(
            frame, symbol, timeframe, is_simulated=_is_any_simulated(series), source=folder
        )
        return bars.between(start_ns, end_ns)

    def catalog(self) -> list[CatalogEntry]:
        """What is stored, by symbol and then by length of the timeframe."""
        folders = self.root.glob("symbol=*/timeframe=*")
        series = [found for folder in folders if (found := _partitions(folder))]
        entries = [_summary(parts) for parts in series]
        return sorted(entries, key=lambda entry: (entry.symbol, timeframe_ns(entry.timeframe)))

    def last_open_time(self, symbol: str, timeframe: str) -> int | None:
        """Opening time of the newest stored bar, UTC ns; None if there is none."""
        entry = self.entry(symbol, timeframe)
        return None if entry is None else entry.last_open_ns

    def entry(self, symbol: str, timeframe: str) -> CatalogEntry | None:
        """The catalog's line for one series; None if nothing is stored."""
        parts = _partitions(self._folder(symbol, timeframe))
        return _summary(parts) if parts and parts[0].entry.symbol == symbol else None

    @property
    def is_simulated(self) -> bool | None:
        """Whether the store is marked SIMULATED; None while it is empty."""
        path = self.root / _MARK
        try:
            return bool(json.loads(path.read_bytes())["is_simulated"])
        except FileNotFoundError:
            entries = self.catalog()
            return any(entry.is_simulated for entry in entries) if entries else None
        except NotADirectoryError as error:
            raise StorageError(f"{self.root} must be a folder, was a file") from error
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(
                f"{path} must say whether the store is simulated, was unreadable; "
                "restore it or import into a new folder"
            ) from error

    def _folder(self, symbol: str, timeframe: str) -> Path:
        timeframe_ns(timeframe)
        return self.root / f"symbol={symbol_slug(symbol)}" / f"timeframe={timeframe}"

    def _mark(self, bars: Bars) -> None:
        marked = self.is_simulated
        if marked is None:
            with folder_lock(self.root):
                marked = self.is_simulated
                if marked is None:
                    write_json(
                        self.root / _MARK, {"format": _FORMAT, "is_simulated": bars.is_simulated}
                    )
                    return
        if marked != bars.is_simulated:
            kinds = ("real", "SIMULATED")
            raise DataError(
                f"{self.root} must hold only {kinds[marked]} candles, was given {kinds[not marked]} "
                f"ones of {bars.symbol}; use another store folder"
            )

    def _series(self, folder: Path, symbol: str, timeframe: str) -> list[_Partition]:
        parts = _partitions(folder)
        if parts and parts[0].entry.symbol == symbol:
            return parts
        entries = self.catalog()
        others = [entry.timeframe for entry in entries if entry.symbol == symbol]
        hint = nearest(symbol, {entry.symbol for entry in entries})
        if others:
            hint = f"; stored timeframes of it: {', '.join(others)}"
        elif not entries:
            hint = "; the store is empty, import or download candles first"
        raise DataError(f"{self.root} must hold {symbol} {timeframe}, had none{hint}")


def _partition_name(open_time: PerBarTime, interval_ns: int) -> pl.Series:
    """Months below 1h, years from there on: files of 5 to 45 thousand rows in common use."""
    pattern = "%Y-%m" if interval_ns < HOUR_NS else "%Y"
    return pl.Series(open_time).cast(_TIME).dt.strftime(pattern)


def _by_partition(bars: Bars) -> Iterator[tuple[str, Bars]]:
    first, last = _partition_name(bars.open_time[[0, -1]], bars.interval_ns)
    if first == last:
        yield f"{first}.parquet", bars
        return
    names = _partition_name(bars.open_time, bars.interval_ns)
    starts = np.flatnonzero((names != names.shift(1)).fill_null(True).to_numpy()).tolist()
    for first, last in zip(starts, [*starts[1:], len(bars)], strict=True):
        yield f"{names[first]}.parquet", bars[first:last]


def _merge_partition(path: Path, bars: Bars) -> tuple[int, int, int]:
    new = _frame(bars)
    old = _read_partition(path) if path.exists() else _empty_frame()
    if not len(old) or _last_ns(old) < bars.open_time[0]:
        # The candle that has just closed, the commonest case of all: nothing to compare.
        _write_partition(path, pl.concat([old, new]), bars)
        return len(new), 0, 0
    shared = old.join(new, on="open_time", how="semi")
    unchanged = len(shared.join(new, on=_COLUMNS, how="semi")) if len(shared) else 0
    added, replaced = len(new) - len(shared), len(shared) - unchanged
    if added or replaced:
        kept = old.join(new, on="open_time", how="anti") if len(shared) else old
        _write_partition(path, pl.concat([kept, new]).sort("open_time"), bars)
    return added, unchanged, replaced


def _last_ns(frame: pl.DataFrame) -> int:
    return int(frame["open_time"].to_physical()[-1])


def _write_partition(path: Path, frame: pl.DataFrame, bars: Bars) -> None:
    times = frame["open_time"].cast(pl.Int64)
    metadata = {
        "format": _FORMAT,
        "symbol": bars.symbol,
        "timeframe": bars.timeframe,
        "rows": str(len(frame)),
        "first_open_ns": str(times[0]),
        "last_open_ns": str(times[-1]),
        "is_simulated": str(int(bars.is_simulated)),
        "crc32": _checksum(frame),
    }
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", metadata=metadata)
    write_file(path, buffer.getvalue())


def _read_partition(path: Path) -> pl.DataFrame:
    try:
        # The bytes are read by us: a memory map would break when another writer replaces the file.
        content = path.read_bytes()
        frame = pl.read_parquet(io.BytesIO(content))
        if frame.schema != _SCHEMA:
            frame = frame.select(_COLUMNS).cast(_SCHEMA)
        written = pl.read_parquet_metadata(io.BytesIO(content)).get("crc32")
    except OSError as error:
        raise DataError(f"{path} must be readable, was not: {error.strerror or error}") from error
    except pl.exceptions.PolarsError as error:
        raise _corrupt(path, str(error).split("\n", 1)[0]) from error
    if written != _checksum(frame):
        raise _corrupt(path, "checksum differs")
    return frame


def _checksum(frame: pl.DataFrame) -> str:
    """Parquet itself would hand out flipped bits as prices."""
    crc = 0
    for column in frame.get_columns():
        values: Any = column.to_physical().rechunk().to_numpy()
        crc = zlib.crc32(values, crc)
    return f"{crc:08x}"


def _partitions(folder: Path) -> list[_Partition]:
    """The partitions of one series, oldest first, described without reading their candles."""
    return [_Partition(path, _describe(path)) for path in sorted(folder.glob("[0-9]*.parquet"))]


def _describe(path: Path) -> CatalogEntry:
    try:
        mark = pl.read_parquet_metadata(path)
        return CatalogEntry(
            symbol=mark["symbol"],
            timeframe=mark["timeframe"],
            rows=int(mark["rows"]),
            first_open_ns=int(mark["first_open_ns"]),
            last_open_ns=int(mark["last_open_ns"]),
            is_simulated=mark["is_simulated"] == "1",
        )
    except (pl.exceptions.PolarsError, KeyError, ValueError, OSError) as error:
        raise _corrupt(path, str(error).split("\n", 1)[0]) from error


def _corrupt(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} must be a partition written by this store, was corrupt ({reason}); "
        "delete it and import or download its span again"
    )


def _is_any_simulated(parts: list[_Partition]) -> bool:
    """Each partition carries the mark too, so that losing store.json never makes candles real."""
    return any(part.entry.is_simulated for part in parts)


def _summary(parts: list[_Partition]) -> CatalogEntry:
    first, last = parts[0].entry, parts[-1].entry
    return CatalogEntry(
        symbol=first.symbol,
        timeframe=first.timeframe,
        rows=sum(part.entry.rows for part in parts),
        first_open_ns=first.first_open_ns,
        last_open_ns=last.last_open_ns,
        is_simulated=_is_any_simulated(parts),
    )


def _refuse_other_symbol(folder: Path, stored: list[_Partition], bars: Bars) -> None:
    """BTC/USDT and BTC-USDT share a folder name; they must not share a series."""
    if stored and stored[0].entry.symbol != bars.symbol:
        raise StorageError(
            f"{folder} must hold one symbol, was {stored[0].entry.symbol} when {bars.symbol} came; "
            "write the symbol as the stored one"
        )


def delete_leftovers(folder: Path) -> None:
    """Whoever holds the lock is the only writer, so unfinished files belong to the dead."""
    for leftover in folder.glob(f".*{TEMPORARY_SUFFIX}"):
        leftover.unlink(missing_ok=True)


def _frame(bars: Bars) -> pl.DataFrame:
    columns = {name: getattr(bars, name) for name in _COLUMNS}
    return pl.DataFrame(columns).cast({"open_time": _TIME})


def _empty_frame() -> pl.DataFrame:
    return pl.DataFrame(schema=_SCHEMA)


def _bars(
    frame: pl.DataFrame, symbol: str, timeframe: str, *, is_simulated: bool, source: Path
) -> Bars:
    arrays = {name: frame[name].rechunk().to_numpy() for name in OHLCV}
    times = frame["open_time"].cast(pl.Int64).rechunk().to_numpy()
    try:
        return Bars(symbol, timeframe, times, **arrays, is_simulated=is_simulated)
    except DataError as error:
        raise DataError(f"{source}: {error}") from error
