"""Safe faults are repaired and said, unsafe ones refused with file, row and reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core.bars import OHLCV
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import MINUTE_NS
from crypto_bot.market import DuplicatePolicy, RefusedCandles, read_candles
from shared_data import shared_data


@pytest.fixture
def table(bars):
    columns = {name: getattr(bars[:60], name) for name in OHLCV}
    times = bars.open_time[0] + 5 * MINUTE_NS * np.arange(60, dtype=np.int64)
    return pl.DataFrame({"ts": times, **columns})


def read(table: pl.DataFrame, folder: Path, **arguments):
    path = folder / "BTC_USDT-5m.parquet"
    table.write_parquet(path)
    return read_candles(path, **arguments)


def with_value(table, column, row, value):
    values = table[column].to_numpy().copy()
    values[row] = value
    return table.with_columns(pl.Series(column, values))


def test_a_clean_file_is_called_clean(table, tmp_path):
    made, report = read(table, tmp_path)
    assert report.is_clean
    assert (report.rows_read, report.rows_kept, report.order) == (60, 60, "ascending")
    assert report.summary() == "60 candles"
    assert made.close.tolist() == table["close"].to_list()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_order_and_identical_duplicates_never_change_the_result(tmp_path_factory, seed, bars):
    rng = np.random.default_rng(seed)
    rows = np.concatenate([np.arange(50), rng.integers(0, 50, rng.integers(0, 20))])
    rng.shuffle(rows)
    columns = {name: getattr(bars, name)[rows] for name in OHLCV}
    shuffled = pl.DataFrame({"ts": bars.open_time[rows], **columns})
    made, report = read(shuffled, tmp_path_factory.mktemp("order"))
    assert made.fingerprint == replace(bars[:50], symbol="BTC/USDT").fingerprint
    assert report.identical_duplicates == len(rows) - 50
    assert report.conflicting_duplicates == 0


def test_newest_first_is_sorted_and_said(table, tmp_path):
    made, report = read(table.reverse(), tmp_path)
    assert report.order == "descending"
    assert report.repairs == ("sorted by time (order was descending)",)
    assert (np.diff(made.open_time) > 0).all()


def test_conflicting_duplicates_are_refused_unless_told_which_to_keep(table, tmp_path):
    twice = pl.concat([table, with_value(table, "volume", 5, 77.0)[5:6]])
    with pytest.raises(
        RefusedCandles,
        match=r"rows 6 and 61 .*a candle must have one value, was volume .* and 77.0",
    ) as refusal:
        read(twice, tmp_path)
    assert refusal.value.report.conflicting_duplicates == 1
    made, report = read(twice, tmp_path, duplicates=DuplicatePolicy.KEEP_LAST)
    assert made.volume[5] == 77.0
    assert (report.conflicting_duplicates, report.identical_duplicates) == (1, 0)
    assert "1 conflicting duplicates dropped, the last of each kept" in report.repairs


@pytest.mark.parametrize(
    ("column", "value", "reason", "count"),
    [
        ("close", np.nan, "open, high, low and close must be numbers", "missing_prices"),
        ("open", np.inf, "open, high, low and close must be numbers", "missing_prices"),
        ("low", -1.0, "prices must be > 0", "non_positive_prices"),
        ("low", 0.0, "prices must be > 0", "non_positive_prices"),
        ("high", 1.0, "high and low must enclose open and close", "high_low_violations"),
        ("low", 1e9, "high and low must enclose open and close", "high_low_violations"),
        ("volume", np.nan, "volume must be a number", "missing_volumes"),
        ("volume", -5.0, "volume must be >= 0", "negative_volumes"),
    ],
)
def test_impossible_values_are_refused_with_their_row(
    table, tmp_path, column, value, reason, count
):
    broken = with_value(with_value(table, column, 7, value), column, 30, value)
    with pytest.raises(
        RefusedCandles, match=rf"BTC_USDT-5m.parquet row 8 \(2024-.*{reason}.*\(2 such rows\)"
    ) as refusal:
        read(broken, tmp_path)
    assert getattr(refusal.value.report, count) == 2


def test_a_volume_column_missing_throughout_becomes_zero_and_is_said(table, tmp_path):
    empty = table.with_columns(volume=pl.lit(None, pl.Float64))
    made, report = read(empty, tmp_path)
    assert made.volume.sum() == 0
    assert report.repairs == ("volume column was empty, taken as 0",)
    assert report.longest_zero_volume_run == 60


def test_times_off_the_grid_are_refused(table, tmp_path):
    shifted = with_value(table, "ts", 9, table["ts"][9] + MINUTE_NS)
    with pytest.raises(
        RefusedCandles, match=r"row 10 .*open time must lie on the 5m grid.*\(1 such rows\)"
    ):
        read(shifted, tmp_path)


def test_gaps_are_counted_and_listed_but_never_filled(table, tmp_path):
    made, report = read(pl.concat([table[:10], table[13:20], table[50:]]), tmp_path)
    assert (report.gaps, report.missing_bars, report.largest_gap_bars) == (2, 33, 30)
    assert [gap.missing_bars for gap in report.first_gaps] == [3, 30]
    assert report.first_gaps[0].after_open == "2024-01-01T00:45:00Z"
    assert len(made) == 27


def test_runs_without_volume_are_counted(table, tmp_path):
    for row in (3, 10, 11, 12):
        table = with_value(table, "volume", row, 0.0)
    _, report = read(table, tmp_path)
    assert (report.zero_volume_bars, report.longest_zero_volume_run) == (4, 3)


@pytest.mark.parametrize(
    ("column", "row", "factor"), [("high", 30, 1.8), ("low", 20, 0.4), ("high", 0, 3.0)]
)
def test_a_price_that_comes_and_goes_in_one_bar_is_flagged_and_kept(
    table, tmp_path, column, row, factor
):
    price = table[column][row] * factor
    made, report = read(with_value(table, column, row, price), tmp_path)
    assert getattr(made, column)[row] == price
    assert report.spikes == 1
    assert (report.first_spikes[0].row, report.first_spikes[0].price) == (row + 1, price)
    assert report.first_spikes[0].excursion_frac == pytest.approx(abs(np.log(factor)), abs=0.05)
    assert not report.is_clean


def test_a_bad_close_that_the_next_open_contradicts_is_flagged(table, tmp_path):
    price = table["close"][30] * 2
    broken = with_value(with_value(table, "close", 30, price), "high", 30, price)
    assert read(broken, tmp_path)[1].spikes == 1


def test_a_true_crash_is_no_spike(table, tmp_path):
    crashed = table.with_columns(
        [
            pl.Series(n, np.r_[table[n].to_numpy()[:30], table[n].to_numpy()[30:] * 0.6])
            for n in OHLCV
        ]
    )
    low = crashed["low"][30]
    opened = float(table["close"][29])
    crashed = with_value(with_value(crashed, "open", 30, opened), "high", 30, opened)
    assert low < 0.7 * opened
    assert read(crashed, tmp_path)[1].spikes == 0


@pytest.mark.parametrize(
    ("name", "time", "column", "price"),
    [
        ("binance/BTC_USDT-1m.parquet", "2022-09-21T18:00:00Z", None, None),
        ("dirty/cdd_Binance_BTCUSDT_1h_excerpt.csv.gz", "2017-08-17T04:00:00Z", "open", 16199.91),
    ],
)
def test_true_extremes_and_bad_ticks_of_real_files_are_kept(name, time, column, price):
    made, report = read_candles(shared_data(name))
    flagged = {spike.open_time for spike in report.first_spikes}
    assert (time in flagged) == (column is not None)
    times = np.datetime64(time.rstrip("Z"), "ns").astype(np.int64)
    row = int(np.searchsorted(made.open_time, times))
    assert made.open_time[row] == times
    if column is not None:
        assert getattr(made, column)[row] == price


def test_the_wild_hours_of_dogecoin_are_kept():
    made, report = read_candles(shared_data("binance/DOGE_USDT-1h.parquet"))
    assert report.rows_kept == report.rows_read == 52456
    assert np.abs(np.diff(np.log(made.close))).max() > 0.5
    assert report.missing_bars > 0


@pytest.mark.parametrize(
    ("name", "symbol", "rows"),
    [
        ("dirty/BTC_USD_bitstamp_asis-1h.parquet", "BTC/USD", 33259),
        ("dirty/UNITTEST_BTC-1m.parquet", "UNITTEST/BTC", 13681),
        ("dirty/XRP_ETH-1m.parquet", "XRP/ETH", 2469),
        ("dirty/XRP_USDT_USDT_mark_nanvol-1h.parquet", "XRP/USDT:USDT", 100),
        ("binanceusdm/BTC_USDT_USDT-1h.parquet", "BTC/USDT:USDT", 58623),
        ("fx/EURUSD-1h.parquet", "EUR/USD", 5000),
    ],
)
def test_every_usable_real_file_reads_whole(name, symbol, rows):
    made, report = read_candles(shared_data(name))
    assert (made.symbol, len(made), report.rows_kept) == (symbol, rows, rows)


def test_the_real_file_with_conflicting_rows_is_refused():
    with pytest.raises(DataError, match=r"BTC_USDT_cdd_asis-1h.parquet rows \d+ and \d+"):
        read_candles(shared_data("dirty/BTC_USDT_cdd_asis-1h.parquet"))
