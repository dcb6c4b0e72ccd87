"""The bar store keeps what it was given, once, whatever happens in between."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError, DataError, StorageError
from crypto_bot.core.timeframes import DAY_NS
from crypto_bot.market import AppendReport, BarStore


def partition_states(store):
    return {path: path.stat().st_mtime_ns for path in store.root.rglob("*.parquet")}


def test_loaded_bars_equal_the_appended_ones(store, bars):
    assert store.append(bars) == AppendReport(len(bars), 0, 0)
    assert store.load(bars.symbol, "5m").fingerprint == bars.fingerprint
    assert store.last_open_time(bars.symbol, "5m") == bars.open_time[-1]
    months = sorted(path.name for path in store.root.rglob("*.parquet"))
    assert months == ["2024-01.parquet", "2024-02.parquet", "2024-03.parquet"]


def test_appending_the_same_bars_again_rewrites_nothing(store, bars):
    store.append(bars)
    before = partition_states(store)
    assert store.append(bars) == AppendReport(0, len(bars), 0)
    assert partition_states(store) == before


def test_overlapping_pieces_in_any_order_give_the_whole(store, bars):
    for piece in (bars[9000:15000], bars[:10000], bars[14000:]):
        store.append(piece)
    assert store.load(bars.symbol, "5m").fingerprint == bars.fingerprint


def test_a_changed_candle_replaces_the_stored_one_and_touches_only_its_month(store, bars):
    store.append(bars)
    before = partition_states(store)
    volume = bars.volume[-3:].copy()
    volume[1] += 1.0
    assert store.append(replace(bars[-3:], volume=volume)) == AppendReport(0, 2, 1)
    after = partition_states(store)
    assert [path.name for path in after if after[path] != before[path]] == ["2024-03.parquet"]
    assert store.load(bars.symbol, "5m").volume[-2] == volume[1]


@pytest.mark.parametrize(
    ("start", "end"), [(None, None), (None, 3), (40, 45), (70, None), (200, None)]
)
def test_a_span_loads_what_between_gives(store, bars, start, end):
    store.append(bars)
    zero = int(bars.open_time[0])
    start_ns = None if start is None else zero + start * DAY_NS
    end_ns = None if end is None else zero + end * DAY_NS
    loaded = store.load(bars.symbol, "5m", start_ns=start_ns, end_ns=end_ns)
    assert loaded.fingerprint == bars.between(start_ns, end_ns).fingerprint


def test_the_true_symbol_comes_back_though_folders_cannot_spell_it(store, bars):
    perpetual = replace(bars[:10], symbol="BTC/USDT:USDT")
    store.append(perpetual)
    store.append(bars)
    assert [entry.symbol for entry in store.catalog()] == ["BTC/USDT", "BTC/USDT:USDT"]
    assert store.load("BTC/USDT:USDT", "5m").symbol == "BTC/USDT:USDT"
    assert store.catalog()[1].rows == 10


def test_two_symbols_of_one_folder_name_are_not_mixed(store, bars):
    store.append(bars)
    with pytest.raises(StorageError, match="must hold one symbol, was BTC/USDT when BTC-USDT came"):
        store.append(replace(bars, symbol="BTC-USDT"))
    with pytest.raises(DataError, match="must hold BTC-USDT 5m, had none"):
        store.load("BTC-USDT", "5m")


def test_catalog_describes_every_series_in_order(store, bars):
    assert store.catalog() == []
    hourly = replace(bars[:48:12], timeframe="1h")
    store.append(hourly)
    store.append(bars)
    five, one = store.catalog()
    assert (five.timeframe, one.timeframe) == ("5m", "1h")
    assert (five.rows, five.first_open_ns, five.last_open_ns, five.is_simulated) == (
        len(bars),
        bars.open_time[0],
        bars.open_time[-1],
        False,
    )


def test_long_bars_are_kept_in_files_of_a_year(store, bars):
    times = bars.open_time[0] + np.arange(400, dtype=np.int64) * DAY_NS
    daily = replace(bars[:400], timeframe="1d", open_time=times)
    store.append(daily)
    assert [p.name for p in sorted(store.root.rglob("*.parquet"))] == [
        "2024.parquet",
        "2025.parquet",
    ]
    assert store.load(bars.symbol, "1d").fingerprint == daily.fingerprint


def test_an_unknown_symbol_names_the_nearest(store, bars):
    with pytest.raises(DataError, match="store is empty, import or download candles first"):
        store.load("BTC/USDT", "5m")
    store.append(bars)
    with pytest.raises(DataError, match="must hold BTC/USDX 5m, had none; did you mean 'BTC/USDT'"):
        store.load("BTC/USDX", "5m")
    with pytest.raises(DataError, match="stored timeframes of it: 5m"):
        store.load("BTC/USDT", "1h")
    with pytest.raises(ConfigError, match="symbol must look like"):
        store.load("../etc", "5m")
    with pytest.raises(ConfigError, match="timeframe must be"):
        store.load("BTC/USDT", "5 minutes")


@pytest.mark.parametrize("is_simulated", [False, True])
def test_real_and_simulated_candles_never_share_a_store(store, bars, simulated, is_simulated):
    first, second = (simulated, bars) if is_simulated else (bars, simulated)
    store.append(first)
    again = BarStore(store.root)
    assert again.is_simulated is is_simulated
    assert again.load("BTC/USDT", "5m").is_simulated is is_simulated
    with pytest.raises(DataError, match=r"must hold only (real|SIMULATED) candles"):
        again.append(second)
    assert again.load("BTC/USDT", "5m").fingerprint == first.fingerprint


def test_the_mark_survives_the_loss_of_its_file(store, bars, simulated):
    store.append(simulated)
    (store.root / "store.json").unlink()
    assert store.is_simulated is True
    assert store.load("BTC/USDT", "5m").is_simulated
    with pytest.raises(DataError, match="must hold only SIMULATED candles"):
        store.append(bars)


@pytest.mark.parametrize("keep", [0, 100, -40])
def test_a_corrupt_partition_is_named(store, bars, keep):
    store.append(bars)
    path = sorted(store.root.rglob("*.parquet"))[1]
    path.write_bytes(path.read_bytes()[:keep])
    for action in (
        lambda: store.load(bars.symbol, "5m"),
        lambda: store.append(bars),
        store.catalog,
    ):
        with pytest.raises(DataError, match=r"2024-02.parquet must be a partition .* was corrupt"):
            action()


def test_a_partition_with_flipped_bytes_inside_is_refused(store, bars):
    store.append(bars)
    path = sorted(store.root.rglob("*.parquet"))[1]
    content = bytearray(path.read_bytes())
    content[200:260] = b"\x00" * 60
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"2024-02.parquet"):
        store.load(bars.symbol, "5m")


def test_leftovers_of_a_crash_are_ignored_and_removed(store, bars):
    store.append(bars[:100])
    folder = next(store.root.rglob("timeframe=5m"))
    leftover = folder / ".2024-01.parquet.0123.partial"
    leftover.write_bytes(b"half")
    assert len(store.load(bars.symbol, "5m")) == 100
    store.append(bars[:100])
    assert not leftover.exists()


def test_an_unusable_folder_is_a_storage_error(tmp_path, bars):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"must be a (writable )?folder"):
        BarStore(tmp_path / "file").append(bars)
    broken = BarStore(tmp_path / "broken")
    broken.append(bars[:5])
    (broken.root / "store.json").write_text("{")
    with pytest.raises(StorageError, match=r"store.json must say whether"):
        broken.append(bars[:5])


def test_earlier_bars_are_written_from_the_newest_month_back(store, bars, monkeypatch):
    """Whoever dies in between leaves the stored span without a hole."""
    import crypto_bot.market.store as stored

    store.append(bars[-100:])
    order = []
    monkeypatch.setattr(stored, "write_file", lambda path, content: order.append(path.name))
    store.append(bars[:-100])
    assert order == ["2024-03.parquet", "2024-02.parquet", "2024-01.parquet"]


APPENDER = """
import sys
from pathlib import Path
from crypto_bot.market import BarStore, read_candles
bars, _ = read_candles(Path(sys.argv[1]))
store = BarStore(Path(sys.argv[2]))
mine = bars[int(sys.argv[3]) :: 2]
print("ready", flush=True)
sys.stdin.readline()
for i in range(0, 200, 5):
    store.append(mine[i : i + 5])
"""


def test_two_processes_lose_no_row_of_the_same_month(tmp_path, store, bars):
    path = tmp_path / "BTC_USDT-5m.csv"
    rows = [",".join(map(repr, (bar.open_time // 10**6, *bar[1:]))) for bar in bars[:400]]
    path.write_text("\n".join(["ts,open,high,low,close,volume", *rows]))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", APPENDER, str(path), str(store.root), parity],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for parity in "01"
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert store.load("BTC/USDT", "5m").fingerprint == bars[:400].fingerprint
