"""Is it luck? Sharpe ratios judged by their length, their tails and how often one tried.

Sources: Bailey & Lopez de Prado, "The Sharpe Ratio Efficient Frontier" (2012) for the probabilistic
Sharpe ratio and the minimum track record; the same, "The Deflated Sharpe Ratio" (2014), whose worked
example is a test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from crypto_bot.core.arrays import PerRow
from crypto_bot.core.errors import ConfigError, DataError
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
    distance = (moments.sharpe - benchmark) * math.sqrt(moments.observations - 1)
    return _NORMAL.cdf(distance / math.sqrt(_spread(moments)))


def minimum_track_record(
    moments: ReturnMoments, *, benchmark: float = 0.0, confidence: float = 0.95
) -> float | None:
    """Periods needed before a Sharpe ratio like this is believed to exceed `benchmark`.

    None where it does not exceed the benchmark: no record is long enough. Both per period.

    Examples
    --------
    >>> moments = ReturnMoments(2 / 250**0.5, skew=0.0, kurtosis=3.0, observations=500)
    >>> round(minimum_track_record(moments, benchmark=1 / 250**0.5) / 250, 2)
    2.73
    """
    if not 0.5 < confidence < 1.0:
        raise ConfigError(f"confidence must be between 0.5 and 1, was {confidence}")
    if moments.sharpe <= benchmark:
        return None
    quantile = _NORMAL.inv_cdf(confidence) / (moments.sharpe - benchmark)
    return 1.0 + _spread(moments) * quantile**2


def _spread(moments: ReturnMoments) -> float:
    """Variance of the estimated Sharpe ratio, times observations - 1."""
    spread = (
        1.0 - moments.skew * moments.sharpe + (moments.kurtosis - 1.0) / 4.0 * moments.sharpe**2
    )
    if spread <= 0.0:
        raise DataError(
            f"moments must allow a variance of the Sharpe ratio, was {spread} for {moments}"
        )
    return spread


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
