"""The loop's part that turns: starts a turn when it is due, watches it, and ends it in time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crypto_bot.backtest.loop.parts import POLL_S, ahead, nobody, speed_of
from crypto_bot.backtest.loop.plan import RETRAIN, in_words, next_turn, read_past
from crypto_bot.backtest.loop.turn_process import TurnEnd, TurnProcess, mark_ended, running_step
from crypto_bot.backtest.loop.turn_request import TurnRequest
from crypto_bot.backtest.workbench import Workbench

_LOG = logging.getLogger(__name__)
_LOOKS_S = 15.0
"""Seconds between two looks into the journal for a training that somebody asked for."""


@dataclass(frozen=True)
class TurnsAsked:
    """What every turn of a loop works on."""

    data: str | None = None
    symbols: Sequence[str] | None = None
    refresh: bool = True


class Turns:
    """Begins turns when the plan says so, one at a time, each in a process of its own.

    Parameters
    ----------
    bench : Workbench
    asked : TurnsAsked
    announce : callable      told what happens
    until_ns : callable      close of the newest candle that was decided; None: no limit
    on_end : callable        told how a turn ended
    """

    name = "turns"

    def __init__(
        self,
        bench: Workbench,
        asked: TurnsAsked,
        *,
        announce: Callable[[str], None],
        until_ns: Callable[[], int | None] = lambda: None,
        on_end: Callable[[TurnEnd], None] = nobody,
    ) -> None:
        self._bench, self._asked, self._announce = bench, asked, announce
        self._until_ns, self._on_end = until_ns, on_end
        self._process: TurnProcess | None = None
        self._told = ""
        self._began_ns = 0
        self.completed = 0

    @property
    def is_working(self) -> bool:
        """A turn's process is running."""
        return self._process is not None

    def tick(self, now_ns: int) -> int:
        """Do what is due; when to ask again, in the clock's time."""
        clock = self._bench.clock
        if self._process is not None:
            return now_ns if self._watched(now_ns) else ahead(clock, now_ns, POLL_S)
        due = next_turn(self._bench.settings, read_past(self._bench.journal), now_ns)
        if due.at_ns <= now_ns:
            self._announce(f"turn: {due.why}{', with training' if due.train else ''}")
            self._began_ns = now_ns
            self._process = TurnProcess(self._request(now_ns, train=due.train), self._announce)
            return ahead(clock, now_ns, POLL_S)
        if in_words(due) != self._told:
            self._told = in_words(due)
            self._announce(self._told)
        return min(due.at_ns, ahead(clock, now_ns, _LOOKS_S))

    def end(self, reason: str, *, stopped: bool) -> bool:
        """End a running turn, which the next start takes up; False if there is none."""
        if self._process is None:
            return False
        _LOG.warning("the turn in process %d is ended: %s", self._process.pid, reason)
        self._process.end(self._bench.settings.loop.stop_seconds / 2)
        self._process = None
        mark_ended(self._bench.journal, stopped=stopped)
        return True

    def close(self) -> None:
        """The loop stops."""
        self.end("the loop was asked to stop", stopped=True)

    def _watched(self, now_ns: int) -> bool:
        """Whether the running turn has come to its end, or was ended for taking too long."""
        process = self._process
        end = None if process is None else process.poll()
        if end is None:
            return self._is_overdue(now_ns)
        self._process = None
        if end.error:
            self._announce(f"turn failed: {end.error}")
        else:
            self.completed += 1
            self._settle_alarms(end)
        self._on_end(end)
        return True

    def _is_overdue(self, now_ns: int) -> bool:
        name, seconds = running_step(self._bench.journal, now_ns, since_ns=self._began_ns)
        most = self._bench.settings.loop.step_deadline_minutes * 60 * speed_of(self._bench.clock)
        if seconds <= most:
            return False
        reason = f"step {name!r} must end within loop.step_deadline_minutes, took {seconds:.0f} s"
        self._announce(f"turn ended: {reason}")
        self.end(reason, stopped=False)
        self._on_end(TurnEnd("", promoted=False, error=reason))
        return True

    def _settle_alarms(self, end: TurnEnd) -> None:
        """A training that was asked for has been made."""
        journal = self._bench.journal
        if not any(step.name.startswith("train ") for step in journal.steps(end.run_id)):
            return
        for alarm in journal.open_alarms(action=RETRAIN):
            journal.clear_alarm(alarm.number, f"trained in run {end.run_id}")

    def _request(self, now_ns: int, *, train: bool) -> TurnRequest:
        symbols, until_ns = self._asked.symbols, self._until_ns()
        return TurnRequest(
            settings=self._bench.settings.to_yaml(),
            data=self._asked.data,
            symbols=None if symbols is None else tuple(symbols),
            train=train,
            refresh=self._asked.refresh and until_ns is None,
            until_ns=until_ns,
            niceness=self._bench.settings.loop.training_niceness,
            now_ns=now_ns,
            clock_speed=speed_of(self._bench.clock),
        )
