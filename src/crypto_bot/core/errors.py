"""What can go wrong, named by what the caller should do about it.

::

    CryptoBotError
    |-- ConfigError        fix the option or file, start again            (exit code 2)
    |-- DataError          skip this item and report it                   (exit code 1)
    |   `-- LeakError      the future reached the past: never train on it
    |-- ModelError         refuse to predict or publish with this model
    |   `-- NotPromoted    the gate said no: an honest end, not a failure
    |-- StorageError       the disk or store refused; nothing half-written
    |-- MissingExtra       install the named extra
    |-- RiskBlocked        a limit said no: never retry
    `-- BrokerError
        |-- Retryable      try again with the same client id
        |-- Rejected       the venue said no: do not repeat as is
        `-- UnknownOutcome reconcile before anything else

Messages read ``<path or name> must <rule>, was <value>; <what to do>``.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class CryptoBotError(Exception):
    """Any error this package raises on purpose; `exit_code` is what a command returns."""

    exit_code = 1


class ConfigError(CryptoBotError):
    """An option, argument or configuration file is wrong: fix it and start again."""

    exit_code = 2


class DataError(CryptoBotError):
    """An input cannot be used as it is: skip this item and report it."""


class LeakError(DataError):
    """Information from the future reached the past."""


class ModelError(CryptoBotError):
    """A model file, schema or card cannot be trusted."""


class NotPromoted(ModelError):  # noqa: N818 - a verdict, not a failure
    """The gate said no."""

    exit_code = 3


class StorageError(CryptoBotError):
    """The disk or the store refused; nothing was left half-written."""


class MissingExtra(CryptoBotError):  # noqa: N818 - names what to install
    """An optional dependency is not installed; the message carries the install line."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} must be installed for this, was missing; "
            f"run: pip install 'crypto-bot[{extra}]'"
        )


class RiskBlocked(CryptoBotError):  # noqa: N818
    """A risk limit said no. Never retry."""


class BrokerError(CryptoBotError):
    """The broker did not do what was asked."""


class Retryable(BrokerError):  # noqa: N818
    """Safe to try again with the same client id."""


class Rejected(BrokerError):  # noqa: N818
    """The venue refused; repeating the same order is useless."""


class UnknownOutcome(BrokerError):  # noqa: N818
    """It may or may not have happened: reconcile first."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the closest known name, or an empty string.

    >>> nearest("taker_fe", ["taker_fee", "slippage"])
    "; did you mean 'taker_fee'?"
    """
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""
