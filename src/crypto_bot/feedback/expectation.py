"""Does the live result look like what validation promised? Bootstrap intervals, verdicts in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from pydantic import Field

from crypto_bot.core.arrays import PerBar, PerRow, PerTrade
from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import DataError
from crypto_bot.core.options import Options


class ExpectationOptions(Options):
    """How live results are held against out-of-sample ones."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="width of each interval")
    resamples: int = Field(default=2_000, ge=100, description="bootstrap draws")
    minimum_live_trades: int = Field(
        default=10, ge=2, description="with fewer live trades no verdict is given"
    )
    minimum_expected_trades: int = Field(
        default=30, ge=2, description="with fewer out-of-sample trades no verdict is given"
    )
    slippage_tolerance_frac: float = Field(
        default=0.0005, ge=0, description="mean slippage may exceed the assumed one by this"
    )
    seed: int = Field(default=42, description="of the bootstrap")


class Standing(StrEnum):
    """Where the live value lies."""

    BELOW = "below"
    INSIDE = "inside"
    ABOVE = "above"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class MetricComparison:
    """One metric: live value, expected value, interval of what chance would allow, verdict."""

    name: str
    live: float | None
    expected: float | None
    low: float | None
    high: float | None
    standing: Standing
    verdict: str

    @property
    def is_worse(self) -> bool:
        """A result below its interval, or slippage above its bound."""
        bad = Standing.ABOVE if self.name == "slippage_frac" else Standing.BELOW
        return self.standing is bad


@dataclass(frozen=True)
class ExpectationReport:
    """Every comparison; `is_disappointing` when a result lies below what chance allows."""

    comparisons: tuple[MetricComparison, ...]
    live_trades: int
    expected_trades: int

    @property
    def is_disappointing(self) -> bool:
        """At least one comparison is worse than chance allows."""
        return any(found.is_worse for found in self.comparisons)

    @property
    def is_known(self) -> bool:
        """There were enough trades on both sides to say anything about results."""
        return any(
            found.standing is not Standing.UNKNOWN
            for found in self.comparisons
            if found.name != "slippage_frac"
        )


Statistic = Callable[[PerRow], PerRow]
"""float64 (draws, trades) -> float64 (draws,); NaN where undefined"""


def expectancy(returns: PerRow) -> PerRow:
    """Mean return of a trade, per draw."""
    return np.asarray(returns.mean(axis=-1))


def hit_rate(returns: PerRow) -> PerRow:
    """Share of trades that earned something, per draw."""
    return np.asarray((returns > 0).mean(axis=-1))


def sharpe_per_trade(returns: PerRow) -> PerRow:
    """Mean return over its standard deviation (n - 1), per draw; NaN where nothing varies."""
    spread = returns.std(axis=-1, ddof=1)
    # Equal returns leave rounding behind, not zero.
    scale = np.abs(returns).max(axis=-1)
    varies = spread > 1e-12 * scale
    return np.asarray(np.where(varies, returns.mean(axis=-1) / np.where(varies, spread, 1), np.nan))


_STATISTICS: dict[str, Statistic] = {
    "expectancy_frac": expectancy,
    "hit_rate": hit_rate,
    "sharpe_per_trade": sharpe_per_trade,
}


def compare_with_expectation(
    live: PerTrade,
    expected: PerTrade,
    *,
    live_slippage: PerRow | None = None,
    assumed_slippage_frac: float | None = None,
    options: ExpectationOptions | None = None,
) -> ExpectationReport:
    """Hold the live trades against out-of-sample ones.

    Parameters
    ----------
    live, expected : TRADE (trades,)        open trades are left out
    live_slippage : float64 (fills,)        see `entry_slippage`; None leaves slippage out
    assumed_slippage_frac : float           what the backtest assumed
    options : ExpectationOptions

    Returns
    -------
    ExpectationReport    expectancy and hit rate of a trade, its Sharpe ratio, slippage

    Raises
    ------
    DataError    if only one of the slippage arguments is given

    Notes
    -----
    As many out-of-sample trades as there are live ones are drawn with replacement, many times; the
    interval holds the middle `confidence` of the draws. A live value inside it is what chance alone
    would often show. Trades are taken as independent, so intervals are somewhat too narrow where
    trades of correlated symbols overlap.
    """
    settings = ExpectationOptions() if options is None else options
    ours, theirs = closed_returns(live), closed_returns(expected)
    comparisons = [
        _compare(name, statistic, ours, theirs, settings) for name, statistic in _STATISTICS.items()
    ]
    if (live_slippage is None) != (assumed_slippage_frac is None):
        raise DataError("live_slippage and assumed_slippage_frac must be given together, one was")
    if live_slippage is not None and assumed_slippage_frac is not None:
        comparisons.append(_compare_slippage(live_slippage, assumed_slippage_frac, settings))
    return ExpectationReport(tuple(comparisons), len(ours), len(theirs))


def closed_returns(trades: PerTrade) -> PerRow:
    """float64 (closed trades,): return of each, after fees."""
    return np.ascontiguousarray(trades["return_frac"][trades["exit_bar"] >= 0])


def entry_slippage(trades: PerTrade, bars: Bars) -> PerRow:
    """float64 (trades,): how much worse each entry was than its bar's open, fraction of the open.

    `trades` count their bars from the first of `bars`. Entries fill at the open, so the open is
    the price without slippage.
    """
    opens: PerBar = bars.open[trades["entry_bar"]]
    return np.asarray(trades["direction"] * (trades["entry_price"] / opens - 1.0))


def _compare(
    name: str, statistic: Statistic, live: PerRow, expected: PerRow, options: ExpectationOptions
) -> MetricComparison:
    value, promised = _value(statistic, live), _value(statistic, expected)
    for side, count, least in (
        ("live", len(live), options.minimum_live_trades),
        ("out-of-sample", len(expected), options.minimum_expected_trades),
    ):
        if count < least:
            words = f"{name}: too few {side} trades to say, {count} of at least {least}"
            return MetricComparison(name, value, promised, None, None, Standing.UNKNOWN, words)
    draws = _draws(statistic, expected, len(live), options)
    if value is None or promised is None or not draws.size:
        words = f"{name}: cannot be said, every trade returned the same"
        return MetricComparison(name, value, promised, None, None, Standing.UNKNOWN, words)
    tail = (1 - options.confidence) / 2
    low, high = (float(bound) for bound in np.quantile(draws, [tail, 1 - tail]))
    standing = _standing(value, low, high)
    words = _verdict(name, value, promised, low, high, standing, options.confidence)
    return MetricComparison(name, value, promised, low, high, standing, words)


def _draws(
    statistic: Statistic, expected: PerRow, size: int, options: ExpectationOptions
) -> PerRow:
    generator = np.random.default_rng(options.seed)
    block = max(1, 2_000_000 // size)
    parts = [
        statistic(expected[generator.integers(0, len(expected), (min(block, left), size))])
        for left in range(options.resamples, 0, -block)
    ]
    draws = np.concatenate(parts)
    return np.asarray(draws[np.isfinite(draws)])


def _value(statistic: Statistic, returns: PerRow) -> float | None:
    if len(returns) < 2:
        return None
    value = float(statistic(returns))
    return value if np.isfinite(value) else None


def _standing(value: float, low: float, high: float) -> Standing:
    if value < low:
        return Standing.BELOW
    return Standing.ABOVE if value > high else Standing.INSIDE


def _verdict(
    name: str,
    value: float,
    promised: float,
    low: float,
    high: float,
    standing: Standing,
    confidence: float,
) -> str:
    range_words = f"{low:.4g} to {high:.4g} ({confidence:.0%} of what chance gives)"
    said = {
        Standing.BELOW: "worse than validation promised",
        Standing.INSIDE: "as validation promised",
        Standing.ABOVE: "better than validation promised",
    }[standing]
    return f"{name}: {said}: live {value:.4g}, expected {promised:.4g}, range {range_words}"


def _compare_slippage(
    slippage: PerRow, assumed: float, options: ExpectationOptions
) -> MetricComparison:
    name, bound = "slippage_frac", assumed + options.slippage_tolerance_frac
    if not len(slippage):
        words = f"{name}: no fill to measure"
        return MetricComparison(name, None, assumed, None, bound, Standing.UNKNOWN, words)
    paid = float(slippage.mean())
    standing = Standing.ABOVE if paid > bound else Standing.INSIDE
    said = "more than the backtest assumed" if paid > bound else "as the backtest assumed"
    words = f"{name}: {said}: live {paid:.4g}, assumed {assumed:.4g}, allowed up to {bound:.4g}"
    return MetricComparison(name, paid, assumed, None, bound, standing, words)
