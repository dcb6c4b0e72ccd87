"""Headerless candles of any size (CSV7), checked a stretch at a time: memory does not grow with the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crypto_bot.core.arrays import PerBarTime
from crypto_bot.core.bars import OHLCV
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import iso_time, timeframe_ns
from crypto_bot.market.candle_files import NotCandles, read_numbers, read_times, unit_repairs
from crypto_bot.market.quality import (
    LISTED,
    SPIKE_REACH,
    Gap,
    QualityReport,
    RawCandles,
    Spike,
    clean_candles,
    commonest_timeframe,
    find_spikes,
)

COLUMNS = ("ts", *OHLCV, "trades")
_LINE_BYTES = 60


class OutOfOrder(DataError):  # noqa: N818 - a finding
    """Stretches of the file are not in time order: it must be read as a whole."""


def read_csv7(path: Path, symbol: str, rows_at_a_time: int) -> Iterator[RawCandles]:
    """About so many candles at a time, as they stand in a file of seven columns without a header.

    Raises
    ------
    NotCandles    if the first line is a header, or has not seven columns
    DataError     if the file is unreadable, or holds text where a number must be
    """
    first_row = 1
    for content in _pieces(path, rows_at_a_time * _LINE_BYTES):
        if first_row == 1:
            _check_first_line(path, content)
        try:
            table = pl.read_csv(
                content, has_header=False, new_columns=list(COLUMNS), infer_schema=False
            )
        except pl.exceptions.PolarsError as error:
            reason = str(error).split("\n", 1)[0]
            raise DataError(f"{path} must be a whole file, was malformed: {reason}") from error
        row = np.arange(first_row, first_row + len(table), dtype=np.int64)
        first_row += len(table)
        times, units = read_times(path, table["ts"], row)
        values = {name: read_numbers(path, table[name], row) for name in COLUMNS[1:]}
        values["trades"] = np.nan_to_num(values["trades"])
        yield RawCandles(path, symbol, times, values, row, units, ())


def _pieces(path: Path, size: int) -> Iterator[bytes]:
    """Whole lines, about `size` bytes at a time."""
    try:
        with path.open("rb") as file:
            if file.read(3) != b"\xef\xbb\xbf":
                file.seek(0)
            while content := file.read(size):
                content += file.readline()
                if content.strip():
                    yield content
    except OSError as error:
        raise DataError(f"{path} must be readable, was not: {error.strerror or error}") from error


def _check_first_line(path: Path, content: bytes) -> None:
    fields = content.split(b"\n", 1)[0].decode("utf-8", "replace").strip().split(",")
    if len(fields) != len(COLUMNS):
        raise NotCandles(
            f"{path} must have the {len(COLUMNS)} columns {', '.join(COLUMNS)}, had {len(fields)}; "
            "use import-csv"
        )
    try:
        [float(field) for field in fields if field]
    except ValueError:
        began = ", ".join(fields)
        shown = began[:100] if began.isprintable() else "bytes that are no text"
        raise NotCandles(
            f"{path} must have no header, began with {shown}; use import-csv"
        ) from None


def clean_in_stretches(
    stretches: Iterator[RawCandles],
    timeframe: str | None,
    write: Callable[[RawCandles], None],
) -> QualityReport:
    """Check candles as `clean_candles` does, hand them to `write` in order, and sum up what was found.

    Parameters
    ----------
    stretches    of one file, each later than the one before; within one any order
    timeframe    None: the commonest step of the first stretch
    write        given clean candles, each once

    Returns
    -------
    QualityReport    the one that reading the whole file at once would have given

    Raises
    ------
    OutOfOrder       if a stretch begins before candles that were handed on already
    RefusedCandles   as `clean_candles`
    """
    sums: _Sums | None = None
    for raw in stretches:
        if sums is None:
            sums = _Sums(raw, timeframe or commonest_timeframe(raw), write)
        sums.add(raw)
    if sums is None:
        raise DataError("file must hold candles, was empty")
    return sums.finish()


class _Sums:
    """The report so far, and the last candles: they are context for the next, not all written."""

    def __init__(
        self, first: RawCandles, timeframe: str | None, write: Callable[[RawCandles], None]
    ) -> None:
        if timeframe is None:
            raise DataError(
                f"{first.path} must say its timeframe, had one candle; pass --timeframe"
            )
        self._timeframe = timeframe
        self._write = write
        self._tail: RawCandles | None = None
        self._unwritten = 0
        self._last_ns: int | None = None
        self._zero_run = 0
        self._is_volume_empty = True
        self._repairs: list[str] = []
        self._spikes: list[Spike] = []
        self._gaps: list[Gap] = []
        self._sums: dict[str, Any] = {
            "rows_read": 0, "rows_kept": 0, "identical_duplicates": 0, "gaps": 0,
            "missing_bars": 0, "largest_gap_bars": 0, "spikes": 0, "zero_volume_bars": 0,
            "longest_zero_volume_run": 0,
        }  # fmt: skip
        self._report = QualityReport(
            file=str(first.path), symbol=first.symbol, timeframe=timeframe, rows_read=0
        )

    def add(self, raw: RawCandles) -> None:
        """Check a stretch together with the candles before it; write what is settled."""
        if self._last_ns is not None and int(raw.open_time.min()) <= self._last_ns:
            raise OutOfOrder(f"{raw.path} must be in time order, was not at row {raw.row[0]}")
        raw = self._with_volume(raw)
        window = raw if self._tail is None else _one_after_the_other(self._tail, raw)
        clean, report = clean_candles(window, self._timeframe)
        self._sums["rows_read"] += len(raw.row)
        self._sums["identical_duplicates"] += report.identical_duplicates
        self._note_order(report, raw)
        known = 0 if self._tail is None else len(self._tail.row) - self._unwritten
        self._settle(clean, known, len(clean.row) - SPIKE_REACH - 1)

    def finish(self) -> QualityReport:
        """Write the last candles; the whole report."""
        if self._tail is not None:
            self._settle(self._tail, len(self._tail.row) - self._unwritten, len(self._tail.row))
        self._repairs += unit_repairs(self._report.epoch_units)
        if self._is_volume_empty:
            self._repairs.append("volume column was empty, taken as 0")
        dropped = self._sums["identical_duplicates"]
        if dropped:
            self._repairs.append(f"{dropped} identical duplicates dropped")
        return self._report.replace(
            **self._sums, repairs=tuple(self._repairs), first_gaps=tuple(self._gaps),
            first_spikes=tuple(self._spikes),
        )  # fmt: skip

    def _with_volume(self, raw: RawCandles) -> RawCandles:
        """A volume column that is empty so far is 0, as in a file that is read as a whole."""
        self._is_volume_empty &= bool(np.isnan(raw.values["volume"]).all())
        if not self._is_volume_empty:
            return raw
        return raw._replace(values={**raw.values, "volume": np.zeros(len(raw.row))})

    def _note_order(self, report: QualityReport, raw: RawCandles) -> None:
        if report.order != "ascending" and self._report.order == "ascending":
            self._report = self._report.replace(order="unsorted")
            self._repairs.append("sorted by time (order was unsorted)")
        units = dict(self._report.epoch_units)
        for unit, count in raw.epoch_units.items():
            units[unit] = units.get(unit, 0) + count
        self._report = self._report.replace(epoch_units=units)

    def _settle(self, window: RawCandles, first: int, last: int) -> None:
        """Write and count the window's candles from `first` to `last`; keep what must be seen again."""
        last = max(first, last)
        settled = window.take(np.arange(first, last))
        if len(settled.row):
            for spike in find_spikes(window):
                if settled.row.min() <= spike.row and any(settled.row == spike.row):
                    self._note_spike(spike)
            self._count_gaps(settled.open_time)
            self._count_volume(settled.values["volume"])
            self._sums["rows_kept"] += len(settled.row)
            self._write(settled)
        begin = max(0, last - SPIKE_REACH - 1)
        self._tail = window.take(np.arange(begin, len(window.row)))
        self._unwritten = len(window.row) - last

    def _note_spike(self, spike: Spike) -> None:
        self._sums["spikes"] += 1
        if len(self._spikes) < LISTED:
            self._spikes.append(spike)

    def _count_gaps(self, times: PerBarTime) -> None:
        interval_ns = timeframe_ns(self._timeframe)
        if self._last_ns is None:
            self._report = self._report.replace(first_open=iso_time(int(times[0])))
        else:
            times = np.concatenate(([self._last_ns], times))
        missing = np.diff(times) // interval_ns - 1
        for i in np.flatnonzero(missing > 0).tolist():
            self._sums["gaps"] += 1
            self._sums["missing_bars"] += int(missing[i])
            self._sums["largest_gap_bars"] = max(self._sums["largest_gap_bars"], int(missing[i]))
            if len(self._gaps) < LISTED:
                gap = Gap(after_open=iso_time(int(times[i])), missing_bars=int(missing[i]))
                self._gaps.append(gap)
        self._last_ns = int(times[-1])
        self._report = self._report.replace(last_open=iso_time(self._last_ns))

    def _count_volume(self, volume: np.ndarray[Any, Any]) -> None:
        traded = np.flatnonzero(volume > 0)
        self._sums["zero_volume_bars"] += int(np.count_nonzero(volume == 0))
        edges = np.concatenate(([-1 - self._zero_run], traded, [len(volume)]))
        longest = int((np.diff(edges) - 1).max(initial=0))
        self._sums["longest_zero_volume_run"] = max(self._sums["longest_zero_volume_run"], longest)
        self._zero_run = int(edges[-1] - edges[-2] - 1)


def _one_after_the_other(before: RawCandles, after: RawCandles) -> RawCandles:
    values = {
        name: np.concatenate((before.values[name], after.values[name])) for name in after.values
    }
    return after._replace(
        open_time=np.concatenate((before.open_time, after.open_time)),
        values=values,
        row=np.concatenate((before.row, after.row)),
    )
