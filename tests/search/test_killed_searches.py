"""kill -9 at several places: the same call goes on, repeats nothing finished, and ends the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crypto_bot.engine import ExitOptions
from crypto_bot.search import exit_space, search
from crypto_bot.search.samplers import BATCH
from search.markets import market

PROGRAM = Path(__file__).parent / "killed_search.py"
TESTS = PROGRAM.parents[1]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")


def killed(folder, method, trials, place, count):
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder), method, str(trials), place, str(count)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(
    ("method", "trials", "place", "count", "finished"),
    [
        ("tpe", 44, "told", 5, 0),
        ("tpe", 44, "beside", 2, 16),
        ("nsga2", 80, "renamed", 2, 64),
        ("random", 44, "beside", 3, 32),
    ],
)
def test_a_killed_search_goes_on_and_ends_as_if_it_had_not_been(
    tmp_path, monkeypatch, method, trials, place, count, finished
):
    monkeypatch.setitem(BATCH, "random", 16)
    killed(tmp_path, method, trials, place, count)
    exits = exit_space(["stop", "target"], ExitOptions())
    options = {"method": method, "trials": trials, "exits": exits, "minimum_trades": 2}
    again = search(market(), "sma_cross", workers=1, store=tmp_path, **options)
    whole = search(market(), "sma_cross", workers=1, **options)
    assert again.reused == finished
    assert again.trials.equals(whole.trials)
    assert again.table.equals(whole.table)
    assert again.best() == whole.best()
