"""A folder of files goes into the store file by file; a bad one is reported, never half-written."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace

import polars as pl
import pytest

from crypto_bot.core.bars import OHLCV
from crypto_bot.core.errors import DataError, StorageError
from crypto_bot.market import BarStore, ImportStatus, import_candles, simulate_market
from crypto_bot.market.simulation import SimulationOptions
from shared_data import shared_data


def write_parquet(path, bars):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {name: getattr(bars, name) for name in ("open_time", *OHLCV)}
    pl.DataFrame(columns).write_parquet(path)
    return path


@pytest.fixture
def folder(tmp_path, bars):
    """Two good pairs, one of them twice, one bad file, one that holds no candles, one note."""
    root = tmp_path / "candles"
    write_parquet(root / "BTC_USDT-5m.parquet", bars)
    write_parquet(root / "deeper" / "ETH_USDT-5m.parquet", bars[:3000])
    broken = pl.read_parquet(root / "BTC_USDT-5m.parquet").with_columns(close=pl.lit(-1.0))
    broken.write_parquet(root / "SOL_USDT-5m.parquet")
    pl.DataFrame({"timestamp": [1], "funding_rate": [0.1]}).write_parquet(
        root / "BTC_USDT-funding.parquet"
    )
    (root / "README.md").write_text("notes")
    (root / "EMPTY_USDT-5m.csv").write_text("")
    return root


def by_name(outcomes):
    return {outcome.file.name: outcome for outcome in outcomes}


def test_every_file_gets_an_outcome_and_bad_ones_do_not_stop_the_rest(folder, store, bars):
    told = []
    outcomes = by_name(import_candles(folder, store, on_outcome=told.append))
    assert [outcome.file.name for outcome in told] == list(outcomes)
    assert {name: outcome.status.value for name, outcome in outcomes.items()} == {
        "BTC_USDT-5m.parquet": "imported",
        "BTC_USDT-funding.parquet": "skipped",
        "EMPTY_USDT-5m.csv": "refused",
        "SOL_USDT-5m.parquet": "refused",
        "ETH_USDT-5m.parquet": "imported",
    }
    good, bad = outcomes["BTC_USDT-5m.parquet"], outcomes["SOL_USDT-5m.parquet"]
    assert (good.symbol, good.timeframe, good.added, good.error) == (
        "BTC/USDT",
        "5m",
        len(bars),
        None,
    )
    assert good.report.gaps > 0
    assert (bad.symbol, bad.added) == ("SOL/USDT", 0)
    assert bad.report.non_positive_prices == len(bars)
    assert "SOL_USDT-5m.parquet row 1" in bad.error
    assert "lacked open, high, low, close" in outcomes["BTC_USDT-funding.parquet"].error
    assert "was empty" in outcomes["EMPTY_USDT-5m.csv"].error
    assert [entry.symbol for entry in store.catalog()] == ["BTC/USDT", "ETH/USDT"]
    assert store.load("BTC/USDT", "5m").fingerprint == bars.fingerprint


def test_a_file_seen_before_is_recognised_by_content_with_its_report(folder, store):
    first = by_name(import_candles(folder, store))
    again = by_name(import_candles(folder, BarStore(store.root)))
    for name in ("BTC_USDT-5m.parquet", "ETH_USDT-5m.parquet"):
        assert again[name].status is ImportStatus.ALREADY_STORED
        assert again[name].added == 0
        assert again[name].report == first[name].report
    assert again["SOL_USDT-5m.parquet"].status is ImportStatus.REFUSED


def test_a_changed_file_is_imported_again(folder, store, bars):
    import_candles(folder, store)
    write_parquet(folder / "deeper" / "ETH_USDT-5m.parquet", bars[:3500])
    outcome = by_name(import_candles(folder, store))["ETH_USDT-5m.parquet"]
    assert (outcome.status, outcome.added) == (ImportStatus.IMPORTED, 500)


def test_the_manifest_is_not_believed_when_the_candles_are_gone(folder, store, bars):
    import_candles(folder, store)
    shutil.rmtree(next(store.root.glob("symbol=BTC-USDT")))
    outcome = by_name(import_candles(folder, store))["BTC_USDT-5m.parquet"]
    assert (outcome.status, outcome.added) == (ImportStatus.IMPORTED, len(bars))


def test_a_broken_manifest_says_so(folder, store):
    import_candles(folder, store)
    (store.root / "imports.json").write_text("{")
    with pytest.raises(StorageError, match=r"imports.json must be readable JSON"):
        import_candles(folder, store)


def test_only_the_wanted_timeframes_are_imported(folder, store, bars):
    hourly = replace(bars[:48:12], timeframe="1h")
    write_parquet(folder / "BTC_USDT-1h.parquet", hourly)
    write_parquet(folder / "LTCUSDT.parquet", hourly)
    outcomes = by_name(import_candles(folder, store, timeframes=["5m"]))
    assert outcomes["BTC_USDT-1h.parquet"].status is ImportStatus.SKIPPED
    assert "which were not asked for" in outcomes["BTC_USDT-1h.parquet"].error
    assert outcomes["LTCUSDT.parquet"].status is ImportStatus.SKIPPED
    assert {entry.timeframe for entry in store.catalog()} == {"5m"}


def test_a_file_of_several_symbols_gives_an_outcome_each(tmp_path, store, bars):
    columns = {name: getattr(bars[:50], name) for name in ("open_time", *OHLCV)}
    table = pl.DataFrame(columns)
    broken = table.with_columns(low=pl.lit(0.0))
    parts = {"BTCUSDT": table, "ETHUSDT": broken, "SOLUSDT": table}
    both = pl.concat([part.with_columns(tic=pl.lit(name)) for name, part in parts.items()])
    path = tmp_path / "many.csv"
    both.write_csv(path)
    for _ in range(2):
        outcomes = import_candles(path, store)
        assert [(o.symbol, o.error is None) for o in outcomes] == [
            ("BTC/USDT", True),
            ("ETH/USDT", False),
            ("SOL/USDT", True),
        ]
        assert "row 52 " in outcomes[1].error


def test_a_single_file_can_be_named_by_arguments(tmp_path, store, bars):
    path = write_parquet(tmp_path / "mine.parquet", bars[:100])
    (outcome,) = import_candles(path, store, symbol="BTC/USDT", timeframe="5m")
    assert outcome.added == 100
    assert import_candles(path, store)[0].status is ImportStatus.REFUSED


def test_real_candles_do_not_enter_a_simulated_store(tmp_path, store, bars, simulated):
    store.append(simulated)
    path = write_parquet(tmp_path / "BTC_USDT-5m.parquet", bars)
    (outcome,) = import_candles(path, store)
    assert outcome.status is ImportStatus.REFUSED
    assert "must hold only SIMULATED candles" in outcome.error


def test_a_missing_or_useless_path_is_refused(tmp_path, store):
    with pytest.raises(DataError, match="must be a file or folder of candles, was not there"):
        import_candles(tmp_path / "absent", store)
    with pytest.raises(DataError, match=r"must hold candle files \(.csv, .csv.gz, .parquet"):
        import_candles(tmp_path, store)
    assert not store.root.exists()


def test_an_unwritable_store_is_a_storage_error_and_not_an_outcome(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"must be a (writable )?folder"):
        import_candles(folder, BarStore(tmp_path / "file" / "store"))


def test_twenty_simulated_pairs_are_recognised_in_under_a_second(tmp_path, store):
    for bars in simulate_market(SimulationOptions(bars=3000)):
        write_parquet(tmp_path / "many" / f"{bars.symbol.replace('/', '_')}-5m.parquet", bars)
    assert len(import_candles(tmp_path / "many", store)) == 20
    started = time.process_time()
    outcomes = import_candles(tmp_path / "many", store)
    assert time.process_time() - started < 1.0
    assert {outcome.status for outcome in outcomes} == {ImportStatus.ALREADY_STORED}


def test_the_twenty_real_pairs_import_whole_and_again_and_load_in_under_a_second(store):
    source = shared_data("binance")
    outcomes = [o for o in import_candles(source, store, timeframes=["5m"]) if o.report is not None]
    assert len(outcomes) == 20
    assert all(outcome.report.repairs == () and outcome.report.gaps == 0 for outcome in outcomes)
    started = time.process_time()
    again = import_candles(source, store, timeframes=["5m"])
    assert time.process_time() - started < 1.0
    assert sum(o.status is ImportStatus.ALREADY_STORED for o in again) == 20
    started = time.process_time()
    loaded = [store.load(entry.symbol, entry.timeframe) for entry in store.catalog()]
    assert time.process_time() - started < 1.0
    assert sum(map(len, loaded)) == 1_439_805
