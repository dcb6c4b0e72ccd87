"""Sweeps that compute only what new candles change: everything else is read from a store."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crypto_bot.core.bars import Bars, symbol_slug
from crypto_bot.core.errors import StorageError
from crypto_bot.core.files import write_file
from crypto_bot.core.funding import FundingRates, check_keys
from crypto_bot.engine import (
    SWEEP_SCHEMA,
    CostOptions,
    ExitOptions,
    SizingOptions,
    SkippedTrial,
    SweepResult,
    sweep,
)
from crypto_bot.search.batches import ROW_SCHEMA
from crypto_bot.search.study import check_different, due_fingerprint
from crypto_bot.search.versions import strategy_version
from crypto_bot.strategies import get_strategy

_SCHEMA = pl.Schema([*ROW_SCHEMA.items(), ("exits", pl.String())])
_KEY = ["parameters", "exits"]
CANDLES_KEPT = 3
"""States of one pair's candles that keep their results; older ones are dropped."""
CONTEXTS_KEPT = 8
"""Costs, sizes and versions of the code that keep theirs for one state of the candles."""


@dataclass(frozen=True, eq=False)
class IncrementalSweep:
    """A sweep, and how much of it was computed now.

    Attributes
    ----------
    result : SweepResult       equal to that of `engine.sweep`
    computed : DataFrame       the rows that were computed now, columns `SWEEP_SCHEMA`
    read : int                 rows that were read
    changed : tuple of (symbol, timeframe)    bars of which something was computed
    """

    result: SweepResult
    computed: pl.DataFrame
    read: int
    changed: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Wanted:
    """The rows of one strategy, in the order of a sweep."""

    name: str
    settings: tuple[Mapping[str, Any], ...]
    rows: pl.DataFrame
    version: str


def sweep_incremental(
    bars: Sequence[Bars],
    strategies: Sequence[str],
    *,
    store: Path | str,
    grids: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    exits: Sequence[ExitOptions] | None = None,
    costs: CostOptions | None = None,
    sizing: SizingOptions | None = None,
    funding: Mapping[str, FundingRates] | None = None,
    start_ns: int | None = None,
    workers: int | None = None,
    on_computed: Callable[[pl.DataFrame], None] | None = None,
) -> IncrementalSweep:
    """As `engine.sweep`, but what was computed before on the same candles is read.

    Parameters
    ----------
    bars, strategies, grids, exits, costs, sizing, funding, start_ns, workers    as for `engine.sweep`;
                               strategies by name
    store : folder
    on_computed : callable     told the rows computed now before they are kept

    Returns
    -------
    IncrementalSweep    its table and skipped settings equal those of `engine.sweep` exactly

    Raises
    ------
    ConfigError, DataError    as `engine.sweep`
    StorageError              where the store cannot be written, or holds a damaged file

    Notes
    -----
    A result belongs to the fingerprint of all its bars (those before `start_ns` too), the first bar
    traded, parameters, exits, costs, sizing, funding due and the code: sources of features, strategies and
    engine, and those of the user's own. A new candle changes its pair at its timeframe, no other.
    Per pair and timeframe the last three states of the candles are kept. Files are written beside
    and renamed and hold results only, so two processes on one store may compute a row twice, but
    never read a wrong or a half one.
    """
    check_different(bars)
    check_keys(funding or {})
    root = Path(store) / "results"
    costs, sizing, funding = costs or CostOptions(), sizing or SizingOptions(), funding or {}
    chosen = (ExitOptions(),) if exits is None else tuple(exits)
    wanted = [_wanted(name, (grids or {}).get(name, ({},)), chosen) for name in strategies]
    places = [_place(root, item, costs, sizing, funding, start_ns) for item in bars]
    known = [[_read(place, each) for each in wanted] for place in places]
    fresh: list[pl.DataFrame] = [pl.DataFrame(schema=SWEEP_SCHEMA)]
    absent = [
        {each.name: _absent(each, rows) for each, rows in zip(wanted, stored, strict=True)}
        for stored in known
    ]
    for alike in _grouped(absent):
        lacking = {name: list(sets) for name, sets in absent[alike[0]].items() if sets}
        result = sweep(
            [bars[index] for index in alike],
            list(lacking),
            grids=lacking,
            exits=chosen,
            costs=costs,
            sizing=sizing,
            funding=funding,
            start_ns=start_ns,
            workers=workers,
        )
        if on_computed is not None:
            on_computed(result.table)
        fresh.append(result.table)
        for index in alike:
            _keep(places[index], bars[index], result, chosen, wanted, known[index])
    for place in places:
        _drop_old(place)
    return _assembled(bars, wanted, known, pl.concat(fresh))


def _wanted(name: str, grid: Sequence[Mapping[str, Any]], exits: Sequence[ExitOptions]) -> _Wanted:
    bound = [get_strategy(name, **values) for values in grid]
    sets = tuple(strategy.parameters.model_dump(mode="json") for strategy in bound)
    texts = [json.dumps(values, sort_keys=True) for values in sets]
    names = [options.model_dump_json() for options in exits]
    rows = pl.DataFrame(
        {
            "parameters": [text for text in texts for _ in names],
            "exits": names * len(texts),
            "place": range(len(texts) * len(names)),
        }
    )
    return _Wanted(name, sets, rows, strategy_version(bound[0]))


def _place(
    root: Path,
    bars: Bars,
    costs: CostOptions,
    sizing: SizingOptions,
    funding: Mapping[str, FundingRates],
    start_ns: int | None,
) -> Path:
    """The folder of these candles, costs and sizes: state of the candles first, then the rest."""
    first = 0 if start_ns is None else int(np.searchsorted(bars.open_time, start_ns))
    state = hashlib.sha256(f"{bars.fingerprint} {first}".encode()).hexdigest()[:16]
    due = due_fingerprint(bars, funding) or ""
    context = hashlib.sha256((costs.model_dump_json() + sizing.model_dump_json() + due).encode())
    pair = f"{symbol_slug(bars.symbol)}-{bars.timeframe}"
    return root / pair / state / context.hexdigest()[:16]


def _file(place: Path, wanted: _Wanted) -> Path:
    return place / f"{wanted.name}-{wanted.version[:16]}.parquet"


def _read(place: Path, wanted: _Wanted) -> pl.DataFrame:
    path = _file(place, wanted)
    try:
        table = pl.read_parquet(path)
    except FileNotFoundError:
        return pl.DataFrame(schema=_SCHEMA)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise StorageError(
            f"{path} must be a file of results, was not: {error}; remove it to compute it again"
        ) from error
    if table.schema != _SCHEMA:
        raise StorageError(
            f"{path} must have the columns of results, had others; remove it to compute it again"
        )
    # Used now: the states dropped first are those that nobody has asked for longest.
    with suppress(FileNotFoundError):
        os.utime(place)
        os.utime(place.parent)
    return table


def _absent(wanted: _Wanted, stored: pl.DataFrame) -> tuple[Mapping[str, Any], ...]:
    """The sets of parameters of which a row is lacking."""
    lacking = wanted.rows.join(stored, on=_KEY, how="anti").sort("place")["place"]
    exits = len(wanted.rows) // len(wanted.settings)
    return tuple(wanted.settings[place] for place in dict.fromkeys(p // exits for p in lacking))


def _grouped(absent: Sequence[Mapping[str, Any]]) -> Iterable[list[int]]:
    """Bars that lack the same are computed together, so that threads have enough to do."""
    groups: dict[str, list[int]] = {}
    for index, lacking in enumerate(absent):
        if any(lacking.values()):
            groups.setdefault(json.dumps(lacking, sort_keys=True), []).append(index)
    return groups.values()


def _keep(
    place: Path,
    bars: Bars,
    result: SweepResult,
    exits: Sequence[ExitOptions],
    wanted: Sequence[_Wanted],
    known: list[pl.DataFrame],
) -> None:
    """Add what was computed on these bars to what is known of them, and write it."""
    ours = (pl.col("symbol") == bars.symbol) & (pl.col("timeframe") == bars.timeframe)
    names = [options.model_dump_json() for options in exits]
    for index, each in enumerate(wanted):
        rows = result.table.filter(ours & (pl.col("strategy") == each.name))
        # A sweep gives the exits of every set of parameters in the order they were given.
        tried = rows.with_columns(
            reason=pl.lit(None, pl.String),
            exits=pl.Series(names * (len(rows) // len(names)), dtype=pl.String),
        )
        refused = [
            {**dict.fromkeys(ROW_SCHEMA.names()), **item._asdict(), "exits": name}
            for item in result.skipped
            if (item.symbol, item.timeframe, item.strategy)
            == (bars.symbol, bars.timeframe, each.name)
            for name in names
        ]
        if not len(tried) and not refused:
            continue
        added = [tried.select(_SCHEMA.names()), pl.DataFrame(refused, _SCHEMA)]
        table = pl.concat([*added, known[index]]).unique(_KEY, keep="first", maintain_order=True)
        content = BytesIO()
        table.write_parquet(content, compression="zstd")
        write_file(_file(place, each), content.getvalue())
        known[index] = table


def _drop_old(place: Path) -> None:
    """Drop the states of the candles, and the contexts, that were used longest ago."""
    for folder, kept in ((place.parent, CONTEXTS_KEPT), (place.parent.parent, CANDLES_KEPT)):
        for old in _by_use(folder)[kept:]:
            shutil.rmtree(old, ignore_errors=True)


def _by_use(folder: Path) -> list[Path]:
    """Folders in it, last used first; one that another process takes away meanwhile is left out."""
    times = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            times[path] = path.stat().st_mtime_ns
    return sorted(times, key=lambda path: (-times[path], path.name))


def _assembled(
    bars: Sequence[Bars],
    wanted: Sequence[_Wanted],
    known: Sequence[Sequence[pl.DataFrame]],
    fresh: pl.DataFrame,
) -> IncrementalSweep:
    frames, skipped = [pl.DataFrame(schema=SWEEP_SCHEMA)], []
    for _, stored in zip(bars, known, strict=True):
        for each, table in zip(wanted, stored, strict=True):
            rows = each.rows.join(table, on=_KEY, how="left").sort("place")
            ran = rows.filter(pl.col("reason").is_null())
            frames.append(ran.select(SWEEP_SCHEMA.names()))
            refused = rows.filter(pl.col("reason").is_not_null()).unique(
                "parameters", keep="first", maintain_order=True
            )
            names = SkippedTrial._fields
            skipped += [SkippedTrial(*row) for row in refused.select(names).iter_rows()]
    table = pl.concat(frames)
    changed = fresh.select("symbol", "timeframe").unique(maintain_order=True).rows()
    return IncrementalSweep(
        SweepResult(table, tuple(skipped)), fresh, len(table) - len(fresh), tuple(changed)
    )
