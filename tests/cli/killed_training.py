"""Run by test_cointrainer: `cointrainer csv-train --publish`, killed by SIGKILL at its nth change of a file."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

# Imported once, before the forks; nothing that starts threads is called here.
import lightgbm  # noqa: F401
import psutil  # noqa: F401
import scipy.stats  # noqa: F401

import crypto_bot.cli.training_commands  # noqa: F401
from crypto_bot.cli.cointrainer import main

WATCHED = ("registry", "local_models")
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "open"}
LINE = ["csv-train", "--file", "candles.csv", "--symbol", "BTC/USDT", "--publish", "--json"]


def kill_at_change(number: int) -> None:
    """Die just before the nth change of a model folder."""
    left = number

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event not in CHANGES or not os.fspath(str(arguments[0])).startswith(WATCHED):
            return
        if event == "open" and "w" not in str(arguments[1] or ""):
            return
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def run_child(folder: Path, number: int | None) -> int | None:
    """The exit code of a run killed at that change; None if it was killed."""
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        if number is not None:
            kill_at_change(number)
        os._exit(main(LINE))
    _, status = os.waitpid(child, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None


def attempt(root: Path, number: int, content: bytes) -> dict[str, object]:
    folder = root / str(number)
    folder.mkdir()
    (folder / "candles.csv").write_bytes(content)
    killed = run_child(folder, number)
    models, metadata = folder / "local_models", "btc-usdt_metadata.json"
    return {
        "number": number,
        "killed": killed is None,
        "metadata": (models / metadata).exists(),
        "versions": len(list(folder.glob("registry/*/versions/*"))),
        "again": run_child(folder, None),
    }


if __name__ == "__main__":
    root, step = Path(sys.argv[1]), int(sys.argv[2])
    content = (root / "candles.csv").read_bytes()
    found = []
    for number in range(0, 400, step):
        found.append(attempt(root, number, content))
        if not found[-1]["killed"]:
            break
    print(json.dumps(found))
