"""Whether training is due: what the journal knows, what the settings ask."""

from __future__ import annotations

from pathlib import Path

from crypto_bot.backtest.per_symbol import TRAINING
from crypto_bot.backtest.turn import KIND
from crypto_bot.config import Settings
from crypto_bot.core.timeframes import HOUR_NS, iso_time
from crypto_bot.journal import Journal, TrialKind
from crypto_bot.journal.database import database_url


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


def in_words(settings: Settings, last_ns: int | None) -> str:
    """When models were trained last and when they are again."""
    schedule = settings.schedule
    if not schedule.is_enabled:
        return "learning is off (learning_enabled or ml_integration.enabled)"
    ended = "never" if last_ns is None else iso_time(last_ns)
    if not schedule.auto_retrain:
        return f"last trained {ended}, auto_retrain is off"
    return f"last trained {ended}, again after {schedule.retrain_interval_hours:g} hours"
