"""The durable memory. In: what every stage did. Out: runs, trials, orders, leases, alarms.

One SQLite file by default (write-ahead log, every commit synced to disk), PostgreSQL by URL. What a
`record_*` call returned from has survived: a kill -9 or a power cut afterwards loses nothing of it.
Trials are only ever added.
"""

from crypto_bot.journal.alarms import Alarm, AlarmStatus
from crypto_bot.journal.database import Durability
from crypto_bot.journal.journal import Journal
from crypto_bot.journal.leases import Lease, LeaseHeld, LeaseLost
from crypto_bot.journal.messages import Message, MessageStatus
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
    "Alarm",
    "AlarmStatus",
    "Decision",
    "Durability",
    "Feedback",
    "Journal",
    "Lease",
    "LeaseHeld",
    "LeaseLost",
    "Message",
    "MessageStatus",
    "ModelEvent",
    "Run",
    "RunStatus",
    "Step",
    "Trial",
    "TrialFilter",
    "TrialKind",
]
