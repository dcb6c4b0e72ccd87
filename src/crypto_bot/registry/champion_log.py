"""The append-only champion log of one symbol: numbered objects, each claimed by one writer."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crypto_bot.core.errors import ModelError, StorageError
from crypto_bot.core.timeframes import Clock, iso_time
from crypto_bot.registry.objects import Listed, MissingObject, ObjectStore
from crypto_bot.registry.records import Action, ChampionEntry, read_record, to_json

MOST_ENTRIES = 999_999
"""Six digits: names sort as numbers do."""
_ENTRY = re.compile(r"(\d{6})\.json")
Known = dict[tuple[str, int], tuple[Listed, ChampionEntry]]
"""Entries read before, by symbol's folder and number, with the listing they were read under."""


@dataclass(frozen=True)
class Reign:
    """What stands after the log: who serves, who runs beside, who may return, who never will.

    Attributes
    ----------
    champion : in service, or None
    line : champions that a rollback can return to, the present one last
    retired : never to serve again; includes what retention removed
    removed : taken away by retention
    served : was in service at some time
    shadow : runs beside the champion without serving, or None
    """

    champion: str | None
    line: tuple[str, ...]
    retired: frozenset[str]
    removed: frozenset[str] = frozenset()
    served: frozenset[str] = frozenset()
    shadow: str | None = None

    def before_champion(self) -> str | None:
        """The latest earlier champion that was not retired."""
        line = list(self.line)
        if line and line[-1] == self.champion:
            line.pop()
        return next((name for name in reversed(line) if name not in self.retired), None)

    def is_needed(self, version: str) -> bool:
        """Whether retention must leave it alone: it serves or served, or is the shadow."""
        return version in self.served or version == self.shadow


class ChampionLog:
    """Entries `000001.json`, `000002.json` ... of one symbol. Reading is lock-free.

    An entry is created whole and only where its number is free: one writer wins, and numbers have
    no gaps. Each carries a `claim` of its own, so that a writer whose answer got lost can see whether
    the entry that stands there is the one it wrote.
    """

    def __init__(
        self, store: ObjectStore, slug: str, clock: Clock, most_bytes: int, known: Known
    ) -> None:
        self._store = store
        self._slug = slug
        self._clock = clock
        self._most_bytes = most_bytes
        self._known = known

    def latest(self) -> ChampionEntry | None:
        """The highest entry, or None."""
        name = self._store.last(self._prefix)
        if name is None:
            return None
        match = _ENTRY.fullmatch(name)
        newest = int(match[1]) if match else max(self._listed(), default=0)
        return self._read(newest, None) if newest else None

    def entries(self) -> list[ChampionEntry]:
        """All entries, oldest first; ModelError if one is missing or unreadable.

        Every number up to the highest listed is read, listed or not: a listing taken while others
        write may lack one that is there.
        """
        listed = self._listed()
        newest = max(listed, default=0)
        return [self._read(number, listed.get(number)) for number in range(1, newest + 1)]

    def try_append(
        self,
        after: Sequence[ChampionEntry],
        action: Action,
        version: str,
        champion: str | None,
        evidence: Mapping[str, Any],
        run_id: str,
    ) -> ChampionEntry | None:
        """Claim the number after the entries seen, or return None when another writer was faster."""
        entry = ChampionEntry(
            number=len(after) + 1,
            action=action,
            version=version,
            champion=champion,
            previous=after[-1].champion if after else None,
            evidence=dict(evidence),
            at=iso_time(self._clock.now_ns()),
            run_id=run_id,
            claim=uuid.uuid4().hex,
        )
        content = to_json(entry.model_dump(), "evidence")
        if len(content) > self._most_bytes:
            raise ModelError(
                f"evidence must fit in {self._most_bytes} bytes, was {len(content)} with its entry"
            )
        if entry.number > MOST_ENTRIES:
            raise ModelError(f"{self._name(entry.number)} must be at most {MOST_ENTRIES}, was not")
        return entry if self._claim(entry, content) else None

    @property
    def _prefix(self) -> str:
        return f"{self._slug}/champion"

    def _key(self, number: int) -> str:
        return f"{self._prefix}/{number:06d}.json"

    def _name(self, number: int) -> str:
        return f"{self._store.where}/{self._key(number)}"

    def _claim(self, entry: ChampionEntry, content: bytes) -> bool:
        """Whether our entry stands; where the store cannot say, the entry itself does."""
        try:
            if self._store.put_new(self._key(entry.number), content):
                return True
        except StorageError:
            if self._is_ours(entry):
                return True
            raise
        return self._is_ours(entry)

    def _is_ours(self, entry: ChampionEntry) -> bool:
        try:
            content = self._store.get(self._key(entry.number), self._most_bytes)
        except StorageError:
            return False
        return read_record(ChampionEntry, content, self._name(entry.number)).claim == entry.claim

    def _listed(self) -> dict[int, Listed]:
        found: dict[int, Listed] = {}
        for each in self._store.entries(self._prefix):
            match = _ENTRY.fullmatch(each.name)
            if match and not each.is_folder and int(match[1]):
                found[int(match[1])] = each
        return found

    def _read(self, number: int, listed: Listed | None) -> ChampionEntry:
        """An entry; one that is listed as it was when we read it is not fetched again."""
        known = self._known.get((self._slug, number))
        if known is not None and listed is not None and known[0] == listed:
            return known[1]
        name = self._name(number)
        try:
            content = self._store.get(self._key(number), self._most_bytes)
        except MissingObject as error:
            raise ModelError(f"{name} must exist, was missing; restore it from a backup") from error
        entry = read_record(ChampionEntry, content, name)
        if entry.number != number:
            raise ModelError(f"{name} must hold entry {number}, was {entry.number}")
        if listed is not None and listed.changed_at_ns is not None:
            self._known[self._slug, number] = listed, entry
        return entry


def replay(entries: Sequence[ChampionEntry]) -> Reign:
    """Fold the log into who serves, who served before, who is the shadow, and who is retired."""
    line: list[str] = []
    retired: set[str] = set()
    removed: set[str] = set()
    shadow: str | None = None
    for entry in entries:
        if entry.action in ("retire", "remove"):
            retired.add(entry.version)
        if entry.action == "remove":
            removed.add(entry.version)
        elif entry.action == "shadow":
            shadow = entry.version
        elif entry.action == "rollback":
            while line and line[-1] != entry.version:
                line.pop()
        elif entry.action == "promote" and (not line or line[-1] != entry.version):
            line.append(entry.version)
        if shadow in retired or shadow == entry.champion:
            shadow = None
    return Reign(
        champion=entries[-1].champion if entries else None,
        line=tuple(line),
        retired=frozenset(retired),
        removed=frozenset(removed),
        served=frozenset(entry.champion for entry in entries if entry.champion is not None),
        shadow=shadow,
    )
