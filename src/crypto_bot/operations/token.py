"""The Bearer token of `/metrics`: the configured one, or one that is made and kept in a private file."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from crypto_bot.core.errors import ConfigError, StorageError
from crypto_bot.core.files import publish_file, temporary_path

LEAST_LENGTH = 16


def operations_token(configured: str | None, file: str | Path) -> str:
    """The configured token, or that of `file`, which is made (mode 0600) where there is none.

    Raises
    ------
    ConfigError     a token shorter than 16 characters, or with spaces or control characters
    StorageError    a file that others can read, that is no plain file, or that cannot be written

    Notes
    -----
    The token itself is in no message.
    """
    if configured is not None:
        return _checked(configured, "operations.token")
    path = Path(file)
    if not os.path.lexists(path):
        _make(path)
    return _checked(_read(path), str(path))


def _make(path: Path) -> None:
    partial = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        publish_file(partial, path)
    except OSError as error:
        if partial.exists():
            partial.unlink()
        raise StorageError(
            f"{path} must be writable, was not: {error.strerror}; set operations.token_file"
        ) from error


def _read(path: Path) -> str:
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise StorageError(f"{path} must be a plain file, was none; remove it")
        if os.name != "nt" and status.st_mode & 0o077:
            raise StorageError(
                f"{path} must be readable by its owner alone, was mode "
                f"{stat.S_IMODE(status.st_mode):04o}; run: chmod 600 {path} (and replace the token)"
            )
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise StorageError(f"{path} must be readable, was not: {error.strerror}") from error


def _checked(token: str, where: str) -> str:
    if len(token) < LEAST_LENGTH or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            f"{where} must be at least {LEAST_LENGTH} printable characters without spaces, was not "
            "(not shown: it is a secret)"
        )
    return token
