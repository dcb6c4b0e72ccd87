"""One writer at a time, across processes: a lock the system frees when its owner dies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crypto_bot.core.errors import StorageError

LOCK_NAME = ".lock"
_POLL_S = 0.01


@contextmanager
def folder_lock(folder: Path, *, timeout_s: float = 120.0) -> Iterator[None]:
    """Hold the only write lock of `folder`, which is made if missing.

    Raises
    ------
    StorageError    if the folder cannot be written, or another process holds it for `timeout_s`

    Notes
    -----
    The lock belongs to the open file, not to its existence: after kill -9 it is free at once and
    the file that stays behind means nothing. Not re-entrant.
    """
    path = folder / LOCK_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StorageError(
            f"{folder} must be a writable folder, was not: {error.strerror or error}"
        ) from error
    try:
        _wait_for(descriptor, path, timeout_s)
        try:
            yield
        finally:
            _release(descriptor)
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, path: Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not _try_lock(descriptor):
        if time.monotonic() >= deadline:
            raise StorageError(
                f"{path} must be free, was held by another process for {timeout_s:g} s; "
                "wait for the other import or download to end"
            )
        time.sleep(_POLL_S)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _release(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _release(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
