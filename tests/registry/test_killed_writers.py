"""kill -9 at every line of a publish and of a promote: readers see all of it or nothing."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toy_model import toy_card, toy_files, toy_registry

PROGRAM = Path(__file__).parent / "killed_writer.py"
TESTS = Path(__file__).parents[1]
posix = pytest.mark.skipif(os.name == "nt", reason="needs fork and SIGKILL")


def environment() -> dict[str, str]:
    places = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": places, "OPENBLAS_NUM_THREADS": "1"}


@posix
@pytest.mark.parametrize("action", ["publish", "promote"])
def test_killed_at_any_line_a_writer_leaves_all_or_nothing(tmp_path, action):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(PROGRAM), action, str(tmp_path)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["kills"] > 40
    assert outcome["nothing"] > 0
    assert outcome["all"] > 0
    assert outcome["half"] == 0


@posix
def test_killed_at_random_moments_a_busy_publisher_leaves_only_whole_versions(tmp_path):
    chance = random.Random(7)
    for _ in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(PROGRAM), "busy", str(tmp_path)],
            env=environment(),
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.15))
        writer.kill()
        writer.wait()
        writer.stdout.close()
    registry = toy_registry(tmp_path)
    versions = registry.versions("BTC/USDT")
    assert versions
    for version in versions:
        registry.load("BTC/USDT", version)
    assert [entry.number for entry in registry.history("BTC/USDT")] == list(
        range(1, len(registry.history("BTC/USDT")) + 1)
    )
    registry.publish("BTC/USDT", toy_files(), toy_card())
    registry.clean(older_than_s=0.0)
    assert list((tmp_path / "tmp").iterdir()) == []
