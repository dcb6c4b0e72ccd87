"""Mutated artifacts: each is refused or predicts identically; none crashes, hangs or fills memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "fuzzed_loads.py"
TESTS = Path(__file__).parents[1]
MIB = 2**20
posix = pytest.mark.skipif(os.name == "nt", reason="needs resource limits and named pipes")


def fuzz(folder, first, count):
    places = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(PROGRAM), str(folder), str(first), str(count)],
        env={**os.environ, "PYTHONPATH": places, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, f"a mutant took the process down: {done.stderr[-3000:]}"
    return json.loads(done.stdout)


def check(told, count):
    assert told["faults"] == []
    outcome = told["outcome"]
    assert sum(outcome.values()) == 2 * count
    assert outcome["forged any refused"] > count / 4
    assert outcome["damaged any refused"] > count / 5
    assert outcome["forged any sound"] > 0
    assert outcome.get("forged trusting identical", 0) == 0
    assert told["grown_bytes"] < 128 * MIB


@posix
def test_mutated_artifacts_are_refused_or_predict_the_same(tmp_path):
    told = fuzz(tmp_path, 0, 1000)
    check(told, 1000)
    assert len(told["kinds"]) >= 9
