"""A process that backtests for ever stays as large as it was."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
import pytest

from crypto_bot.engine import ExitOptions, simulate, sweep, sweep_signals
from reference.engine_cases import random_bars, random_direction, signals

STATM = Path("/proc/self/statm")
BARS = random_bars(1, 20_000, timeframe="5m", move=0.002, outages=0.0)
DIRECTION = random_direction(2, len(BARS), mean_run=50.0)
STOPS = ExitOptions(stop_loss_frac=0.01)
WALKED = ExitOptions(stop_loss_atr=2.0)


def resident_bytes():
    gc.collect()
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def run(times):
    wanted = signals(DIRECTION)
    many = np.stack([DIRECTION] * 4)
    for turn in range(times):
        simulate(BARS, wanted, exits=(None, STOPS, WALKED)[turn % 3])
        if turn % 50 == 0:
            sweep_signals(BARS, many, exits=[STOPS, WALKED])
            sweep([BARS], ["sma_cross"], exits=[STOPS], workers=2)


@pytest.mark.skipif(not STATM.exists(), reason="resident memory is read from /proc")
def test_a_thousand_runs_leave_memory_flat():
    run(200)
    before = resident_bytes()
    run(1_000)
    assert resident_bytes() < 1.05 * before


def test_the_room_of_a_sweep_does_not_grow_with_its_grid(monkeypatch):
    from crypto_bot.engine import signal_sweep

    rooms, real = [], signal_sweep.empty_sides

    def counted(settings, bars):
        rooms.append(settings)
        return real(settings, bars)

    monkeypatch.setattr(signal_sweep, "empty_sides", counted)
    sweep_signals(BARS[:100], np.zeros((1_000, 100), np.int8), workers=1)
    assert sum(rooms) == 1_000
    assert max(rooms) == signal_sweep._CHUNK_SETTINGS
