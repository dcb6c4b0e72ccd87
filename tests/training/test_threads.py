"""LightGBM's threads neither spin for long nor sleep at once; what a user has set is left alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SHOW = "import os, crypto_bot; print(os.environ.get('GOMP_SPINCOUNT'))"
NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.mark.parametrize(
    ("given", "seen"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_the_spin_of_threads_is_short_unless_the_user_says_otherwise(given, seen):
    environment = {name: text for name, text in os.environ.items() if name not in NAMES}
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        env=environment | given,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == seen
