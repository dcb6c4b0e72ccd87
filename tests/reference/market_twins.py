"""Plain twins of the features of several pairs and of funding: one close after another, by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crypto_bot.core import Bars
from crypto_bot.core.funding import FundingRates

NAN = float("nan")


def own_return(bars: Bars, time: int, window: int) -> float:
    """Of the bar that closes at `time`; NaN without it or where a bar since `window` ago is missing."""
    at = {int(t): k for k, t in enumerate(bars.close_time)}
    steps = [time - k * bars.interval_ns for k in range(window + 1)]
    if not all(step in at for step in steps):
        return NAN
    return float(bars.close[at[steps[0]]] / bars.close[at[steps[-1]]] - 1)


def present(panel: Sequence[Bars], time: int, window: int) -> list[float]:
    found = [own_return(bars, time, window) for bars in panel]
    return [value for value in found if value == value]


def market_return(panel: Sequence[Bars], bars: Bars, time: int, window: int) -> float:
    found = present(panel, time, window)
    return float(np.mean(found)) if found else NAN


def return_rank(panel: Sequence[Bars], bars: Bars, time: int, window: int) -> float:
    own, found = own_return(bars, time, window), present(panel, time, window)
    if own != own or len(found) < 2:
        return NAN
    places = [k for k, value in enumerate(sorted(found)) if value == own]
    return float(np.mean(places) / (len(found) - 1))


def market_relative(panel: Sequence[Bars], bars: Bars, time: int, window: int) -> float:
    return own_return(bars, time, window) - market_return(panel, bars, time, window)


def beta(panel: Sequence[Bars], bars: Bars, time: int, window: int) -> float:
    last = int(np.searchsorted(bars.close_time, time))
    times = bars.close_time[max(last - window + 1, 0) : last + 1].tolist()
    own = [own_return(bars, each, 1) for each in times]
    market = [market_return(panel, bars, each, 1) for each in times]
    if len(times) < window or np.isnan([*own, *market]).any() or np.ptp(market) == 0:
        return NAN
    return float(np.polyfit(market, own, 1)[0])


def last_payments(rates: FundingRates, time: int, count: int) -> float:
    made = [k for k, paid in enumerate(rates.time_ns.tolist()) if paid <= time]
    if len(made) < count or time - rates.time_ns[made[-1]] > 86_400 * 10**9:
        return NAN
    return float(np.mean(rates.rate[made[-count:]]))


MARKET_TWINS = {
    "market_return_{}": market_return,
    "return_rank_{}": return_rank,
    "market_relative_{}": market_relative,
    "beta_{}": beta,
}
