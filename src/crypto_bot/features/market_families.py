"""Families that need more than one pair's bars: the market of all pairs, and funding payments."""

from __future__ import annotations

from crypto_bot.features import nodes as n
from crypto_bot.features.families import Family
from crypto_bot.features.nodes import FUNDING_MEAN, FUNDING_RATE, MARKET_RETURN, RETURN_RANK, Node


def _relative(window: int) -> Node:
    return n.minus(n.aligned_return(window), n.outside(MARKET_RETURN, window))


def _beta(window: int) -> Node:
    return n.slope(n.aligned_return(1), n.outside(MARKET_RETURN, 1), window)


MARKET_FAMILIES: tuple[Family, ...] = (
    Family(
        "market_return_{}",
        "mean of the pairs' aligned_return_{0} at this close, each pair alike",
        (1,),
        lambda w: n.outside(MARKET_RETURN, w),
    ),
    Family(
        "return_rank_{}",
        "place of aligned_return_{0} among the pairs' at this close, lowest 0 to highest 1",
        (1,),
        lambda w: n.outside(RETURN_RANK, w),
    ),
    Family(
        "market_relative_{}",
        "aligned_return_{0} - market_return_{0}",
        (1,),
        _relative,
    ),
    Family(
        "beta_{}",
        "least squares slope of the last {0} aligned_return_1 on market_return_1",
        (60,),
        _beta,
        2,
    ),
    Family(
        "funding_rate",
        "rate of the last funding payment by the close, if that was within a day",
        (),
        lambda: n.outside(FUNDING_RATE, 1),
    ),
    Family(
        "funding_mean_{}",
        "mean rate of the last {0} funding payments by the close, if the last was within a day",
        (21,),
        lambda w: n.outside(FUNDING_MEAN, w),
    ),
)
