"""Is the loop well? One word, and short reasons that hold no secret."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class HealthState(StrEnum):
    """How the loop is."""

    OK = "ok"
    DEGRADED = "degraded"
    FAILING = "failing"


Subject = Literal["loop", "bars", "turn", "journal", "registry", "exchange"]
REASONS: Mapping[Subject, tuple[HealthState, str]] = {
    "loop": (HealthState.FAILING, "the loop gave no sign of life"),
    "journal": (HealthState.FAILING, "the journal cannot be written"),
    "bars": (HealthState.DEGRADED, "the last candle was decided late"),
    "turn": (HealthState.DEGRADED, "the last turn failed"),
    "registry": (HealthState.DEGRADED, "the registry cannot be reached"),
    "exchange": (HealthState.DEGRADED, "the exchange cannot be reached"),
}
"""What can be wrong, how bad that is, and what anybody who asks is told."""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The worst that is known, and every reason."""

    state: HealthState
    reasons: tuple[str, ...]

    @property
    def is_serving(self) -> bool:
        """Whether the loop still does its work: HTTP 200, else 503."""
        return self.state is not HealthState.FAILING


class LoopHealth:
    """What the loop last said of itself; a loop that says nothing for `silence_s` is failing.

    Parameters
    ----------
    silence_s    seconds without `beat` after which the loop counts as dead
    monotonic    seconds that only go forward

    Notes
    -----
    Safe from several threads. Reasons are fixed sentences: an error's text, which may name a host or
    a path, stays in the log.

    >>> health = LoopHealth()
    >>> health.beat()
    >>> health.said("turn", is_well=False)
    >>> health.report().state, health.report().reasons
    (<HealthState.DEGRADED: 'degraded'>, ('the last turn failed',))
    """

    def __init__(
        self, *, silence_s: float = 60.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._silence_s = silence_s
        self._monotonic = monotonic
        self._beaten_s: float | None = None
        self._ill: set[Subject] = set()
        self._lock = threading.Lock()

    def beat(self) -> None:
        """The loop is alive now."""
        with self._lock:
            self._beaten_s = self._monotonic()

    def said(self, subject: Subject, *, is_well: bool) -> None:
        """What is known of a subject now; it holds until the next word on it."""
        with self._lock:
            (self._ill.discard if is_well else self._ill.add)(subject)

    def report(self) -> HealthReport:
        """How the loop is now."""
        with self._lock:
            ill = set(self._ill)
            beaten_s = self._beaten_s
        if beaten_s is None or self._monotonic() - beaten_s > self._silence_s:
            ill.add("loop")
        found = [REASONS[subject] for subject in REASONS if subject in ill]
        order = list(HealthState)
        worst = max((state for state, _ in found), key=order.index, default=HealthState.OK)
        return HealthReport(worst, tuple(text for _, text in found))
