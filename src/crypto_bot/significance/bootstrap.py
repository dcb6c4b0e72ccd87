"""Resampled histories: how far a figure could have come out otherwise.

Sources: Politis & Romano, "The Stationary Bootstrap" (1994); Politis & White, "Automatic Block-Length
Selection" (2004) with the correction of Patton, Politis & White (2009); Davison & Hinkley (1997) for
the +1 in a p-value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from pydantic import Field

from crypto_bot.core.arrays import Index, PerBarFeature, PerRow
from crypto_bot.core.errors import DataError
from crypto_bot.core.options import Options
from crypto_bot.core.timeframes import DAYS_PER_YEAR

_NO_DEVIATION = 1e-12


class Statistic(StrEnum):
    """What a bootstrap measures."""

    MEAN = "mean"
    """Mean return per period."""
    SHARPE = "sharpe"
    """Sharpe ratio, annual (x sqrt(365))."""


class BootstrapOptions(Options):
    """How a confidence interval is drawn."""

    resamples: int = Field(default=2000, ge=100, le=100_000, description="resampled histories")
    mean_block: float = Field(
        default=5.0, ge=1.0, description="mean length of the blocks kept together, periods"
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0, description="coverage of the interval")
    seed: int = Field(default=42, ge=0, description="same seed, same interval")


@dataclass(frozen=True)
class Interval:
    """An estimate, its confidence interval, and the share of resamples that were not positive."""

    estimate: float
    low: float
    high: float
    share_not_positive: float


def bootstrap_interval(
    returns: PerRow,
    statistic: Statistic = Statistic.MEAN,
    options: BootstrapOptions | None = None,
) -> Interval:
    """Stationary-bootstrap interval of the mean or Sharpe ratio of returns (periods,).

    Raises DataError with fewer than 10 returns or one that is not finite.

    Notes
    -----
    Percentile interval. Resamples without any deviation have a Sharpe ratio of 0.
    """
    options = BootstrapOptions() if options is None else options
    if len(returns) < 10 or not np.isfinite(returns).all():
        raise DataError(
            f"returns must be at least 10 finite values for a bootstrap, was {len(returns)}"
        )
    rows = stationary_rows(len(returns), options)
    drawn = _measure(returns[rows], statistic)
    tail = (1.0 - options.confidence) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    return Interval(
        estimate=float(_measure(returns[None, :], statistic)[0]),
        low=float(low),
        high=float(high),
        share_not_positive=float(np.mean(drawn <= 0.0)),
    )


def stationary_rows(periods: int, options: BootstrapOptions) -> Index:
    """Row numbers int64 (resamples, periods): blocks of geometric length, wrapping at the end."""
    random = np.random.default_rng(options.seed)
    shape = (options.resamples, periods)
    is_start = random.random(shape) < 1.0 / options.mean_block
    is_start[:, 0] = True
    column = np.broadcast_to(np.arange(periods), shape)
    since = column - np.maximum.accumulate(np.where(is_start, column, 0), axis=1)
    starts = random.integers(0, periods, shape)
    begun = np.take_along_axis(starts, column - since, axis=1)
    return (begun + since) % periods


def optimal_mean_block(returns: PerRow) -> float:
    """The mean block length that the stationary bootstrap of these returns (periods,) should have.

    At least 1. Raises DataError with fewer than 20 returns or one that is not finite.

    Notes
    -----
    Politis & White: autocovariances up to twice the lag from which a run of them is insignificant,
    weighted by a flat-top window. 1 for returns without deviation.
    """
    if len(returns) < 20 or not np.isfinite(returns).all():
        raise DataError(
            f"returns must be at least 20 finite values for a block length, was {len(returns)}"
        )
    periods, centred = len(returns), returns - returns.mean()
    if centred @ centred <= (_NO_DEVIATION * max(1.0, np.abs(returns).max())) ** 2 * periods:
        return 1.0
    run = max(5, int(math.log10(periods)))
    most = math.ceil(math.sqrt(periods)) + run
    covariance = np.array([centred[lag:] @ centred[: periods - lag] for lag in range(most + 1)])
    lags = np.arange(1, _last_lag(centred, covariance, run, most) + 1)
    share = lags / lags[-1]
    weight = np.minimum(1.0, 2.0 * (1.0 - share)) * covariance[lags] / periods
    bend = 2.0 * float(weight @ lags)
    spectrum = covariance[0] / periods + 2.0 * float(weight.sum())
    if spectrum == 0.0:
        return 1.0
    length = (bend**2 / spectrum**2 * periods) ** (1.0 / 3.0)
    return float(min(max(length, 1.0), math.ceil(min(3.0 * math.sqrt(periods), periods / 3.0))))


def _last_lag(centred: PerRow, covariance: PerRow, run: int, most: int) -> int:
    """Twice the lag after which `run` autocorrelations are insignificant; `most` if none is."""
    periods = len(centred)
    band = 2.0 * math.sqrt(math.log10(periods) / periods)
    for lag in range(run, most + 1):
        window = range(lag - run, lag)
        if all(abs(covariance[k]) < band * _scale(centred, k) for k in window):
            return min(2 * max(lag - run, 1), most)
    return most


def _scale(centred: PerRow, lag: int) -> float:
    later, earlier = centred[lag + 1 :], centred[: -(lag + 1)]
    return math.sqrt(float(later @ later) * float(earlier @ earlier))


def _measure(samples: PerBarFeature, statistic: Statistic) -> PerRow:
    """The statistic of each row of samples (resamples, periods)."""
    mean: PerRow = samples.mean(axis=1)
    if statistic is Statistic.MEAN:
        return mean
    deviation = samples.std(axis=1, ddof=1)
    ratio = np.zeros(len(mean))
    np.divide(mean, deviation, out=ratio, where=deviation > _NO_DEVIATION)
    return ratio * math.sqrt(DAYS_PER_YEAR)
