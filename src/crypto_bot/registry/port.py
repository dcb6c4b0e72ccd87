"""The port: what a registry must do, wherever it keeps its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from crypto_bot.core.models import ModelCard, Predictor
from crypto_bot.registry.records import (
    ChampionEntry,
    SmokeResult,
    VersionDetails,
    VersionDiff,
    VersionSummary,
)


class Registry(Protocol):
    """Immutable versions of models by symbol, and which one is in service."""

    @property
    def where(self) -> str:
        """Name of the store for people; holds no secret."""
        ...

    def publish(self, symbol: str, files: Mapping[str, bytes], card: ModelCard) -> str:
        """Store a new version, all or nothing, and return its id."""
        ...

    def published_by(
        self, symbol: str, run_id: str, *, like: ModelCard | None = None
    ) -> str | None:
        """The newest version that this run published, made as `like`: none is published twice."""
        ...

    def symbols(self) -> list[str]:
        """Symbols with at least one version."""
        ...

    def versions(self, symbol: str) -> list[str]:
        """Version ids, oldest first."""
        ...

    def load(self, symbol: str, version: str | None = None) -> tuple[Predictor, ModelCard]:
        """The verified model of a version, or of the champion."""
        ...

    def promote(
        self, symbol: str, version: str, evidence: Mapping[str, Any], *, run_id: str = ""
    ) -> ChampionEntry:
        """Put a version into service."""
        ...

    def shadow(
        self, symbol: str, version: str, *, reason: str = "asked for", run_id: str = ""
    ) -> ChampionEntry:
        """Let a version run beside the champion, which stays in service."""
        ...

    def champion(self, symbol: str) -> str | None:
        """The version in service, or None."""
        ...

    def previous(self, symbol: str) -> str | None:
        """The version that a rollback would put back into service, or None."""
        ...

    def rollback(
        self, symbol: str, *, of: str | None = None, reason: str = "asked for", run_id: str = ""
    ) -> ChampionEntry:
        """Put the champion before the present one back; only where `of` is that, if given."""
        ...

    def retire(
        self, symbol: str, version: str, *, reason: str = "asked for", run_id: str = ""
    ) -> ChampionEntry:
        """Take a version out of use for ever."""
        ...

    def history(self, symbol: str) -> list[ChampionEntry]:
        """Every champion log entry, oldest first."""
        ...

    def rank(
        self, symbol: str, *, by: str = "sharpe", check_files: bool = True
    ) -> list[VersionSummary]:
        """Versions with their metrics, best first."""
        ...

    def show(self, symbol: str, version: str | None = None) -> VersionDetails:
        """All that is known of one version, or of the champion."""
        ...

    def diff(self, symbol: str, a: str, b: str) -> VersionDiff:
        """How version `b` differs from version `a`."""
        ...

    def keep_newest(
        self, symbol: str, kept: int, *, spare_run_id: str = "", run_id: str = ""
    ) -> list[str]:
        """Remove older versions that nobody needs; their ids."""
        ...

    def smoke(self, symbol: str) -> SmokeResult:
        """Prove that a file can be stored, listed and fetched."""
        ...

    def clean(self, *, older_than_s: float = 86_400.0) -> int:
        """Remove what killed writers left, of that age; how many."""
        ...
