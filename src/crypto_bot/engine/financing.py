"""What holding costs: funding of perpetuals, borrowing on margin, and where a venue liquidates.

Both are charged at the open of a bar, before anything fills, to the position carried from the bar
before: what is closed at that open still pays, what is opened there does not.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from crypto_bot.core.arrays import PerBar
from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.timeframes import DAY_NS, DAYS_PER_YEAR

YEAR_NS = DAYS_PER_YEAR * DAY_NS


def funding_due(bars: Bars, rates: FundingRates | None) -> PerBar:
    """The funding rate due at the open of each bar.

    Parameters
    ----------
    bars : Bars
    rates : FundingRates or None    None: no funding

    Returns
    -------
    float64 (bars,)    sum of the rates with open_time[t - 1] < time <= open_time[t]; 0 for the
                       first bar, which no position is carried into

    Raises
    ------
    DataError    if the rates are of another symbol, or miss more than a day of the bars at an end

    Notes
    -----
    A payment inside a bar, or in an outage, is made at the next open. Payments after the last
    open are not made: nothing is known of a later price.
    """
    due = np.zeros(len(bars))
    if rates is None or len(bars) < 2:
        return due
    if rates.symbol != bars.symbol:
        raise DataError(
            f"funding must be of {bars.symbol} like the bars, was of {rates.symbol}; "
            "give the rates of the traded symbol"
        )
    is_short = (
        len(rates) == 0
        or rates.time_ns[0] > bars.open_time[0] + DAY_NS
        or rates.time_ns[-1] < bars.open_time[-1] - DAY_NS
    )
    if is_short:
        raise DataError(
            f"{bars.symbol} funding must be of the whole span of the bars but for a day, was not; "
            "give rates of that span, cut the bars with `between`, or give no funding"
        )
    place = np.searchsorted(bars.open_time, rates.time_ns)
    is_inside = (place > 0) & (place < len(bars))
    np.add.at(due, place[is_inside], rates.rate[is_inside])
    return due


def borrow_due(bars: Bars, borrow_rate_annual_frac: float) -> PerBar:
    """The share of a loan due at the open of each bar: annual rate x time since the open before.

    Returns
    -------
    float64 (bars,)    0 for the first bar; a year has 365 days
    """
    due = np.zeros(len(bars))
    due[1:] = borrow_rate_annual_frac * (np.diff(bars.open_time) / YEAR_NS)
    return due


@njit(cache=True, nogil=True, forceinline=True)
def financing(
    quantity: float, cash: float, open_: float, funding_rate: float, borrow_frac: float
) -> float:
    """Quote paid at an open for a position carried into it; negative where it is received.

    Funding: value of the position, signed, times the rate. Borrowing: a short has borrowed its
    base currency, a long the quote its cash is short of.
    """
    value = quantity * open_
    borrowed = -value if quantity < 0.0 else max(-cash, 0.0)
    return value * funding_rate + borrowed * borrow_frac


@njit(cache=True, nogil=True, forceinline=True)
def liquidation_price(cash: float, quantity: float, maintenance_margin_frac: float) -> float:
    """The price at which equity is `maintenance_margin_frac` of the position's value.

    equity = cash + quantity * price. 0 for a long, infinity for a short, where no price is.
    """
    if quantity > 0.0:
        return max(-cash / (quantity * (1.0 - maintenance_margin_frac)), 0.0)
    if quantity < 0.0:
        return max(cash / (-quantity * (1.0 + maintenance_margin_frac)), 0.0)
    return math.nan
