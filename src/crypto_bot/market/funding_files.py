"""Funding rates of perpetuals: read from files, kept beside the candles."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import polars as pl

from crypto_bot.core.bars import symbol_slug
from crypto_bot.core.errors import DataError, StorageError
from crypto_bot.core.files import write_file
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.timeframes import SECOND_NS
from crypto_bot.market.candle_files import (
    SUFFIXES,
    open_table,
    plain_name,
    read_numbers,
    read_times,
)
from crypto_bot.market.importing import file_name_parts

_TIMES = ("timestamp", "time", "funding_time", "fundingtime", "datetime", "date", "calc_time")
_RATES = ("funding_rate", "fundingrate", "rate", "last_funding_rate")
_FOLDER = "funding"


def is_funding_file(path: Path) -> bool:
    """Whether the name says funding rates, such as BTC_USDT_USDT-funding.parquet."""
    name = path.name.lower()
    return name.endswith(SUFFIXES) and "funding" in name and not name.startswith(".")


def read_funding(path: Path | str, *, symbol: str | None = None) -> FundingRates:
    """Read the funding payments of one perpetual.

    Parameters
    ----------
    path : Path        .csv, .csv.gz, .parquet or .feather with a time and a funding_rate column
    symbol : str       default: from the file's name, BTC_USDT_USDT is BTC/USDT:USDT

    Returns
    -------
    FundingRates    sorted by time; times to the second, because exchanges stamp a payment some
                    milliseconds late

    Raises
    ------
    DataError    naming file and row where a time or rate is missing, or two rates share a time
    """
    path = Path(path)
    table, first_row = open_table(path)
    columns = {plain_name(name): name for name in reversed(table.columns)}
    row = np.arange(first_row, first_row + len(table), dtype=np.int64)
    times, _ = read_times(path, table[_column(path, columns, _TIMES)], row)
    rates = read_numbers(path, table[_column(path, columns, _RATES)], row)
    missing = np.flatnonzero(~np.isfinite(rates))
    if missing.size:
        raise DataError(f"{path} row {row[missing[0]]}: funding rate must be a number, was missing")
    order = np.argsort(times, kind="stable")
    name = symbol or file_name_parts(Path(path.name.lower().replace("funding", "1h"))).symbol
    try:
        return FundingRates(name, times[order] // SECOND_NS * SECOND_NS, rates[order])
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _column(path: Path, columns: dict[str, str], names: tuple[str, ...]) -> str:
    for name in names:
        if name in columns:
            return columns[name]
    raise DataError(
        f"{path} must have a column {' or '.join(names[:2])}, had {', '.join(columns.values())}"
    )


def store_funding(root: Path, rates: FundingRates) -> Path:
    """Keep the rates beside the candles of this store; what was stored of the symbol is replaced."""
    frame = pl.DataFrame({"time_ns": rates.time_ns, "rate": rates.rate})
    content = io.BytesIO()
    frame.write_parquet(content, compression="zstd")
    path = _path(root, rates.symbol)
    write_file(path, content.getvalue())
    return path


def load_funding(root: Path, symbol: str) -> FundingRates | None:
    """The stored rates of a symbol; None where none are.

    Raises StorageError where the file is damaged.
    """
    path = _path(root, symbol)
    if not path.exists():
        return None
    try:
        frame = pl.read_parquet(io.BytesIO(path.read_bytes()))
        return FundingRates(symbol, frame["time_ns"].to_numpy(), frame["rate"].to_numpy())
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StorageError(
            f"{path} must be a whole file, was damaged: {error}; import the rates again"
        ) from error


def import_funding(folder: Path | str, root: Path) -> list[FundingRates]:
    """Read and keep every file of funding rates in a folder.

    Raises DataError naming the files that could not be read; all others are kept.
    """
    folder = Path(folder)
    files = sorted(p for p in folder.rglob("*") if is_funding_file(p)) if folder.is_dir() else []
    found, refused = [], []
    for path in files:
        try:
            found.append(read_funding(path))
        except DataError as error:
            refused.append(str(error))
            continue
        store_funding(root, found[-1])
    if refused:
        raise DataError("; ".join(refused))
    return found


def _path(root: Path, symbol: str) -> Path:
    return root / _FOLDER / f"{symbol_slug(symbol)}.parquet"
