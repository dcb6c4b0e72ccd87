"""Run by test_resumption: a turn of the loop that dies by SIGKILL at a chosen call."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import crypto_bot.core.files as files
from backtest.tiny import EDGE, turn_in
from crypto_bot.journal import Journal
from crypto_bot.registry import ModelRegistry
from crypto_bot.registry.version_files import VersionShelf
from crypto_bot.training import LightGBMTrainer

POINTS: dict[str, tuple[Any, str, int, Callable[..., bool], bool]] = {
    # name: owner, function, which call, whether a call counts, whether it dies before the work
    "import": (files, "publish_file", 2, lambda part, path: path.suffix == ".parquet", True),
    "sweep": (files, "publish_file", 1, lambda part, path: path.name == "sweep.parquet", True),
    "training": (LightGBMTrainer, "fit", 2, lambda *given: True, True),
    "publish": (VersionShelf, "write", 1, lambda *given: True, False),
    "promote": (ModelRegistry, "promote", 1, lambda *given, **named: True, False),
    "paper": (Journal, "record_orders", 2, lambda *given: True, False),
    "report": (files, "publish_file", 1, lambda part, path: path.name == "summary.json", True),
}


def doom(point: str) -> None:
    """Kill this process, without a word, at the point."""
    owner, name, wanted, counts, is_before = POINTS[point]
    work = getattr(owner, name)
    calls = 0

    def doomed(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += counts(*given, **named)
        is_time = calls == wanted and counts(*given, **named)
        if is_time and is_before:
            os.kill(os.getpid(), signal.SIGKILL)
        result = work(*given, **named)
        if is_time:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, doomed)


if __name__ == "__main__":
    doom(sys.argv[1])
    if len(sys.argv) > 3:
        turn_in(Path(sys.argv[2]), data=sys.argv[3])
    else:
        turn_in(Path(sys.argv[2]), EDGE)
