"""Memory of the loop and its children, with a ceiling that acts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from enum import StrEnum

from crypto_bot.core.errors import ConfigError

_LOG = logging.getLogger(__name__)
RELIEF = 0.9
"""Share of the limit below which what was done counts as enough."""


def resident_bytes() -> int:
    """Resident memory of this process and all its children, bytes; a child that ends is left out."""
    import psutil

    own = psutil.Process()
    total = int(own.memory_info().rss)
    for child in own.children(recursive=True):
        try:
            total += int(child.memory_info().rss)
        except psutil.Error:
            continue  # it ended meanwhile, or is not ours to look at
    return total


class MemoryStep(StrEnum):
    """What a look at the memory came to."""

    FINE = "fine"
    TRAINING_ENDED = "training_ended"
    STOPPED = "stopped"


class MemoryWatch:
    """Looks at the memory; above the ceiling it ends the training, and then the loop.

    Parameters
    ----------
    limit_bytes    the ceiling; None: only the peak is kept
    end_training   ends the training process; True if there was one to end
    stop           asks the loop for a clean stop with this exit code
    alert          is told what is done and why, one sentence
    read           bytes in use now
    looks          how many looks in a row must still be above the ceiling, after the training was
                   ended, before the loop is stopped

    Notes
    -----
    Without a training to end the loop is stopped at once. A stop is asked for once.

    >>> done = []
    >>> watch = MemoryWatch(100, end_training=lambda: False, stop=done.append, read=lambda: 101)
    >>> str(watch.look()), done
    ('stopped', [1])
    """

    def __init__(
        self,
        limit_bytes: int | None,
        *,
        end_training: Callable[[], bool],
        stop: Callable[[int], None],
        alert: Callable[[str], None] = _LOG.critical,
        read: Callable[[], int] = resident_bytes,
        looks: int = 3,
    ) -> None:
        if limit_bytes is not None and limit_bytes <= 0:
            raise ConfigError(f"limit_bytes must be > 0, was {limit_bytes}; use None for no limit")
        self.limit_bytes = limit_bytes
        self.now_bytes = 0
        self.peak_bytes = 0
        self._end_training = end_training
        self._stop = stop
        self._alert = alert
        self._read = read
        self._looks = looks
        self._left: int | None = None
        self._is_stopped = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def look(self) -> MemoryStep:
        """Read the memory once and act where it is too much."""
        self.now_bytes = self._read()
        self.peak_bytes = max(self.peak_bytes, self.now_bytes)
        if self.limit_bytes is None or self._is_stopped:
            return MemoryStep.STOPPED if self._is_stopped else MemoryStep.FINE
        if self.now_bytes <= self.limit_bytes:
            if self.now_bytes <= RELIEF * self.limit_bytes:
                self._left = None
            return MemoryStep.FINE
        return self._act()

    def _act(self) -> MemoryStep:
        if self._left is None and self._end_training():
            self._left = self._looks
            self._alert(f"{self._words()}; the training was ended")
            return MemoryStep.TRAINING_ENDED
        if self._left:
            self._left -= 1
        if self._left:
            return MemoryStep.FINE
        self._is_stopped = True
        self._alert(f"{self._words()}; the loop stops")
        self._stop(1)
        return MemoryStep.STOPPED

    def _words(self) -> str:
        limit = (self.limit_bytes or 0) / 2**30
        return (
            f"memory must stay below operations.memory_limit_gb {limit:g}, "
            f"was {self.now_bytes / 2**30:.2f} GB"
        )

    def start(self, interval_s: float = 2.0) -> None:
        """Look every `interval_s` seconds in a thread until `close`."""
        self._ended.clear()
        self._thread = threading.Thread(
            target=self._run, args=(interval_s,), name="memory-watch", daemon=True
        )
        self._thread.start()

    def _run(self, interval_s: float) -> None:
        while not self._ended.wait(interval_s):
            if self.look() is MemoryStep.STOPPED:
                return

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._thread = None
