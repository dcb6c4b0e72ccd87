"""`cointrainer import-data`, `import-csv`, `import-csv7`: candles and tables brought in, checked, as files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedWriter, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crypto_bot.backtest.command import Handler, Result, say
from crypto_bot.config import load_settings
from crypto_bot.core import Bars
from crypto_bot.core.bars import OHLCV
from crypto_bot.core.errors import ConfigError, DataError, StorageError
from crypto_bot.core.files import publish_file, temporary_path, write_file
from crypto_bot.core.progress import progress, track
from crypto_bot.market import QualityReport, pair_symbol, read_candles
from crypto_bot.market.chunked import COLUMNS, OutOfOrder, clean_in_stretches, read_csv7
from crypto_bot.market.quality import RawCandles

_TIME = pl.Datetime("ns", "UTC")


def import_csv(options: argparse.Namespace) -> tuple[int, Result]:
    """Check one candle file of any kind and write it as Parquet."""
    out = _ending(options.out, (".parquet",))
    bars, quality = read_candles(options.file, symbol=options.symbol, timeframe=options.timeframe)
    write_file(out, _parquet(_frame(bars)))
    result = {**_said(quality), "symbol": bars.symbol, "timeframe": bars.timeframe}
    say(options, f"{bars.symbol} {bars.timeframe}: {quality.summary()}", *_faults(quality))
    say(options, f"written: {out}")
    return 0, {**result, "files": [str(out)]}


def import_csv7(options: argparse.Namespace) -> tuple[int, Result]:
    """Check a headerless file a stretch at a time; write it as normalized CSV and as Parquet."""
    symbol = pair_symbol(options.symbol)
    path, prefix = Path(options.file), options.out
    table, parquet = Path(f"{prefix}.normalized.csv"), Path(f"{prefix}.parquet")
    try:
        quality = _normalize(options, path, symbol, table, options.chunk_size)
    except OutOfOrder:
        say(options, f"{path} is not in time order: reading it as a whole")
        quality = _normalize(options, path, symbol, table, None)
    _to_parquet(table, parquet)
    say(options, f"{symbol} {quality.timeframe}: {quality.summary()}", *_faults(quality))
    say(options, f"written: {table}", f"written: {parquet}")
    said = {**_said(quality), "symbol": symbol, "timeframe": quality.timeframe}
    return 0, {**said, "files": [str(table), str(parquet)]}


def import_data(options: argparse.Namespace) -> tuple[int, Result]:
    """Fetch a table's rows in a stretch of time; candles are checked, other rows kept as they are."""
    out = _ending(options.out, (".parquet", ".csv"))
    rows = _table_rows(options)
    if not rows:
        raise DataError(
            f"table {options.table} must hold rows of the stretch asked for, had none"
            f"{f' of {options.symbol}' if options.symbol else ''}"
        )
    frame = pl.DataFrame(rows, infer_schema_length=None)
    quality = None
    if set(OHLCV) <= {name.lower() for name in frame.columns}:
        quality, frame = _checked(frame, out, options)
    content = _parquet(frame) if out.suffix == ".parquet" else frame.write_csv().encode()
    write_file(out, content)
    kind = "rows (no candles: columns open, high, low, close, volume are not there)"
    say(options, f"{options.table}: {len(frame):,} {'candles' if quality else kind}")
    say(options, f"columns: {', '.join(frame.columns)}")
    if quality is not None:
        say(options, quality.summary(), *_faults(quality))
    say(options, f"written: {out}")
    told = {"table": options.table, "rows": len(frame), "columns": frame.columns}
    found = {} if quality is None else _said(quality)
    return 0, {**told, **found, "is_candles": quality is not None, "files": [str(out)]}


IMPORT_COMMANDS: dict[str, Handler] = {
    "import-data": import_data,
    "import-csv": import_csv,
    "import-csv7": import_csv7,
}


def _ending(name: str, suffixes: Sequence[str]) -> Path:
    path = Path(name)
    if path.suffix not in suffixes:
        raise ConfigError(f"--out must end in {' or '.join(suffixes)}, was {name}")
    return path


def _frame(bars: Bars) -> pl.DataFrame:
    columns = {name: getattr(bars, name) for name in ("open_time", *OHLCV)}
    return pl.DataFrame(columns).cast({"open_time": _TIME})


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def _said(quality: QualityReport) -> dict[str, Any]:
    return {"rows": quality.rows_kept, "quality": quality.model_dump(mode="json")}


def _faults(quality: QualityReport) -> list[str]:
    """The first gaps and suspicious prices, a line each."""
    lines = [
        f"  gap: {gap.missing_bars} missing after {gap.after_open}" for gap in quality.first_gaps
    ]
    for spike in quality.first_spikes:
        far = f"{spike.excursion_frac:.1%} from its neighbours"
        lines.append(f"  suspicious: {spike.price:g} at {spike.open_time}, row {spike.row}, {far}")
    more = quality.gaps + quality.spikes - len(lines)
    return [*lines, *([f"  and {more} more"] if more > 0 else [])]


@contextmanager
def _written_whole(path: Path) -> Iterator[BufferedWriter]:
    """A file that has its name once it is complete; whatever ends the body early leaves nothing."""
    partial = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
        publish_file(partial, path)
    except OSError as error:
        raise StorageError(
            f"{path} must be writable, was not: {error.strerror or error}"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _normalize(
    options: argparse.Namespace, path: Path, symbol: str, table: Path, rows_at_a_time: int | None
) -> QualityReport:
    """Write the checked candles as CSV with header; None reads the whole file at once."""
    rows = rows_at_a_time or max(1000, _size(path))
    with (
        progress("checking candles", None) as shown,
        _written_whole(table) as file,
    ):
        file.write((",".join(COLUMNS) + "\n").encode())

        def write(candles: RawCandles) -> None:
            _table(candles).write_csv(file, include_header=False)
            shown.advance(len(candles.row))

        return clean_in_stretches(read_csv7(path, symbol, rows), options.timeframe, write)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"{path} must be readable, was not: {error.strerror or error}") from error


def _table(candles: RawCandles) -> pl.DataFrame:
    columns: dict[str, Any] = {"ts": candles.open_time}
    columns |= {name: candles.values[name] for name in OHLCV}
    columns["trades"] = candles.values["trades"].astype(np.int64)
    ts = pl.col("ts").cast(_TIME).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return pl.DataFrame(columns).with_columns(ts)


def _to_parquet(table: Path, parquet: Path) -> None:
    """The normalized table as Parquet, a stretch at a time too."""
    schema = {"ts": pl.String, **dict.fromkeys(OHLCV, pl.Float64), "trades": pl.Int64}
    time = pl.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="ns", time_zone="UTC")
    with _written_whole(parquet) as file:
        lazy = pl.scan_csv(table, schema=schema).with_columns(time.alias("ts"))
        lazy.sink_parquet(file, compression="zstd")


def _table_rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    from crypto_bot.adapters.supabase_tables import read_table

    supabase = load_settings(options.config).ml_integration.supabase
    if not supabase.is_configured or supabase.key is None or supabase.url is None:
        raise ConfigError(
            "ml_integration.supabase must be given to import from it, was not; "
            "set SUPABASE_URL and SUPABASE_SERVICE_KEY"
        )
    pages = read_table(
        supabase.url,
        supabase.key,
        options.table,
        start=options.start,
        end=options.end,
        symbol=options.symbol,
    )
    return [row for rows in track(pages, "reading pages") for row in rows]


def _checked(
    frame: pl.DataFrame, out: Path, options: argparse.Namespace
) -> tuple[QualityReport, pl.DataFrame]:
    """Candles go through the same door as those of a file."""
    partial = temporary_path(out.with_suffix(".parquet")).with_suffix(".parquet")
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(partial)
        symbol = None if options.symbol is None else pair_symbol(options.symbol)
        bars, quality = read_candles(partial, symbol=symbol)
    finally:
        partial.unlink(missing_ok=True)
    return quality.model_copy(update={"file": options.table}), _frame(bars)
