"""Run by test_killed_writers: writers that die by SIGKILL at a chosen line, or keep writing."""

from __future__ import annotations

import itertools
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

SYMBOL, SLUG = "BTC/USDT", "BTC-USDT"
MOST_LINES = 20_000
OURS = ("crypto_bot/registry/", "crypto_bot/core/files.py")
STRIDES = {"publish": 7, "promote": 17, "rollback": 17, "retention": 29}
"""Lines between one death and the next; odd to each other, so that loops are cut at every place."""
BEFORE = {"publish": 1, "promote": 0, "rollback": 2, "retention": 1}
"""What an action counts, before it: versions for a publish, log entries else."""
AFTER = {"publish": 2, "promote": 1, "rollback": 3, "retention": 3}


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


def prepare(folder: Path, action: str) -> None:
    """What stands before the action."""
    registry = toy_registry(folder)
    count = {"publish": 1, "promote": 1, "rollback": 2, "retention": 4}[action]
    versions = [registry.publish(SYMBOL, toy_files(0.5 + k / 10), toy_card()) for k in range(count)]
    for version in {"rollback": versions, "retention": versions[:1]}.get(action, []):
        registry.promote(SYMBOL, version, PASSED)


def act(registry: ModelRegistry, action: str) -> None:
    """The action; done again after a death, it does what is left to do."""
    if action == "publish":
        registry.publish(SYMBOL, toy_files(), toy_card())
    elif action == "promote":
        registry.promote(SYMBOL, registry.versions(SYMBOL)[0], PASSED)
    elif action == "rollback":
        registry.rollback(SYMBOL)
    else:
        registry.keep_newest(SYMBOL, 1)


def counted(registry: ModelRegistry, action: str) -> int:
    return len(registry.versions(SYMBOL) if action == "publish" else registry.history(SYMBOL))


def kill_everywhere(action: str, root: Path) -> dict[str, int]:
    """Repeat an action from the same start, dying later each time; judge what is seen."""
    outcome = {"kills": 0, "nothing": 0, "all": 0, "half": 0}
    os.fsync = lambda descriptor: None  # a killed process loses nothing that it wrote; only time
    start = root / "start"
    prepare(start, action)
    for line in range(0, MOST_LINES, STRIDES[action]):
        folder = root / str(line)
        shutil.copytree(start, folder)
        lived = run_child(lambda f=folder: act(toy_registry(f), action), line)
        registry = toy_registry(folder)
        seen = counted(registry, action)
        outcome["half"] += not is_whole(registry)
        outcome["half"] += not BEFORE[action] <= seen <= AFTER[action]
        outcome["nothing"] += seen == BEFORE[action]
        outcome["all"] += seen == AFTER[action]
        is_left = action != "rollback" or seen == BEFORE[action]
        if is_left:
            act(registry, action)
        outcome["half"] += not is_whole(registry)
        outcome["half"] += action in ("rollback", "retention") and (
            counted(registry, action) != AFTER[action]
        )
        outcome["half"] += action == "retention" and len(registry.versions(SYMBOL)) != 2
        registry.clean(older_than_s=-1.0)
        outcome["half"] += not is_whole(registry) or not is_tidy(registry, folder)
        shutil.rmtree(folder)
        if lived:
            break
        outcome["kills"] += 1
    return outcome


def is_whole(registry: ModelRegistry) -> bool:
    """Every visible version loads, the log has no gap and forgets nobody, its champion serves."""
    try:
        versions, entries = registry.versions(SYMBOL), registry.history(SYMBOL)
        for version in versions:
            registry.load(SYMBOL, version)
        if registry.champion(SYMBOL) is not None:
            registry.load(SYMBOL)
    except CryptoBotError as error:
        print(error, file=sys.stderr)
        return False
    served = {entry.champion for entry in entries} - {None}
    removed = [entry.version for entry in entries if entry.action == "remove"]
    return (
        [entry.number for entry in entries] == list(range(1, len(entries) + 1))
        and all(
            later.previous == earlier.champion for earlier, later in itertools.pairwise(entries)
        )
        and served <= set(versions)
        and len(removed) == len(set(removed))
    )


def is_tidy(registry: ModelRegistry, folder: Path) -> bool:
    """Nothing unfinished is left, in tmp or among the versions."""
    kept = sorted(path.name for path in (folder / SLUG / "versions").iterdir())
    return not any((folder / "tmp").iterdir()) and kept == registry.versions(SYMBOL)


def be_busy(root: Path) -> None:
    """All that a registry can do, over and over, saying when each begins, until somebody kills us."""
    registry = toy_registry(root)
    for turn in itertools.count():
        print("publish", flush=True)
        version = registry.publish(SYMBOL, toy_files(padding=50_000), toy_card())
        print("shadow", flush=True)
        registry.shadow(SYMBOL, version)
        if turn % 2 or registry.champion(SYMBOL) is None:
            print("promote", flush=True)
            registry.promote(SYMBOL, version, PASSED)
        if turn % 4 == 3:
            print("rollback", flush=True)
            registry.rollback(SYMBOL)
        print("retention", flush=True)
        registry.keep_newest(SYMBOL, 2)


def main(action: str, root: Path) -> None:
    if action == "busy":
        be_busy(root)
    else:
        print(json.dumps(kill_everywhere(action, root)))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
