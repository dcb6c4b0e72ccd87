"""What the journal takes and gives back: plain frozen records."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypedDict

from pydantic import BaseModel

from crypto_bot.core.errors import DataError


class RunStatus(StrEnum):
    """How a run or a step stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class TrialKind(StrEnum):
    """What was tried."""

    BACKTEST = "backtest"
    MODEL = "model"
    SEARCH = "search"
    """A setting tried inside a search, which is judged as a whole on a stretch it did not see."""


@dataclass(frozen=True, slots=True)
class Run:
    """One start of a command; every other record carries its id."""

    id: str
    kind: str
    status: RunStatus
    started_at_ns: int
    finished_at_ns: int | None
    pid: int
    host: str
    config: dict[str, Any]
    data_fingerprint: str
    is_simulated: bool
    summary: dict[str, Any]
    version: str


@dataclass(frozen=True, slots=True)
class Trial:
    """One backtest or model that was tried; `metrics` hold fractions and None, never NaN."""

    symbol: str
    timeframe: str
    strategy: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, Any]
    kind: TrialKind = TrialKind.BACKTEST
    is_simulated: bool = False
    run_id: str = ""
    recorded_at_ns: int = 0


class TrialFilter(TypedDict, total=False):
    """Which trials: every named field must match."""

    run_id: str
    symbol: str
    timeframe: str
    strategy: str
    kind: TrialKind
    is_simulated: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """What was wanted at the close of a bar, before any risk limit or fill."""

    symbol: str
    bar_close_ns: int
    direction: int
    score: float
    reason: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelEvent:
    """Something that happened to a model version: trained, judged, published, promoted, rolled back."""

    symbol: str
    version: str
    event: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    run_id: str = ""
    recorded_at_ns: int = 0


@dataclass(frozen=True, slots=True)
class Feedback:
    """What reality said about an expectation; `agrees` is None where it cannot be told."""

    symbol: str
    kind: str
    agrees: bool | None
    detail: Mapping[str, Any] = field(default_factory=dict)
    run_id: str = ""
    recorded_at_ns: int = 0


@dataclass(slots=True)
class Step:
    """A stage of a run as the journal knows it; give `finish` the result worth keeping."""

    run_id: str
    name: str
    status: RunStatus = RunStatus.RUNNING
    started_at_ns: int = 0
    finished_at_ns: int | None = None
    attempts: int = 1
    result: Any = None

    @property
    def is_done(self) -> bool:
        """True when an earlier start of this run finished the step: use `result`, do nothing."""
        return self.status is RunStatus.DONE

    def finish(self, result: Any = None) -> None:
        """Keep `result` (JSON values) as what the step came to."""
        self.result = result


def to_json(value: Any) -> str:
    """Canonical JSON of plain values, dataclasses, options and numpy scalars.

    Secrets come out masked. Raises DataError for NaN, infinity and anything that is not data.
    """
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"journal record must hold JSON values, was not: {error}; use None for undefined numbers"
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy here
        return value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "__fspath__"):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not a JSON value")


_ENCODER = json.JSONEncoder(sort_keys=True, allow_nan=False, separators=(",", ":"), default=_plain)
