"""`cointrainer import-...`: candles and tables come in checked, and as whole files or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from candle_files_made import market, write_candles
from crypto_bot.cli import import_commands
from crypto_bot.cli.cointrainer import main
from crypto_bot.core.bars import OHLCV
from crypto_bot.market import read_candles
from small_runs import small_environment
from supabase_double.server import SupabaseDouble

SECOND_NS = 1_000_000_000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("SUPABASE_URL", "SUPABASE_SERVICE_KEY", "SUPABASE_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def answer(capsys):
    return json.loads(capsys.readouterr().out)


def write_csv7(path: Path, bars: int = 400, skipped: tuple[int, ...] = ()) -> Path:
    found = market(bars)
    columns = zip(found.open_time, *(getattr(found, name) for name in OHLCV), strict=True)
    rows = [
        ",".join([str(int(time) // SECOND_NS), *(repr(float(v)) for v in values), "3"])
        for i, (time, *values) in enumerate(columns)
        if i not in skipped
    ]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_candle_file_becomes_parquet_with_the_same_candles(folder, capsys):
    write_candles(folder / "BTC_USDT-15m.csv", 300)
    line = "import-csv --file BTC_USDT-15m.csv --out made/btc.parquet --json"
    assert main(line.split()) == 0
    result = answer(capsys)
    assert (result["symbol"], result["timeframe"], result["rows"]) == ("BTC/USDT", "15m", 300)
    bars, _ = read_candles(folder / "made" / "btc.parquet", symbol="BTC/USDT")
    assert (bars.close == market(300).close).all()
    assert [path.name for path in (folder / "made").iterdir()] == ["btc.parquet"]


def test_csv7_becomes_normalized_csv_and_parquet_that_hold_the_same(folder, capsys):
    write_csv7(folder / "candles.csv", skipped=(50, 51, 52))
    line = "import-csv7 --file candles.csv --out made/xrp --chunk-size 1000 --json"
    assert main(line.split()) == 0
    result = answer(capsys)
    assert (result["symbol"], result["rows"]) == ("XRP/USD", 397)
    assert (result["quality"]["gaps"], result["quality"]["missing_bars"]) == (1, 3)
    assert sorted(result["files"]) == ["made/xrp.normalized.csv", "made/xrp.parquet"]
    table = pl.read_parquet(folder / "made" / "xrp.parquet")
    assert table.columns == ["ts", *OHLCV, "trades"]
    assert table.schema["ts"] == pl.Datetime("ns", "UTC")
    assert table["trades"].unique().to_list() == [3]
    for name in ("xrp.parquet", "xrp.normalized.csv"):
        bars, _ = read_candles(folder / "made" / name, symbol="XRP/USD")
        whole, _ = read_candles(folder / "candles.csv", symbol="XRP/USD")
        assert bars.fingerprint == whole.fingerprint
    assert main(["import-csv7", "--file", "candles.csv", "--out", "made/xrp"]) == 0
    assert "gap: 3 missing after" in capsys.readouterr().out


def test_a_file_that_is_not_in_time_order_is_read_as_a_whole_and_that_is_said(folder, capsys):
    path = write_csv7(folder / "candles.csv", 3000)
    rows = path.read_text().splitlines()
    path.write_text("\n".join(reversed(rows)) + "\n")
    assert (
        main(["import-csv7", "--file", "candles.csv", "--out", "xrp", "--chunk-size", "1000"]) == 0
    )
    said = capsys.readouterr().out
    assert "is not in time order: reading it as a whole" in said
    assert "sorted by time" in said
    bars, _ = read_candles(folder / "xrp.parquet", symbol="XRP/USD")
    assert len(bars) == 3000


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ("ts,open,high,low,close,volume,trades", "must have no header"),
        ("1700000000,1,2,3", "must have the 7 columns"),
        ("1700000000,1,1,1,1,1,much", "must have no header"),
    ],
)
def test_what_only_looks_like_csv7_is_refused_and_nothing_is_left(folder, capsys, first, message):
    path = write_csv7(folder / "candles.csv")
    path.write_text(first + "\n" + path.read_text())
    assert main(["import-csv7", "--file", "candles.csv", "--out", "made/xrp"]) == 1
    assert message in capsys.readouterr().err
    assert not list((folder / "made").glob("*"))


@pytest.mark.parametrize(
    ("line", "message", "code"),
    [
        ("import-csv --file no.csv --out a.parquet", "no.csv must be readable", 1),
        ("import-csv --file no.csv --out a.txt", "--out must end in .parquet, was a.txt", 2),
        ("import-csv7 --file no.csv --out a", "no.csv must be readable", 1),
        ("import-csv7 --file no.csv --out a --chunk-size 2", "at least 1000", 2),
        ("import-data supabase --out a.json", "--out must end in .parquet or .csv", 2),
        ("import-data supabase --out a.csv", "set SUPABASE_URL and SUPABASE_SERVICE_KEY", 2),
        ("import-data redis --out a.csv", "redis", 2),
    ],
)
def test_wrong_usage_and_missing_files_end_in_one_line(folder, capsys, line, message, code):
    try:
        found = main(line.split())
    except SystemExit as ended:
        found = ended.code
    assert found == code
    assert message in capsys.readouterr().err
    assert not list(folder.iterdir())


def test_a_full_disk_leaves_nothing_half_written(folder, capsys, monkeypatch):
    write_csv7(folder / "candles.csv")

    def full(partial, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(import_commands, "publish_file", full)
    assert main(["import-csv7", "--file", "candles.csv", "--out", "made/xrp"]) == 1
    assert "made/xrp.normalized.csv must be writable" in capsys.readouterr().err
    assert not list((folder / "made").glob("*"))
    assert not list((folder / "made").glob(".*"))


STOPPED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from crypto_bot.cli import import_commands
from crypto_bot.cli.cointrainer import main
table = import_commands._table
count = 0
def stop_at_the_second(candles):
    global count
    count += 1
    if count == 2:
        os.kill(os.getpid(), signal.SIGINT)
    return table(candles)
import_commands._table = stop_at_the_second
sys.exit(main("import-csv7 --file candles.csv --out made/xrp --chunk-size 1000".split()))
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGINT to oneself")
def test_ctrl_c_in_the_middle_of_writing_leaves_no_file(folder):
    write_csv7(folder / "candles.csv", 5000)
    source = Path(import_commands.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, str(source)],
        cwd=folder,
        env=small_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
    assert [path.name for path in (folder / "made").iterdir()] == []


@pytest.fixture
def service(folder, monkeypatch):
    with SupabaseDouble() as double:
        monkeypatch.setenv("SUPABASE_URL", double.url)
        monkeypatch.setenv("SUPABASE_SERVICE_KEY", double.service_key)
        yield double


def candle_rows(bars: int = 1500) -> list[dict[str, object]]:
    found = market(bars)
    return [
        {
            "id": i,
            "ts": int(found.open_time[i]) // SECOND_NS,
            "symbol": "XRPUSD",
            **{name: float(getattr(found, name)[i]) for name in OHLCV},
        }
        for i in range(bars)
    ]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_candles_of_a_table_are_checked_and_written(service, folder, capsys, suffix):
    service.tables.rows["candles"] = candle_rows()
    line = f"import-data supabase --table candles --symbol XRPUSD --out xrp.{suffix} --json"
    assert main(line.split()) == 0
    result = answer(capsys)
    assert (result["is_candles"], result["rows"]) == (True, 1500)
    assert result["columns"] == ["open_time", *OHLCV]
    bars, _ = read_candles(folder / f"xrp.{suffix}", symbol="XRP/USD")
    assert (bars.close == market(1500).close).all()


def test_broken_candles_of_a_table_are_refused(service, folder, capsys):
    rows = candle_rows(300)
    rows[7]["high"] = 0.001
    service.tables.rows["candles"] = rows
    assert main(["import-data", "supabase", "--table", "candles", "--out", "xrp.csv"]) == 1
    assert "high and low must enclose open and close" in capsys.readouterr().err
    assert not list(folder.iterdir())


def test_trades_stay_as_they_are_and_their_columns_are_named(service, folder, capsys):
    service.tables.rows["trade_logs"] = [
        {"id": i, "timestamp": f"2026-01-0{1 + i}T00:00:00Z", "symbol": "XRPUSD", "pnl": i / 8}
        for i in range(5)
    ]
    line = "import-data supabase --start 2026-01-02 --end 2026-01-04 --out trades.csv"
    assert main(line.split()) == 0
    said = capsys.readouterr().out
    assert "trade_logs: 2 rows (no candles" in said
    assert "columns: id, timestamp, symbol, pnl" in said
    assert pl.read_csv(folder / "trades.csv")["pnl"].to_list() == [0.125, 0.25]


def test_a_refusal_of_the_service_is_one_line_without_the_key(service, folder, capsys, monkeypatch):
    assert main(["import-data", "supabase", "--table", "nothing", "--out", "a.csv"]) == 1
    assert "nothing" in capsys.readouterr().err
    service.tables.rows["trade_logs"] = []
    assert main(["import-data", "supabase", "--out", "a.csv"]) == 1
    assert "table trade_logs must hold rows" in capsys.readouterr().err
    monkeypatch.setenv("SUPABASE_SERVICE_KEY", service.expired_key)
    assert main(["import-data", "supabase", "--out", "a.csv"]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert service.expired_key not in error
    assert not list(folder.iterdir())
