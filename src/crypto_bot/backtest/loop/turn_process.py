"""One turn in a process of its own, at lower priority: trading never waits for training."""

from __future__ import annotations

import json
import logging
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from crypto_bot.backtest.loop.plan import STOPPED
from crypto_bot.backtest.loop.turn_request import TurnRequest
from crypto_bot.backtest.turn import KIND
from crypto_bot.core.errors import StorageError
from crypto_bot.journal import Journal, Run

_LOG = logging.getLogger(__name__)
_PROGRAM = (sys.executable, "-m", "crypto_bot.backtest.loop.turn_main")
_ENDS_S = 5.0


@dataclass(frozen=True)
class TurnEnd:
    """How a turn's process ended; `error` is '' when the turn was completed."""

    run_id: str
    promoted: bool
    error: str


class TurnProcess:
    """A running turn: ask `poll` now and then; `end` it at any time, it can be taken up again.

    Parameters
    ----------
    request : TurnRequest
    announce : callable    told what the turn says, from the thread that calls `poll`

    Notes
    -----
    The process ends with this one, even by SIGKILL: it watches its standard input.
    """

    def __init__(self, request: TurnRequest, announce: Callable[[str], None]) -> None:
        self.request = request
        self._announce = announce
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._end = TurnEnd("", promoted=False, error="")
        self._is_done = False
        self._process = _started(request)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Of the turn's process."""
        return self._process.pid

    def poll(self) -> TurnEnd | None:
        """Pass on what was said; None while it works."""
        code = self._process.poll()
        if code is not None:
            self._reader.join(_ENDS_S)
        while not self._answers.empty():
            self._take(self._answers.get())
        if code is None:
            return None
        self._close_pipes()
        if not self._is_done and not self._end.error:
            self._end = TurnEnd("", promoted=False, error=f"its process ended with code {code}")
        return self._end

    def end(self, seconds: float = _ENDS_S) -> None:
        """Terminate the process, after `seconds` for sure; returns when it is gone."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(seconds)
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _read(self) -> None:
        for line in _lines(self._process.stdout):
            self._answers.put(line)

    def _take(self, line: str) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            _LOG.warning("a turn's process said something else: %s", line[:200])
            return
        if "say" in said:
            self._announce(said["say"])
        elif "done" in said:
            self._is_done = True
            self._end = TurnEnd(said["done"], said["promoted"], "")
        else:
            self._end = TurnEnd("", promoted=False, error=said["failed"])


def _started(request: TurnRequest) -> subprocess.Popen[str]:
    try:
        process = subprocess.Popen(
            _PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        pipe = process.stdin
        if pipe is not None:
            pipe.write(request.to_json() + "\n")
            pipe.flush()
    except OSError as error:
        raise StorageError(
            f"a process for the turn must be startable, was not: {error.strerror}"
        ) from error
    return process


def _lines(pipe: IO[str] | None) -> IO[str] | tuple[str, ...]:
    return () if pipe is None else pipe


def mark_ended(journal: Journal, *, stopped: bool) -> None:
    """Write down that the turn at work was ended by us: the next start takes it up."""
    for run in journal.unfinished_runs(KIND)[:1]:
        journal.finish_run(run.id, "interrupted", {STOPPED: stopped})


def running_step(journal: Journal, now_ns: int, *, since_ns: int = 0) -> tuple[str, float]:
    """The step a running turn is in, and for how many seconds.

    Before, between and after steps the name is '' and the seconds count from the end of the last one,
    or from `since_ns`, the start of the process, if that is later.
    """
    ended_ns = since_ns
    for run in journal.runs(KIND, status="running", limit=1):
        begun = [step for step in journal.steps(run.id) if step.finished_at_ns is None]
        if begun:
            newest = max(begun, key=lambda step: step.started_at_ns)
            return newest.name, (now_ns - newest.started_at_ns) / 1e9
        ended_ns = max([ended_ns, *(step.finished_at_ns or 0 for step in journal.steps(run.id))])
    return "", (now_ns - ended_ns) / 1e9 if ended_ns else 0.0


def wait_for_orphans(journal: Journal, store: str, *, seconds: float = 30.0) -> None:
    """A killed loop's turn ends by itself within moments; wait for it, so that no run is made twice.

    To be called by who holds the lease of `store`: turns of this store on a machine or in a container
    that is gone are taken for dead. Raises StorageError if one is still at work after `seconds`.
    """

    def is_ours(run: Run) -> bool:
        data = run.config.get("settings", {}).get("data", {})
        return bool(data.get("store_folder") == store)

    journal.interrupt_unseen(KIND, is_ours)
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        journal.unfinished_runs(KIND)  # marks runs of dead processes
        working = [run for run in journal.runs(KIND, status="running") if is_ours(run)]
        if not working:
            return
        if time.monotonic() > deadline:
            raise StorageError(
                f"run {working[0].id} must not be at work, is in process {working[0].pid}; "
                "wait for its end or end that process"
            )
        pause.wait(0.2)
