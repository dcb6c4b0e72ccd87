"""Log files under the guide's names, rotated, with secrets masked before a line is written."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Iterable
from logging.handlers import RotatingFileHandler
from pathlib import Path

from crypto_bot.core.errors import ConfigError, StorageError, nearest

LOG_FILES = {"backtest": "backtest.log", "integrated_backtest": "integrated_backtest.log"}
"""Command -> its log file."""
GPU_FILE = "gpu_acceleration.log"
MASK = "**********"

# A password inside a URL, a JSON web token (what Supabase keys are), a new-style Supabase key.
_SECRET = re.compile(
    r"(?<=://)([^/@:\s]*:)[^/@\s]+(?=@)|eyJ[\w-]{8,}\.[\w-]+\.[\w-]+|sb_secret_[\w-]+"
)


_VARIABLES = (
    "SUPABASE_SERVICE_KEY",
    "SUPABASE_KEY",
    "CRYPTO_BOT__ML_INTEGRATION__SUPABASE__KEY",
    "CRYPTO_BOT__WEBHOOK_URL",
)
_known: set[str] = set()


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without `secrets`, those of the loaded settings and of the environment."""
    found = {*secrets, *_known, *(os.environ.get(name, "") for name in _VARIABLES)}
    for secret in sorted(filter(None, found), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _SECRET.sub(lambda match: (match[1] or "") + MASK, text)


class MaskingFormatter(logging.Formatter):
    """UTC lines without secrets, in messages and tracebacks alike."""

    converter = staticmethod(time.gmtime)

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, masked."""
        return masked(super().format(record), self._secrets)


def configure_logging(
    command: str,
    folder: str | Path = ".",
    verbose: bool = False,
    *,
    max_bytes: int = 10_000_000,
    files_kept: int = 5,
    secrets: Iterable[str] = (),
) -> Path:
    """Send this package's log to `folder` and give the path of the command's file.

    Parameters
    ----------
    command : str         'backtest' or 'integrated_backtest'
    folder : path         made if it is missing
    verbose : bool        also show details on stderr, not only warnings
    max_bytes, files_kept : int    size at which a file is rotated, and how many old ones stay
    secrets : strings     values that must never be written, here and by `masked`

    Raises
    ------
    StorageError    the folder cannot be written

    Notes
    -----
    GPU lines go to gpu_acceleration.log as well. Calling again replaces what the last call set up.
    """
    if command not in LOG_FILES:
        raise ConfigError(
            f"command must have a log file, was {command!r}{nearest(command, LOG_FILES)}"
        )
    close_logging()
    secrets = tuple(secrets)
    _known.update(filter(None, secrets))
    formatter = MaskingFormatter(secrets)
    path = Path(folder) / LOG_FILES[command]
    console = logging.StreamHandler(sys.stderr)
    console.setLevel(logging.INFO if verbose else logging.WARNING)
    package, gpu = logging.getLogger("crypto_bot"), logging.getLogger("crypto_bot.gpu")
    _attach(package, console, formatter)
    for logger, file in ((package, path), (gpu, Path(folder) / GPU_FILE)):
        _attach(logger, _rotating(file, max_bytes, files_kept), formatter)
    package.setLevel(logging.DEBUG if verbose else logging.INFO)
    return path


def close_logging() -> None:
    """Close the files that `configure_logging` opened."""
    for name in ("crypto_bot", "crypto_bot.gpu"):
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            if isinstance(handler.formatter, MaskingFormatter):
                logger.removeHandler(handler)
                handler.close()


def _attach(logger: logging.Logger, handler: logging.Handler, formatter: MaskingFormatter) -> None:
    handler.setFormatter(formatter)
    logger.addHandler(handler)


def _rotating(path: Path, max_bytes: int, files_kept: int) -> RotatingFileHandler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return RotatingFileHandler(
            path, maxBytes=max_bytes, backupCount=files_kept, encoding="utf-8"
        )
    except OSError as error:
        close_logging()
        raise StorageError(
            f"{path} must be writable, was not: {error.strerror}; set logging.folder"
        ) from error
