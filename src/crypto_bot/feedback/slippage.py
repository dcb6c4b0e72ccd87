"""Slippage of our own fills against the open they aimed at, and what a backtest may learn from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import sqrt
from statistics import fmean, median, stdev
from typing import Any, Literal

import numpy as np

from crypto_bot.core.bars import Bars
from crypto_bot.core.orders import Fill, Side

FEWEST_FILLS = 30
"""With fewer fills a backtest keeps `costs.slippage_frac`."""
_AT_THE_OPEN = frozenset({"entry", "signal", "reverse", "time"})
"""Reasons of fills that are market orders sent at a close, for the next open."""
Source = Literal["paper", "broker"]


@dataclass(frozen=True)
class SymbolSlippage:
    """Of one symbol: mean signed slippage, fraction of the open; fills."""

    frac: float
    fills: int


@dataclass(frozen=True)
class SlippageEstimate:
    """What fills cost beyond the open they aimed at.

    Attributes
    ----------
    frac : float                   mean, fraction of the open; negative: better than the open
    median_frac : float
    standard_error : float | None  of the mean, for fills taken as independent; None from one fill
    fills : int
    source : 'paper' or 'broker'   paper fills are made by our own assumption and only echo it
    by_symbol : symbol -> SymbolSlippage
    """

    frac: float
    median_frac: float
    standard_error: float | None
    fills: int
    source: Source
    by_symbol: Mapping[str, SymbolSlippage] = field(default_factory=dict)

    @property
    def is_usable(self) -> bool:
        """There are fills enough to charge a backtest by it."""
        return self.fills >= FEWEST_FILLS

    @property
    def charged_frac(self) -> float:
        """What a backtest charges: the mean, never below 0."""
        return max(0.0, self.frac)

    def describe(self, configured_frac: float) -> str:
        """Both numbers in a sentence, and what the measured one is worth."""
        error = (
            "" if self.standard_error is None else f" (standard error {self.standard_error:.5f})"
        )
        measured = f"slippage of {self.fills} own fills {self.frac:.5f}{error}, "
        worth = (
            "measured on PAPER fills, which only echo the costs.slippage_frac of their own run"
            if self.source == "paper"
            else "measured on fills of a broker"
        )
        used = (
            f"charged instead of costs.slippage_frac {configured_frac:g}"
            if self.is_usable
            else f"not used, it takes {FEWEST_FILLS}: costs.slippage_frac {configured_frac:g}"
        )
        return f"{measured}{used}; {worth}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def measured_slippage(
    fills: Sequence[Fill], candles: Mapping[str, Bars], *, source: Source
) -> SlippageEstimate | None:
    """Signed slippage of the market fills whose aim is known.

    Parameters
    ----------
    fills : Sequence[Fill]         of the journal
    candles : symbol -> Bars       candles with the fills' times among their `open_time`
    source : 'paper' or 'broker'   who filled them

    Returns
    -------
    SlippageEstimate | None    None without such a fill

    Notes
    -----
    A market order is sent at a close and aims at the open of the bar in which it fills, whenever in it
    a broker does so. Stops, targets and liquidations aim at their own price and are left out, and so
    are fills in bars that are not among the candles. Positive is worse: bought dearer, sold cheaper.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for fill in fills:
        aimed = _aimed_at(fill, candles.get(fill.symbol))
        if aimed is not None:
            worse = fill.price / aimed - 1.0
            found[fill.symbol].append(worse if fill.side is Side.BUY else -worse)
    every = [value for values in found.values() for value in values]
    if not every:
        return None
    return SlippageEstimate(
        frac=fmean(every),
        median_frac=median(every),
        standard_error=stdev(every) / sqrt(len(every)) if len(every) > 1 else None,
        fills=len(every),
        source=source,
        by_symbol={
            symbol: SymbolSlippage(fmean(values), len(values))
            for symbol, values in sorted(found.items())
        },
    )


def _aimed_at(fill: Fill, bars: Bars | None) -> float | None:
    """The open of the fill's bar; None for other than market orders and unknown bars."""
    if bars is None or fill.reason not in _AT_THE_OPEN or not len(bars):
        return None
    place = int(np.searchsorted(bars.open_time, fill.filled_at_ns, "right")) - 1
    if place < 0 or fill.filled_at_ns >= int(bars.close_time[place]):
        return None
    return float(bars.open[place])
