"""The port under the registry: named objects that are created once and never changed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from crypto_bot.core.errors import ConfigError, StorageError

STAGING = "tmp"
"""Unfinished work lies below this key, is invisible to readers, and is swept by age."""
MOST_ENTRIES = 200_000
"""A listing of more is refused: a hostile store must not fill our memory."""
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_MOST_PARTS = 8


class MissingObject(StorageError):  # noqa: N818 - a state
    """There is no object of that name."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a listing: the last part of its key; size and age are unknown for folders."""

    name: str
    is_folder: bool
    size: int | None = None
    changed_at_ns: int | None = None


class ObjectStore(Protocol):
    """Immutable objects under keys such as 'BTC-USDT/champion/000001.json', safe for many writers.

    Notes
    -----
    Keys are ASCII letters, digits, '.', '_', '-' in parts separated by '/'; a part never begins with
    a dot. Every implementation checks them with `check_key`. Names in a listing are as the store
    holds them: whoever can write there may have put anything. StorageError where the store cannot be
    reached or written; `put_new` is then either done or leaves nothing that a reader can see.
    """

    @property
    def where(self) -> str:
        """Name of the store for people; holds no secret."""
        ...

    def put_new(self, key: str, content: bytes) -> bool:
        """Create an object, all or nothing; False when another writer's object has the key.

        True means that this call's bytes are there, also where the answer of the store got lost and
        had to be found out. An object of equal bytes written by another call is another's: False.
        """
        ...

    def get(self, key: str, most_bytes: int) -> bytes:
        """The bytes of a plain object; MissingObject, or ModelError if it is larger or no plain file.

        Never holds more than about `most_bytes` of it in memory.
        """
        ...

    def entries(self, prefix: str) -> list[Listed]:
        """Entries directly below 'a/b' ('' is the root), by name; empty where there is nothing.

        StorageError beyond MOST_ENTRIES. What was there before the call is listed; an object that
        appears during it may be missing.
        """
        ...

    def last(self, prefix: str) -> str | None:
        """The greatest name of an object directly below, or None; one request, however many there are."""
        ...

    def put_copy(self, key: str, content: bytes) -> None:
        """Replace a courtesy copy that nobody here reads; the only thing ever overwritten."""
        ...

    def remove(self, keys: Sequence[str]) -> None:
        """Delete objects; absent ones are no error. For leftovers and retention only."""
        ...

    def sweep(self, *, older_than_s: float) -> int:
        """Delete unfinished work of killed writers and give how many; younger work is kept."""
        ...


def check_key(key: str) -> str:
    """The key itself. ConfigError unless it is plain: no path can be climbed, hidden or absolute.

    >>> check_key("BTC-USDT/champion/000001.json")
    'BTC-USDT/champion/000001.json'
    """
    parts = key.split("/", _MOST_PARTS)
    if len(parts) > _MOST_PARTS or not all(_PART.fullmatch(part) for part in parts):
        raise ConfigError(
            f"key must be plain parts (letters, digits, . _ -) separated by '/', was {key[:200]!r}"
        )
    return key
