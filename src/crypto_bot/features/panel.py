"""Features of several pairs at once: each beside the market they make together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from crypto_bot.core.arrays import PerBar, PerBarTime
from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import DataError
from crypto_bot.core.funding import FundingRates, check_keys
from crypto_bot.features.history import FeatureTable, compute_features, run_plan
from crypto_bot.features.nodes import MARKET_RETURN, Outside
from crypto_bot.features.payments import funding_columns
from crypto_bot.features.plans import Plan, plan_features

PerPairClose = npt.NDArray[np.float64]
"""float64 (pairs, closes)."""


class Market(NamedTuple):
    """The closes at which some pair has a bar, and what is known across the pairs at each.

    Of each window the mean return, float64 (closes,), and the pairs' ranks, float64 (pairs, closes).
    """

    closes: PerBarTime
    means: dict[int, PerBar]
    ranks: dict[int, PerPairClose]


@njit(cache=True, nogil=True, error_model="numpy")
def across_pairs(returns: PerPairClose, mean: PerBar, ranks: PerPairClose) -> None:
    """Mean return at each close, added up in the order of the pairs, and each pair's rank, 0..1.

    A pair without a return (NaN) is left out; equal ones share their mean rank; of one pair alone
    there is no rank.
    """
    for t in range(mean.size):
        total, present = 0.0, 0
        for pair in range(len(returns)):
            if not np.isnan(returns[pair, t]):
                total += returns[pair, t]
                present += 1
        mean[t] = total / present if present > 0 else np.nan
        for pair in range(len(returns)):
            below, equal = 0, -1
            for other in range(len(returns)):
                below += returns[other, t] < returns[pair, t]
                equal += returns[other, t] == returns[pair, t]
            is_ranked = present > 1 and not np.isnan(returns[pair, t])
            ranks[pair, t] = (below + 0.5 * equal) / (present - 1) if is_ranked else np.nan


def compute_panel(
    bars: Sequence[Bars],
    names: Sequence[str],
    *,
    funding: Mapping[str, FundingRates] | None = None,
) -> list[FeatureTable]:
    """Compute features of every bar of several pairs, those of the market they make among them.

    Parameters
    ----------
    bars : one `Bars` a pair, all of one timeframe, in any order
    names : feature names, as for `compute_features`; also `market_return_N`, `return_rank_N`,
        `market_relative_N` and `beta_N`
    funding : payments by symbol, needed for features of funding only

    Returns
    -------
    list of FeatureTable    one a pair, in the order of `bars`, equal bit for bit to `PanelStream`

    Raises
    ------
    ConfigError    if a name is unknown, given twice, or none is given
    DataError      if there are not two pairs for a market, a symbol twice, two timeframes, or no
                   rates for a feature of funding

    Notes
    -----
    Pairs are matched by their closes. A pair counts at a close where it has a bar and one exactly N
    intervals before, with none missing between; otherwise it is left out, never filled. The pairs'
    order changes nothing. Reads no bar that closes after the one it describes.
    """
    plan = panel_plan(bars, names)
    market = market_of(bars, plan)
    tables: list[FeatureTable] = []
    for each in bars:
        values = np.empty((len(plan.features), len(each)))
        outside = pair_columns(each, symbols_of(bars), plan, market, funding)
        run_plan(plan, plan.start.copy(), each, values, outside)
        tables.append(FeatureTable(plan.features, values.T))
    return tables


def panel_plan(bars: Sequence[Bars], names: Sequence[str]) -> Plan:
    """The plan for the features of these bars, which must be a panel."""
    if not bars:
        raise DataError("bars must hold at least one pair, was empty")
    timeframes = sorted({each.timeframe for each in bars})
    if len(timeframes) > 1:
        raise DataError(f"bars must be of one timeframe, were of {', '.join(timeframes)}")
    plan = plan_features(names, timeframes[0])
    check_pairs([each.symbol for each in bars], plan)
    return plan


def check_pairs(symbols: Sequence[str], plan: Plan) -> None:
    """Raise DataError where a symbol stands twice, or one alone should be a market."""
    for symbol, count in Counter(symbols).items():
        if count > 1:
            raise DataError(f"bars must be one Bars a symbol, had {symbol} {count} times")
    if windows_of(plan) and len(symbols) < 2:
        asked = ", ".join(each.name for each in plan.features if each.needs_market)
        raise DataError(
            f"bars must be of at least two pairs for {asked}, were of {', '.join(symbols)} alone; "
            "give more pairs or leave the features of the market out"
        )


def symbols_of(bars: Sequence[Bars]) -> list[str]:
    """Sorted symbols: the order in which pairs are added up."""
    return sorted(each.symbol for each in bars)


def windows_of(plan: Plan) -> tuple[int, ...]:
    """The windows of returns that are compared across pairs, sorted."""
    return tuple(sorted({each.window for each, _ in plan.outside if each.is_market}))


def return_names(windows: Sequence[int]) -> list[str]:
    """The features of one pair that the market is made of."""
    return [f"aligned_return_{window}" for window in windows]


def market_of(bars: Sequence[Bars], plan: Plan) -> Market:
    """What the plan reads across pairs, at every close."""
    windows, ordered = windows_of(plan), sorted(bars, key=lambda each: each.symbol)
    closes = np.unique(np.concatenate([each.close_time for each in ordered]))
    market = Market(closes, {}, {})
    if not windows:
        return market
    names = return_names(windows)
    tables = [compute_features(each, names).values for each in ordered]
    places = [np.searchsorted(closes, each.close_time) for each in ordered]
    for k, window in enumerate(windows):
        returns = np.full((len(ordered), len(closes)), np.nan)
        for pair, (table, at) in enumerate(zip(tables, places, strict=True)):
            returns[pair, at] = table[:, k]
        market.means[window], market.ranks[window] = compared(returns)
    return market


def compared(returns: PerPairClose) -> tuple[PerBar, PerPairClose]:
    """The mean return and the ranks at each close."""
    mean, ranks = np.empty(returns.shape[1]), np.empty(returns.shape)
    across_pairs(returns, mean, ranks)
    return mean, ranks


def pair_columns(
    bars: Bars,
    symbols: Sequence[str],
    plan: Plan,
    market: Market,
    funding: Mapping[str, FundingRates] | None,
) -> dict[Outside, PerBar]:
    """What the plan reads of the market and of funding at this pair's closes."""
    check_keys(funding or {})
    wanted = [outside for outside, _ in plan.outside]
    at = np.searchsorted(market.closes, bars.close_time)
    columns: dict[Outside, PerBar] = {}
    for outside in wanted:
        if outside.kind == MARKET_RETURN:
            columns[outside] = market.means[outside.window][at]
        elif outside.is_market:
            columns[outside] = market.ranks[outside.window][symbols.index(bars.symbol), at]
    paid = [outside for outside in wanted if not outside.is_market]
    rates = (funding or {}).get(bars.symbol)
    return columns | funding_columns(paid, bars.close_time, bars.symbol, rates)
