"""kill -9 all along a publish, promotion, rollback and retention: nothing is lost, half or double."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from registry.killed_writer import SYMBOL, is_tidy, is_whole
from toy_model import toy_card, toy_files, toy_registry

PROGRAM = Path(__file__).parent / "killed_writer.py"
TESTS = Path(__file__).parents[1]
posix = pytest.mark.skipif(os.name == "nt", reason="needs fork and SIGKILL")


def environment() -> dict[str, str]:
    places = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": places, "OPENBLAS_NUM_THREADS": "1"}


@posix
@pytest.mark.parametrize("action", ["publish", "promote", "rollback", "retention"])
def test_killed_anywhere_a_writer_leaves_all_or_nothing_and_can_be_done_again(tmp_path, action):
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
def test_killed_at_random_moments_a_busy_writer_leaves_a_registry_that_verifies(tmp_path):
    chance = random.Random(7)
    lengths = [0]
    for _ in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(PROGRAM), "busy", str(tmp_path)],
            env=environment(),
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        for _ in range(chance.randint(3, 30)):
            assert writer.stdout.readline()
        writer.kill()
        writer.wait()
        writer.stdout.close()
        registry = toy_registry(tmp_path)
        assert is_whole(registry)
        lengths.append(len(registry.history(SYMBOL)))
    assert lengths == sorted(lengths)
    assert lengths[-1] > 0
    registry.publish(SYMBOL, toy_files(), toy_card())
    registry.clean(older_than_s=-1.0)
    assert is_whole(registry)
    assert is_tidy(registry, tmp_path)
