"""Candles as Backtrader feeds: stamps that show no bar before it has closed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from crypto_bot.adapters.backtrader_feed import (
    BarsFeed,
    bar_of,
    bars_feed,
    close_stamps,
    shown_time,
)
from crypto_bot.adapters.backtrader_package import bt
from crypto_bot.core import Bars
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import DAY_NS, MINUTE_NS, timeframe_ns
from crypto_bot.market import SimulationOptions, resample, simulate_market

(FIVE_MINUTES,) = simulate_market(SimulationOptions(seed=5, symbols=1, bars=1_200))
DAYS = resample(FIVE_MINUTES, "1d")


def plain_bars(timeframe="5m", count=5):
    opened = timeframe_ns(timeframe) * np.arange(count) + 4 * DAY_NS
    prices = np.full(count, 100.0)
    return Bars("BTC/USDT", timeframe, opened, *([prices] * 4), np.ones(count))


def run(strategy, *feeds, **options):
    cerebro = bt.Cerebro(stdstats=False)
    for feed in feeds:
        cerebro.adddata(feed)
    cerebro.addstrategy(strategy)
    return cerebro.run(**options)[0]


@pytest.mark.parametrize("day", [0, 7_305, 19_787, 47_481])
def test_a_bar_is_stamped_with_the_minute_it_closes(day):
    closes = day * DAY_NS + MINUTE_NS * np.arange(1, 24 * 60)
    shown = [bt.num2date(stamp) for stamp in close_stamps(closes)]
    midnight = datetime(1970, 1, 1) + timedelta(days=day)
    assert shown == [midnight + timedelta(minutes=k) for k in range(1, 24 * 60)]


def test_a_close_at_midnight_belongs_to_the_day_it_ends():
    (stamp,) = close_stamps(np.array([19_787 * DAY_NS]))
    assert bt.num2date(stamp) == datetime(2024, 3, 5) - timedelta(microseconds=11)
    assert stamp == bt.date2num(datetime(2024, 3, 4, 23, 59, 59, 999990))


def test_stamps_increase_like_the_closes_they_stand_for():
    assert (np.diff(close_stamps(FIVE_MINUTES.close_time)) > 0).all()
    same = np.isin(FIVE_MINUTES.close_time, DAYS.close_time)
    assert same.sum() == len(DAYS) > 2
    assert (close_stamps(FIVE_MINUTES.close_time)[same] == close_stamps(DAYS.close_time)).all()


@pytest.mark.parametrize(
    ("timeframe", "unit", "compression"),
    [
        ("30s", bt.TimeFrame.Seconds, 30),
        ("5m", bt.TimeFrame.Minutes, 5),
        ("4h", bt.TimeFrame.Minutes, 240),
        ("1d", bt.TimeFrame.Days, 1),
        ("3d", bt.TimeFrame.Days, 3),
        ("1w", bt.TimeFrame.Weeks, 1),
    ],
)
def test_the_timeframe_is_backtrader_s(timeframe, unit, compression):
    feed = bars_feed(plain_bars(timeframe))
    assert (feed.p.timeframe, feed.p.compression) == (unit, compression)
    assert feed._name == "BTC/USDT"


def test_every_value_arrives_as_it_is():
    class Reads(bt.Strategy):
        def __init__(self):
            self.seen = []

        def next(self):
            self.seen.append(bar_of(self.data))

    assert run(Reads, bars_feed(FIVE_MINUTES)).seen == list(FIVE_MINUTES)
    assert run(Reads, bars_feed(FIVE_MINUTES), preload=False).seen == list(FIVE_MINUTES)


def test_no_bars_are_refused():
    with pytest.raises(DataError, match="must hold at least one bar, was 0"):
        bars_feed(FIVE_MINUTES[:0])


class SeesDays(bt.Strategy):
    """Notes which daily close is visible at each five-minute close."""

    def __init__(self):
        self.seen = []

    def next(self):
        self.seen.append((shown_time(self.data), self.data1.close[0]))


def known_days(moment):
    """Daily closes known at a moment, by our own definition."""
    time_ns = round(moment.replace(tzinfo=UTC).timestamp()) * 10**9
    return DAYS.closed_by(time_ns).close


def test_a_day_is_seen_from_its_close_on_and_not_before():
    seen = run(SeesDays, bars_feed(FIVE_MINUTES, "5m"), bars_feed(DAYS, "1d")).seen
    assert len(seen) > 288 * 2
    assert all(close == known_days(moment)[-1] for moment, close in seen)
    assert seen[0][0] == datetime.fromtimestamp(int(DAYS.close_time[0]) // 10**9, UTC).replace(
        tzinfo=None
    )


def test_a_feed_stamped_at_midnight_would_have_shown_the_day_to_come():
    """The guide's recipe: what the stamps here are made against."""
    frame = DAYS.to_pandas()
    frame.index = frame.index.tz_localize(None)
    leaky = bt.feeds.PandasData(dataname=frame, timeframe=bt.TimeFrame.Days)
    seen = run(SeesDays, bars_feed(FIVE_MINUTES, "5m"), leaky).seen
    assert any(close not in known_days(moment) for moment, close in seen)


@pytest.mark.parametrize(
    ("timeframe", "options"),
    [
        ("1d", {"timeframe": bt.TimeFrame.Days}),
        ("1h", {"timeframe": bt.TimeFrame.Minutes, "compression": 60}),
    ],
)
def test_backtrader_s_own_longer_bars_are_ours(timeframe, options):
    class Longer(bt.Strategy):
        def __init__(self):
            self.seen = {}

        def next(self):
            self.seen[len(self.data1)] = tuple(
                getattr(self.data1, name)[0] for name in ("open", "high", "low", "close")
            )

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bars_feed(FIVE_MINUTES, "5m"))
    cerebro.resampledata(bars_feed(FIVE_MINUTES, timeframe), **options)
    cerebro.addstrategy(Longer)
    seen = list(cerebro.run()[0].seen.values())
    ours = resample(FIVE_MINUTES, timeframe)
    assert len(ours) <= len(seen) <= len(ours) + 1
    assert seen[: len(ours)] == [bar[1:5] for bar in ours]


def test_a_foreign_feed_is_read_by_its_own_stamps():
    class Reads(bt.Strategy):
        def __init__(self):
            self.seen = []

        def next(self):
            self.seen.append((bar_of(self.data), shown_time(self.data)))

    frame = FIVE_MINUTES[:3].to_pandas()
    frame.index = frame.index.tz_localize(None)
    feed = bt.feeds.PandasData(dataname=frame, timeframe=bt.TimeFrame.Minutes, compression=5)
    assert not isinstance(feed, BarsFeed)
    seen = run(Reads, feed).seen
    assert [bar for bar, _ in seen] == list(FIVE_MINUTES[:3])
    assert [moment for _, moment in seen] == list(frame.index.to_pydatetime())
