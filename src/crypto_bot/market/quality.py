"""What is wrong with a file of candles: counted and listed; safe repairs made, the rest refused."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from crypto_bot.core.arrays import Index, Mask, PerBar, PerBarTime
from crypto_bot.core.bars import OHLCV, PRICES
from crypto_bot.core.errors import DataError
from crypto_bot.core.options import Options
from crypto_bot.core.timeframes import DAY_NS, iso_time, timeframe_name, timeframe_ns

LISTED = 10
"""Faults of a kind that a report lists one by one; all of them are counted."""
_SPIKE_RANGES = 15.0
_SPIKE_FLOOR = 0.05
SPIKE_REACH = 24


class DuplicatePolicy(StrEnum):
    """What to do with rows that share an opening time but differ in value."""

    REFUSE = "refuse"
    KEEP_LAST = "keep_last"


class Gap(Options):
    """Missing candles between two that are there."""

    after_open: str = Field(description="opening time of the last candle before the gap, UTC")
    missing_bars: int


class Spike(Options):
    """A price far from both neighbours that was gone one bar later. Never removed: it may be true."""

    open_time: str
    row: int = Field(description="row in the file, the first line is 1")
    price: float
    excursion_frac: float = Field(description="distance from the neighbouring prices, log return")


class QualityReport(Options):
    """What was found in one file, what was repaired, and what is left for a person to know."""

    file: str
    symbol: str
    timeframe: str
    rows_read: int
    rows_kept: int = 0
    first_open: str = ""
    last_open: str = ""
    order: str = Field(default="ascending", description="ascending, descending or unsorted")
    gaps: int = 0
    missing_bars: int = 0
    largest_gap_bars: int = 0
    first_gaps: tuple[Gap, ...] = ()
    identical_duplicates: int = 0
    conflicting_duplicates: int = 0
    off_grid_times: int = 0
    high_low_violations: int = 0
    non_positive_prices: int = 0
    missing_prices: int = 0
    missing_volumes: int = 0
    negative_volumes: int = 0
    spikes: int = 0
    first_spikes: tuple[Spike, ...] = ()
    epoch_units: dict[str, int] = Field(
        default={}, description="rows by unit of their epoch numbers; empty where times were dates"
    )
    zero_volume_bars: int = 0
    longest_zero_volume_run: int = 0
    repairs: tuple[str, ...] = Field(default=(), description="what the import changed, in words")

    @property
    def is_clean(self) -> bool:
        """Nothing repaired, no gap, no spike."""
        return not (self.repairs or self.gaps or self.spikes)

    def summary(self) -> str:
        """One line for a table or a log."""
        parts = [f"{self.rows_kept} candles"]
        if self.gaps:
            parts.append(f"{self.missing_bars} missing in {self.gaps} gaps")
        if self.spikes:
            parts.append(f"{self.spikes} suspicious prices")
        if self.longest_zero_volume_run > 1:
            parts.append(f"{self.longest_zero_volume_run} bars in a row without volume")
        return ", ".join([*parts, *self.repairs])


class RefusedCandles(DataError):  # noqa: N818 - says what happened to them
    """A fault that cannot be repaired safely; `report` holds everything that was counted."""

    def __init__(self, message: str, report: QualityReport) -> None:
        super().__init__(message)
        self.report = report


class RawCandles(NamedTuple):
    """Candles as a file holds them: any order, faults included; NaN where a value is missing."""

    path: Path
    symbol: str
    open_time: PerBarTime
    values: dict[str, PerBar]
    row: Index  # of each candle in the file, the first line is 1
    epoch_units: dict[str, int]
    repairs: tuple[str, ...]

    def take(self, index: Index | Mask) -> RawCandles:
        """The chosen candles, in the order of `index`."""
        values = {name: column[index] for name, column in self.values.items()}
        return self._replace(open_time=self.open_time[index], values=values, row=self.row[index])


def clean_candles(
    raw: RawCandles, timeframe: str, *, duplicates: DuplicatePolicy = DuplicatePolicy.REFUSE
) -> tuple[RawCandles, QualityReport]:
    """Count every fault, repair the harmless ones, refuse the rest.

    Parameters
    ----------
    raw : RawCandles
    timeframe : str                  interval the candles are said to have
    duplicates : DuplicatePolicy     rows of one time with different values: refused, or the one
                                     furthest down the file is kept

    Returns
    -------
    candles sorted by time without duplicates, and the report

    Raises
    ------
    RefusedCandles    (a DataError with the report) naming file, row and reason

    Notes
    -----
    Repairs: sorting, dropping identical duplicates, volume 0 where the whole column is missing.
    Prices are never changed, gaps never filled, spikes never removed.
    """
    interval_ns = timeframe_ns(timeframe)
    repairs = list(raw.repairs)
    raw = _without_volume(raw, repairs)
    found = _count_values(raw) | _count_times(raw, interval_ns)
    report = QualityReport(
        file=str(raw.path),
        symbol=raw.symbol,
        timeframe=timeframe,
        rows_read=len(raw.row),
        epoch_units=raw.epoch_units,
        **found,
    )
    _refuse_values(raw, interval_ns, report)
    ordered, conflicts = _sorted_unique(raw, report, duplicates, repairs)
    return ordered, _finish(report, ordered, interval_ns, conflicts, repairs)


def _without_volume(raw: RawCandles, repairs: list[str]) -> RawCandles:
    volume = raw.values["volume"]
    if not (volume.size and np.isnan(volume).all()):
        return raw
    repairs.append("volume column was empty, taken as 0")
    return raw._replace(values={**raw.values, "volume": np.zeros_like(volume)})


def _count_times(raw: RawCandles, interval_ns: int) -> dict[str, Any]:
    steps = np.diff(raw.open_time)
    order = "ascending" if (steps >= 0).all() else "unsorted"
    if steps.size and (steps <= 0).all() and (steps < 0).any():
        order = "descending"
    return {"order": order, "off_grid_times": int(np.count_nonzero(_off_grid(raw, interval_ns)))}


def _off_grid(raw: RawCandles, interval_ns: int) -> Mask:
    off_grid: Mask = raw.open_time % min(interval_ns, DAY_NS) != 0
    return off_grid


def _broken_values(raw: RawCandles) -> dict[str, Mask]:
    prices = np.stack([raw.values[name] for name in PRICES])
    opened, high, low, close = prices
    volume = raw.values["volume"]
    return {
        "missing_prices": ~np.isfinite(prices).all(axis=0),
        "non_positive_prices": (prices <= 0).any(axis=0),
        "high_low_violations": (high < np.maximum(opened, close))
        | (low > np.minimum(opened, close)),
        "missing_volumes": ~np.isfinite(volume),
        "negative_volumes": volume < 0,
    }


def _count_values(raw: RawCandles) -> dict[str, Any]:
    return {name: int(np.count_nonzero(rows)) for name, rows in _broken_values(raw).items()}


_RULES = {
    "missing_prices": "open, high, low and close must be numbers",
    "non_positive_prices": "prices must be > 0",
    "high_low_violations": "high and low must enclose open and close",
    "missing_volumes": "volume must be a number (or missing in every row)",
    "negative_volumes": "volume must be >= 0",
}


def _refuse_values(raw: RawCandles, interval_ns: int, report: QualityReport) -> None:
    broken = _broken_values(raw)
    for name, rule in _RULES.items():
        for i in np.flatnonzero(broken[name])[:1]:
            values = " ".join(f"{column} {raw.values[column][i]:g}" for column in OHLCV)
            raise _refusal(raw, int(i), rule, values, getattr(report, name), report)
    for i in np.flatnonzero(_off_grid(raw, interval_ns))[:1]:
        rule = f"open time must lie on the {report.timeframe} grid"
        raise _refusal(raw, int(i), rule, "off it", report.off_grid_times, report)


def _refusal(
    raw: RawCandles, i: int, rule: str, was: str, count: int, report: QualityReport
) -> RefusedCandles:
    return RefusedCandles(
        f"{raw.path} row {raw.row[i]} ({iso_time(int(raw.open_time[i]))}): {rule}, was {was} "
        f"({count} such rows); correct or remove them",
        report,
    )


def _sorted_unique(
    raw: RawCandles, report: QualityReport, duplicates: DuplicatePolicy, repairs: list[str]
) -> tuple[RawCandles, int]:
    """The candles in order, and how many conflicting duplicates were dropped."""
    if report.order != "ascending":
        raw = raw.take(np.argsort(raw.open_time, kind="stable"))
        repairs.append(f"sorted by time (order was {report.order})")
    repeats = np.flatnonzero(np.diff(raw.open_time) == 0)
    if not repeats.size:
        return raw, 0
    differs = np.zeros(len(repeats), np.bool_)
    for column in raw.values.values():
        differs |= column[repeats] != column[repeats + 1]
    conflicts = int(np.count_nonzero(differs))
    if conflicts and duplicates is DuplicatePolicy.REFUSE:
        raise _conflict(raw, int(repeats[differs][0]), report, len(repeats), conflicts)
    repairs.append(f"{len(repeats) - conflicts} identical duplicates dropped")
    if conflicts:
        repairs.append(f"{conflicts} conflicting duplicates dropped, the last of each kept")
    keep = np.ones(len(raw.row), np.bool_)
    keep[repeats] = False
    return raw.take(keep), conflicts


def _conflict(
    raw: RawCandles, i: int, report: QualityReport, repeats: int, conflicts: int
) -> RefusedCandles:
    name = next(name for name, column in raw.values.items() if column[i] != column[i + 1])
    column = raw.values[name]
    return RefusedCandles(
        f"{raw.path} rows {raw.row[i]} and {raw.row[i + 1]} "
        f"({iso_time(int(raw.open_time[i]))}): a candle must have one value, was {name} "
        f"{float(column[i])!r} and {float(column[i + 1])!r} ({conflicts} such pairs); "
        "remove the wrong rows, or import with duplicates='keep_last'",
        report.replace(conflicting_duplicates=conflicts, identical_duplicates=repeats - conflicts),
    )


def _finish(
    report: QualityReport,
    candles: RawCandles,
    interval_ns: int,
    conflicts: int,
    repairs: list[str],
) -> QualityReport:
    dropped = report.rows_read - len(candles.row)
    return report.replace(
        rows_kept=len(candles.row),
        first_open=iso_time(int(candles.open_time[0])),
        last_open=iso_time(int(candles.open_time[-1])),
        identical_duplicates=dropped - conflicts,
        conflicting_duplicates=conflicts,
        repairs=tuple(repairs),
        **_gaps(candles.open_time, interval_ns),
        **_spikes(candles),
        **_zero_volume(candles.values["volume"]),
    )


def _gaps(times: PerBarTime, interval_ns: int) -> dict[str, Any]:
    missing = np.diff(times) // interval_ns - 1
    after = np.flatnonzero(missing > 0)
    listed = [
        Gap(after_open=iso_time(int(times[i])), missing_bars=int(missing[i]))
        for i in after[:LISTED]
    ]
    return {
        "gaps": len(after),
        "missing_bars": int(missing[after].sum()),
        "largest_gap_bars": int(missing[after].max(initial=0)),
        "first_gaps": tuple(listed),
    }


def find_spikes(candles: RawCandles) -> list[Spike]:
    """Excursions beyond both the close before and the open after, against the usual bar range.

    A true crash moves on: the open after it is far away too, and it is no excursion. A candle is
    judged by `SPIKE_REACH` candles on either side.
    """
    opened, high, low, close = (candles.values[name] for name in PRICES)
    after = np.append(opened[1:], close[-1])
    before = np.append(after[0], close[:-1])
    up = np.log(high / np.maximum(before, after))
    down = np.log(np.minimum(before, after) / low)
    size = np.maximum(up, down)
    ranges = np.log(high / low)
    large = np.flatnonzero(size > _SPIKE_FLOOR).tolist()
    return [
        Spike(
            open_time=iso_time(int(candles.open_time[i])),
            row=int(candles.row[i]),
            price=float(high[i] if up[i] >= down[i] else low[i]),
            excursion_frac=round(float(size[i]), 4),
        )
        for i in large
        if size[i] > _SPIKE_RANGES * _median_around(ranges, i)
    ]


def _spikes(candles: RawCandles) -> dict[str, Any]:
    found = find_spikes(candles)
    return {"spikes": len(found), "first_spikes": tuple(found[:LISTED])}


def _median_around(values: PerBar, i: int) -> float:
    return float(np.median(values[max(0, i - SPIKE_REACH) : i + SPIKE_REACH + 1]))


def _zero_volume(volume: PerBar) -> dict[str, int]:
    is_zero = np.concatenate(([False], volume == 0, [False]))
    edges = np.flatnonzero(np.diff(is_zero.astype(np.int8)))
    runs = edges[1::2] - edges[::2]
    return {
        "zero_volume_bars": int(runs.sum()),
        "longest_zero_volume_run": int(runs.max(initial=0)),
    }


def commonest_timeframe(raw: RawCandles) -> str | None:
    """The step most candles keep to the next one, as a timeframe; None for fewer than two times."""
    steps = np.diff(np.sort(raw.open_time))
    steps = steps[steps > 0]
    if not steps.size:
        return None
    values, counts = np.unique(steps, return_counts=True)
    step_ns = int(values[counts.argmax()])
    return "1w" if step_ns == 7 * DAY_NS else timeframe_name(step_ns)
