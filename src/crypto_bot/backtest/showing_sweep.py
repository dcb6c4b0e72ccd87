"""From a sweep's table to what is shown of it: every strategy on every pair, and the map round the best."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from crypto_bot.backtest.sweeping import EXITS, FEWEST_TRADES, StrategySweep, best_setting
from crypto_bot.report import HeatMap, StrategyRow


def strategy_rows(swept: StrategySweep, metrics: Sequence[str]) -> Iterator[StrategyRow]:
    """The best parameters of every strategy on every pair and timeframe.

    Settings that closed fewer than `FEWEST_TRADES` trades come last: one lucky trade is no result.
    """
    shown = [_METRIC_NAMES.get(name, name) for name in metrics]
    columns = list(dict.fromkeys([*shown, "total_return", "trades", "buy_and_hold_return"]))
    key = ["symbol", "timeframe", "strategy"]
    ranked = swept.table.with_columns(enough=pl.col("trades") >= FEWEST_TRADES)
    best = ranked.sort(["enough", "sharpe"], descending=True, nulls_last=True).unique(
        key, keep="first", maintain_order=True
    )
    for row in best.sort(key).iter_rows(named=True):
        exits = {
            name: row[name]
            for name in ("stop_loss_frac", "take_profit_frac")
            if row[name] is not None
        }
        yield StrategyRow(
            row["symbol"],
            row["timeframe"],
            row["strategy"],
            json.loads(row["parameters"]),
            {name: row[name] for name in columns},
            exits,
        )


_METRIC_NAMES = {"expectancy": "expectancy_quote"}


def heat_maps(swept: StrategySweep) -> Iterator[HeatMap]:
    """Mean Sharpe ratio over the pairs: the best setting's exits at other parameters, its
    parameters at other exits. Never a mean over settings, which could contradict the choice.
    """
    best = best_setting(swept.ranking)
    found = swept.table.filter(
        (pl.col("strategy") == best["strategy"]) & (pl.col("timeframe") == best["timeframe"])
    )
    names = list(json.loads(best["parameters"]))
    place = f"{best['strategy']} at {best['timeframe']}"
    same_exits = [pl.col(name).eq_missing(pl.lit(best[name])) for name in EXITS if name in best]
    rows = found.filter(pl.all_horizontal(same_exits))
    if len(names) >= 2:
        values = pl.DataFrame([json.loads(text) for text in rows["parameters"]]).select(names[:2])
        numeric = all(values[name].dtype.is_numeric() for name in names[:2])
        if numeric:
            yield _heat_map(
                f"{place}: parameters", names[0], names[1], values.with_columns(rows["sharpe"])
            )
    chosen = found.filter(pl.col("parameters") == best["parameters"])
    exits = chosen.drop_nulls(["stop_loss_frac", "take_profit_frac"])
    if len(exits):
        columns = exits.select("stop_loss_frac", "take_profit_frac", "sharpe")
        yield _heat_map(f"{place}: stop and target", "stop_loss_frac", "take_profit_frac", columns)


def _heat_map(title: str, x: str, y: str, table: pl.DataFrame) -> HeatMap:
    means = table.group_by(x, y).agg(pl.col("sharpe").fill_null(0.0).mean())
    across, down = sorted(set(means[x])), sorted(set(means[y]))
    values = np.full((len(down), len(across)), np.nan)
    for row in means.iter_rows(named=True):
        values[down.index(row[y]), across.index(row[x])] = row["sharpe"]
    note = "Mean over all pairs, in sample. A lonely bright cell is luck; a plateau may be more."
    return HeatMap(title, x, y, across, down, values, note=note)
