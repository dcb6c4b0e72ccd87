"""History: many bars to a table of features, by one plan in which nothing is computed twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import PerBar, PerBarFeature
from crypto_bot.core.bars import OHLCV, Bars
from crypto_bot.core.errors import ConfigError, nearest
from crypto_bot.features import driver
from crypto_bot.features.catalogue import S0_FEATURES, Feature, feature
from crypto_bot.features.nodes import Node, start_memory
from crypto_bot.features.own import OwnFeature

STRETCH = 2048
"""Bars a plan runs over at a time: the board of a stretch stays in the processor's cache."""


@dataclass(frozen=True, eq=False)
class OwnStep:
    """A user's step in a plan: rows of the board it reads and writes, its place in memory."""

    own: OwnFeature
    reads: tuple[int, ...]
    writes: int
    memory: slice


@dataclass(frozen=True, eq=False)
class Plan:
    """The distinct nodes behind some features, inputs before users, ready for the driver.

    `steps` and `scalars` are the driver's; `own` run after them; `start` is the memory of a fresh
    plan; feature k's value lies in board row `shown[k]`; `digest` names definitions and layout.
    """

    features: tuple[Feature, ...]
    steps: npt.NDArray[np.int64]
    scalars: PerBar
    own: tuple[OwnStep, ...]
    start: PerBar
    rows: int
    shown: npt.NDArray[np.int64]
    digest: str

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.features)

    @property
    def warmup_bars(self) -> int:
        return max(each.warmup_bars for each in self.features)

    @property
    def settled_bars(self) -> int | None:
        settled = [each.settled_bars for each in self.features]
        known = [bars for bars in settled if bars is not None]
        return max(known) if len(known) == len(settled) else None

    def advance(self, memory: PerBar, board: PerBarFeature, bars: int) -> None:
        """Carry `memory` over the next `bars` bars, whose columns fill the board's first rows."""
        driver.advance(self.steps, self.scalars, memory, board, bars)
        for step in self.own:
            inputs = [board[row, :bars] for row in step.reads]
            step.own.run(memory[step.memory], inputs, board[step.writes, :bars])


def plan_features(names: Sequence[str]) -> Plan:
    """The plan for these features; ConfigError if one is unknown, named twice, or there is none."""
    if isinstance(names, str):
        raise ConfigError(f"names must be a sequence of feature names, was {names!r}")
    if not names:
        raise ConfigError("names must hold at least one feature, was empty")
    for name in names:
        if list(names).count(name) > 1:
            raise ConfigError(f"names must differ, was {name!r} twice")
    return _arrange(tuple(map(feature, names)))


@lru_cache(maxsize=256)
def _arrange(features: tuple[Feature, ...]) -> Plan:
    order: dict[Node | str, int] = {name: row for row, name in enumerate(OHLCV)}
    for each in features:
        _place(each.node, order)
    nodes = [(node, row) for node, row in order.items() if isinstance(node, Node)]
    memories = [start_memory(node) for node, _ in nodes]
    ends = np.cumsum([len(memory) for memory in memories]).tolist()
    steps, scalars, own = [], [], []
    for (node, row), memory, end in zip(nodes, memories, ends, strict=True):
        reads = tuple(order[each] for each in node.inputs)
        begin = end - len(memory)
        if node.own is not None:
            own.append(OwnStep(node.own, reads, row, slice(begin, end)))
        else:
            steps.append(
                (node.kind, row, *reads, *(0, 0, 0)[len(reads) :], node.window, begin, end)
            )
            scalars.append(node.scalar)
    shown = [order[each.node] for each in features]
    return Plan(
        features,
        np.array(steps, np.int64).reshape(-1, driver.FIELDS),
        np.array(scalars, np.float64),
        tuple(own),
        np.concatenate(memories),
        len(order),
        np.array(shown, np.int64),
        sha256(
            repr([(each.name, each.definition, each.node) for each in features]).encode()
        ).hexdigest(),
    )


def _place(node: Node, order: dict[Node | str, int]) -> None:
    """Give a node and what it reads, first, a row of the board each; equal nodes share one."""
    if node in order:
        return
    for each in node.inputs:
        if isinstance(each, Node):
            _place(each, order)
    order[node] = len(order)


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features of every bar.

    Attributes
    ----------
    features : tuple of Feature               what each column is
    values : float64 (bars, features)         Fortran order; NaN during warm-up and where 0 / 0
    """

    features: tuple[Feature, ...]
    values: PerBarFeature

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(each.name for each in self.features)

    @property
    def warmup_bars(self) -> int:
        """Leading bars at which some feature is not defined yet."""
        return max(each.warmup_bars for each in self.features)

    @property
    def settled_bars(self) -> int | None:
        """Leading bars at which some feature still depends on the start; None if one always will."""
        return plan_features(self.names).settled_bars

    def __len__(self) -> int:
        return len(self.values)

    def column(self, name: str) -> PerBar:
        """float64 (bars,): one feature, a view. Raises ConfigError if the table lacks it."""
        return self.values[:, self._index(name)]

    def matrix(self, names: Sequence[str]) -> PerBarFeature:
        """float64 (bars, features): the named features in this order, a copy."""
        return self.values[:, [self._index(name) for name in names]]

    def _index(self, name: str) -> int:
        if name not in self.names:
            raise ConfigError(
                f"column must be one of the table's {len(self.names)} features, was {name!r}{nearest(name, self.names)}"
            )
        return self.names.index(name)


def compute_features(bars: Bars, names: Sequence[str] = S0_FEATURES) -> FeatureTable:
    """Compute features of every bar.

    Parameters
    ----------
    bars : Bars
    names : feature names, any windows (see `feature`); each distinct part is computed once

    Returns
    -------
    FeatureTable    values float64 (bars, features), equal bit for bit to what `FeatureStream` gives

    Raises
    ------
    ConfigError    if a name is unknown, given twice, or none is given; before anything is computed

    Notes
    -----
    Reads no bar after the one it describes. NaN during warm-up and where a quotient is 0 / 0 (flat
    prices, no volume); never infinite. A missing bar is not filled: windows count bars, not time.

    >>> import numpy as np
    >>> from crypto_bot.core import Bars
    >>> price = np.array([1.0, 2.0, 3.0, 4.0])
    >>> bars = Bars("BTC/USDT", "5m", np.arange(4) * 300_000_000_000, price, price, price, price, price)
    >>> compute_features(bars, ["sma_2", "return_1"]).values.tolist()
    [[nan, nan], [1.5, 1.0], [2.5, 0.5], [3.5, 0.33333333333333326]]
    """
    plan = plan_features(names)
    values = np.empty((len(plan.features), len(bars)))
    run_plan(plan, plan.start.copy(), bars, values)
    return FeatureTable(plan.features, values.T)


def run_plan(plan: Plan, memory: PerBar, bars: Bars, values: PerBarFeature | None) -> None:
    """Carry `memory` over all bars; `values` (features, bars), if given, receives every feature."""
    columns = [getattr(bars, name) for name in OHLCV]
    board = np.empty((plan.rows, min(STRETCH, len(bars))))
    shown = plan.shown.tolist()
    for begin in range(0, len(bars), STRETCH):
        count = min(STRETCH, len(bars) - begin)
        stretch = slice(begin, begin + count)
        for row, column in enumerate(columns):
            board[row, :count] = column[stretch]
        plan.advance(memory, board, count)
        if values is not None:
            for k, row in enumerate(shown):
                values[k, stretch] = board[row, :count]
