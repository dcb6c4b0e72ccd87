"""The append-only champion log of one symbol: numbered files, each claimed by one writer."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crypto_bot.core.errors import ModelError, StorageError
from crypto_bot.core.files import sync_folder
from crypto_bot.core.timeframes import Clock, iso_time
from crypto_bot.registry.records import Action, ChampionEntry, read_record, to_json
from crypto_bot.registry.version_files import make_folder, write_synced

_ENTRY = re.compile(r"(\d{6,})\.json")


@dataclass(frozen=True)
class Reign:
    """Who served when, replayed from the log: `line` holds the champions a rollback can return to."""

    champion: str | None
    line: tuple[str, ...]
    retired: frozenset[str]

    def before_champion(self) -> str | None:
        """The latest earlier champion that was not retired."""
        line = list(self.line)
        if line and line[-1] == self.champion:
            line.pop()
        return next((name for name in reversed(line) if name not in self.retired), None)


class ChampionLog:
    """Entries `000001.json`, `000002.json` ... of one symbol. Reading is lock-free.

    An entry is written beside and then hard-linked to its number, which fails if that number is
    taken: the content is complete when visible, one writer wins, and numbers have no gaps.
    """

    def __init__(self, folder: Path, staging: Path, clock: Clock, most_bytes: int) -> None:
        self._folder = folder
        self._staging = staging
        self._clock = clock
        self._most_bytes = most_bytes

    def numbers(self) -> list[int]:
        """Numbers of all entries, ascending."""
        try:
            matches = [_ENTRY.fullmatch(entry.name) for entry in os.scandir(self._folder)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(int(match[1]) for match in matches if match)

    def latest(self) -> ChampionEntry | None:
        """The highest entry, or None."""
        numbers = self.numbers()
        return self._read(numbers[-1]) if numbers else None

    def entries(self) -> list[ChampionEntry]:
        """All entries, oldest first; ModelError if one is missing or unreadable."""
        numbers = self.numbers()
        for expected, number in enumerate(numbers, start=1):
            if number != expected:
                raise ModelError(
                    f"{self._path(expected)} must exist, was missing; restore it from a backup"
                )
        return [self._read(number) for number in numbers]

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
        )
        path = self._path(entry.number)
        content = to_json(entry.model_dump(), "evidence")
        if len(content) > self._most_bytes:
            raise ModelError(
                f"evidence must fit in {self._most_bytes} bytes, was {len(content)} with its entry"
            )
        return entry if self._claim(path, content) else None

    def _claim(self, path: Path, content: bytes) -> bool:
        beside = self._staging / f"{uuid.uuid4().hex}.json"
        try:
            make_folder(self._folder)
            make_folder(self._staging)
            write_synced(beside, content)
            is_ours = _link(beside, path)
            sync_folder(self._folder)
        except OSError as error:
            raise StorageError(
                f"{path} must be writable, was not: {error.strerror or error}"
            ) from error
        finally:
            _remove(beside)
        return is_ours

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.json"

    def _read(self, number: int) -> ChampionEntry:
        path = self._path(number)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(f"{path} must be readable, was not: {error.strerror}") from error
        entry = read_record(ChampionEntry, content, str(path))
        if entry.number != number:
            raise ModelError(f"{path} must hold entry {number}, was {entry.number}")
        return entry


def replay(entries: Sequence[ChampionEntry]) -> Reign:
    """Fold the log into who serves, who served before, and who is retired."""
    line: list[str] = []
    retired: set[str] = set()
    for entry in entries:
        if entry.action == "retire":
            retired.add(entry.version)
        elif entry.action == "rollback":
            while line and line[-1] != entry.version:
                line.pop()
        elif not line or line[-1] != entry.version:
            line.append(entry.version)
    champion = entries[-1].champion if entries else None
    return Reign(champion=champion, line=tuple(line), retired=frozenset(retired))


def _link(source: Path, path: Path) -> bool:
    """Give a finished file its name unless it is taken; a rename would replace the other's."""
    try:
        os.link(source, path)
    except FileExistsError:
        return False
    return True


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        # A folder that is none holds no leftover either.
        if not isinstance(error, NotADirectoryError):
            raise StorageError(f"{path} must be removable, was not: {error.strerror}") from error
