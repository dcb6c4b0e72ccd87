"""The durable memory. In: what every stage did. Out: runs, trials, decisions, orders and fills.

One SQLite file by default (write-ahead log, every commit synced to disk), PostgreSQL by URL. What a
`record_*` call returned from has survived: a kill -9 or a power cut afterwards loses nothing of it.
Trials are only ever added.
"""

from crypto_bot.journal.database import Durability
from crypto_bot.journal.journal import Journal
from crypto_bot.journal.records import (
    Decision,
    Feedback,
    ModelEvent,
    Run,
    RunStatus,
    Step,
    Trial,
    TrialFilter,
    TrialKind,
)

__all__ = [
    "Decision",
    "Durability",
    "Feedback",
    "Journal",
    "ModelEvent",
    "Run",
    "RunStatus",
    "Step",
    "Trial",
    "TrialFilter",
    "TrialKind",
]
