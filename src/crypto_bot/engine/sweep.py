"""`sweep`: symbols x strategies x parameters x exits, one row of metrics each."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from crypto_bot.core.arrays import PerBar
from crypto_bot.core.bars import OHLCV, Bars
from crypto_bot.core.errors import ConfigError, DataError, nearest
from crypto_bot.core.funding import FundingRates, check_keys
from crypto_bot.core.progress import progress
from crypto_bot.engine.metrics import metric_columns
from crypto_bot.engine.options import CostOptions, ExitOptions, SizingOptions
from crypto_bot.engine.rules import known_features
from crypto_bot.engine.settling import exits_for, settled_bars
from crypto_bot.engine.sides import Sides, compare_rows, empty_sides, pack_directions
from crypto_bot.engine.simulate import check_direction
from crypto_bot.engine.stretch import Stretch, Tallies, prepare_stretch
from crypto_bot.engine.sweep_columns import SweepColumns, sweep_columns
from crypto_bot.engine.sweep_table import (
    SWEEP_SCHEMA,
    SkippedTrial,
    SweepResult,
    exit_columns,
    table_of,
)

if TYPE_CHECKING:
    from crypto_bot.strategies import Strategy

MOST_SETTINGS = 10_000_000
_JSON = json.JSONEncoder(sort_keys=True)
_CHUNK_BYTES = 8_000_000
_CHUNK_SETTINGS = 256
"""Enough that reading the columns from memory costs less than comparing them."""


def sweep(
    bars: Bars | Sequence[Bars],
    strategies: str | Strategy | Sequence[str | Strategy],
    *,
    grids: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    exits: ExitOptions | Sequence[ExitOptions] | None = None,
    costs: CostOptions | None = None,
    sizing: SizingOptions | None = None,
    funding: Mapping[str, FundingRates] | None = None,
    start_ns: int | None = None,
    workers: int | None = None,
    on_trial: Callable[[dict[str, Any]], None] | None = None,
) -> SweepResult:
    """Backtest every combination of bars, strategy, parameters and exits.

    Parameters
    ----------
    bars : Bars or a sequence of them    symbols and timeframes
    strategies : str, Strategy or a sequence    a name takes its parameters from `grids`
    grids : name -> parameter dicts   None or a missing name: the strategy's defaults
    exits : ExitOptions or a sequence    None: one without stops; signal_exit None: as the strategy says
    costs, sizing                     None: their defaults
    funding : symbol -> FundingRates  of perpetuals; a symbol without: nobody pays
    start_ns : int                    trade and measure only bars that open from here on, as if the
                                      account were opened there; features use the bars before too
    workers : int                     threads; None: one a core. The result does not depend on it
    on_trial : callable               told every row, in the table's order

    Returns
    -------
    SweepResult    metrics equal to those of `simulate` to 1e-9, by whatever rules

    Raises
    ------
    ConfigError    if there is no setting, more than 10 million, a grid of an unknown strategy,
                   a parameter out of range, or a feature that never settles
    DataError      if funding does not fit the bars

    Notes
    -----
    Every distinct feature is computed once per bars and kept while these bars are swept. Bars at
    which a feature still depends on where the data began, one that exits, sizing or slippage read
    included, have direction 0, as in a paper session. Rules that let no bar be skipped (ATR exits,
    leverage, financing, growing slippage, sizes by volatility or Kelly) are walked bar by bar. A
    strategy that needs more bars than there are, or columns that bars do not have, is listed in
    `skipped`.
    """
    bars = (bars,) if isinstance(bars, Bars) else bars
    if isinstance(strategies, str) or not isinstance(strategies, Sequence):
        strategies = (strategies,)
    exits = (exits,) if isinstance(exits, ExitOptions) else exits
    plan = _plan(bars, strategies, grids or {}, exits, costs, sizing, funding)
    frames: list[pl.DataFrame] = [pl.DataFrame(schema=SWEEP_SCHEMA)]
    skipped: list[SkippedTrial] = []
    threads = max(1, (os.cpu_count() or 1) if workers is None else workers)
    with (
        ThreadPoolExecutor(threads) as pool,
        progress("sweep", len(bars) * len(plan.settings)) as shown,
    ):
        chunks = _chunks(bars, plan, start_ns, pool, threads)
        for chunk, (frame, refused) in _in_order(pool, chunks, ahead=2 * threads):
            frames.append(frame)
            skipped.extend(refused)
            shown.advance(len(chunk.settings))
            if on_trial is not None:
                for row in frame.iter_rows(named=True):
                    on_trial(row)
    return SweepResult(pl.concat(frames), tuple(skipped))


@dataclass(frozen=True)
class _Plan:
    settings: list[Strategy]
    exits: tuple[ExitOptions, ...]
    features: tuple[str, ...]
    costs: CostOptions
    sizing: SizingOptions
    funding: Mapping[str, FundingRates]


@dataclass(frozen=True)
class _Chunk:
    """Settings of one signal_exit on one bars: the work of one thread at a time.

    `settling` tells of every feature how many bars it has no value, and after how many it settles.
    """

    plan: _Plan
    bars: Bars
    first: int
    settings: list[Strategy]
    settling: Mapping[str, tuple[int, int]] = field(repr=False)
    columns: SweepColumns | None = field(repr=False)
    stretch: Stretch | None = field(repr=False)


def _plan(
    bars: Sequence[Bars],
    strategies: Sequence[str | Strategy],
    grids: Mapping[str, Sequence[Mapping[str, Any]]],
    exits: Sequence[ExitOptions] | None,
    costs: CostOptions | None,
    sizing: SizingOptions | None,
    funding: Mapping[str, FundingRates] | None,
) -> _Plan:
    check_keys(funding or {})
    names = {item for item in strategies if isinstance(item, str)}
    for name, grid in grids.items():
        if name not in names:
            raise ConfigError(
                f"grids[{name!r}] must belong to a strategy swept by name{nearest(name, names)}"
            )
        if len(grid) == 0:
            raise ConfigError(f"grids[{name!r}] must hold at least one setting, was 0")
    given = (ExitOptions(),) if exits is None else exits
    settings = sum(len(grids.get(s, ((),))) if isinstance(s, str) else 1 for s in strategies)
    size = len(bars) * settings * len(given)
    if not 0 < size <= MOST_SETTINGS:
        raise ConfigError(
            f"sweep must have 1..{MOST_SETTINGS} settings, was {size} "
            f"({len(bars)} bars x {settings} strategies and parameters x {len(given)} exits)"
        )
    bound = list(_bound(strategies, grids))
    features = dict.fromkeys(name for setting in bound for name in setting.features())
    plan = _Plan(
        bound,
        tuple(given),
        tuple(name for name in features if name not in OHLCV),
        costs or CostOptions(),
        sizing or SizingOptions(),
        funding or {},
    )
    read = set(plan.features)
    for options in plan.exits:
        read.update(known_features(plan.costs, options, plan.sizing))
    for timeframe in {item.timeframe for item in bars}:
        settled_bars(read, timeframe)
    return plan


def _bound(
    strategies: Sequence[str | Strategy], grids: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Iterator[Strategy]:
    from crypto_bot.strategies import get_strategy

    for item in strategies:
        if isinstance(item, str):
            yield from (get_strategy(item, **values) for values in grids.get(item, ({},)))
        else:
            yield item


def _chunks(
    bars: Sequence[Bars],
    plan: _Plan,
    start_ns: int | None,
    pool: ThreadPoolExecutor,
    threads: int,
) -> Iterator[_Chunk]:
    for item in bars:
        first = 0 if start_ns is None else int(np.searchsorted(item.open_time, start_ns))
        stretch, columns = None, None
        if first < len(item):
            stretch = prepare_stretch(
                item[first:],
                plan.exits,
                plan.costs,
                plan.sizing,
                funding=plan.funding.get(item.symbol),
                history=item[:first],
            )
            columns = sweep_columns(item, plan.features, pool, threads)
        settling = _settling(plan.features, item.timeframe)
        room = max(1, min(_CHUNK_SETTINGS, 4 * _CHUNK_BYTES // max(len(item) - first, 1)))
        for _, alike in groupby(plan.settings, key=lambda setting: setting.signal_exit):
            group = list(alike)
            for start in range(0, len(group), room):
                yield _Chunk(
                    plan, item, first, group[start : start + room], settling, columns, stretch
                )


def _in_order(
    pool: ThreadPoolExecutor, chunks: Iterable[_Chunk], *, ahead: int
) -> Iterator[tuple[_Chunk, tuple[pl.DataFrame, list[SkippedTrial]]]]:
    """Results in the order of the chunks, with no more than `ahead` of them under way."""
    pending: deque[tuple[_Chunk, Future[tuple[pl.DataFrame, list[SkippedTrial]]]]] = deque()
    for chunk in chunks:
        pending.append((chunk, pool.submit(_run, chunk)))
        if len(pending) > ahead:
            done, future = pending.popleft()
            yield done, future.result()
    for done, future in pending:
        yield done, future.result()


def _run(chunk: _Chunk) -> tuple[pl.DataFrame, list[SkippedTrial]]:
    bars, plan = chunk.bars, chunk.plan
    tried: list[Strategy] = []
    settled: list[int] = []
    compared: dict[int, tuple[int, int]] = {}
    skipped: list[SkippedTrial] = []
    sides = empty_sides(len(chunk.settings), len(bars) - chunk.first)
    for setting in chunk.settings:
        try:
            settled.append(_first_settled(chunk, setting))
            rows = _compared(chunk, setting)
            if rows is None:
                _pack_signals(chunk, setting, sides, len(tried))
            else:
                compared[len(tried)] = rows
            tried.append(setting)
        except DataError as error:
            settled = settled[: len(tried)]
            place = (bars.symbol, bars.timeframe, setting.name, _json(setting))
            skipped.append(SkippedTrial(*place, str(error)))
    if chunk.stretch is None or not tried:
        return pl.DataFrame(schema=SWEEP_SCHEMA), skipped
    sides = Sides(*(words[: len(tried)] for words in sides))
    _compare(chunk, compared, sides)
    sides.forget(np.array(settled) - chunk.first)
    exits = [exits_for(tried[0], options) for options in plan.exits]
    tallies = [_tally(chunk, chunk.stretch, sides, options) for options in exits]
    by_setting = np.stack(tallies, axis=1).reshape(len(tried) * len(exits), -1)
    metrics = metric_columns(by_setting, chunk.stretch.bars, plan.sizing.initial_cash)
    return _frame(bars, tried, exits, metrics), skipped


def _compared(chunk: _Chunk, setting: Strategy) -> tuple[int, int] | None:
    """The rows of the two features whose order is the setting's side, if that is its rule."""
    names, columns = setting.compared(), chunk.columns
    if names is None or columns is None or not set(names) <= set(columns.rows):
        return None
    above, below = names
    return columns.rows[above], columns.rows[below]


def _compare(chunk: _Chunk, compared: Mapping[int, tuple[int, int]], sides: Sides) -> None:
    """Write the sides of the settings that compare two features: setting -> their rows."""
    if compared and chunk.columns is not None:
        above, below = np.array(list(compared.values()), np.int64).T.copy()
        settings = np.array(list(compared), np.int64)
        compare_rows(chunk.columns.values, above, below, chunk.first, settings, *sides)


def _pack_signals(chunk: _Chunk, setting: Strategy, sides: Sides, row: int) -> None:
    columns = {} if chunk.columns is None else chunk.columns.by_name
    direction = setting.signals(columns).direction
    check_direction(chunk.bars, direction)
    wanted = np.ascontiguousarray(direction[chunk.first :])
    pack_directions(wanted, sides.up[row], sides.down[row])


def _tally(chunk: _Chunk, stretch: Stretch, sides: Sides, exits: ExitOptions) -> Tallies:
    """The sums of all settings with these exits, silent until what the exits read has settled."""
    known = known_features(chunk.plan.costs, exits, chunk.plan.sizing)
    unsettled = min(settled_bars(known, chunk.bars.timeframe) - chunk.first, len(stretch.bars))
    if unsettled > 0:
        sides = Sides(*(words.copy() for words in sides))
        sides.forget(np.full(len(sides.up), unsettled))
    return stretch.tally(sides, exits)


def _settling(names: Iterable[str], timeframe: str) -> dict[str, tuple[int, int]]:
    from crypto_bot.features import feature

    return {
        name: (feature(name, timeframe).warmup_bars, settled_bars([name], timeframe))
        for name in names
    }


def _first_settled(chunk: _Chunk, setting: Strategy) -> int:
    """The first bar the setting may act on; DataError where there is none among those traded."""
    bars, settling = chunk.bars, chunk.settling
    if chunk.first >= len(bars):
        raise DataError(f"{bars.symbol} {bars.timeframe} must have a bar to trade, had 0")
    known = [settling[name] for name in setting.features() if name in settling]
    settled = max((each[1] for each in known), default=0)
    warmup = max((each[0] for each in known), default=0)
    needed = max(setting.lookback_bars() + warmup, settled + 1)
    if needed > len(bars):
        raise DataError(
            f"{bars.symbol} {bars.timeframe} must have at least {needed} bars for {setting.name}, "
            f"had {len(bars)}"
        )
    return settled


def _json(setting: Strategy) -> str:
    return _JSON.encode(setting.parameters.model_dump(mode="json"))


def _frame(
    bars: Bars,
    tried: Sequence[Strategy],
    exits: Sequence[ExitOptions],
    metrics: Mapping[str, PerBar],
) -> pl.DataFrame:
    rows = len(tried) * len(exits)
    columns: dict[str, Any] = {
        "symbol": [bars.symbol] * rows,
        "timeframe": [bars.timeframe] * rows,
        "strategy": [setting.name for setting in tried for _ in exits],
        "parameters": [text for setting in tried for text in [_json(setting)] * len(exits)],
        **exit_columns(exits, len(tried)),
        "is_simulated": [bars.is_simulated] * rows,
    }
    return table_of(SWEEP_SCHEMA, columns, metrics)
