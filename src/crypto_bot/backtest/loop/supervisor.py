"""The loop itself: asks each part when its time has come, outlives their failures, ends in time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from crypto_bot.backtest.loop.parts import Part, ahead, nobody, speed_of
from crypto_bot.core.errors import ConfigError, CryptoBotError, StorageError
from crypto_bot.core.timeframes import SECOND_NS, Clock, ReplayClock

_LOG = logging.getLogger(__name__)
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 300.0
LONGEST_WAIT_S = 0.5


@dataclass
class _Asked:
    """A part, when it is to be asked again, and how often it failed in a row."""

    part: Part
    at_ns: int = 0
    failures: int = 0


@dataclass
class Supervisor:
    """Runs parts side by side in one thread until told to stop.

    Parameters
    ----------
    parts : asked in this order where several are due at once
    clock : Clock
    stop : Event            ends the loop at the next safe point
    on_failure : callable   told which part failed, why, and how often in a row
    on_recovery : callable  told which part works again

    Notes
    -----
    A part that fails is asked again after a pause that doubles from 2 s up to 5 minutes; the others
    go on. A ConfigError ends the loop: what is configured wrongly does not mend itself; one of a
    store (a key that expired meanwhile) does not, for everything else still works. A clock that was
    set back asks the parts again at once instead of waiting for the old time to come.
    """

    parts: Sequence[Part]
    clock: Clock
    stop: threading.Event
    on_failure: Callable[[str, CryptoBotError, int], None] = nobody
    on_recovery: Callable[[str], None] = nobody
    _asked: list[_Asked] = field(default_factory=list)

    def run(self) -> None:
        """Until `stop` is set; every part is closed for sure."""
        self._asked = [_Asked(part) for part in self.parts]
        before_ns = self.clock.now_ns()
        try:
            while not self.stop.is_set():
                now_ns = self.clock.now_ns()
                if now_ns < before_ns:
                    _LOG.warning("the clock went back by %.1f s", (before_ns - now_ns) / 1e9)
                    for asked in self._asked:
                        asked.at_ns = min(asked.at_ns, now_ns)
                before_ns = now_ns
                for asked in self._asked:
                    if asked.at_ns <= now_ns and not self.stop.is_set():
                        self._ask(asked)
                self._wait_for(min(asked.at_ns for asked in self._asked))
        finally:
            self._close()

    def _wait_for(self, wake_ns: int) -> None:
        """Until then, never for long: a clock that is set back meanwhile must be noticed."""
        if isinstance(self.clock, ReplayClock):
            self.clock.set(wake_ns)
            return
        left_s = (wake_ns - self.clock.now_ns()) / SECOND_NS / speed_of(self.clock)
        self.stop.wait(min(max(left_s, 0.0), LONGEST_WAIT_S))

    def _ask(self, asked: _Asked) -> None:
        now_ns = self.clock.now_ns()
        try:
            asked.at_ns = asked.part.tick(now_ns)
        except CryptoBotError as error:
            if isinstance(error, ConfigError) and not isinstance(error, StorageError):
                raise
            asked.failures += 1
            pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(asked.failures - 1, 20))
            asked.at_ns = ahead(self.clock, now_ns, pause)
            _LOG.error("%s failed, asked again in %g s: %s", asked.part.name, pause, error)
            self.on_failure(asked.part.name, error, asked.failures)
            return
        if asked.failures:
            asked.failures = 0
            self.on_recovery(asked.part.name)

    def _close(self) -> None:
        """Close the parts, last first; a failure of one does not keep the others open."""
        failed: CryptoBotError | None = None
        for part in reversed(self.parts):
            try:
                part.close()
            except CryptoBotError as error:
                _LOG.error("%s could not be closed: %s", part.name, error)
                failed = error
        if failed is not None:
            raise failed
