"""The columns that the strategies of a sweep read, each computed once per bars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import PerBar
from crypto_bot.core.bars import OHLCV, Bars


@dataclass(frozen=True, eq=False)
class SweepColumns:
    """Features and prices of one bars.

    Attributes
    ----------
    by_name : name -> float64 (bars,)
    values : float64 (features, bars)    the features; those of `by_name` are its rows
    rows : name -> row of `values`
    """

    by_name: Mapping[str, PerBar]
    values: npt.NDArray[np.float64]
    rows: Mapping[str, int]


def sweep_columns(
    bars: Bars, names: Iterable[str], pool: ThreadPoolExecutor, threads: int
) -> SweepColumns:
    """Compute the features among these names, each once, on so many threads of the pool."""
    columns: dict[str, PerBar] = {name: getattr(bars, name) for name in OHLCV}
    wanted = [name for name in dict.fromkeys(names) if name not in columns]
    rows = {name: row for row, name in enumerate(wanted)}
    values = np.empty((len(rows), len(bars)))
    if wanted:
        _compute(bars, wanted, values, pool, min(threads, len(wanted)))
    columns.update((name, values[row]) for name, row in rows.items())
    return SweepColumns(columns, values, rows)


def _compute(
    bars: Bars,
    names: list[str],
    values: npt.NDArray[np.float64],
    pool: ThreadPoolExecutor,
    parts: int,
) -> None:
    from crypto_bot.features import compute_features

    def write(first: int) -> None:
        compute_features(bars, names[first::parts], out=values[first::parts])

    for _ in pool.map(write, range(parts)):
        pass
