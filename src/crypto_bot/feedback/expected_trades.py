"""What each trade was expected to earn at its entry, and what it did."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from crypto_bot.core.arrays import PerRow, PerTrade

FEWEST_OF_A_KIND = 30


@dataclass(frozen=True, eq=False)
class TradeGaps:
    """Realised against expected, trade by trade.

    Attributes
    ----------
    expected : float64 (trades,)     at the entry: mean return of validation's trades of that side
    realised : float64 (trades,)     after fees
    mean_gap : float | None          realised - expected; None without a trade
    standard_error : float | None    of `mean_gap`, trades taken as independent; None from one
    """

    expected: PerRow
    realised: PerRow
    mean_gap: float | None
    standard_error: float | None


def trade_gaps(trades: PerTrade, promised: PerTrade) -> TradeGaps | None:
    """Hold each closed trade against the mean of validation's closed trades of its side.

    Parameters
    ----------
    trades, promised : TRADE (trades,)    open ones are left out

    Returns
    -------
    TradeGaps | None    None with fewer than 30 promised trades. A side with fewer than 30 takes the
                        mean of both sides
    """
    closed, known = trades[trades["exit_bar"] >= 0], promised[promised["exit_bar"] >= 0]
    if len(known) < FEWEST_OF_A_KIND:
        return None
    expected = np.full(len(closed), float(known["return_frac"].mean()))
    for side in (-1, 1):
        alike = known["return_frac"][known["direction"] == side]
        if len(alike) >= FEWEST_OF_A_KIND:
            expected[closed["direction"] == side] = alike.mean()
    realised = np.ascontiguousarray(closed["return_frac"])
    gaps = realised - expected
    error = float(gaps.std(ddof=1)) / sqrt(len(gaps)) if len(gaps) > 1 else None
    return TradeGaps(expected, realised, float(gaps.mean()) if len(gaps) else None, error)
