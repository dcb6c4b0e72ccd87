"""How many candles before the look-back window a run reads, so that no strategy waits inside it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from crypto_bot.core.timeframes import DAY_NS, timeframe_ns
from crypto_bot.strategies import Strategy, get_strategy, list_strategies

WARM_UP_DAYS = 30
"""Candles before the look-back window at least: what features and the simulated market need."""
MOST_WARM_UP_DAYS = 365
"""No further back than this: at 1d the longest memory is nine years, more than most pairs exist."""


def warm_up_days(timeframe: str) -> int:
    """Days of candles read before the look-back window, so that no strategy waits inside it.

    As many as the longest memory of all strategies (default parameters) takes at the timeframe,
    within `WARM_UP_DAYS` and `MOST_WARM_UP_DAYS`.
    """
    needed = -(-_longest_history_bars(timeframe) * timeframe_ns(timeframe) // DAY_NS)
    return min(max(needed, WARM_UP_DAYS), MOST_WARM_UP_DAYS)


@cache
def _longest_history_bars(timeframe: str) -> int:
    strategies = (get_strategy(name) for name in list_strategies())
    able = (each for each in strategies if not each.predictions and runs_at(each, timeframe))
    return max(each.history_bars(timeframe) for each in able)


def runs_at(strategy: Strategy, timeframe: str) -> bool:
    """Whether the longer bars it reads, if any, are made of whole bars of this timeframe."""
    longer = {name.partition("@")[2] for name in strategy.features()} - {""}
    return all(timeframe_ns(each) % timeframe_ns(timeframe) == 0 for each in longer)


def coarser(timeframes: Sequence[str], base: str) -> list[str]:
    """Those of `timeframes` that whole candles of `base` make up."""
    base_ns = timeframe_ns(base)
    spans = {name: timeframe_ns(name) for name in timeframes}
    return [name for name, span in spans.items() if span > base_ns and span % base_ns == 0]
