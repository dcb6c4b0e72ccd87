"""Run by test_killed_writers: writers that die by SIGKILL at a chosen line, or keep writing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from crypto_bot.core.errors import CryptoBotError
from crypto_bot.registry import ModelRegistry
from toy_model import PASSED, toy_card, toy_files, toy_registry

MOST_LINES = 4000
OURS = ("crypto_bot/registry/", "crypto_bot/core/files.py")


def kill_at_line(line: int) -> Callable[[FrameType, str, Any], Any]:
    """A trace function that kills this process at the nth executed line of the writing code."""
    left = line

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not any(part in frame.f_code.co_filename for part in OURS):
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def run_child(work: Callable[[], Any], line: int) -> bool:
    """Do `work` in a fork killed at that line; True if it lived to the end."""
    child = os.fork()
    if child == 0:
        sys.settrace(kill_at_line(line))
        work()
        sys.settrace(None)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFEXITED(status)


def kill_everywhere(action: str, root: Path) -> dict[str, int]:
    """Repeat an action from the same start, dying one line later each time; judge what is seen."""
    outcome = {"kills": 0, "nothing": 0, "all": 0, "half": 0}
    os.fsync = lambda descriptor: None  # a killed process loses nothing that it wrote; only time
    for line in range(0, MOST_LINES, 1 if action == "publish" else 7):
        folder = root / str(line)
        registry = toy_registry(folder)
        version = registry.publish("BTC/USDT", toy_files(), toy_card())
        lived = run_child(lambda r=registry, v=version: act(r, action, v), line)
        versions, entries = registry.versions("BTC/USDT"), registry.history("BTC/USDT")
        seen = len(versions) - 1 + len(entries)
        outcome["half"] += not all_is_whole(registry) or seen > 1
        outcome["all" if seen else "nothing"] += 1
        act(registry, action, version)
        registry.clean(older_than_s=0.0)
        outcome["half"] += not all_is_whole(registry) or any((folder / "tmp").iterdir())
        shutil.rmtree(folder)
        if lived:
            break
        outcome["kills"] += 1
    return outcome


def act(registry: ModelRegistry, action: str, version: str) -> None:
    if action == "publish":
        registry.publish("BTC/USDT", toy_files(), toy_card())
    else:
        registry.promote("BTC/USDT", version, PASSED)


def all_is_whole(registry: ModelRegistry) -> bool:
    """Every visible version loads and the champion log reads."""
    try:
        for version in registry.versions("BTC/USDT"):
            registry.load("BTC/USDT", version)
        registry.history("BTC/USDT")
    except CryptoBotError as error:
        print(error, file=sys.stderr)
        return False
    return True


def main(action: str, root: Path) -> None:
    if action != "busy":
        print(json.dumps(kill_everywhere(action, root)))
        return
    registry = toy_registry(root)
    print("ready", flush=True)
    while True:
        version = registry.publish("BTC/USDT", toy_files(padding=100_000), toy_card())
        registry.promote("BTC/USDT", version, PASSED)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
