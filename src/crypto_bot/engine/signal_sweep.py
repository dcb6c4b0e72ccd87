"""`sweep_signals`: many given signals on the same bars, one row of metrics each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.engine.metrics import metric_columns
from crypto_bot.engine.options import CostOptions, ExitOptions, SignalExit, SizingOptions
from crypto_bot.engine.sides import Sides, empty_sides, pack_directions
from crypto_bot.engine.simulate import check_bars
from crypto_bot.engine.stretch import Stretch, Tallies, prepare_stretch
from crypto_bot.engine.sweep import MOST_SETTINGS
from crypto_bot.engine.sweep_table import EXIT_COLUMNS, METRIC_COLUMNS, exit_columns, table_of

SIGNAL_SWEEP_SCHEMA = pl.Schema({"setting": pl.Int64, **EXIT_COLUMNS, **METRIC_COLUMNS})
"""Columns of the table of `sweep_signals`; a metric is null where undefined, an exit where absent."""
_CHUNK_SETTINGS = 32


def sweep_signals(
    bars: Bars,
    directions: npt.NDArray[np.int8],
    *,
    exits: ExitOptions | Sequence[ExitOptions] | None = None,
    costs: CostOptions | None = None,
    sizing: SizingOptions | None = None,
    funding: FundingRates | None = None,
    history: Bars | None = None,
    workers: int | None = None,
) -> pl.DataFrame:
    """Backtest every row of directions with every exit.

    Parameters
    ----------
    bars : Bars                        at least one
    directions : int8 (settings, bars) in {-1, 0, +1}; C-contiguous rows are read fastest
    exits : ExitOptions or a sequence  None: one without stops; signal_exit None: 'flat'
    costs, sizing                      None: their defaults
    funding, history                   as for `simulate`
    workers : int                      threads; None: one a core. The result does not depend on it

    Returns
    -------
    DataFrame    columns `SIGNAL_SWEEP_SCHEMA`, one row a setting and exit: the exits of the first
                 setting, then of the next. Metrics equal those of `simulate` to 1e-9

    Raises
    ------
    DataError      if there is no bar, or directions are of another type or shape or hold other
                   values, or funding or history do not fit the bars
    ConfigError    if there is no row to compute, or more than 10 million; if sizing by risk_to_stop
                   has no stop

    Notes
    -----
    The direction at the close of bar t acts at the open of bar t + 1. Memory beside the table is
    bounded whatever the number of settings.
    """
    check_bars(bars)
    given = ExitOptions() if exits is None else exits
    chosen = [given] if isinstance(given, ExitOptions) else list(given)
    _check_directions(bars, directions, len(chosen))
    chosen = [
        options.replace(signal_exit=options.signal_exit or SignalExit.FLAT) for options in chosen
    ]
    costs, sizing = costs or CostOptions(), sizing or SizingOptions()
    stretch = prepare_stretch(bars, chosen, costs, sizing, funding=funding, history=history)
    parts = [
        directions[start : start + _CHUNK_SETTINGS]
        for start in range(0, len(directions), _CHUNK_SETTINGS)
    ]
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        tallies = list(pool.map(lambda part: _tally(stretch, part, chosen), parts))
    columns: dict[str, Any] = {
        "setting": np.repeat(np.arange(len(directions)), len(chosen)),
        **exit_columns(chosen, len(directions)),
    }
    metrics = metric_columns(np.concatenate(tallies), bars, sizing.initial_cash)
    return table_of(SIGNAL_SWEEP_SCHEMA, columns, metrics)


def _tally(
    stretch: Stretch, directions: npt.NDArray[np.int8], exits: Sequence[ExitOptions]
) -> Tallies:
    sides = empty_sides(len(directions), len(stretch.bars))
    for direction, up, down in zip(directions, *sides, strict=True):
        if not pack_directions(np.ascontiguousarray(direction), up, down):
            raise DataError(_wrong_value(direction))
    tallies = np.stack([stretch.tally(Sides(*sides), options) for options in exits], axis=1)
    return tallies.reshape(len(directions) * len(exits), -1)


def _wrong_value(direction: npt.NDArray[np.int8]) -> str:
    bar = int(np.flatnonzero(np.abs(direction.astype(np.int64)) > 1)[0])
    return f"directions must be -1, 0 or +1, was {direction[bar]} at bar {bar}"


def _check_directions(bars: Bars, directions: Any, exits: int) -> None:
    if not isinstance(directions, np.ndarray):
        raise DataError(f"directions must be a numpy array, was {type(directions).__name__}")
    if directions.dtype != np.int8 or directions.ndim != 2 or directions.shape[1] != len(bars):
        raise DataError(
            f"directions must be int8 (settings, {len(bars)}) like bars, "
            f"was {directions.dtype} {directions.shape}"
        )
    if not 0 < len(directions) * exits <= MOST_SETTINGS:
        raise ConfigError(
            f"sweep_signals must have 1..{MOST_SETTINGS} settings, was {len(directions) * exits} "
            f"({len(directions)} directions x {exits} exits)"
        )
