"""What the registry keeps and shows: manifests, champion entries, summaries. Plain data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal, TypeVar

from pydantic import Field

from crypto_bot.core.errors import ConfigError, ModelError
from crypto_bot.core.models import ModelCard
from crypto_bot.core.options import Options

Record = TypeVar("Record", bound=Options)
Action = Literal["promote", "rollback", "retire", "shadow", "remove"]
MANIFEST_FORMAT: Literal[1] = 1
_MOST_KEYS = 100
_MOST_TEXT = 1000
_MAKING = {
    "model_type",
    "feature_names",
    "classes",
    "label",
    "options",
    "thresholds",
    "trading",
    "data_fingerprint",
}


class RegistryLimits(Options):
    """How large a version may be; beyond it nothing is written or read."""

    max_files: int = Field(default=32, ge=2, description="files a version, card included")
    max_file_bytes: int = Field(default=512 * 2**20, ge=1, description="bytes of one model file")
    max_total_bytes: int = Field(default=2**30, ge=1, description="bytes of a version's files")
    max_json_bytes: int = Field(
        default=4 * 2**20, ge=1, description="bytes of card.json, manifest.json or a log entry"
    )


class Stage(StrEnum):
    """Where a version stands."""

    CANDIDATE = "candidate"
    SHADOW = "shadow"
    CHAMPION = "champion"
    RETIRED = "retired"
    DAMAGED = "damaged"


class FileRecord(Options):
    """Size and identity of one file of a version."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0, description="bytes")


class Manifest(Options):
    """`manifest.json`: what a version consists of; written last."""

    format: Literal[1]
    symbol: str
    files: dict[str, FileRecord] = Field(min_length=2)


class ChampionEntry(Options):
    """One numbered, never changed entry of a symbol's champion log."""

    number: int = Field(ge=1)
    action: Action
    version: str = Field(description="the version acted on")
    champion: str | None = Field(description="in service from this entry on; null: none")
    previous: str | None = Field(description="in service before this entry; null: none")
    evidence: dict[str, Any] = Field(description="the gate's verdict, or why a person decided")
    at: str = Field(description="UTC time")
    run_id: str = ""
    claim: str = Field(default="", description="unique to the call that wrote it")


@dataclass(frozen=True)
class VersionSummary:
    """One line of a ranking; `problem` says in words why a damaged version cannot be loaded."""

    version: str
    stage: Stage
    model_type: str | None
    created_at: str | None
    is_simulated: bool | None
    gate_passed: bool | None
    metrics: dict[str, float | None]
    problem: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True)
class VersionDetails:
    """All that is known of one version."""

    symbol: str
    version: str
    stage: Stage
    card: ModelCard
    manifest: Manifest
    history: tuple[ChampionEntry, ...]
    signed_by: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "symbol": self.symbol,
            "version": self.version,
            "stage": str(self.stage),
            "card": self.card.model_dump(mode="json"),
            "manifest": self.manifest.model_dump(mode="json"),
            "history": [entry.model_dump(mode="json") for entry in self.history],
            "signed_by": self.signed_by,
        }


@dataclass(frozen=True)
class VersionDiff:
    """Two versions of a symbol side by side; a pair holds the first's value, then the second's.

    Attributes
    ----------
    card : fields that differ, but for those named below
    metrics : every metric of either
    files : name -> 'same', 'changed', 'added' or 'removed'
    features_added, features_removed : names, sorted
    features_reordered : the same features in another order
    label, thresholds : what differs of each
    """

    symbol: str
    versions: tuple[str, str]
    card: dict[str, tuple[Any, Any]]
    metrics: dict[str, tuple[float | None, float | None]]
    files: dict[str, str]
    features_added: tuple[str, ...]
    features_removed: tuple[str, ...]
    features_reordered: bool
    label: dict[str, tuple[Any, Any]]
    thresholds: dict[str, tuple[float | None, float | None]]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True)
class SmokeResult:
    """A file went in, was listed, and came back equal."""

    symbol: str
    key: str
    size_bytes: int
    seconds: float


def read_record(kind: type[Record], content: bytes, name: str) -> Record:
    """Parse one of our JSON files strictly; ModelError names the file and the rule."""
    values = read_json(content, name)
    if len(values) > _MOST_KEYS:
        raise ModelError(f"{name} must hold at most {_MOST_KEYS} keys, was {len(values)}")
    try:
        return kind.from_mapping(values, path=name)
    except ConfigError as error:
        raise ModelError(cut(str(error))) from error


def read_json(content: bytes, name: str) -> dict[str, Any]:
    """A JSON object of finite numbers and whole text. ModelError for anything else, however deep."""
    try:
        text = content.decode("utf-8")
        values = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        if "\\u" in text:
            # Half a surrogate pair is no text: it could neither be printed nor written again.
            json.dumps(values, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{name} must be JSON, was not: {cut(str(error))}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{name} must hold a JSON object, was {type(values).__name__}")
    return values


def cut(text: str) -> str:
    """A message short enough for a line of a log, whatever was put into it."""
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}..."


def making(card: ModelCard) -> dict[str, Any]:
    """What says how a model was made and is traded; its figures and times are left out."""
    return card.model_dump(mode="json", include=_MAKING)


def to_json(record: Mapping[str, Any], name: str) -> bytes:
    """Readable JSON of plain values; NaN, infinity and objects are refused with ModelError."""
    try:
        text = json.dumps(record, indent=2, allow_nan=False, sort_keys=False)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{name} must hold plain finite JSON values, did not: {error}; use None for undefined"
        ) from error
    return (text + "\n").encode()


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{cut(text)} is no finite number")
    return value
