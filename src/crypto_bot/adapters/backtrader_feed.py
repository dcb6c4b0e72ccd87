"""Our candles as Backtrader data feeds, stamped so that no feed shows a bar before it has closed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from crypto_bot.adapters.backtrader_package import bt
from crypto_bot.core.arrays import PerBar, PerBarTime
from crypto_bot.core.bars import OHLCV, Bar, Bars
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import DAY_NS, MINUTE_NS, SECOND_NS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).toordinal()
_LONGEST_FIRST = (
    (7 * DAY_NS, bt.TimeFrame.Weeks),
    (DAY_NS, bt.TimeFrame.Days),
    (MINUTE_NS, bt.TimeFrame.Minutes),
    (SECOND_NS, bt.TimeFrame.Seconds),
)


class BarsFeed(bt.feed.DataBase):  # type: ignore[misc]
    """The feed of `bars_feed`; `p.bars` are the candles it delivers."""

    params = (("bars", None),)

    def start(self) -> None:
        """Begin at the first bar."""
        super().start()
        bars: Bars = self.p.bars
        columns = [close_stamps(bars.close_time), *(getattr(bars, name) for name in OHLCV)]
        self._rows = zip(*(column.tolist() for column in columns), strict=True)

    def _load(self) -> bool:
        row = next(self._rows, None)
        if row is None:
            return False
        lines = self.lines
        lines.datetime[0], lines.open[0], lines.high[0], lines.low[0], lines.close[0] = row[:5]
        lines.volume[0] = row[5]
        lines.openinterest[0] = 0.0
        return True


def bars_feed(bars: Bars, name: str | None = None) -> Any:
    """Candles as a Backtrader data feed, for `cerebro.adddata`.

    Parameters
    ----------
    bars : Bars
    name : str    the feed's name; None: the symbol

    Returns
    -------
    backtrader feed    lines datetime, open, high, low, close, volume; openinterest is 0

    Raises
    ------
    DataError    if there is no bar

    Notes
    -----
    A bar is stamped with the moment it closes, so feeds of several timeframes never show a bar that
    is still open: with a stamp of its opening, a daily bar would be seen at its midnight with the
    close of the day to come. A close at midnight UTC is stamped 23:59:59.99999, Backtrader's own end
    of a day: analyzers and `cerebro.resampledata` then count the bar to the day it ends.
    """
    if not len(bars):
        raise DataError(f"{bars.symbol} {bars.timeframe} bars must hold at least one bar, was 0")
    length, unit = next(each for each in _LONGEST_FIRST if bars.interval_ns % each[0] == 0)
    return BarsFeed(
        bars=bars,
        name=bars.symbol if name is None else name,
        timeframe=unit,
        compression=bars.interval_ns // length,
    )


def close_stamps(close_time: PerBarTime) -> PerBar:
    """Closing times in Backtrader's days, float64 (bars,); midnight just before it."""
    days, rest = np.divmod(close_time, DAY_NS)
    stamps: PerBar = _EPOCH + days + rest / DAY_NS
    is_midnight = rest == 0
    stamps[is_midnight] = np.nextafter(stamps[is_midnight], 0.0)
    return stamps


def bar_of(data: Any) -> Bar:
    """The bar a feed shows now.

    Of a foreign feed the opening time is its stamp, whatever that means there; it only increases.
    """
    if isinstance(data, BarsFeed):
        opened = int(data.p.bars.open_time[len(data) - 1])
    else:
        moment = data.datetime.datetime(0).replace(tzinfo=UTC)
        opened = round(moment.timestamp()) * SECOND_NS
    return Bar(
        opened, data.open[0], data.high[0], data.low[0], data.close[0], float(data.volume[0])
    )


def timeframe_of(data: Any) -> str | None:
    """The timeframe of a feed of ours; None of a foreign one, whose stamps we cannot vouch for."""
    return data.p.bars.timeframe if isinstance(data, BarsFeed) else None


def shown_time(data: Any) -> datetime:
    """When the bar a feed shows now became known, UTC without a zone as Backtrader writes it."""
    if isinstance(data, BarsFeed):
        seconds = int(data.p.bars.close_time[len(data) - 1]) // SECOND_NS
        return datetime.fromtimestamp(seconds, tz=UTC).replace(tzinfo=None)
    moment: datetime = data.datetime.datetime(0)
    return moment
