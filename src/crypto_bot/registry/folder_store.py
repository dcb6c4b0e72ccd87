"""`FolderStore`: the `ObjectStore` port over a folder of this machine.

An object is written and synced below `tmp`, then hard-linked to its name, which fails where that
name is taken: it is complete when visible, and of several writers one wins. The folder must lie on a
file system with hard links (ext4, xfs, btrfs, APFS, NTFS).
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from crypto_bot.core.errors import ModelError, StorageError
from crypto_bot.core.files import sync_folder
from crypto_bot.registry.objects import (
    MOST_ENTRIES,
    STAGING,
    Listed,
    MissingObject,
    check_key,
)

_ATTEMPTS = 100
_FOLDER_SEPARATORS = 2
"""Keys with at least so many take their emptied folder with them."""


class FolderStore:
    """Objects as plain files below one folder; made by the first write.

    Parameters
    ----------
    root : path    may itself be a link; nothing below it may be
    """

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root)
        self._staging = self._root / STAGING

    @property
    def where(self) -> str:
        """The folder."""
        return str(self._root)

    def put_new(self, key: str, content: bytes) -> bool:
        """Create a file, all or nothing; False when its name is taken."""
        path = self._path(key)
        beside = self._staging / uuid.uuid4().hex
        try:
            self._write_beside(beside, content)
            self._refuse_links(key)
            return self._claim(beside, path)
        except OSError as error:
            raise _not_writable(path, error) from error
        finally:
            _remove(beside)

    def get(self, key: str, most_bytes: int) -> bytes:
        """The content of a plain file: links, devices and oversized files are refused unread."""
        path = self._path(key)
        link = self._link_above(key)
        if link is not None:
            raise ModelError(f"{link} must be a plain folder, was a link")
        return _read_regular(path, most_bytes)

    def entries(self, prefix: str) -> list[Listed]:
        """Entries of a folder by name; a link is listed as the object it pretends to be."""
        folder = self._path(prefix) if prefix else self._root
        if prefix and self._link_above(f"{prefix}/entry") is not None:
            return []
        found: list[Listed] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if len(found) >= MOST_ENTRIES:
                        raise StorageError(
                            f"{folder} must hold at most {MOST_ENTRIES} entries, held more"
                        )
                    listed = _listed(entry)
                    if listed is not None:
                        found.append(listed)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(
                f"{folder} must be readable, was not: {error.strerror or error}"
            ) from error
        return sorted(found, key=lambda listed: listed.name)

    def last(self, prefix: str) -> str | None:
        """The greatest name of a file of a folder."""
        return max((each.name for each in self.entries(prefix) if not each.is_folder), default=None)

    def put_copy(self, key: str, content: bytes) -> None:
        """Replace a file in one step."""
        path = self._path(key)
        beside = self._staging / uuid.uuid4().hex
        try:
            self._write_beside(beside, content)
            self._refuse_links(key)
            make_folder(path.parent)
            beside.replace(path)
            sync_folder(path.parent)
        except OSError as error:
            raise _not_writable(path, error) from error
        finally:
            _remove(beside)

    def remove(self, keys: Sequence[str]) -> None:
        """Delete files, and the folder of a version once it is empty."""
        for path, key in [(self._path(key), key) for key in keys]:
            self._refuse_links(key)
            _remove(path)
            if key.count("/") >= _FOLDER_SEPARATORS:
                _remove_empty(path.parent)

    def sweep(self, *, older_than_s: float) -> int:
        """Remove entries of `tmp`, and empty folders, untouched for that long; younger are in use."""
        try:
            leftovers = [Path(entry.path) for entry in os.scandir(self._staging)]
        except (FileNotFoundError, NotADirectoryError):
            return 0
        for folder in self._root.glob("*/*/*/"):
            if (
                folder.parts[-3] != STAGING
                and not folder.is_symlink()
                and _age_s(folder) >= older_than_s
            ):
                _remove_empty(folder)
        return sum(_remove_older(path, older_than_s) for path in leftovers)

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _link_above(self, key: str) -> Path | None:
        """The highest folder between the root and an object that is a link."""
        place = self._root
        for part in key.split("/")[:-1]:
            place = place / part
            if place.is_symlink():
                return place
        return None

    def _refuse_links(self, key: str) -> None:
        link = self._link_above(key)
        if link is not None:
            raise StorageError(f"{self._path(key)} must be writable, was not: {link} is a link")

    def _write_beside(self, beside: Path, content: bytes) -> None:
        for _ in range(_ATTEMPTS):
            make_folder(self._staging)
            try:
                write_synced(beside, content)
            except FileNotFoundError:
                continue
            return
        raise FileNotFoundError(errno.ENOENT, "the staging folder vanishes", str(self._staging))

    def _claim(self, beside: Path, path: Path) -> bool:
        """Give a finished file its name unless it is taken; a rename would replace the other's."""
        for _ in range(_ATTEMPTS):
            make_folder(path.parent)
            try:
                os.link(beside, path)
            except FileExistsError:
                return False
            except FileNotFoundError:
                # A janitor took the empty folder in between; a vanished `beside` ends the attempts.
                continue
            sync_folder(path.parent)
            return True
        raise FileNotFoundError(errno.ENOENT, "the file or its folder vanishes", str(path))


def make_folder(folder: Path) -> None:
    """Create a folder and make each new level of it durable."""
    missing = [level for level in (folder, *folder.parents) if not level.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for level in reversed(missing):
        sync_folder(level.parent)


def write_synced(path: Path, content: bytes) -> None:
    """Create `path`, which must not exist, and flush it to the disk."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _listed(entry: os.DirEntry[str]) -> Listed | None:
    """An entry as it is itself, not as what a link points to; None where it vanished."""
    if entry.is_dir(follow_symlinks=False):
        return Listed(entry.name, is_folder=True)
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    return Listed(entry.name, False, status.st_size, status.st_mtime_ns)


def _read_regular(path: Path, most_bytes: int) -> bytes:
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingObject(f"{path} must exist, was missing") from error
    except OSError as error:
        reason = "a link" if error.errno == errno.ELOOP else error.strerror
        raise ModelError(f"{path} must be a readable plain file, was not: {reason}") from error
    # A folder opens as well, but cannot be made a file object: look before that.
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ModelError(f"{path} must be a plain file, was not")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > most_bytes:
            raise ModelError(f"{path} must have at most {most_bytes} bytes, was {status.st_size}")
        return _read_at_most(file, path, most_bytes)


def _read_at_most(file: BinaryIO, path: Path, most_bytes: int) -> bytes:
    try:
        content = file.read(most_bytes + 1)
    except OSError as error:
        raise StorageError(f"{path} must be readable, was not: {error.strerror}") from error
    if len(content) > most_bytes:
        raise ModelError(f"{path} must have at most {most_bytes} bytes, grew beyond it")
    return content


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        # A folder that is none holds no leftover either.
        if not isinstance(error, NotADirectoryError):
            raise StorageError(f"{path} must be removable, was not: {error.strerror}") from error


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR):
            raise StorageError(f"{folder} must be removable, was not: {error.strerror}") from error


def _age_s(path: Path) -> float:
    """Seconds since a path was touched; negative where it vanished."""
    try:
        return time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return -1.0


def _remove_older(path: Path, older_than_s: float) -> bool:
    try:
        if time.time() - path.lstat().st_mtime < older_than_s:
            return False
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"{path} must be removable, was not: {error.strerror}") from error
    return True


def _not_writable(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path} must be writable, was not: {error.strerror or error}")
