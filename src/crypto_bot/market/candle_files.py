"""Candle files as others write them, read into `RawCandles`: columns found, times understood.

Times are those of the candle's opening. Numbers are epoch seconds, milli-, micro- or nanoseconds,
told apart row by row by their size, because exchanges changed unit in the middle of a file. Dates
are ISO, month/day/year or CryptoDataDownload's ``2018-01-30 11-PM``; without a zone they are UTC.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from crypto_bot.core.arrays import Index, Mask, PerBar, PerBarTime
from crypto_bot.core.bars import OHLCV, PRICES
from crypto_bot.core.errors import DataError, nearest
from crypto_bot.market.quality import RawCandles

TEXT_SUFFIXES = (".csv", ".csv.gz")
SUFFIXES = (*TEXT_SUFFIXES, ".parquet", ".feather")

_TIME_COLUMNS = (
    "open_time", "opentime", "unix", "unix_timestamp", "timestamp", "ts", "time", "datetime", "date",
    "gmt_time", "index", "__index_level_0__", "begins_at", "start",
)  # fmt: skip
_VALUE_COLUMNS = {
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price"),
    "low": ("low", "l", "low_price"),
    "close": ("close", "c", "close_price"),
    "volume": ("volume", "vol", "v", "base_volume", "volume_base"),
}
_SYMBOL_COLUMNS = ("symbol", "tic", "ticker", "pair", "market", "coin")
_HEADERLESS = {
    6: ("ts", *OHLCV),
    7: ("ts", *OHLCV, "trades"),
    12: ("open_time", *OHLCV, "close_time", "quote_volume", "trades", "taker_base", "taker_quote", "ignore"),
}  # fmt: skip
_MISSING = ["", "NULL", "null", "None", "none", "NaN", "nan", "NA", "N/A"]
_UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_DATE_FORMATS = (
    "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d %I:%M %p",
    "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%d.%m.%Y %H:%M:%S%.f",
)  # fmt: skip
_DAY_FORMATS = ("%Y-%m-%d", "%m/%d/%Y", "%Y/%m/%d", "%Y%m%d")
_ZONED = r"\d\d:\d\d.*([Zz]|[+-]\d\d:?\d\d)$| UTC$"


class NotCandles(DataError):  # noqa: N818 - a finding
    """The file holds something else (trades, funding rates, text): skip it."""


def is_candle_file(path: Path) -> bool:
    """Whether the name ends like a file of candles this package reads."""
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")


def read_candle_file(path: Path, *, symbol: str | None = None, named: str = "") -> list[RawCandles]:
    """Every candle of a file, one `RawCandles` for each symbol in it.

    Parameters
    ----------
    path : Path
    symbol : str | None    choose the rows of this symbol where the file has a symbol column
    named : str            the symbol where the file has no such column; '' if unknown

    Returns
    -------
    one item per symbol, its symbol as written in the file

    Raises
    ------
    NotCandles    if the columns of a candle are not there
    DataError     if the file is empty, malformed or unreadable
    """
    table, first_row = open_table(path)
    columns = {plain_name(name): name for name in reversed(table.columns)}
    found = _find_columns(path, columns)
    row = np.arange(first_row, first_row + len(table), dtype=np.int64)
    blank = table.select(pl.all_horizontal(pl.all().is_null())).to_series()
    if blank.any():
        table, row = table.filter(~blank), row[~blank.to_numpy()]
    if table.is_empty():
        raise DataError(f"{path} must hold candles, was empty")
    times, epoch_units = read_times(path, table[found["time"]], row)
    values = {name: read_numbers(path, table[found[name]], row) for name in PRICES}
    whole = RawCandles(path, named, times, values, row, epoch_units, unit_repairs(epoch_units))
    split = []
    for name, rows in _symbols(path, table, columns, symbol, named):
        volume = read_numbers(path, table[_volume_column(path, columns, name)], row)
        raw = whole._replace(symbol=name, values={**values, "volume": volume})
        split.append(raw if rows is None else raw.take(rows))
    return split


def open_table(path: Path) -> tuple[pl.DataFrame, int]:
    """The table as it is, and the row number (first line 1) of its first candle."""
    try:
        content = path.read_bytes()
        if path.name.lower().endswith(".gz"):
            content = gzip.decompress(content)
        if not content.strip():
            raise DataError(f"{path} must hold candles, was empty")
        if path.name.lower().endswith(TEXT_SUFFIXES):
            return _open_text(path, content)
        read = pl.read_ipc if path.suffix.lower() == ".feather" else pl.read_parquet
        return read(io.BytesIO(content)), 1
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} must be readable, was not: {error}") from error
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path} must be a whole file, was malformed: {_first(error)}") from error


def _first(error: Exception) -> str:
    return str(error).split("\n", 1)[0]


def _open_text(path: Path, content: bytes) -> tuple[pl.DataFrame, int]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} must be UTF-8 text, was not: {error}") from error
    lines = text.split("\n", 20)[:20]
    skipped = next((i for i, line in enumerate(lines) if _is_table_line(line)), None)
    if skipped is None:
        raise NotCandles(f"{path} must have lines of candles, had none")
    separator = max(",;\t", key=lines[skipped].count)
    first = [field.strip().strip('"') for field in lines[skipped].rstrip("\r").split(separator)]
    has_header = not all(_is_number(field) or field in _MISSING for field in first)
    if not has_header and len(first) not in _HEADERLESS:
        widths = ", ".join(map(str, _HEADERLESS))
        raise NotCandles(
            f"{path} without a header must have {widths} columns, had {len(first)}; add a header"
        )
    table = pl.read_csv(
        text.encode(),
        has_header=has_header,
        new_columns=None if has_header else list(_HEADERLESS[len(first)]),
        skip_lines=skipped,
        separator=separator,
        infer_schema=False,
        null_values=_MISSING,
    )
    return table, skipped + 1 + has_header


def _is_table_line(line: str) -> bool:
    """CryptoDataDownload opens with its address, others with # comments."""
    return not line.startswith("#") and any(mark in line for mark in ",;\t")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def plain_name(name: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "_", name.strip().lower()).strip("_") or name


def _find_columns(path: Path, columns: dict[str, str]) -> dict[str, str]:
    """The file's column of each value; the first known name wins."""
    wanted = {"time": _TIME_COLUMNS, **_VALUE_COLUMNS}
    found = {
        key: next((columns[name] for name in names if name in columns), "")
        for key, names in wanted.items()
    }
    if not found["volume"] and any(name.startswith("volume") for name in columns):
        found["volume"] = "chosen by symbol"
    lacking = [key for key, name in found.items() if not name]
    if lacking:
        raise NotCandles(
            f"{path} must have columns time, {', '.join(OHLCV)}; lacked {', '.join(lacking)}, "
            f"had {', '.join(columns.values())}"
        )
    return found


def _volume_column(path: Path, columns: dict[str, str], symbol: str) -> str:
    """Plain volume, or of 'Volume BTC' and 'Volume USDT' the one in base currency."""
    for name in _VALUE_COLUMNS["volume"]:
        if name in columns:
            return columns[name]
    candidates = {
        name.removeprefix("volume_"): name for name in columns if name.startswith("volume")
    }
    plain = symbol.lower()
    base = max((unit for unit in candidates if plain.startswith(unit)), key=len, default="")
    if not base:
        names = ", ".join(columns[name] for name in candidates.values())
        raise DataError(
            f"{path} must have a volume in base currency of {symbol or 'its symbol'}, had {names}; "
            "rename that column to volume"
        )
    return columns[candidates[base]]


def _symbols(
    path: Path, table: pl.DataFrame, columns: dict[str, str], symbol: str | None, named: str
) -> list[tuple[str, Mask | None]]:
    """Each symbol of the file with its rows; None stands for all rows."""
    column = next((columns[name] for name in _SYMBOL_COLUMNS if name in columns), None)
    if column is None:
        return [(symbol or named, None)]
    names = table[column].cast(pl.String).fill_null("")
    present = names.unique(maintain_order=True).to_list()
    if symbol is not None:
        chosen = [name for name in present if same_symbol(name, symbol)]
        if len(present) > 1 and not chosen:
            raise DataError(
                f"{path} must hold {symbol}, had {', '.join(present[:8])}{nearest(symbol, present)}"
            )
        present = chosen or present
    if len(present) == 1 and len(names.unique()) == 1:
        return [(present[0], None)]
    return [(name, (names == name).to_numpy()) for name in present]


def same_symbol(one: str, other: str) -> bool:
    """Whether two spellings mean the same: BTC/USDT, BTCUSDT and btc_usdt do."""
    plain = (re.sub(r"[^A-Z0-9]", "", name.upper()) for name in (one, other))
    return next(plain) == next(plain)


def read_numbers(path: Path, column: pl.Series, row: Index) -> PerBar:
    """float64 with NaN for missing; text that is no number is refused with its row."""
    if column.dtype == pl.String:
        column = column.str.strip_chars()
        column = (
            column.set(column.is_in(_MISSING), None) if column.is_in(_MISSING).any() else column
        )
    numbers = column.cast(pl.Float64, strict=False)
    broken = np.flatnonzero((numbers.is_null() & column.is_not_null()).to_numpy())
    if broken.size:
        i = int(broken[0])
        raise DataError(
            f"{path} row {row[i]}: {column.name} must be a number, was {column[i]!r} "
            f"({broken.size} such rows)"
        )
    values: PerBar = numbers.fill_null(float("nan")).to_numpy()
    return values


def read_times(path: Path, column: pl.Series, row: Index) -> tuple[PerBarTime, dict[str, int]]:
    """UTC ns, and how many rows came in each epoch unit."""
    epoch_units: dict[str, int] = {}
    if column.dtype.is_temporal():
        times = _from_datetime(column)
    else:
        text = column.cast(pl.String).str.strip_chars()
        numbers = text.cast(pl.Int64, strict=False)
        # '1517353200.0' and '1.5173532e9' are epoch numbers too.
        rounded = text.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False)
        numbers = numbers.fill_null(0) + numbers.is_null().cast(pl.Int64) * rounded.fill_null(0)
        times, epoch_units = _from_epoch(numbers)
        dates = times.is_null()
        if dates.any():
            _check_day_and_month(path, text, row)
            times = times.zip_with(~dates, _from_text(text.zip_with(dates, _nothing(text))))
    missing = np.flatnonzero(times.is_null().to_numpy())
    if missing.size:
        i = int(missing[0])
        raise DataError(
            f"{path} row {row[i]}: {column.name} must be epoch numbers, ISO or month/day/year "
            f"dates, was {column[i]!r} ({missing.size} such rows)"
        )
    values: PerBarTime = times.to_numpy()
    return values, epoch_units


def _check_day_and_month(path: Path, text: pl.Series, row: Index) -> None:
    """Refuse dates with slashes of which none says whether the day or the month comes first."""
    parts = text.str.extract_groups(r"^(\d{1,2})/(\d{1,2})/\d{4}\b").struct.unnest()
    first, second = (parts[name].cast(pl.Int64) for name in parts.columns)
    either = (first != second).fill_null(False).to_numpy()
    if either.any() and not ((first > 12) | (second > 12)).any():
        i = int(np.flatnonzero(either)[0])
        raise DataError(
            f"{path} row {row[i]}: {text.name} must show which of {text[i]!r} is the day, no row has "
            "a number above 12; write dates as YYYY-MM-DD"
        )


def _nothing(like: pl.Series) -> pl.Series:
    return pl.Series(like.name, [None], dtype=like.dtype).new_from_index(0, len(like))


def _from_datetime(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    zone = getattr(column.dtype, "time_zone", None)
    aware = column.dt.replace_time_zone("UTC") if zone is None else column
    return aware.dt.epoch("ns")


def _from_epoch(numbers: pl.Series) -> tuple[pl.Series, dict[str, int]]:
    """Null where a number is no epoch; years 1973 to 5138 are told apart by size alone."""
    limits = {"s": 10**8, "ms": 10**11, "us": 10**14, "ns": 10**17}
    times = _nothing(numbers)
    counts = {}
    for (unit, low), high in zip(
        limits.items(), (*list(limits.values())[1:], 2**63 - 1), strict=True
    ):
        is_unit = (numbers >= low) & (numbers < high)
        if is_unit.any():
            counts[unit] = int(is_unit.sum())
            times = (numbers.set(~is_unit, 0) * _UNIT_NS[unit]).zip_with(is_unit, times)
    return times, counts


def unit_repairs(units: dict[str, int]) -> tuple[str, ...]:
    if len(units) < 2:
        return ()
    rows = ", ".join(f"{count} rows in {unit}" for unit, count in units.items())
    return (f"mixed epoch units read row by row ({rows})",)


def _from_text(text: pl.Series) -> pl.Series:
    """UTC ns of dates in any of the known ways, each row by the first way that fits."""
    times = pl.Series([None], dtype=pl.Int64).new_from_index(0, len(text))
    for parsed in _parsings(text):
        if not (times.is_null() & text.is_not_null()).any():
            break
        times = times.zip_with(times.is_not_null(), parsed)
    return times


def _parsings(text: pl.Series) -> Iterator[pl.Series]:
    zoned = text.zip_with(text.str.contains(_ZONED).fill_null(False), _nothing(text))
    if zoned.is_not_null().any():
        plain = zoned.str.replace(r"[Zz]$| UTC$", "+00:00").str.replace(" ", "T")
        for pattern in ("%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M%:z"):
            yield plain.str.to_datetime(pattern, strict=False, time_unit="ns").dt.epoch("ns")
    text = text.str.replace(r"(\d\d)-([AP]M)$", "$1:00 $2")
    for pattern in _DATE_FORMATS:
        yield text.str.to_datetime(pattern, strict=False, time_unit="ns").dt.epoch("ns")
    for pattern in _DAY_FORMATS:
        days = text.str.to_date(pattern, strict=False)
        yield days.cast(pl.Datetime("ns")).dt.epoch("ns")
