"""Bars refuse what is not a candle, name the row, and keep time honest."""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.core import Bars, symbol_slug
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.timeframes import DAY_NS, timeframe_ns

STEP = 300 * 10**9


def candles(count=5, timeframe="5m", **changes):
    values = {
        "open_time": np.arange(count, dtype=np.int64) * STEP,
        "open": np.full(count, 10.0),
        "high": np.full(count, 11.0),
        "low": np.full(count, 9.0),
        "close": np.full(count, 10.5),
        "volume": np.full(count, 3.0),
    }
    return Bars("BTC/USDT", timeframe, **{**values, **changes})


def with_row(values, row, value):
    copy = values.copy()
    copy[row] = value
    return copy


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("close", np.nan, "close must be finite and > 0, was nan at row 3"),
        ("open", -1.0, "open must be finite and > 0, was -1.0 at row 3"),
        ("high", 10.2, "high must be >= open, close and low, was 10.2 at row 3"),
        ("low", 10.2, "low must be <= open and close, was 10.2 at row 3"),
        ("volume", -1.0, "volume must be finite and >= 0, was -1.0 at row 3"),
        ("volume", np.inf, "volume must be finite and >= 0, was inf at row 3"),
    ],
)
def test_a_bad_value_is_refused_with_its_row(column, value, rule):
    good = candles()
    with pytest.raises(DataError, match=rule):
        candles(**{column: with_row(getattr(good, column), 3, value)})


def test_times_that_repeat_are_refused():
    times = np.array([0, STEP, STEP, 2 * STEP, 3 * STEP])
    with pytest.raises(
        DataError, match="open_time must increase, was 300000000000 after 300000000000 at row 2"
    ):
        candles(open_time=times)


def test_times_off_the_grid_are_refused():
    with pytest.raises(DataError, match="must lie on the timeframe's grid"):
        candles(open_time=np.arange(5) * STEP + 1)


@pytest.mark.parametrize("timeframe", ["3d", "1w"])
def test_bars_that_overlap_are_refused(timeframe):
    days = DAY_NS * (20_000 + np.arange(5) * (timeframe_ns(timeframe) // DAY_NS))
    assert len(candles(timeframe=timeframe, open_time=days)) == 5
    days[3:] -= DAY_NS
    with pytest.raises(DataError, match=r"open_time must be the bar before's close.*row 3"):
        candles(timeframe=timeframe, open_time=days)
    with pytest.raises(DataError, match="must lie on the timeframe's grid"):
        candles(open_time=np.arange(5) * STEP // 2)


def test_columns_of_different_length_are_refused():
    with pytest.raises(DataError, match="close must have 5 rows like open_time, was 4"):
        candles(close=np.full(4, 10.5))


def test_a_bar_is_known_at_its_close_and_not_before():
    assert candles().close_time[0] == STEP


def test_bars_cannot_be_changed_afterwards_not_even_through_the_array_given():
    closes = np.full(5, 10.5)
    bars = candles(close=closes)
    closes[0] = 99.0
    assert bars.close[0] == 10.5
    with pytest.raises(ValueError, match="read-only"):
        bars.close[0] = 1.0


def test_slicing_keeps_symbol_and_times():
    part = candles()[1:3]
    assert (part.symbol, len(part), part.open_time[0]) == ("BTC/USDT", 2, STEP)


def test_between_takes_the_start_and_leaves_the_end():
    assert candles().between(STEP, 3 * STEP).open_time.tolist() == [STEP, 2 * STEP]


def test_the_fingerprint_changes_with_any_value():
    changed = candles(volume=with_row(np.full(5, 3.0), 4, 3.0000001))
    assert candles().fingerprint == candles().fingerprint != changed.fingerprint


def test_a_frame_makes_the_round_trip():
    bars = candles()
    assert (
        Bars.from_pandas(bars.to_pandas(), symbol="BTC/USDT", timeframe="5m").fingerprint
        == bars.fingerprint
    )


def test_a_frame_without_volume_is_refused():
    with pytest.raises(DataError, match="lacked volume"):
        Bars.from_pandas(
            candles().to_pandas().drop(columns="volume"), symbol="BTC/USDT", timeframe="5m"
        )


@pytest.mark.parametrize("symbol", ["../etc", "BTC USDT", "", "BTC//USDT", "/BTC"])
def test_a_symbol_that_could_leave_its_folder_is_refused(symbol):
    with pytest.raises(ConfigError, match="symbol must look like BTC/USDT"):
        symbol_slug(symbol)
