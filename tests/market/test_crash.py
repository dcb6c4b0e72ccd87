"""kill -9 in the middle of an import leaves whole files, and the next run completes the work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import polars as pl
import pytest

from crypto_bot.core.bars import OHLCV
from crypto_bot.core.files import TEMPORARY_SUFFIX, temporary_path
from crypto_bot.market import BarStore, import_candles

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs kill -9")

IMPORTER = """
import os, signal, sys
from pathlib import Path
import crypto_bot.market.store as stored
from crypto_bot.core.files import temporary_path
from crypto_bot.market import BarStore, import_candles

left, write = int(sys.argv[3]), stored.write_file

def write_or_die(path, content):
    global left
    left -= 1
    if left == 0:
        temporary_path(path).write_bytes(content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, content)

stored.write_file = write_or_die
print("ready", flush=True)
import_candles(Path(sys.argv[1]), BarStore(Path(sys.argv[2])))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, bars):
    """Ten pairs of three months each."""
    root = tmp_path_factory.mktemp("candles")
    columns = {name: getattr(bars, name) for name in ("open_time", *OHLCV)}
    for i in range(10):
        pl.DataFrame(columns).write_parquet(root / f"C{i}_USDT-5m.parquet")
    return root


def start(folder, store, deadly_write):
    return subprocess.Popen(
        [sys.executable, "-c", IMPORTER, str(folder), str(store.root), str(deadly_write)],
        stdout=subprocess.PIPE,
        text=True,
    )


def leftovers(store):
    return list(store.root.rglob(f".*{TEMPORARY_SUFFIX}"))


def check_every_stored_month_is_whole(store, bars):
    for entry in store.catalog():
        loaded = store.load(entry.symbol, entry.timeframe)
        same = bars.between(None, int(loaded.close_time[-1]))
        assert loaded.close.tolist() == same.close.tolist()


def check_next_run_completes(folder, store, bars):
    outcomes = import_candles(folder, store)
    assert [outcome.error for outcome in outcomes] == [None] * 10
    for i in range(10):
        loaded = store.load(f"C{i}/USDT", "5m")
        assert loaded.open_time.tolist() == bars.open_time.tolist()
        assert loaded.volume.tolist() == bars.volume.tolist()
    assert leftovers(store) == []


@pytest.mark.parametrize("deadly_write", [1, 5])
def test_killed_while_writing_a_month(folder, store, bars, deadly_write):
    process = start(folder, store, deadly_write)
    process.communicate(timeout=200)
    assert process.returncode == -signal.SIGKILL
    assert len(leftovers(store)) == 1
    check_every_stored_month_is_whole(store, bars)
    assert sum(1 for _ in store.root.rglob("*.parquet")) == deadly_write - 1
    check_next_run_completes(folder, store, bars)


def test_killed_while_writing_what_was_imported(folder, store, bars):
    store.root.mkdir(parents=True, exist_ok=True)
    temporary_path(store.root / "imports.json").write_text("{")
    assert len(leftovers(store)) == 1
    check_next_run_completes(folder, store, bars)


@pytest.mark.parametrize("delay_s", [0.05, 0.2])
def test_killed_at_any_moment(folder, store, bars, delay_s):
    process = start(folder, store, 0)
    assert process.stdout.readline() == "ready\n"
    time.sleep(delay_s)
    process.kill()
    process.communicate(timeout=200)
    check_every_stored_month_is_whole(store, bars)
    check_next_run_completes(folder, store, bars)


def test_a_killed_owner_does_not_keep_the_lock(tmp_path, bars):
    code = (
        "import sys; from pathlib import Path; from crypto_bot.market.locking import folder_lock\n"
        "with folder_lock(Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()"
    )
    store = BarStore(tmp_path)
    store.append(bars[:10])
    folder = next(tmp_path.rglob("timeframe=5m"))
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout.readline() == "held\n"
    owner.kill()
    owner.communicate(timeout=200)
    assert store.append(bars[10:20]).added == 10
