"""Longer candles equal those the exchange publishes, and never change when more data come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.timeframes import DAY_NS, HOUR_NS, MINUTE_NS
from crypto_bot.market import SimulationOptions, read_candles, resample, simulate_market
from shared_data import shared_data

COLUMNS = ("open", "high", "low", "close", "volume")


@pytest.fixture(scope="module")
def minutes():
    options = SimulationOptions(seed=3, symbols=1, timeframe="1m", bars=6000, outages_per_year=300)
    return simulate_market(options)[0]


def plain_resample(bars, interval_ns, offset_ns=0):
    """The reference twin: bar by bar, with decimal arithmetic."""
    from decimal import Decimal

    buckets: dict[int, list] = {}
    for bar in bars:
        start = (bar.open_time - offset_ns) // interval_ns * interval_ns + offset_ns
        buckets.setdefault(start, []).append(bar)
    last_close = int(bars.close_time[-1])
    return [
        (
            start,
            group[0].open,
            max(b.high for b in group),
            min(b.low for b in group),
            group[-1].close,
            float(sum(Decimal(repr(b.volume)) for b in group)),
        )
        for start, group in sorted(buckets.items())
        if start + interval_ns <= last_close and start >= bars.open_time[0]
    ]


def rows(bars):
    return [tuple(bar) for bar in bars]


@pytest.mark.parametrize(("source", "target"), [("1m", "5m"), ("1m", "1h"), ("5m", "1h")])
def test_btc_agrees_to_the_last_digit_with_the_exchanges_own_candles(source, target):
    finer, _ = read_candles(shared_data(f"binance/BTC_USDT-{source}.parquet"))
    known, _ = read_candles(shared_data(f"binance/BTC_USDT-{target}.parquet"))
    made = resample(finer, target)
    _, ours, theirs = np.intersect1d(made.open_time, known.open_time, return_indices=True)
    assert len(ours) > 5900
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(made, name)[ours], getattr(known, name)[theirs])
    inside = (known.open_time >= made.open_time[0]) & (known.open_time <= made.open_time[-1])
    assert np.isin(known.open_time[inside], made.open_time).all()


@pytest.mark.parametrize("pair", ["ETH_USDT", "DOGE_USDT", "XRP_USDT", "LTC_USDT"])
def test_other_pairs_agree_too(pair):
    made = resample(read_candles(shared_data(f"binance/{pair}-5m.parquet"))[0], "1h")
    known = read_candles(shared_data(f"binance/{pair}-1h.parquet"))[0]
    _, ours, theirs = np.intersect1d(made.open_time, known.open_time, return_indices=True)
    assert len(ours) == len(made)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(made, name)[ours], getattr(known, name)[theirs])


@pytest.mark.parametrize(
    ("timeframe", "minutes_each"), [("5m", 5), ("7m", 7), ("1h", 60), ("1d", 1440)]
)
def test_simulated_minutes_equal_the_plain_twin(minutes, timeframe, minutes_each):
    made = resample(minutes, timeframe)
    assert rows(made) == plain_resample(minutes, minutes_each * MINUTE_NS)
    assert made.is_simulated
    assert made.timeframe == timeframe


def test_two_steps_give_what_one_gives(minutes):
    assert (
        resample(resample(minutes, "5m"), "1h").fingerprint == resample(minutes, "1h").fingerprint
    )


def test_weeks_open_on_mondays(minutes):
    times = minutes.open_time[0] + HOUR_NS * np.arange(600, dtype=np.int64)
    hours = replace(minutes[:600], timeframe="1h", open_time=times)
    weeks = resample(hours, "1w")
    assert rows(weeks) == plain_resample(hours, 7 * DAY_NS, 4 * DAY_NS)
    assert all((time // DAY_NS - 4) % 7 == 0 for time in weeks.open_time.tolist())


def test_open_buckets_at_both_ends_are_left_out(minutes):
    cut = minutes[3:58]
    assert [row[0] for row in rows(resample(cut, "5m"))] == [
        minutes.open_time[0] + 5 * i * MINUTE_NS for i in range(1, 11)
    ]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(stop=st.integers(61, 5000))
def test_bars_known_so_far_are_never_revised(minutes, stop):
    whole, part = resample(minutes, "15m"), resample(minutes[:stop], "15m")
    assert rows(part) == rows(whole)[: len(part)]
    assert (part.close_time <= minutes.close_time[stop - 1]).all()


def test_an_outage_leaves_no_invented_bars(minutes):
    kept = np.r_[0:60, 183:400]
    columns = {name: getattr(minutes, name)[kept] for name in COLUMNS}
    start = minutes.open_time[0]
    gapped = replace(minutes, open_time=start + kept.astype(np.int64) * MINUTE_NS, **columns)
    hours = resample(gapped, "1h")
    assert [(time - start) // HOUR_NS for time in hours.open_time.tolist()] == [0, 3, 4, 5]
    assert hours.open[1] == columns["open"][60]


def test_volumes_that_are_no_decimals_are_still_summed(minutes):
    odd = replace(minutes, volume=minutes.volume * np.pi + 1e-13)
    made = resample(odd, "1h")
    expected = [row[5] for row in plain_resample(odd, HOUR_NS)]
    np.testing.assert_allclose(made.volume, expected, rtol=1e-15)


def test_what_cannot_be_resampled_is_refused(minutes):
    with pytest.raises(ConfigError, match="must be a multiple of the bars' 5m, was 7m"):
        resample(resample(minutes, "5m"), "7m")
    with pytest.raises(ConfigError, match="must be a multiple of the bars' 5m, was 1m"):
        resample(resample(minutes, "5m"), "1m")
    with pytest.raises(DataError, match="must cover one whole 1h bar, did not"):
        resample(minutes[5:40], "1h")
    assert resample(minutes, "1m") is minutes
