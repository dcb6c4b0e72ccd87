"""Funding rates come from files as exchanges write them and are kept beside the candles."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from crypto_bot.core import FundingRates
from crypto_bot.core.errors import DataError, StorageError
from crypto_bot.core.timeframes import HOUR_NS
from crypto_bot.engine import CostOptions, ExitOptions, SizingOptions, simulate
from crypto_bot.market import import_funding, load_funding, read_candles, read_funding
from crypto_bot.strategies import get_strategy
from shared_data import shared_data


def test_a_csv_is_read_sorted_and_stamped_to_the_second(tmp_path):
    file = tmp_path / "BTC_USDT_USDT-funding.csv.gz"
    file.write_bytes(
        gzip.compress(
            b"fundingTime,fundingRate\n1700035200005,-0.0002\n1700006400000,0.0001\n",
        )
    )
    rates = read_funding(file)
    assert rates.symbol == "BTC/USDT:USDT"
    assert rates.time_ns.tolist() == [1700006400 * 10**9, 1700035200 * 10**9]
    assert rates.rate.tolist() == [0.0001, -0.0002]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("timestamp,price\n1700006400000,1\n", "must have a column funding_rate or fundingrate"),
        ("when,rate\n1700006400000,0\n", "must have a column timestamp or time"),
        ("timestamp,rate\n1700006400000,\n", "row 2: funding rate must be a number"),
        ("timestamp,rate\n1700006400000,7\n", "fraction between -1 and 1, was 7.0"),
        ("timestamp,rate\n1700006400000,0\n1700006400000,0.1\n", "times must increase"),
    ],
)
def test_a_bad_file_is_refused_with_what_is_wrong(tmp_path, content, message):
    file = tmp_path / "ETH_USDT_USDT-funding.csv"
    file.write_text(content)
    with pytest.raises(DataError, match=message):
        read_funding(file)


def test_a_folder_is_imported_and_a_damaged_store_is_told(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ETH_USDT_USDT-funding.csv").write_text(
        "timestamp,rate\n1700006400000,0.0003\n"
    )
    (found,) = import_funding(tmp_path / "in", tmp_path / "store")
    loaded = load_funding(tmp_path / "store", "ETH/USDT:USDT")
    assert loaded.rate.tolist() == found.rate.tolist() == [0.0003]
    assert load_funding(tmp_path / "store", "BTC/USDT:USDT") is None
    path = tmp_path / "store" / "funding" / "ETH-USDT_USDT.parquet"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(StorageError, match="damaged"):
        load_funding(tmp_path / "store", "ETH/USDT:USDT")


def test_rates_and_times_must_fit():
    with pytest.raises(DataError, match="one rate a time"):
        FundingRates("BTC/USDT:USDT", np.arange(2) * HOUR_NS, np.zeros(3))


def test_a_year_of_real_funding_costs_a_long_what_the_rates_add_up_to():
    bars, _ = read_candles(shared_data("binanceusdm/BTC_USDT_USDT-1h.parquet"))
    rates = read_funding(shared_data("binanceusdm/BTC_USDT_USDT-funding.parquet"))
    year = bars[30_000:38_760]
    strategy = get_strategy("sma_cross", fast=2, slow=3)
    signals = strategy.signals_on(year)
    always = signals._replace(
        direction=np.ones(len(year), np.int8), score=np.ones(len(year), np.float64)
    )
    free = CostOptions(taker_fee_frac=0, maker_fee_frac=0, slippage_frac=0)
    result = simulate(
        year,
        always,
        costs=free,
        exits=ExitOptions(signal_exit="never"),
        sizing=SizingOptions(),
        funding=rates,
    )
    (trade,) = result.trades
    is_due = (rates.time_ns > year.open_time[1]) & (rates.time_ns <= year.open_time[-1])
    opens = year.open[np.searchsorted(year.open_time, rates.time_ns[is_due])]
    expected = (trade["quantity"] * opens * rates.rate[is_due]).sum()
    assert is_due.sum() > 1_000
    assert trade["financing_quote"] == pytest.approx(expected, rel=1e-12)
    assert result.equity[-1] == pytest.approx(100_000 + trade["pnl_quote"], rel=1e-12)


def test_one_bad_file_is_named_and_keeps_out_no_other(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "BTC_USDT_USDT-funding.csv").write_text("timestamp,rate\n1700006400000,7\n")
    (folder / "ETH_USDT_USDT-funding.csv").write_text("timestamp,rate\n1700006400000,0.1\n")
    with pytest.raises(DataError, match=r"BTC_USDT_USDT-funding.csv.*was 7.0"):
        import_funding(folder, tmp_path / "store")
    assert load_funding(tmp_path / "store", "ETH/USDT:USDT") is not None
    assert load_funding(tmp_path / "store", "BTC/USDT:USDT") is None
