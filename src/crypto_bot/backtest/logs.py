"""Log files under the guide's names, rotated, as text or JSON lines, with secrets masked before writing."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal, TextIO

from crypto_bot.core.errors import ConfigError, StorageError, nearest

LOG_FILES = {"backtest": "backtest.log", "integrated_backtest": "integrated_backtest.log"}
"""Command -> its log file."""
GPU_FILE = "gpu_acceleration.log"
MASK = "**********"
LogFormat = Literal["text", "json"]

# A password inside a URL, a JSON web token (what Supabase keys are), a new-style Supabase key.
_SECRET = re.compile(
    r"(?<=://)([^/@:\s]*:)[^/@\s]+(?=@)|eyJ[\w-]{8,}\.[\w-]+\.[\w-]+|sb_secret_[\w-]+"
)


_VARIABLES = (
    "SUPABASE_SERVICE_KEY",
    "SUPABASE_KEY",
    "CRYPTO_BOT_SIGNING_KEY",
    "CRYPTO_BOT__ML_INTEGRATION__SUPABASE__KEY",
    "CRYPTO_BOT__NOTIFICATIONS__EMAIL_PASSWORD",
    "CRYPTO_BOT__NOTIFICATIONS__WEBHOOK_SECRET",
    "CRYPTO_BOT__OPERATIONS__TOKEN",
    "CRYPTO_BOT__WEBHOOK_URL",
)
_known: set[str] = set()


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without `secrets`, those of the loaded settings and of the environment."""
    found = {*secrets, *_known, *(os.environ.get(name, "") for name in _VARIABLES)}
    for secret in sorted(filter(None, found), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _SECRET.sub(lambda match: (match[1] or "") + MASK, text)


def keep_secret(*values: str) -> None:
    """Have `masked` and every log line leave these out from now on, such as a token made at the start."""
    _known.update(filter(None, values))


@contextmanager
def log_context(**values: Any) -> Iterator[None]:
    """Add `values`, such as run_id, step or symbol, to every line logged within (this thread or task)."""
    from structlog.contextvars import bound_contextvars

    with bound_contextvars(**values):
        yield


class MaskingFormatter(logging.Formatter):
    """UTC lines without secrets, in messages, context and tracebacks alike.

    As text: `time LEVEL logger: message key=value`; as JSON one object a line with time, level,
    logger, event, what `log_context` or a structlog logger bound, and exception where there is one.
    """

    converter = staticmethod(time.gmtime)

    def __init__(self, secrets: Iterable[str], shape: LogFormat = "text") -> None:
        super().__init__("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        self._secrets = tuple(secrets)
        self._shape = shape

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, masked."""
        if self._shape == "json":
            return json.dumps(self._hidden(self._fields(record)), default=self._as_text)
        bound = "".join(f" {name}={value}" for name, value in self._hidden(_bound(record)).items())
        head, *rest = super().format(record).split("\n")
        return masked("\n".join([head + bound, *rest]), self._secrets)

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        fields = {
            "time": f"{self.formatTime(record, self.datefmt)}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return {**_bound(record), **fields}

    def _hidden(self, value: Any) -> Any:
        """Masked before JSON escapes what would be looked for; keys and nested values too."""
        if isinstance(value, MutableMapping):
            return {self._as_text(name): self._hidden(item) for name, item in value.items()}
        if isinstance(value, list | tuple | set):
            return [self._hidden(item) for item in value]
        if (isinstance(value, float) and value in (float("inf"), float("-inf"))) or value != value:
            return str(value)
        return self._as_text(value) if isinstance(value, str) else value

    def _as_text(self, value: Any) -> str:
        return masked(str(value), self._secrets)


def _bound(record: logging.LogRecord) -> dict[str, Any]:
    """What surrounds the line: bound by `log_context`, or given to a structlog logger."""
    from structlog.contextvars import get_contextvars

    found = {**get_contextvars(), **getattr(record, _STRUCTURED, {})}
    first = {name: found[name] for name in _FIRST if name in found}
    return first | {name: found[name] for name in sorted(found)}


_STRUCTURED = "crypto_bot_fields"
_FIRST = ("run_id", "step", "symbol")


def _to_stdlib(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """The last structlog processor: hand the line to the standard logging, its fields beside it."""
    told = {name: event.pop(name) for name in ("exc_info", "stack_info") if name in event}
    message = str(event.pop("event", ""))
    return {"msg": message, "extra": {_STRUCTURED: dict(event)}, **told}


def get_logger(name: str) -> Any:
    """A structlog logger whose lines go where the package's log goes: `log.info("done", symbol=...)`."""
    import structlog

    return structlog.wrap_logger(
        logging.getLogger(name),
        processors=[structlog.stdlib.filter_by_level, _to_stdlib],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def configure_logging(
    command: str,
    folder: str | Path = ".",
    verbose: bool = False,
    *,
    max_bytes: int = 10_000_000,
    files_kept: int = 5,
    secrets: Iterable[str] = (),
    log_format: LogFormat = "text",
    foreground: bool = False,
) -> Path:
    """Send this package's log to `folder` and give the path of the command's file.

    Parameters
    ----------
    command : str         'backtest' or 'integrated_backtest'
    folder : path         made if it is missing
    verbose : bool        also show details on stderr, not only warnings
    max_bytes, files_kept : int    size at which a file is rotated, and how many old ones stay
    secrets : strings     values that must never be written, here and by `masked`
    log_format : str      'text' or 'json', of files and terminal alike
    foreground : bool     a loop that a supervisor watches: details on stdout, warnings on stderr

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
    keep_secret(*secrets)
    formatter = MaskingFormatter(secrets, log_format)
    path = Path(folder) / LOG_FILES[command]
    package, gpu = logging.getLogger("crypto_bot"), logging.getLogger("crypto_bot.gpu")
    for console in _consoles(verbose=verbose, foreground=foreground):
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


def _consoles(*, verbose: bool, foreground: bool) -> Iterator[logging.Handler]:
    """Terminal handlers; in the foreground each line goes to one of stdout and stderr."""
    errors: logging.StreamHandler[TextIO] = logging.StreamHandler(sys.stderr)
    errors.setLevel(logging.INFO if verbose and not foreground else logging.WARNING)
    yield errors
    if foreground:
        details: logging.StreamHandler[TextIO] = logging.StreamHandler(sys.stdout)
        details.setLevel(logging.DEBUG if verbose else logging.INFO)
        details.addFilter(lambda record: record.levelno < logging.WARNING)
        yield details


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
