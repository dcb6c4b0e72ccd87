"""kill -9 at random moments of the loop: nothing is lost, nothing is done twice, everything verifies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backtest.loop.killed_loop import ALWAYS
from backtest.loop.verified import verify

PROGRAM = Path(__file__).parent / "killed_loop.py"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
ENOUGH_S = 900


def started(folder, *, speed, turns, closes):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", PROGRAM, *map(str, (folder, speed, turns, closes))],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def killed_after(folder, seconds, **wanted):
    """What a start said before it was killed, and whether it ended by itself before that."""
    process = started(folder, **wanted)
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        said, _ = process.communicate()
        return said, False
    assert process.returncode == 0, said
    return said, True


def disturbed(folder, *, kills, seed, turns, closes, speed=60.0):
    """Start, kill at a random moment, again and again; then let it do its work."""
    draw = random.Random(seed)
    for _ in range(kills):
        killed_after(folder, draw.uniform(1.5, 8.0), speed=speed, turns=10**6, closes=10**6)
        verify(folder, ALWAYS) if (folder / "journal.sqlite").exists() else None
    said, has_ended = killed_after(folder, ENOUGH_S, speed=speed, turns=turns, closes=closes)
    assert has_ended, said
    return verify(folder, ALWAYS), said


def test_a_loop_that_is_killed_a_few_times_loses_nothing_and_repeats_nothing(tmp_path):
    counts, _ = disturbed(tmp_path, kills=2, seed=1, turns=1, closes=4)
    assert counts["turns"] >= 1
    assert counts["closes"] >= 4
    assert counts["versions"] >= 1


@pytest.mark.slow
def test_a_loop_that_is_killed_a_hundred_times_loses_nothing_and_repeats_nothing(tmp_path):
    counts, _ = disturbed(tmp_path, kills=100, seed=2, turns=5, closes=40)
    assert counts["turns"] >= 5
    assert counts["closes"] >= 40
    assert counts["versions"] >= 5
