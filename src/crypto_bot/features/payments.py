"""Funding at each close: of the payments made by then, never of one to come."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from crypto_bot.core.arrays import Mask, PerBar, PerBarTime
from crypto_bot.core.errors import DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.timeframes import DAY_NS
from crypto_bot.features.nodes import FUNDING_RATE, Outside


def funding_columns(
    wanted: Sequence[Outside],
    close_time: PerBarTime,
    symbol: str | None,
    rates: FundingRates | None,
) -> dict[Outside, PerBar]:
    """Each wanted column, float64 (bars,).

    NaN before there were payments enough, and where the last lies more than a day before the close:
    the rates have ended. Raises DataError naming the symbol where there are none or another's.
    """
    if not wanted:
        return {}
    names = ", ".join(
        outside.kind if outside.kind == FUNDING_RATE else f"{outside.kind}_{outside.window}"
        for outside in wanted
    )
    if rates is None or len(rates) == 0:
        was = "None" if rates is None else "without a payment"
        raise DataError(
            f"{symbol or 'the pair'} funding must be given for {names}, was {was}; pass funding=, or "
            "leave the features of funding out"
        )
    if symbol is not None and rates.symbol != symbol:
        raise DataError(f"{symbol} funding must be of that symbol, was of {rates.symbol}")
    last = np.searchsorted(rates.time_ns, close_time, side="right") - 1
    is_known = (last >= 0) & (close_time - rates.time_ns[last] <= DAY_NS)
    return {each: _column(each, rates, last, is_known) for each in wanted}


def _column(outside: Outside, rates: FundingRates, last: PerBarTime, is_known: Mask) -> PerBar:
    """Sums are exact, so one payment more or less before them changes no bit."""
    window = 1 if outside.kind == FUNDING_RATE else outside.window
    values = np.full(len(last), np.nan)
    for payment in np.unique(last[is_known]).tolist():
        if payment + 1 >= window:
            part = rates.rate[payment + 1 - window : payment + 1].tolist()
            first, end = np.searchsorted(last, (payment, payment + 1))
            values[first:end] = math.fsum(part) / window
    values[~is_known] = np.nan
    return values
