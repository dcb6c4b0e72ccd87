"""The registry's `tmp` folder: unfinished work lies here, is invisible, and is swept up later."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from pathlib import Path

from crypto_bot.core.errors import StorageError
from crypto_bot.registry.records import SmokeResult
from crypto_bot.registry.version_files import make_folder, write_synced

SMOKE_FILE = "__smoke__.bin"


def smoke_test(root: Path, staging: Path, symbol: str, slug: str) -> SmokeResult:
    """Store, list, fetch and remove a small file: proof that the folder works."""
    started = time.perf_counter()
    folder = staging / f"{slug}-{uuid.uuid4().hex}"
    content = os.urandom(1024)
    try:
        make_folder(folder)
        write_synced(folder / SMOKE_FILE, content)
        listed = [entry.name for entry in os.scandir(folder)]
        fetched = (folder / SMOKE_FILE).read_bytes()
        shutil.rmtree(folder)
    except OSError as error:
        raise StorageError(
            f"{folder} must be writable, was not: {error.strerror or error}"
        ) from error
    if listed != [SMOKE_FILE] or fetched != content:
        raise StorageError(f"{folder / SMOKE_FILE} must come back as written, did not")
    return SmokeResult(
        symbol=symbol,
        key=(folder / SMOKE_FILE).relative_to(root).as_posix(),
        size_bytes=len(content),
        seconds=time.perf_counter() - started,
    )


def sweep_leftovers(staging: Path, older_than_s: float) -> int:
    """Remove entries untouched for that long and return how many; younger ones may be in use."""
    try:
        leftovers = [Path(entry.path) for entry in os.scandir(staging)]
    except (FileNotFoundError, NotADirectoryError):
        return 0
    return sum(_remove_older(path, older_than_s) for path in leftovers)


def _remove_older(path: Path, older_than_s: float) -> bool:
    try:
        if time.time() - path.stat().st_mtime < older_than_s:
            return False
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"{path} must be removable, was not: {error.strerror}") from error
    return True
