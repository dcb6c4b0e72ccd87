"""Many settings of one strategy through `sweep`: those with the same exits in one call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import polars as pl

from crypto_bot.engine import ExitOptions, SkippedTrial, sweep
from crypto_bot.search.batches import ROW_SCHEMA
from crypto_bot.search.space import Setting

if TYPE_CHECKING:
    from crypto_bot.search.study import SearchPlan


def evaluate(plan: SearchPlan, settings: Sequence[Setting]) -> list[pl.DataFrame]:
    """The rows of every setting, one a bars in the order of the bars, columns `ROW_SCHEMA`."""
    groups: dict[str, list[Setting]] = {}
    for setting in settings:
        groups.setdefault(setting.exits.model_dump_json(), []).append(setting)
    alike = list(groups.values())
    if len(alike) <= 1:
        found = {key: rows for group in alike for key, rows in _run(plan, group, plan.workers)}
        return [found[setting.key] for setting in settings]
    from crypto_bot.search.study import threads

    with ThreadPoolExecutor(threads(plan.workers)) as pool:
        parts = list(pool.map(lambda group: _run(plan, group, 1), alike))
    found = {key: rows for part in parts for key, rows in part}
    return [found[setting.key] for setting in settings]


def _run(
    plan: SearchPlan, settings: Sequence[Setting], workers: int | None
) -> list[tuple[str, pl.DataFrame]]:
    name, exits = plan.space.strategy, settings[0].exits
    result = sweep(
        plan.bars,
        [name],
        grids={name: [setting.parameters for setting in settings]},
        exits=[exits],
        costs=plan.costs,
        sizing=plan.sizing,
        funding=plan.funding,
        start_ns=plan.start_ns,
        workers=workers,
    )
    refused = pl.DataFrame([_refused(item, exits) for item in result.skipped], ROW_SCHEMA)
    table = pl.concat([result.table.with_columns(reason=pl.lit(None, pl.String)), refused])
    order = pl.DataFrame(
        {
            "symbol": [bars.symbol for bars in plan.bars],
            "timeframe": [bars.timeframe for bars in plan.bars],
            "place": range(len(plan.bars)),
        }
    )
    placed = table.join(order, on=["symbol", "timeframe"], how="left").sort("place")
    parts = placed.drop("place").partition_by("parameters", as_dict=True)
    texts = [json.dumps(dict(setting.parameters), sort_keys=True) for setting in settings]
    return [(setting.key, parts[(text,)]) for setting, text in zip(settings, texts, strict=True)]


def _refused(item: SkippedTrial, exits: ExitOptions) -> dict[str, Any]:
    values = exits.model_dump(mode="json")
    known = {name: values.get(name) for name in ROW_SCHEMA.names()}
    return {**known, **item._asdict()}
