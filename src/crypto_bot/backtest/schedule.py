"""Again and again until told to stop: the pause between turns, and a clean end on SIGTERM."""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from crypto_bot.core.errors import ConfigError, CryptoBotError

_LOG = logging.getLogger(__name__)
Turn = Callable[[Callable[[], bool]], tuple[int, Mapping[str, Any] | None]]
FIRST_PAUSE_HOURS = 5 / 60
"""Pause after a failed turn; doubled for each further one, never above the interval."""


class Stopped(CryptoBotError):  # noqa: N818 - what was asked for
    """Told to stop before the end; the same command goes on where this stopped."""


def repeat(
    turn: Turn,
    *,
    hours: float,
    announce: Callable[[str], None],
    stop: threading.Event | None = None,
) -> tuple[int, dict[str, Any]]:
    """Run `turn` every `hours` until SIGTERM or SIGINT; a failed turn is announced and tried again.

    Parameters
    ----------
    turn : callable    given `should_stop`, which it asks between steps
    stop : Event       None: one that the signals set

    Raises
    ------
    ConfigError    at once: what is configured wrongly does not mend itself
    """
    event = stopped_by_signals() if stop is None else stop
    turns = failures = 0
    while not event.is_set():
        pause = hours
        try:
            turn(event.is_set)
            turns, failures = turns + 1, 0
        except ConfigError:
            raise
        except Stopped as stopped:
            announce(str(stopped))
        except CryptoBotError as error:
            failures += 1
            pause = min(hours, FIRST_PAUSE_HOURS * 2 ** (failures - 1))
            _LOG.error("turn failed: %s", error)
            announce(f"turn failed: {error}")
        if not event.is_set():
            announce(f"next turn in {pause:g} hours; stop with Ctrl-C or SIGTERM")
        event.wait(pause * 3600)
    announce(f"stopped after {turns} turns")
    return 0, {"turns": turns}


@contextmanager
def ending_within(seconds: float, stop: threading.Event) -> Iterator[None]:
    """End the program for sure so long after `stop` was set, whatever the body still waits for.

    What is left then is as after a kill -9: nothing is lost, the next start takes it up.
    """
    is_over = threading.Event()

    def watch() -> None:
        stop.wait()
        if not is_over.wait(seconds):
            _LOG.critical("the stop took longer than %g s: the program is ended", seconds)
            os._exit(1)

    threading.Thread(target=watch, name="stop", daemon=True).start()
    try:
        yield
    finally:
        is_over.set()


class _Asked(threading.Event):
    """An event that may be set from a signal handler.

    A handler runs in the middle of whatever the main thread does; where that holds the event's own
    lock (it begins to wait, or an earlier signal sets it), `set` would wait for ever. So the handler
    leaves a word, and a thread sets the event.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_asked = False
        self._asked: queue.SimpleQueue[int] = queue.SimpleQueue()
        threading.Thread(target=self._hand_over, name="signals", daemon=True).start()

    def is_set(self) -> bool:
        return self._is_asked or super().is_set()

    def ask(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        del frame
        self._is_asked = True
        self._asked.put(number)

    def _hand_over(self) -> None:
        self._asked.get()
        self.set()


def stopped_by_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    event = _Asked()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, event.ask)
    return event
