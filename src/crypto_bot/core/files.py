"""Durable files: written beside, synced, then renamed. A reader sees the old file or the new one."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

from crypto_bot.core.errors import StorageError

TEMPORARY_SUFFIX = ".partial"
"""Ends the name of every file still being written; leftovers of a crash are safe to delete."""


def temporary_path(path: Path) -> Path:
    """A fresh name beside `path` for the writing of it."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")


def write_file(path: Path, content: bytes | str) -> None:
    """Replace `path` by `content` in one step.

    Raises StorageError when the folder cannot be written; `path` is then as it was.
    """
    partial = temporary_path(path)
    data = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        publish_file(partial, path)
    except OSError as error:
        _forget(partial)
        raise StorageError(
            f"{path} must be writable, was not: {error.strerror or error}"
        ) from error
    except BaseException:
        _forget(partial)  # Ctrl-C, too, leaves nothing half-written
        raise


def _forget(partial: Path) -> None:
    if partial.exists():
        partial.unlink()


def publish_file(partial: Path, path: Path) -> None:
    """Rename a finished file to its name and make the rename durable."""
    partial.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, where the system lets a folder be opened."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """`write_file` of readable JSON; NaN and infinity are refused (use None)."""
    write_file(path, json.dumps(value, indent=2, allow_nan=False, default=str) + "\n")
