"""Files as exchanges, CryptoDataDownload, freqtrade, pandas and Bot v3.1 write them."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import DAY_NS, HOUR_NS, MINUTE_NS, iso_time
from crypto_bot.market import pair_symbol, read_candles
from crypto_bot.market.candle_files import NotCandles, same_symbol
from crypto_bot.market.importing import file_name_parts
from shared_data import shared_data

START_NS = 1_704_067_200_000_000_000  # 2024-01-01
VALUES = "100,110,90,105,12.5"


def write_rows(path: Path, header: str, rows) -> Path:
    text = "\n".join(([header] if header else []) + list(rows)) + "\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def stamps(unit_ns: int, count: int = 4, step_ns: int = HOUR_NS):
    return [str((START_NS + i * step_ns) // unit_ns) for i in range(count)]


def hours(pattern: str, count: int = 4):
    times = [datetime.fromtimestamp(START_NS / 1e9 + 3600 * i, UTC) for i in range(count)]
    return [time.strftime(pattern) for time in times]


EXPECTED = [START_NS + i * HOUR_NS for i in range(4)]


@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
@pytest.mark.parametrize(
    "header",
    [
        "timestamp,open,high,low,close,volume",
        "ts,Open,High,Low,Close,Volume",
        "open_time,open,high,low,close,volume,close_time,quote_volume",
        "Open Time,Open,High,Low,Close,Volume",
        "unix,open,high,low,close,Volume BTC,Volume USDT",
        "time,o,h,l,c,v",
        "Unix Timestamp,open_price,high_price,low_price,close_price,vol",
        '"date","open","high","low","close","volume"',
    ],
)
def test_column_names_of_exchanges_are_understood(tmp_path, header, suffix):
    extra = ",9,9" if header.count(",") == 7 else ",9" if header.count(",") == 6 else ""
    rows = [f"{stamp},{VALUES}{extra}" for stamp in stamps(10**6)]
    path = write_rows(tmp_path / f"BTC_USDT-1h.{suffix}", header, rows)
    bars, report = read_candles(path)
    assert bars.open_time.tolist() == EXPECTED
    assert [float(column[0]) for column in (bars.open, bars.high, bars.low, bars.close)] == [
        100,
        110,
        90,
        105,
    ]
    assert bars.volume[0] == 12.5
    assert (bars.symbol, bars.timeframe, report.rows_kept) == ("BTC/USDT", "1h", 4)


@pytest.mark.parametrize(
    "pattern",
    [
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%dT%H:%M:%SZ",
        "%Y-%m-%d %H:%M:%S+00:00",
        "%Y-%m-%d %H:%M:%S.000+00:00",
        "%Y-%m-%d %H:%M:%S UTC",
        "%Y-%m-%d %I-%p",
        "%m/%d/%Y %H:%M",
        "%m/%d/%Y %H:%M:%S",
        "%d.%m.%Y %H:%M:%S.000",
    ],
)
def test_dates_are_understood_and_taken_as_utc(tmp_path, pattern):
    rows = [f"{date},{VALUES}" for date in hours(pattern)]
    path = write_rows(tmp_path / "ETHUSD.csv", "Date,Open,High,Low,Close,Volume", rows)
    bars, report = read_candles(path)
    assert bars.open_time.tolist() == EXPECTED
    assert (bars.symbol, bars.timeframe, report.epoch_units) == ("ETH/USD", "1h", {})


def test_a_zone_moves_the_time_to_utc(tmp_path):
    rows = [f"2024-01-01T{hour:02d}:00:00+02:00,{VALUES}" for hour in (2, 3, 4)]
    bars, _ = read_candles(
        write_rows(tmp_path / "BTCUSDT.csv", "date,open,high,low,close,volume", rows)
    )
    assert bars.open_time.tolist() == EXPECTED[:3]


@pytest.mark.parametrize("pattern", ["%m/%d/%Y", "%Y-%m-%d", "%Y%m%d", "%Y/%m/%d"])
def test_daily_files_of_bot_v31_and_others(tmp_path, pattern):
    days = [datetime(2023, 12, 28 + i, tzinfo=UTC).strftime(pattern) for i in range(4)]
    rows = [f"{day},AAPL,{VALUES}" for day in days]
    path = write_rows(
        tmp_path / "aapl_1d_2019_to_2024.csv", "date,symbol,open,high,low,close,volume", rows
    )
    bars, _ = read_candles(path)
    assert (bars.symbol, bars.timeframe) == ("AAPL", "1d")
    assert iso_time(int(bars.open_time[0])) == "2023-12-28T00:00:00Z"


@pytest.mark.parametrize("unit_ns", [10**9, 10**6, 10**3, 1])
def test_csv7_without_header_in_every_epoch_unit(tmp_path, unit_ns):
    rows = [f"{stamp},{VALUES},42" for stamp in stamps(unit_ns, step_ns=MINUTE_NS)]
    bars, report = read_candles(write_rows(tmp_path / "XRPUSD.csv", "", rows))
    assert (bars.symbol, bars.timeframe) == ("XRP/USD", "1m")
    assert bars.open_time[3] == START_NS + 3 * MINUTE_NS
    assert sum(report.epoch_units.values()) == 4
    assert report.repairs == ()


@pytest.mark.parametrize("width", [6, 12])
def test_headerless_rows_of_ccxt_and_binance(tmp_path, width):
    rest = "" if width == 6 else ",1704070799999,1300,9,1,1,0"
    rows = [f"{stamp},{VALUES}{rest}" for stamp in stamps(10**6)]
    bars, _ = read_candles(write_rows(tmp_path / "BTCUSDT-1h-2024-01.csv", "", rows))
    assert (bars.symbol, bars.timeframe, len(bars)) == ("BTC/USDT", "1h", 4)


def test_epoch_units_mixed_in_one_file_are_read_row_by_row_and_said(tmp_path):
    seconds, millis = stamps(10**9), stamps(10**6)
    rows = [f"{stamp},{VALUES}" for stamp in (seconds[0], millis[1], f"{seconds[2]}.0", millis[3])]
    path = write_rows(tmp_path / "BTCUSDT.csv", "unix,open,high,low,close,volume", rows)
    bars, report = read_candles(path)
    assert bars.open_time.tolist() == EXPECTED
    assert report.epoch_units == {"s": 2, "ms": 2}
    assert any("mixed epoch units" in repair for repair in report.repairs)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    first=st.integers(315_532_800, 4_000_000_000),
    units=st.lists(st.sampled_from([10**9, 10**6, 10**3, 1]), min_size=2, max_size=12),
)
def test_any_mixture_of_units_gives_the_same_times(tmp_path_factory, first, units):
    first -= first % 60
    times = [first * 10**9 + i * MINUTE_NS for i in range(len(units))]
    rows = [f"{time // unit},{VALUES}" for time, unit in zip(times, units, strict=True)]
    path = tmp_path_factory.mktemp("units") / "BTCUSDT-1m.csv"
    bars, _ = read_candles(write_rows(path, "ts,open,high,low,close,volume", rows))
    assert bars.open_time.tolist() == times


def test_comment_lines_semicolons_windows_ends_and_a_byte_order_mark(tmp_path):
    lines = [
        "https://www.CryptoDataDownload.com",
        "Unix;Symbol;Open;High;Low;Close;Volume USDT;Volume BTC",
    ]
    lines += [f"{stamp};BTCUSDT;100;110;90;105;9;12.5" for stamp in stamps(10**9)]
    path = tmp_path / "Binance_BTCUSDT_1h.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    bars, _report = read_candles(path)
    assert (bars.symbol, len(bars), bars.volume[0]) == ("BTC/USDT", 4, 12.5)
    path.write_text(path.read_text().replace(";105;", ";abc;", 1))
    with pytest.raises(DataError, match="row 3: Close must be a number, was 'abc'"):
        read_candles(path)


def test_blank_lines_are_no_rows_but_count_as_lines(tmp_path):
    one, two, *_ = stamps(10**9)
    text = f"unix,open,high,low,close,volume\n{one},{VALUES}\n\n{two},{VALUES}\n\n\n"
    path = tmp_path / "BTCUSDT.csv"
    path.write_text(text)
    assert len(read_candles(path)[0]) == 2
    path.write_text(text.replace(f"{two},100", f"{two},-1"))
    with pytest.raises(DataError, match=r"row 4 .*prices must be > 0"):
        read_candles(path)


def test_a_named_volume_must_be_in_base_currency(tmp_path):
    rows = [f"{stamp},{VALUES}" for stamp in stamps(10**9)]
    path = write_rows(tmp_path / "BTCUSDT.csv", "unix,open,high,low,close,Volume USDT", rows)
    with pytest.raises(DataError, match="must have a volume in base currency of BTC/USDT"):
        read_candles(path)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_binary_files_with_any_kind_of_datetime(tmp_path, suffix, zone, unit):
    times = pl.Series(EXPECTED).cast(pl.Datetime("ns", "UTC")).dt.cast_time_unit(unit)
    times = times.dt.replace_time_zone(None) if zone is None else times.dt.convert_time_zone(zone)
    table = pl.DataFrame(
        {"date": times, "open": 100, "high": 110, "low": 90, "close": 105.0, "volume": 12.5}
    )
    path = tmp_path / f"BTC_USDT_USDT-1h.{suffix}"
    table.write_parquet(path) if suffix == "parquet" else table.write_ipc(path)
    bars, _ = read_candles(path)
    assert bars.open_time.tolist() == EXPECTED
    assert bars.symbol == "BTC/USDT:USDT"


def test_arguments_win_over_what_the_file_says(tmp_path):
    rows = [f"{stamp},{VALUES}" for stamp in stamps(10**9)]
    path = write_rows(tmp_path / "ETHUSD.csv", "unix,open,high,low,close,volume", rows)
    bars, _ = read_candles(path, symbol="XBT/EUR", timeframe="1h")
    assert (bars.symbol, bars.timeframe) == ("XBT/EUR", "1h")
    with pytest.raises(DataError, match="must hold 5m candles as said, most of its steps were 1h"):
        read_candles(path, timeframe="5m")


def test_a_file_of_several_symbols_needs_a_choice(tmp_path):
    rows = [f"{s},{tic},{VALUES}" for s in stamps(10**9) for tic in ("BTCUSDT", "ETHUSDT")]
    path = write_rows(tmp_path / "all.csv", "unix,tic,open,high,low,close,volume", rows)
    with pytest.raises(DataError, match="must hold one symbol, had BTC/USDT, ETH/USDT"):
        read_candles(path)
    bars, _ = read_candles(path, symbol="ETH/USDT")
    assert (bars.symbol, len(bars)) == ("ETH/USDT", 4)
    with pytest.raises(DataError, match="must hold SOL/USDT, had BTCUSDT, ETHUSDT"):
        read_candles(path, symbol="SOL/USDT")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "was empty"),
        (b"  \n", "was empty"),
        (b"ts,open,high,low,close,volume\n", "was empty"),
        (b"hello world\n", "must have lines of candles"),
        (b"\xff\xfe\x00,\n", "must be UTF-8"),
        (
            b"a,b,c,d,e,f,g\n1,2,3,4,5,6,7\n",
            "must have columns time, open, high, low, close, volume",
        ),
        (b"1,2,3\n", "without a header must have 6, 7, 12 columns, had 3"),
        (b"ts,open,high,low,close,volume\n1704067200,1,1,1,1,1\n1704067260,1,2\n", "row 3"),
        (b"ts,open,high,low,close,volume\nJan 5,1,1,1,1,1\n", "row 2: ts must be epoch numbers"),
        (b"ts,open,high,low,close,volume\n1704067200,1,1,1,1,1,1,1\n", "was malformed"),
        (
            b"ts,open,high,low,close,volume\n31/12/2023,1,1,1,1,1\n",
            "row 2: ts must be epoch numbers",
        ),
        (b"ts,open,high,low,close,volume\n1704067200,1,1,1,1,1\n", "must say its timeframe"),
    ],
)
def test_malformed_text_is_refused_with_its_place(tmp_path, content, reason):
    path = tmp_path / "BTCUSDT.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"BTCUSDT.csv.*{reason}"):
        read_candles(path)


@pytest.mark.parametrize("suffix", ["parquet", "feather", "csv.gz"])
def test_malformed_binaries_are_refused(tmp_path, suffix):
    path = tmp_path / f"BTCUSDT-1h.{suffix}"
    path.write_bytes(b"PAR1 this is no such file PAR1")
    with pytest.raises(DataError, match=rf"BTCUSDT-1h.{suffix} must be"):
        read_candles(path)
    with pytest.raises(DataError, match="must be readable"):
        read_candles(tmp_path / f"absent.{suffix}")


def test_other_tables_are_not_taken_for_candles(tmp_path):
    path = tmp_path / "BTC_USDT-funding.parquet"
    pl.DataFrame({"timestamp": EXPECTED, "funding_rate": 0.1}).write_parquet(path)
    with pytest.raises(NotCandles, match="lacked open, high, low, close, volume, had"):
        read_candles(path)


def test_a_nameless_file_must_be_told_its_symbol(tmp_path):
    rows = [f"{stamp},{VALUES}" for stamp in stamps(10**9)]
    path = write_rows(tmp_path / "candles.csv", "unix,open,high,low,close,volume", rows)
    with pytest.raises(DataError, match="must say its symbol in a column or its name"):
        read_candles(path)
    assert read_candles(path, symbol="BTC/USDT")[0].symbol == "BTC/USDT"


@pytest.mark.parametrize(
    ("name", "symbol", "timeframe"),
    [
        ("BTC_USDT-5m.parquet", "BTC/USDT", "5m"),
        ("BTC_USDT_USDT-1h.feather", "BTC/USDT:USDT", "1h"),
        ("XRPUSD.csv", "XRP/USD", ""),
        ("Binance_BTCUSDT_1h.csv", "BTC/USDT", "1h"),
        ("BTCUSDT-1m-2022-01.csv", "BTC/USDT", "1m"),
        ("BTC_USDT_cdd_asis-1h.parquet", "BTC/USDT", "1h"),
        ("EURUSD_ASK-1h.parquet", "EUR/USD", "1h"),
        ("UNITTEST_BTC-1m.feather", "UNITTEST/BTC", "1m"),
        ("btc_usdt-15min.csv.gz", "BTC/USDT", "15m"),
        ("aapl_1d_2019_to_2024.csv", "AAPL", "1d"),
        ("Bitstamp_ETHUSD_daily.csv", "ETH/USD", "1d"),
        ("1000SHIBUSDT_1h.csv", "1000SHIB/USDT", "1h"),
        ("WBTC_USDT-1h.csv", "WBTC/USDT", "1h"),
        ("BTC_USDT-1M.parquet", "BTC/USDT", ""),
        ("candles.csv", "", ""),
    ],
)
def test_file_names_tell_symbol_and_timeframe(name, symbol, timeframe):
    assert file_name_parts(Path(name)) == (symbol, timeframe)


def test_spellings_of_a_symbol():
    assert [pair_symbol(text) for text in ("btc-usdt", "BTCUSDT", "WBTC", "BTC/USDT:USDT", "")] == [
        "BTC/USDT",
        "BTC/USDT",
        "WBTC",
        "BTC/USDT:USDT",
        "",
    ]
    assert same_symbol("BTC/USDT", "btc_usdt")
    assert not same_symbol("BTC/USDT", "ETH/USDT")


def test_the_real_excerpt_with_both_units_reads_as_its_parquet_twin():
    text, report = read_candles(shared_data("dirty/cdd_Binance_BTCUSDT_1h_excerpt.csv.gz"))
    whole, _ = read_candles(
        shared_data("dirty/BTC_USDT_cdd_asis-1h.parquet"), duplicates="keep_last"
    )
    assert report.epoch_units == {"s": 4000, "ms": 2999}
    assert report.order == "descending"
    _, ours, theirs = np.intersect1d(text.open_time, whole.open_time, return_indices=True)
    assert len(ours) == len(text) == 6999
    np.testing.assert_array_equal(text.close[ours], whole.close[theirs])
    np.testing.assert_array_equal(text.volume[ours], whole.volume[theirs])
    assert text.open_time[0] % DAY_NS == 4 * HOUR_NS


@pytest.mark.parametrize("hours", ["", " 00:00"])
def test_days_and_months_that_cannot_be_told_apart_are_refused(tmp_path, hours):
    header = "date,open,high,low,close,volume"
    rows = [f"{day:02}/03/2024{hours},{VALUES}" for day in (1, 2, 3, 4)]
    path = write_rows(tmp_path / "BTCUSDT_1d.csv", header, rows)
    with pytest.raises(DataError, match=r"which of '01/03/2024.* is the day.*YYYY-MM-DD"):
        read_candles(path)
    told = [f"03/{day:02}/2024{hours},{VALUES}" for day in (11, 12, 13)]
    bars, _ = read_candles(write_rows(path, header, told))
    assert iso_time(int(bars.open_time[0])).startswith("2024-03-11")
