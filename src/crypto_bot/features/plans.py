"""Plans: the distinct computations behind some features, arranged for the driver; nothing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import PerBar, PerBarFeature
from crypto_bot.core.errors import ConfigError
from crypto_bot.core.timeframes import SECOND_NS, timeframe_ns
from crypto_bot.features import driver, higher
from crypto_bot.features.catalogue import Feature, feature
from crypto_bot.features.nodes import RAW, Node, Outside, Series, bucket_memory, start_memory
from crypto_bot.features.own import OwnFeature

_TIMED = (driver.CLOCK_TIME, driver.UNBROKEN)
"""Kinds whose scalar is the length of their bars."""


@dataclass(frozen=True, eq=False)
class OwnStep:
    """A user's step in a plan: rows of the board it reads and writes, its place in memory.

    It runs by `clock`, after the first `after` of the driver's steps.
    """

    own: OwnFeature
    reads: tuple[int, ...]
    writes: int
    memory: slice
    clock: int
    after: int


@dataclass(frozen=True, eq=False)
class Plan:
    """The distinct nodes behind some features, inputs before users, ready for the driver.

    `steps` and `scalars` are the driver's; `own` run between them; `outside` are the columns to be
    given beside the bars, and the board's row of each; `start` is the memory of a fresh
    plan; feature k's value lies in board row `shown[k]`; `digest` names definitions and layout.
    """

    features: tuple[Feature, ...]
    steps: npt.NDArray[np.int64]
    scalars: PerBar
    own: tuple[OwnStep, ...]
    outside: tuple[tuple[Outside, int], ...]
    start: PerBar
    rows: int
    clocks: int
    reads_time: bool
    shown: npt.NDArray[np.int64]
    digest: str

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.features)

    @property
    def outside_columns(self) -> tuple[Outside, ...]:
        return tuple(column for column, _ in self.outside)

    @property
    def warmup_bars(self) -> int:
        return max(each.warmup_bars for each in self.features)

    @property
    def settled_bars(self) -> int | None:
        return settled_bars_of(self.features)

    def board(self, bars: int) -> PerBarFeature:
        """Room for stretches of up to `bars` bars: float64 (rows, bars + 1).

        One column more, because with n bars n + 1 longer ones may close: one had waited.
        """
        return np.empty((self.rows, bars + 1))

    def advance(self, memory: PerBar, board: PerBarFeature, bars: int) -> None:
        """Carry `memory` over the next `bars` bars, whose columns fill the board's first rows."""
        counts = np.empty(self.clocks, np.int64)
        counts[0] = bars
        done = 0
        for step in self.own:
            if step.after > done:
                part = slice(done, step.after)
                driver.advance(self.steps[part], self.scalars[part], memory, board, counts)
                done = step.after
            count = counts[step.clock]
            inputs = [board[row, :count] for row in step.reads]
            step.own.run(memory[step.memory], inputs, board[step.writes, :count])
        driver.advance(self.steps[done:], self.scalars[done:], memory, board, counts)


def settled_bars_of(features: Sequence[Feature]) -> int | None:
    """Leading bars at which some feature still depends on the start; None if one always will."""
    settled = [each.settled_bars for each in features]
    known = [bars for bars in settled if bars is not None]
    return max(known) if len(known) == len(settled) else None


def plan_features(names: Sequence[str], timeframe: str | None = None) -> Plan:
    """The plan for these features of bars of this timeframe.

    ConfigError if a name is unknown, given twice, or none is given, or if one needs the timeframe.
    """
    if isinstance(names, str):
        raise ConfigError(f"names must be a sequence of feature names, was {names!r}")
    if not names:
        raise ConfigError("names must hold at least one feature, was empty")
    for name, count in Counter(names).items():
        if count > 1:
            raise ConfigError(f"names must differ, was {name!r} twice")
    features = tuple(feature(name, timeframe) for name in names)
    interval_s = 0 if timeframe is None else timeframe_ns(timeframe) // SECOND_NS
    return _arrange(features, interval_s)


class _Layout:
    """Rows of the board and steps, handed out inputs first; equal nodes share one of each."""

    def __init__(self, interval_s: int) -> None:
        self._interval_s = interval_s
        self._rows: dict[Series | tuple[int, str], int] = {(0, raw): k for k, raw in enumerate(RAW)}
        self._clocks: dict[int, int] = {0: 0}
        self._buckets: dict[int, int] = {}
        self.rows = len(RAW)
        self.steps: list[tuple[int, ...]] = []
        self.scalars: list[float] = []
        self.memories: list[PerBar] = []
        self.own: list[OwnStep] = []
        self.outside: list[tuple[Outside, int]] = []
        self._length = 0
        self.reads_time = False

    @property
    def clocks(self) -> int:
        return len(self._clocks)

    def row(self, series: Series, clock: int = 0) -> int:
        """The board's row of a series, placing whatever it needs first."""
        if isinstance(series, str):
            return self._raw(series, clock)
        if series not in self._rows:
            self._place(series)
        return self._rows[series]

    def _raw(self, name: str, clock: int) -> int:
        self._need_time(name == "open_time" or clock > 0)
        if clock not in self._clocks:
            self._place_bucket(clock)
        if clock and name == "volume":
            at = self._buckets[clock]
            step = list(self.steps[at])
            step[driver.A] = 1
            self.steps[at] = tuple(step)
        return self._rows[clock, name]

    def _need_time(self, is_needed: bool) -> None:
        if is_needed and not self._interval_s:
            raise ConfigError(
                "timeframe must be given for features of time, of longer bars, k bars ago, "
                "of the market or funding, "
                "was None; "
                "FeatureStream(names, timeframe='5m')"
            )
        self.reads_time |= is_needed

    def _place(self, node: Node) -> None:
        if node.outside is not None:
            self._need_time(True)
            self._rows[node] = self._new_rows(1)
            self.outside.append((node.outside, self._rows[node]))
            return
        under = node.window if node.kind == driver.HOLD else node.clock
        reads = [self.row(each, under) for each in node.inputs]
        if node.kind == driver.HOLD:
            reads.append(self._raw("open_time", under) + 1)
        memory = self._keep(start_memory(node))
        row = self._new_rows(1)
        self._rows[node] = row
        clock = self._clocks[node.clock]
        if node.own is not None:
            own = OwnStep(node.own, tuple(reads), row, memory, clock, len(self.steps))
            self.own.append(own)
        else:
            length_s = node.clock or self._interval_s
            scalar = length_s if node.kind in _TIMED else node.scalar
            fields = (node.kind, row, node.window, memory.start, memory.stop, clock, *reads)
            self._step(fields, float(scalar))

    def _place_bucket(self, every_s: int) -> None:
        row = self._new_rows(higher.COLUMNS)
        self._rows.update(((every_s, raw), row + k) for k, raw in enumerate(RAW))
        clock = self._clocks[every_s] = len(self._clocks)
        self._buckets[every_s] = len(self.steps)
        memory = self._keep(bucket_memory())
        fields = (driver.BUCKET, row, every_s, memory.start, memory.stop, clock)
        self._step(fields, float(self._interval_s))

    def _step(self, fields: tuple[int, ...], scalar: float) -> None:
        self.steps.append((*fields, *(0,) * (driver.FIELDS - len(fields))))
        self.scalars.append(scalar)

    def _keep(self, memory: PerBar) -> slice:
        begin, self._length = self._length, self._length + len(memory)
        self.memories.append(memory)
        return slice(begin, self._length)

    def _new_rows(self, count: int) -> int:
        row, self.rows = self.rows, self.rows + count
        return row


@lru_cache(maxsize=256)
def _arrange(features: tuple[Feature, ...], interval_s: int) -> Plan:
    layout = _Layout(interval_s)
    shown = [layout.row(each.node) for each in features]
    described = [(each.name, each.definition, each.node) for each in features]
    return Plan(
        features,
        np.array(layout.steps, np.int64).reshape(-1, driver.FIELDS),
        np.array(layout.scalars, np.float64),
        tuple(layout.own),
        tuple(layout.outside),
        np.concatenate([np.empty(0), *layout.memories]),
        layout.rows,
        layout.clocks,
        layout.reads_time,
        np.array(shown, np.int64),
        sha256(repr((described, interval_s if layout.reads_time else 0)).encode()).hexdigest(),
    )
