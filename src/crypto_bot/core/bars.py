"""`Bars`: checked OHLCV candles of one symbol and timeframe, and the symbol's name in files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crypto_bot.core.arrays import PerBar, PerBarTime
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.timeframes import timeframe_ns

if TYPE_CHECKING:
    import pandas as pd

PRICES = ("open", "high", "low", "close")
OHLCV = (*PRICES, "volume")
_SYMBOL = re.compile(r"[A-Za-z0-9]+([/:_-][A-Za-z0-9]+)*")


def symbol_slug(symbol: str) -> str:
    """The symbol as a file name or registry key: no separators a path could trip on.

    >>> symbol_slug("BTC/USDT"), symbol_slug("BTC/USDT:USDT")
    ('BTC-USDT', 'BTC-USDT_USDT')
    """
    if not _SYMBOL.fullmatch(symbol):
        raise ConfigError(f"symbol must look like BTC/USDT, was {symbol!r}")
    return symbol.replace("/", "-").replace(":", "_")


class Bar(NamedTuple):
    """One closed candle."""

    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, eq=False)
class Bars:
    """Closed candles of one symbol, oldest first.

    Attributes
    ----------
    symbol : str                  such as 'BTC/USDT'
    timeframe : str               such as '5m'
    open_time : int64 (bars,)     the exchange's stamp, UTC ns, strictly increasing, on the grid
    open, high, low, close : float64 (bars,)   quote currency, finite, > 0, low <= open, close <= high
    volume : float64 (bars,)      base currency, finite, >= 0
    is_simulated : bool           True marks every table and plot made from it as SIMULATED

    Raises
    ------
    DataError    naming the first row that breaks a rule

    Notes
    -----
    A bar is known when it closes: decisions and joins use `close_time`. Missing bars (outages) stay
    missing; they are never filled with invented prices.
    """

    symbol: str
    timeframe: str
    open_time: PerBarTime
    open: PerBar
    high: PerBar
    low: PerBar
    close: PerBar
    volume: PerBar
    is_simulated: bool = False

    def __post_init__(self) -> None:
        symbol_slug(self.symbol)
        object.__setattr__(self, "open_time", _frozen(self.open_time, np.int64))
        for name in OHLCV:
            object.__setattr__(self, name, _frozen(getattr(self, name), np.float64))
        _check(self)

    @property
    def interval_ns(self) -> int:
        """Length of one bar in ns."""
        return timeframe_ns(self.timeframe)

    @cached_property
    def close_time(self) -> PerBarTime:
        """int64 (bars,): the moment each bar becomes knowable."""
        return self.open_time + self.interval_ns

    def __len__(self) -> int:
        return len(self.open_time)

    def __getitem__(self, rows: slice) -> Bars:
        """The bars of a slice, in order; `bars[-100:]` are the last hundred."""
        if not isinstance(rows, slice):
            raise TypeError(f"bars take a slice such as bars[10:20], was {type(rows).__name__}")
        arrays = {name: getattr(self, name)[rows] for name in ("open_time", *OHLCV)}
        return replace(self, **arrays)

    def __iter__(self) -> Iterator[Bar]:
        columns = [getattr(self, name).tolist() for name in ("open_time", *OHLCV)]
        return map(Bar._make, zip(*columns, strict=True))

    def between(self, start_ns: int | None, end_ns: int | None) -> Bars:
        """The bars with start_ns <= open_time < end_ns; None leaves that end open."""
        first = 0 if start_ns is None else int(np.searchsorted(self.open_time, start_ns))
        last = len(self) if end_ns is None else int(np.searchsorted(self.open_time, end_ns))
        return self[first:last]

    def closed_by(self, time_ns: int) -> Bars:
        """The bars whose close, and therefore whose price, is known at `time_ns`."""
        return self.between(None, time_ns - self.interval_ns + 1)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of symbol, timeframe and every value: the identity of this data."""
        digest = hashlib.sha256(f"{self.symbol} {self.timeframe} {self.is_simulated}".encode())
        for name in ("open_time", *OHLCV):
            digest.update(getattr(self, name).tobytes())
        return digest.hexdigest()

    def to_pandas(self) -> pd.DataFrame:
        """OHLCV DataFrame indexed by open time (UTC), for a person to look at."""
        import pandas as pd

        index = pd.DatetimeIndex(
            pd.to_datetime(self.open_time, unit="ns", utc=True), name="open_time"
        )
        return pd.DataFrame({name: getattr(self, name) for name in OHLCV}, index=index)

    @classmethod
    def from_pandas(cls, frame: pd.DataFrame, *, symbol: str, timeframe: str) -> Bars:
        """Bars from a DataFrame with columns open high low close volume and a datetime index.

        A zone-less index is taken as UTC. Raises DataError when a column is missing or the index
        holds no times.
        """
        import pandas as pd

        missing = [name for name in OHLCV if name not in frame.columns]
        if missing:
            raise DataError(
                f"frame must have columns {', '.join(OHLCV)}, lacked {', '.join(missing)}"
            )
        if not isinstance(frame.index, pd.DatetimeIndex):
            raise DataError(f"frame.index must be datetimes, was {frame.index.dtype}")
        index = frame.index.tz_localize("UTC") if frame.index.tz is None else frame.index
        times = index.tz_convert("UTC").as_unit("ns").asi8
        columns = {name: frame[name].to_numpy(np.float64) for name in OHLCV}
        return cls(
            symbol=symbol, timeframe=timeframe, open_time=times, is_simulated=False, **columns
        )


def _frozen(values: Any, dtype: type) -> Any:
    array: Any = np.ascontiguousarray(values, dtype=dtype)
    if array.flags.writeable:
        array = array.copy() if array is values else array
        array.flags.writeable = False
    return array


def _check(bars: Bars) -> None:
    name = f"{bars.symbol} {bars.timeframe}"
    for column in OHLCV:
        length = len(getattr(bars, column))
        if length != len(bars):
            raise DataError(
                f"{name} {column} must have {len(bars)} rows like open_time, was {length}"
            )
    _check_times(name, bars)
    for column in PRICES:
        values = getattr(bars, column)
        _refuse(
            name, f"{column} must be finite and > 0", ~(np.isfinite(values) & (values > 0)), values
        )
    _refuse(
        name,
        "volume must be finite and >= 0",
        ~(np.isfinite(bars.volume) & (bars.volume >= 0)),
        bars.volume,
    )
    _refuse(
        name,
        "high must be >= open, close and low",
        bars.high < np.maximum(np.maximum(bars.open, bars.close), bars.low),
        bars.high,
    )
    _refuse(
        name,
        "low must be <= open and close",
        bars.low > np.minimum(bars.open, bars.close),
        bars.low,
    )


def _check_times(name: str, bars: Bars) -> None:
    times = bars.open_time
    late = np.flatnonzero(np.diff(times) <= 0)
    if late.size:
        row = int(late[0]) + 1
        raise DataError(
            f"{name} open_time must increase, was {times[row]} after {times[row - 1]} at row {row}; import the file to sort and de-duplicate it"
        )
    _refuse(
        name,
        "open_time must lie on the timeframe's grid",
        times % _grid_ns(bars.interval_ns) != 0,
        times,
    )
    if bars.interval_ns > _grid_ns(bars.interval_ns):
        overlaps = np.diff(times, prepend=times[:1] - bars.interval_ns) < bars.interval_ns
        _refuse(name, "open_time must be the bar before's close or later", overlaps, times)


def _grid_ns(interval_ns: int) -> int:
    """Weeks open on Mondays, the epoch was a Thursday: weekly and odd day bars are held to the day."""
    day_ns = timeframe_ns("1d")
    return day_ns if interval_ns > day_ns else interval_ns


def _refuse(name: str, rule: str, broken: Any, values: Any) -> None:
    rows = np.flatnonzero(broken)
    if rows.size:
        raise DataError(
            f"{name} {rule}, was {values[rows[0]]} at row {rows[0]} ({rows.size} such rows)"
        )
