"""An incremental sweep equals a full one to the last bit, and computes only what new candles change."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from crypto_bot.core.errors import ConfigError, StorageError
from crypto_bot.engine import SWEEP_SCHEMA, CostOptions, ExitOptions, SizingOptions, sweep
from crypto_bot.search import incremental, sweep_incremental
from crypto_bot.strategies import parameter_grid
from search.markets import market

NAMES = ("rsi", "sma_cross")
GRIDS = {name: parameter_grid(name, 4) for name in NAMES}
EXITS = [ExitOptions(), ExitOptions(stop_loss_frac=0.02, take_profit_frac=0.04)]
PAIRS = 3


def bars_of(lengths=(0, 0, 0)):
    """Three pairs, each without its last bars."""
    return [b[: len(b) - less] for b, less in zip(market(PAIRS), lengths, strict=True)]


def both(store, bars, names=NAMES, **options):
    """The incremental sweep, after a look that a full one gives the same."""
    options = {"grids": GRIDS, "exits": EXITS, "workers": 1, **options}
    options["grids"] = {name: options["grids"][name] for name in names}
    told = []
    made = sweep_incremental(bars, names, store=store, on_computed=told.append, **options)
    full = sweep(bars, names, **options)
    assert made.result.table.equals(full.table)
    assert made.result.table.schema == SWEEP_SCHEMA
    assert made.result.skipped == full.skipped
    told_rows = pl.concat([pl.DataFrame(schema=SWEEP_SCHEMA), *told])
    assert told_rows.equals(made.computed)
    assert made.read + len(made.computed) == len(full.table)
    return made


def test_the_first_sweep_computes_all_and_the_second_reads_all(tmp_path):
    first = both(tmp_path, bars_of())
    assert (len(first.computed), first.read) == (3 * 2 * 4 * 2, 0)
    second = both(tmp_path, bars_of())
    assert (len(second.computed), second.read) == (0, 48)
    assert second.changed == ()


def test_new_candles_of_one_pair_compute_that_pair_alone(tmp_path):
    both(tmp_path, bars_of((0, 5, 0)))
    later = both(tmp_path, bars_of((0, 3, 0)))
    assert later.changed == (("ETH/USDT", "1h"),)
    assert (len(later.computed), later.read) == (16, 32)


def test_a_timeframe_without_a_new_bar_is_read(tmp_path):
    from crypto_bot.market import resample

    def all_timeframes(less):
        base = bars_of((less,) * PAIRS)
        return [resample(b, name) for name in ("1h", "4h") for b in base]

    both(tmp_path, all_timeframes(4))
    later = both(tmp_path, all_timeframes(2))
    assert {timeframe for _, timeframe in later.changed} == {"1h"}
    assert {tf for _, tf in both(tmp_path, all_timeframes(0)).changed} == {"1h", "4h"}


def test_a_longer_grid_computes_only_what_was_added(tmp_path):
    both(tmp_path, bars_of(), names=("rsi",))
    wider = {"rsi": [*parameter_grid("rsi", 4), {"window": 15}]}
    added = both(tmp_path, bars_of(), names=("rsi",), grids=wider)
    assert len(added.computed) == 3 * 1 * 2
    assert len(both(tmp_path, bars_of()).computed) == 3 * 4 * 2
    more = [*EXITS, ExitOptions(trailing_stop_frac=0.03)]
    assert len(both(tmp_path, bars_of(), names=("rsi",), exits=more).computed) == 3 * 4 * 3
    assert len(both(tmp_path, bars_of(), names=("rsi",), exits=[more[2]]).computed) == 0


def test_other_costs_sizes_starts_and_candles_are_other_results(tmp_path):
    bars = bars_of()
    both(tmp_path, bars)
    others = [
        {"costs": CostOptions(taker_fee_frac=0.0)},
        {"sizing": SizingOptions(allow_short=False)},
        {"start_ns": int(bars[0].open_time[300])},
    ]
    for options in others:
        assert both(tmp_path, bars, **options).read == 0
        assert len(both(tmp_path, bars, **options).computed) == 0
    changed = [replace(bars[0], close=bars[0].close * 1.0, is_simulated=False), *bars[1:]]
    assert both(tmp_path, changed).changed == (("BTC/USDT", "1h"),)


def test_a_start_that_moves_within_one_bar_changes_nothing(tmp_path):
    bars = bars_of()
    both(tmp_path, bars, start_ns=int(bars[0].open_time[300]) - 5)
    assert len(both(tmp_path, bars, start_ns=int(bars[0].open_time[300])).computed) == 0


def test_other_code_is_another_result(tmp_path, monkeypatch):
    both(tmp_path, bars_of(), names=("rsi",))
    monkeypatch.setattr(incremental, "strategy_version", lambda strategy: "0" * 64)
    assert both(tmp_path, bars_of(), names=("rsi",)).read == 0


def test_settings_that_cannot_run_are_remembered_with_their_reason(tmp_path):
    bars = [b[:80] for b in bars_of()]
    first = both(tmp_path, bars)
    assert first.result.skipped
    second = both(tmp_path, bars)
    assert second.result.skipped == first.result.skipped
    assert len(second.computed) == 0


def test_old_states_of_a_pair_are_dropped(tmp_path):
    for less in range(8, 0, -1):
        both(tmp_path, bars_of((less, 0, 0)), names=("rsi",))
    kept = {path.name: len(list(path.iterdir())) for path in (tmp_path / "results").iterdir()}
    assert kept == {"BTC-USDT-1h": 3, "ETH-USDT-1h": 1, "SOL-USDT-1h": 1}
    assert both(tmp_path, bars_of((1, 0, 0)), names=("rsi",)).changed == ()
    assert len(both(tmp_path, bars_of((8, 0, 0)), names=("rsi",)).changed) == 1


def test_contexts_of_one_state_are_bounded(tmp_path):
    for fee in range(12):
        costs = CostOptions(taker_fee_frac=fee / 1_000)
        both(tmp_path, bars_of()[:1], names=("rsi",), costs=costs)
    (state,) = (tmp_path / "results" / "BTC-USDT-1h").iterdir()
    assert len(list(state.iterdir())) == incremental.CONTEXTS_KEPT


def test_threads_on_one_store_all_get_the_right_table(tmp_path):
    def work(less):
        return both(tmp_path, bars_of((less % 3, 0, 0)), names=("rsi",))

    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(work, range(12)))) == 12
    assert list(tmp_path.rglob("*.partial")) == []


PROGRAM = """
import sys
from search.test_incremental import both, bars_of
for less in (1, 0):
    both(sys.argv[1], bars_of((less, less, 0)), names=("rsi",))
"""


def test_two_processes_on_one_store_both_get_the_right_table(tmp_path):
    tests = str(Path(__file__).parents[1])
    path = os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])
    words = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    running = [
        subprocess.Popen(words, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in running:
        _, complaint = process.communicate(timeout=120)
        assert process.returncode == 0, complaint.decode()


def test_a_damaged_file_is_named(tmp_path):
    both(tmp_path, bars_of()[:1], names=("rsi",))
    (path,) = tmp_path.rglob("*.parquet")
    path.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(StorageError, match=r"rsi-.*\.parquet must be a file of results, was not"):
        sweep_incremental(bars_of()[:1], ["rsi"], store=tmp_path, grids={"rsi": GRIDS["rsi"]})
    pl.DataFrame({"a": [1]}).write_parquet(path)
    with pytest.raises(StorageError, match="must have the columns of results, had others"):
        sweep_incremental(bars_of()[:1], ["rsi"], store=tmp_path, grids={"rsi": GRIDS["rsi"]})


def test_bad_input_is_refused_as_by_a_sweep(tmp_path):
    with pytest.raises(ConfigError, match="had BTC/USDT 1h twice"):
        sweep_incremental([market()[0]] * 2, ["rsi"], store=tmp_path)
    with pytest.raises(ConfigError, match="did you mean 'rsi'"):
        sweep_incremental(market(), ["rsii"], store=tmp_path)
    with pytest.raises(ConfigError, match="bars must hold at least one symbol, was empty"):
        sweep_incremental([], ["rsi"], store=tmp_path)
