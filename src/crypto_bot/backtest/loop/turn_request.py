"""What the loop asks of the process that turns it once; plain data, JSON on one line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True)
class TurnRequest:
    """One turn.

    Attributes
    ----------
    settings : YAML of the settings without secrets, which come from the environment
    data, symbols, train, refresh, until_ns : as for `run_turn`
    niceness : how far the process stands back
    now_ns, clock_speed : a clock that began there and runs so fast; speed 1 is the machine's
    """

    settings: str
    data: str | None
    symbols: tuple[str, ...] | None
    train: bool
    refresh: bool
    until_ns: int | None
    niceness: int
    now_ns: int
    clock_speed: float

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """The inverse of `to_json`."""
        values = json.loads(line)
        symbols = values.pop("symbols")
        return cls(symbols=None if symbols is None else tuple(symbols), **values)
