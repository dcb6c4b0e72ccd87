"""Work spread over processes, one an item: a death costs its item alone, and none outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import NoReturn, TypeVar, cast

Item = TypeVar("Item")
_ENDING_S = 10.0


def run_processes(
    work: Callable[[Item], None], items: Sequence[Item], workers: int
) -> Iterator[tuple[Item, int]]:
    """Do `work(item)` in a process for each item, `workers` at a time.

    Yields
    ------
    (item, exit code)    as they end; below 0: the signal that ended the process

    Notes
    -----
    Leaving early, by an exception or Ctrl-C too, ends the processes that are at work.
    """
    context = multiprocessing.get_context("spawn")
    waiting = deque(items)
    running: dict[int, tuple[BaseProcess, Item]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                item = waiting.popleft()
                process = context.Process(target=work, args=(item,), daemon=True)
                process.start()
                running[process.sentinel] = (process, item)
            for sentinel in wait(list(running)):
                ended, item = running.pop(cast(int, sentinel))
                ended.join()
                yield item, ended.exitcode or 0
    finally:
        for left, _ in running.values():
            left.terminate()
        for left, _ in running.values():
            left.join(_ENDING_S)
            if left.is_alive():
                left.kill()
                left.join()


@contextmanager
def ended_by_parent() -> Iterator[None]:
    """In such a process: Ctrl-C is the parent's to judge, its SIGTERM unwinds, its death is ours."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _unwind)
    threading.Thread(target=_follow, daemon=True, name="follow-parent").start()
    yield


def _unwind(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    sys.exit(128 + signal.SIGTERM)


def _follow() -> None:
    """An orphan would go on beside the batch that takes up its work."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
