"""What every rival's script does: read the job, time the work, print the answer. numpy alone."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


class Market:
    """The job's arrays: open_time in ns, open, high, low, close, volume."""

    def __init__(self, folder: Path) -> None:
        for name in ("open_time", "open", "high", "low", "close", "volume"):
            setattr(self, name, np.load(folder / f"{name}.npy"))


def read() -> tuple[Any, dict[str, Any]]:
    """Market and job from the folder named on the command line."""
    folder = Path(sys.argv[1])
    return Market(folder), json.loads((folder / "job.json").read_text(encoding="utf-8"))


def timed(work: Callable[[], Any], runs: int) -> tuple[float, list[float], Any]:
    """Seconds of the first call, sorted seconds of the later ones, and the last answer."""
    start = time.perf_counter()
    answer = work()
    first = time.perf_counter() - start
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        answer = work()
        taken.append(time.perf_counter() - start)
    return first, sorted(taken), answer


def tell(**answer: Any) -> None:
    """The one line that is read."""
    print(json.dumps(answer))
