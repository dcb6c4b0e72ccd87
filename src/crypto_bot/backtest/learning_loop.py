"""When to train again: what the journal knows, what the settings ask, and the loop between."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from crypto_bot.backtest.downloading import refresh_store
from crypto_bot.backtest.per_symbol import TRAINING
from crypto_bot.backtest.schedule import repeat
from crypto_bot.backtest.turn import KIND, run_turn
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.config import Settings
from crypto_bot.core.timeframes import HOUR_NS, Clock, SystemClock, iso_time
from crypto_bot.journal import Journal, TrialKind
from crypto_bot.journal.database import database_url

_LOG = logging.getLogger(__name__)
LOOK_HOURS = 1.0
"""How often the loop looks whether training is due."""


def last_training_ns(settings: Settings) -> int | None:
    """When the last completed training ended, from the journal of the settings; None if never.

    Makes no journal where there is none yet.
    """
    url = database_url(settings.journal.url)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        return None
    with Journal(settings.journal.url) as journal:
        return last_trained(journal)


def last_trained(journal: Journal) -> int | None:
    """End of the newest finished run in which a model was trained.

    Failed and interrupted runs do not count, nor do turns with learning switched off.
    """
    runs = (
        journal.last_run(kind, status="done", tried=TrialKind.MODEL) for kind in (KIND, TRAINING)
    )
    ends = (run.finished_at_ns for run in runs if run is not None)
    return max((end for end in ends if end is not None), default=None)


def is_due(settings: Settings, last_ns: int | None, now_ns: int) -> bool:
    """Whether the settings want a training now, given when the last one ended."""
    schedule = settings.schedule
    if not schedule.is_enabled:
        return False
    if last_ns is None:
        return True
    return schedule.auto_retrain and now_ns - last_ns >= schedule.retrain_interval_hours * HOUR_NS


def training_due(bench: Workbench) -> bool:
    """Whether a turn that begins now is to train."""
    return is_due(bench.settings, last_trained(bench.journal), SystemClock().now_ns())


def refresh_for_turn(
    bench: Workbench,
    *,
    data: str | None = None,
    symbols: Sequence[str] | None = None,
    train: bool = True,
    announce: Callable[[str], None] = _LOG.info,
) -> None:
    """Bring a downloaded store up to date before a turn with these arguments, and say what failed.

    Nothing is done for candles of a named folder, nor before a turn that takes up an interrupted
    run: that one goes on with the candles it began with.
    """
    asked = {
        "fingerprint": bench.settings.fingerprint,
        "data": data,
        "symbols": list(symbols) if symbols else None,
        "train": train,
    }
    for run in bench.journal.unfinished_runs(KIND):
        if all(run.config.get(name) == value for name, value in asked.items()):
            return
    if data is None:
        for note in refresh_store(bench.settings, symbols):
            announce(note)


def run_loop(
    bench: Workbench,
    stop: threading.Event,
    *,
    once: bool = False,
    clock: Clock | None = None,
    announce: Callable[[str], None] = _LOG.info,
) -> dict[str, Any]:
    """Turn the whole loop whenever training is due, until `stop` is set.

    Parameters
    ----------
    once : bool    look a single time and do not wait; its failure is raised, not tried again

    Returns
    -------
    dict    turns: how many were made; summary: the last one's, None without any
    """
    clock = SystemClock() if clock is None else clock
    done: dict[str, Any] = {"turns": 0, "summary": None}

    def look(should_stop: Callable[[], bool]) -> tuple[int, Mapping[str, Any] | None]:
        last_ns = last_trained(bench.journal)
        if not is_due(bench.settings, last_ns, clock.now_ns()):
            announce(f"training is not due; {_words(bench.settings, last_ns)}")
            return 0, None
        refresh_for_turn(bench, announce=announce)
        done["summary"] = run_turn(bench, announce=announce, should_stop=should_stop)
        done["turns"] += 1
        return 0, done["summary"]

    if once:
        look(stop.is_set)
    else:
        hours = min(LOOK_HOURS, bench.settings.schedule.retrain_interval_hours)
        repeat(look, hours=hours, announce=announce, stop=stop)
    return done


def _words(settings: Settings, last_ns: int | None) -> str:
    schedule = settings.schedule
    if not schedule.is_enabled:
        return "learning is off (learning_enabled or ml_integration.enabled)"
    ended = "never" if last_ns is None else iso_time(last_ns)
    if not schedule.auto_retrain:
        return f"last trained {ended}, auto_retrain is off"
    return f"last trained {ended}, again after {schedule.retrain_interval_hours:g} hours"
