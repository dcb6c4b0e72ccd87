"""When the next turn begins and whether it trains: from the journal alone, so a restart knows."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from crypto_bot.backtest.loop.due import is_due, last_trained
from crypto_bot.backtest.turn import KIND
from crypto_bot.config import Settings
from crypto_bot.core.timeframes import HOUR_NS, MINUTE_NS, iso_time
from crypto_bot.journal import Journal, Run, RunStatus

RETRAIN = "retrain"
"""The action of an alarm that asks for a training."""
STOPPED = "stopped"
"""Key of an interrupted run's summary: the loop ended it because it was itself asked to stop."""
_LOOKED_AT = 50


@dataclass(frozen=True)
class Past:
    """What the journal knows of turns.

    Attributes
    ----------
    last_turn_ns : end of the newest turn that was completed; None if there was none
    last_training_ns : end of the newest completed turn or command that trained
    failures : turns that failed since the last completed one, and fruitless starts of the one begun
    last_failure_ns : end of the newest of these
    is_interrupted : a turn was begun and waits to be taken up
    asked_by : why a training was asked for out of turn; '' if it was not
    was_answered : the newest completed turn began after that and was to train
    was_in_vain : the newest completed turn was to train, and no model could be trained
    newest_run : id of the newest turn, the seed of the jitter
    """

    last_turn_ns: int | None = None
    last_training_ns: int | None = None
    failures: int = 0
    last_failure_ns: int | None = None
    is_interrupted: bool = False
    asked_by: str = ""
    was_answered: bool = False
    was_in_vain: bool = False
    newest_run: str = ""


@dataclass(frozen=True)
class Due:
    """The next turn: when it may begin, whether it trains, and why then."""

    at_ns: int
    train: bool
    why: str


def read_past(journal: Journal) -> Past:
    """Gather `Past`; runs of processes that died count as interrupted."""
    interrupted, asked = journal.unfinished_runs(KIND), journal.open_alarms(action=RETRAIN)
    newest = journal.runs(KIND, limit=_LOOKED_AT)
    done = next((run for run in newest if run.status is RunStatus.DONE), None)
    since = newest if done is None else newest[: newest.index(done)]
    begun = [run for run in since if run in interrupted]
    starts = sum(_fruitless_starts(journal, run) for run in begun)
    trained_ns = last_trained(journal)
    failed = [run for run in since if run.status is RunStatus.FAILED or (run in begun and starts)]
    return Past(
        last_turn_ns=None if done is None else done.finished_at_ns,
        last_training_ns=trained_ns,
        failures=len(failed) - bool(starts) + starts,
        last_failure_ns=failed[0].finished_at_ns if failed else None,
        is_interrupted=bool(begun),
        asked_by=asked[0].kind if asked else "",
        was_answered=bool(asked) and _was_to_train(done, asked[-1].raised_at_ns),
        was_in_vain=_was_to_train(done, (trained_ns or 0) + 1),
        newest_run=newest[0].id if newest else "",
    )


def _was_to_train(turn: Run | None, since_ns: int) -> bool:
    return turn is not None and bool(turn.config.get("train")) and turn.started_at_ns >= since_ns


def _fruitless_starts(journal: Journal, run: Run) -> int:
    """How often a step of an interrupted run was begun again in vain; a stop we asked for is none."""
    if run.summary.get(STOPPED):
        return 0
    return max((step.attempts for step in journal.steps(run.id)), default=1) - 1


def next_turn(settings: Settings, past: Past, now_ns: int) -> Due:
    """What the settings and the past make of now.

    Notes
    -----
    An interrupted turn goes on at once, and so does the first one and one asked for by an alarm (which
    waits for new candles once no model could be trained of those there are). A failed one, or one
    whose start was in vain before, waits `loop.first_retry_minutes`, doubled for each further failure,
    never longer than the interval. Pauses are longer by up to `loop.jitter_frac`, drawn from the
    newest run's id: the same after a restart.
    """
    due = _planned(settings, past, now_ns)
    # A journal from the future, as a clock set back leaves it, is not waited for.
    latest_ns = now_ns + _jittered(settings, past, int(settings.refresh_interval_hours * HOUR_NS))
    return due if due.at_ns <= latest_ns else replace(due, at_ns=latest_ns)


def _planned(settings: Settings, past: Past, now_ns: int) -> Due:
    wants_training = is_due(settings, past.last_training_ns, now_ns)
    train = wants_training or (bool(past.asked_by) and settings.schedule.is_enabled)
    if past.failures and past.last_failure_ns is not None:
        pause = _jittered(settings, past, _back_off_ns(settings, past.failures))
        return Due(past.last_failure_ns + pause, train, f"after {past.failures} failed turns")
    if past.is_interrupted:
        return Due(now_ns, train, "an interrupted turn is taken up")
    if past.last_turn_ns is None:
        return Due(now_ns, train, "the first turn")
    if past.asked_by and train and not (past.was_answered or past.was_in_vain):
        return Due(now_ns, True, f"training was asked for: {past.asked_by}")
    refresh_ns = int(settings.refresh_interval_hours * HOUR_NS)
    at_ns = past.last_turn_ns + _jittered(settings, past, refresh_ns)
    due_ns = _training_due_ns(settings, past)
    if due_ns is not None and due_ns < at_ns and not past.was_in_vain:
        return Due(max(due_ns, now_ns if wants_training else due_ns), True, "training is due")
    train |= is_due(settings, past.last_training_ns, max(at_ns, now_ns))
    return Due(at_ns, train, "candles are due")


def _training_due_ns(settings: Settings, past: Past) -> int | None:
    schedule = settings.schedule
    if not schedule.is_enabled or not schedule.auto_retrain or past.last_training_ns is None:
        return None
    hours_ns = int(schedule.retrain_interval_hours * HOUR_NS)
    return past.last_training_ns + _jittered(settings, past, hours_ns)


def _back_off_ns(settings: Settings, failures: int) -> int:
    first_ns = settings.loop.first_retry_minutes * MINUTE_NS
    longest_ns = settings.refresh_interval_hours * HOUR_NS
    return int(min(longest_ns, first_ns * 2 ** min(failures - 1, 30)))


def _jittered(settings: Settings, past: Past, pause_ns: int) -> int:
    share = random.Random(past.newest_run).uniform(0, settings.loop.jitter_frac)  # noqa: S311
    return int(pause_ns * (1 + share))


def in_words(due: Due) -> str:
    """One line for people."""
    return f"next turn {iso_time(due.at_ns)}: {due.why}{', with training' if due.train else ''}"
