"""Is it luck? Sharpe ratios judged by their length, their tails and how often one tried.

Sources: Bailey & Lopez de Prado, "The Sharpe Ratio Efficient Frontier" (2012) for the probabilistic
Sharpe ratio; the same, "The Deflated Sharpe Ratio" (2014), whose worked example is a test; Politis &
Romano, "The Stationary Bootstrap" (1994); Davison & Hinkley (1997) for the +1 in a p-value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

import numpy as np
from pydantic import Field

from crypto_bot.core.arrays import Index, PerBarFeature, PerRow
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.options import Options
from crypto_bot.core.timeframes import DAYS_PER_YEAR

_EULER_MASCHERONI = 0.5772156649015329
_NORMAL = NormalDist()
_NO_DEVIATION = 1e-12


@dataclass(frozen=True)
class ReturnMoments:
    """What a series of returns says of itself.

    Attributes
    ----------
    sharpe : mean / sample deviation, per period, not annualised
    skew, kurtosis : population moments; kurtosis of a normal series is 3
    observations : periods
    """

    sharpe: float
    skew: float
    kurtosis: float
    observations: int


def return_moments(returns: PerRow) -> ReturnMoments | None:
    """The moments of returns (periods,), fractions; None with fewer than 3 or without deviation.

    Raises DataError if a return is not finite.
    """
    if not np.isfinite(returns).all():
        row = int(np.flatnonzero(~np.isfinite(returns))[0])
        raise DataError(f"returns must be finite, was {returns[row]} at row {row}")
    if len(returns) < 3:
        return None
    mean = returns.mean()
    centred = returns - mean
    variance = float(np.mean(centred**2))
    if variance**0.5 <= _NO_DEVIATION * max(1.0, abs(float(mean))):
        return None
    return ReturnMoments(
        sharpe=float(mean / returns.std(ddof=1)),
        skew=float(np.mean(centred**3) / variance**1.5),
        kurtosis=float(np.mean(centred**4) / variance**2),
        observations=len(returns),
    )


def probabilistic_sharpe(moments: ReturnMoments, *, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio exceeds `benchmark`; both per period.

    Allows for the length of the record, its skew and its fat tails.
    """
    spread = (
        1.0 - moments.skew * moments.sharpe + (moments.kurtosis - 1.0) / 4.0 * moments.sharpe**2
    )
    if spread <= 0.0:
        raise DataError(
            f"moments must allow a variance of the Sharpe ratio, was {spread} for {moments}"
        )
    distance = (moments.sharpe - benchmark) * math.sqrt(moments.observations - 1)
    return _NORMAL.cdf(distance / math.sqrt(spread))


def expected_maximum_sharpe(trials: int, trial_variance: float) -> float:
    """The best Sharpe ratio, per period, that this many worthless trials are expected to show.

    Parameters
    ----------
    trials : int              everything ever tried, from the trial ledger; at least 1
    trial_variance : float    variance of the trials' Sharpe ratios, per period

    Examples
    --------
    >>> round(expected_maximum_sharpe(100, 0.5 / 250), 4)
    0.1132
    """
    if trials < 1:
        raise ConfigError(f"trials must be at least 1, was {trials}")
    if not (math.isfinite(trial_variance) and trial_variance >= 0.0):
        raise ConfigError(f"trial_variance must be finite and >= 0, was {trial_variance}")
    if trials == 1:
        return 0.0
    nearer = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    farther = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    quantile = (1.0 - _EULER_MASCHERONI) * nearer + _EULER_MASCHERONI * farther
    return math.sqrt(trial_variance) * quantile


def deflated_sharpe(moments: ReturnMoments, *, trials: int, trial_variance: float) -> float:
    """Probability that the true Sharpe ratio is above what the best of `trials` lucky ones shows.

    Examples
    --------
    >>> moments = ReturnMoments(sharpe=2.5 / 250**0.5, skew=-3.0, kurtosis=10.0, observations=1250)
    >>> round(deflated_sharpe(moments, trials=100, trial_variance=0.5 / 250), 4)
    0.9004
    """
    return probabilistic_sharpe(moments, benchmark=expected_maximum_sharpe(trials, trial_variance))


def trial_variance(annual_sharpes: Sequence[float | None]) -> float | None:
    """Variance per day of the trials' annual Sharpe ratios (x sqrt(365)); None from fewer than 2.

    Trials without a Sharpe ratio (no trades) are left out.
    """
    known = [value for value in annual_sharpes if value is not None and math.isfinite(value)]
    return float(np.var(known, ddof=1)) / DAYS_PER_YEAR if len(known) > 1 else None


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


def _measure(samples: PerBarFeature, statistic: Statistic) -> PerRow:
    """The statistic of each row of samples (resamples, periods)."""
    mean: PerRow = samples.mean(axis=1)
    if statistic is Statistic.MEAN:
        return mean
    deviation = samples.std(axis=1, ddof=1)
    ratio = np.zeros(len(mean))
    np.divide(mean, deviation, out=ratio, where=deviation > _NO_DEVIATION)
    return ratio * math.sqrt(DAYS_PER_YEAR)
