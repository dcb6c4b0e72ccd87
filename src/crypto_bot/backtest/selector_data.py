"""Trades of backtests as rows that the selector learns from, for guide S1's programming door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from crypto_bot.backtest.candles import Universe, stored_candles
from crypto_bot.backtest.selecting import trade_candidates
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.config import Settings
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.market import BarStore
from crypto_bot.strategies import get_strategy, list_strategies

Results = Mapping[str, Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]]


def trade_tables(
    bench: Workbench,
    strategies: Sequence[str],
    timeframes: Sequence[str],
    symbols: Sequence[str] | None,
) -> list[pl.DataFrame]:
    """A table of entries a timeframe, from stored candles, or simulated ones where none are stored.

    Raises DataError if nothing was entered, ConfigError for an unknown strategy.
    """
    settings = bench.settings.model_copy(update={"timeframes": tuple(timeframes)})
    universe = stored_candles(settings, symbols)
    return [_table(bench, universe, strategies, each) for each in dict.fromkeys(timeframes)]


def _table(
    bench: Workbench, universe: Universe, strategies: Sequence[str], timeframe: str
) -> pl.DataFrame:
    candidates = trade_candidates(bench, universe, strategies, timeframe)
    return candidates.table().with_columns(is_simulated=pl.lit(candidates.is_simulated))


def lacking_for_trades(settings: Settings, results: Results) -> str | None:
    """Why the trades behind these results cannot be made again from the store; None if they can."""
    stored = {entry.symbol for entry in BarStore(settings.data.store_folder).catalog()}
    lacking = [pair for pair in results if pair not in stored]
    if lacking:
        return f"no candles of {', '.join(lacking)} are stored"
    if not candle_strategies(results):
        return "none of the strategies trades on candles alone"
    return None


def candle_strategies(results: Results) -> list[str]:
    """Those of the results that are ours and need nothing but candles, in the order met."""
    named = dict.fromkeys(name for strategies in results.values() for name in strategies)
    known = set(list_strategies())
    return [name for name in named if name in known and not get_strategy(name).needs]


def timeframes_of(results: Results) -> list[str]:
    """In the order met."""
    return list(
        dict.fromkeys(
            timeframe
            for strategies in results.values()
            for timeframes in strategies.values()
            for timeframe in timeframes
        )
    )


def remade_trades(bench: Workbench, results: Results) -> list[pl.DataFrame]:
    """The trades behind backtest results, made again with the configured costs, exits and sizes.

    A timeframe that the store cannot give, or at which nothing was entered, gives no table; DataError
    where none gives one.
    """
    tables, reasons = [], []
    for timeframe in timeframes_of(results):
        try:
            tables += trade_tables(bench, candle_strategies(results), [timeframe], list(results))
        except (ConfigError, DataError) as error:
            reasons.append(str(error))
    if not tables:
        raise DataError("; ".join(reasons))
    return tables
