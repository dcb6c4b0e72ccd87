"""One loop a store: the lease is renewed by a thread of its own, and losing it ends the loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crypto_bot.config import Settings
from crypto_bot.core.errors import StorageError
from crypto_bot.journal import Journal, Lease, LeaseLost

_LOG = logging.getLogger(__name__)


def lease_name(settings: Settings) -> str:
    """The store, which one loop at a time may work on."""
    return f"loop:{Path(settings.data.store_folder).resolve().as_posix()}"


@contextmanager
def holding(
    journal: Journal, settings: Settings, stop: threading.Event | None = None
) -> Iterator[Lease]:
    """Hold the lease of the store's loop while the body works.

    Sets `stop` if another takes it over; then, and if it is held already, raises LeaseHeld or
    LeaseLost.
    """
    seconds = settings.loop.lease_seconds
    lease = journal.take_lease(lease_name(settings), lease_s=seconds)
    is_over, lost = threading.Event(), threading.Event()

    def renew() -> None:
        while not is_over.wait(seconds / 3):
            try:
                journal.renew_lease(lease)
            except LeaseLost as error:
                _LOG.critical("%s", error)
                lost.set()
                if stop is not None:
                    stop.set()
                return
            except StorageError as error:
                _LOG.error("the lease could not be renewed, trying again: %s", error)

    keeper = threading.Thread(target=renew, name="lease", daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        is_over.set()
        keeper.join()
        if not lost.is_set():
            journal.release_lease(lease)
    if lost.is_set():
        raise LeaseLost(f"{lease.name} must be held by this loop, another took it over")
