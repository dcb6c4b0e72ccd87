"""Races of many processes for one store, whichever it is: hand in how to open it.

`open_store` is called in every process for a client of its own, so it must go through pickle where
processes are spawned: `functools.partial(FolderStore, folder)`.
"""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

from crypto_bot.core.timeframes import SystemClock
from crypto_bot.registry import ChampionEntry, ModelRegistry, ObjectStore
from crypto_bot.registry.champion_log import ChampionLog
from toy_model import PASSED, load_toy, toy_card, toy_files

OpenStore = Callable[[], ObjectStore]
SYMBOL, SLUG = "BTC/USDT", "BTC-USDT"
_MOST_JSON = 2**20
_BOUND_S = 120.0
"""Nobody waits longer: a race that hangs fails."""


@dataclass
class RaceResult:
    """What a race left: who won each round, what stands in the log, what readers saw."""

    winners: list[list[int]]
    history: list[ChampionEntry]
    reads: int
    faults: list[str] = field(default_factory=list)

    def check(self, rounds: int) -> None:
        """One winner a round, a log without a gap that tells of the same winners, good reads."""
        assert self.faults == []
        assert [len(each) for each in self.winners] == [1] * rounds
        assert [entry.number for entry in self.history] == list(range(1, rounds + 1))
        told = [entry.evidence["writer"] for entry in self.history]
        assert told == [winner for (winner,) in self.winners]
        for earlier, later in itertools.pairwise(self.history):
            assert later.previous == earlier.champion
        assert self.reads > 0


def open_toys(open_store: OpenStore) -> ModelRegistry:
    return ModelRegistry(open_store(), load_model=load_toy)


def race_to_promote(
    open_store: OpenStore,
    *,
    writers: int = 8,
    rounds: int = 25,
    readers: int = 1,
    start_method: str = "fork",
) -> RaceResult:
    """Every round all writers, having seen the same log, claim its next entry at once.

    Readers go on reading all the while: history, champion and its model must be good each time.
    """
    registry = open_toys(open_store)
    versions = [
        registry.publish(SYMBOL, toy_files(0.5 + k / 100), toy_card()) for k in range(writers)
    ]
    context: Any = get_context(start_method)
    barrier, stop, answers = context.Barrier(writers), context.Event(), context.Queue()
    work = [
        context.Process(
            target=_write, args=(open_store, k, versions[k], rounds, barrier, answers), daemon=True
        )
        for k in range(writers)
    ]
    read = [
        context.Process(target=_read, args=(open_store, stop, answers), daemon=True)
        for _ in range(readers)
    ]
    for process in (*read, *work):
        process.start()
    told = [answers.get(timeout=_BOUND_S) for _ in work]
    stop.set()
    told += [answers.get(timeout=_BOUND_S) for _ in read]
    for process in (*read, *work):
        process.join(_BOUND_S)
    winners: list[list[int]] = [[] for _ in range(rounds)]
    for kind, who, what, _ in told:
        for number in what if kind == "wrote" else ():
            winners[number].append(who)
    return RaceResult(
        winners=winners,
        history=registry.history(SYMBOL),
        reads=sum(who for kind, who, _, _ in told if kind == "read"),
        faults=[fault for *_, fault in told if fault],
    )


def _write(
    open_store: OpenStore, writer: int, version: str, rounds: int, barrier: Any, answers: Any
) -> None:
    """Answers ('wrote', writer, rounds it won, fault)."""
    won, fault = [], ""
    try:
        log = ChampionLog(open_store(), SLUG, SystemClock(), _MOST_JSON, {})
        for number in range(rounds):
            barrier.wait(_BOUND_S)
            seen = log.entries()
            assert len(seen) == number, f"saw {len(seen)} entries in round {number}"
            barrier.wait(_BOUND_S)
            evidence = {**PASSED, "writer": writer}
            if log.try_append(seen, "promote", version, version, evidence, ""):
                won.append(number)
        barrier.wait(_BOUND_S)
    except Exception:
        fault = traceback.format_exc()
        barrier.abort()
    answers.put(("wrote", writer, won, fault))


def _read(open_store: OpenStore, stop: Any, answers: Any) -> None:
    """Answers ('read', number of good reads, [], fault)."""
    reads, fault = 0, ""
    try:
        registry = open_toys(open_store)
        longest = 0
        while not stop.is_set():
            history = registry.history(SYMBOL)
            assert [entry.number for entry in history] == list(range(1, len(history) + 1))
            assert len(history) >= longest, "the log got shorter"
            longest = len(history)
            if registry.champion(SYMBOL) is not None:
                registry.load(SYMBOL)
            reads += 1
    except Exception:
        fault = traceback.format_exc()
    answers.put(("read", reads, [], fault))
