"""A search that ends itself by kill -9 at a named place; run as a program by the tests."""

from __future__ import annotations

import os
import signal
import sys

from crypto_bot.core import files
from crypto_bot.engine import ExitOptions
from crypto_bot.search import exit_space, search
from crypto_bot.search.samplers import BATCH
from search.markets import market


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def arrange(place: str, count: int) -> None:
    """Die at the `count`-th time that a batch file is written (`beside`) or renamed (`renamed`)."""
    publish, seen = files.publish_file, []

    def watched(partial, path):
        if "batch-" not in path.name:
            publish(partial, path)
            return
        seen.append(path)
        if len(seen) == count and place == "beside":
            die()
        publish(partial, path)
        if len(seen) == count and place == "renamed":
            die()

    files.publish_file = watched


def main() -> None:
    folder, method, trials, place, count = sys.argv[1:]
    told = []

    def tell(row):
        told.append(row)
        if place == "told" and len(told) == int(count):
            die()

    arrange(place, int(count))
    BATCH["random"] = 16
    exits = exit_space(["stop", "target"], ExitOptions())
    search(
        market(), "sma_cross", method=method, trials=int(trials), exits=exits, minimum_trades=2,
        workers=1, store=folder, on_trial=tell,
    )  # fmt: skip


if __name__ == "__main__":
    main()
