"""What a model says put right by what came of rows it had not seen: chances, then returns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import Index, PerRow

_STEPS = 50
_CLOSE_ENOUGH = 1e-10
_FLOOR = 1e-6


class Calibration(NamedTuple):
    """chance = 1 / (1 + exp(-(intercept + slope * log(raw / (1 - raw))))); slope 0: one chance for all."""

    intercept: float
    slope: float

    def apply(self, raw: PerRow) -> PerRow:
        """float64 (rows,); NaN stays NaN."""
        found: PerRow = 1.0 / (1.0 + np.exp(-(self.intercept + self.slope * _log_odds(raw))))
        return found


class ReturnLine(NamedTuple):
    """expected return = intercept + slope * (what chance and mean win and loss alone say)."""

    intercept: float
    slope: float

    def apply(self, said: PerRow) -> PerRow:
        """float64 (rows,); NaN stays NaN."""
        found: PerRow = self.intercept + self.slope * said
        return found


def fit_calibration(raw: PerRow, came: npt.NDArray[np.int8]) -> Calibration:
    """The logistic line through raw chances and outcomes (Platt 1999), its slope never negative.

    Parameters
    ----------
    raw : float64 (rows,)    chances of rows the model had not seen
    came : int8 (rows,)      1 where the trade earned something

    Notes
    -----
    A model without skill gets a slope near 0 and every chance near the share that earned. Outcomes
    count as Platt's (wins + 1) / (wins + 2) and 1 / (losses + 2), so that nothing runs to infinity.
    """
    wins = int(np.count_nonzero(came))
    high, low = (wins + 1.0) / (wins + 2.0), 1.0 / (len(came) - wins + 2.0)
    target = np.where(came > 0, high, low)
    share = float(target.mean())
    flat = Calibration(float(np.log(share / (1.0 - share))), 0.0)
    odds = _log_odds(raw)
    if np.ptp(odds) < _CLOSE_ENOUGH:
        return flat
    found = _newton(np.column_stack((np.ones(len(odds)), odds)), target)
    return Calibration(*found.tolist()) if found[1] > 0.0 else flat


def fit_return_line(said: PerRow, came: PerRow, cluster: Index) -> ReturnLine:
    """The least squares line of returns on what was expected of them, drawn towards flat.

    Parameters
    ----------
    said, came : float64 (rows,)    expected before, earned after; of rows the model had not seen
    cluster : int64 (rows,)         rows of one number (a day) may have come out alike

    Notes
    -----
    The slope is the estimate less one standard error, within 0..1: an expectation counts as far as
    it is more than luck. The error allows for rows of a cluster moving together (Liang & Zeger 1986).
    With slope 0 every entry is expected to earn the mean of all.
    """
    mean_said, mean_came = float(said.mean()), float(came.mean())
    apart = said - mean_said
    spread = float(apart @ apart)
    if spread < _CLOSE_ENOUGH:
        return ReturnLine(mean_came, 0.0)
    slope = float(apart @ (came - mean_came)) / spread
    missed = apart * (came - mean_came - slope * apart)
    _, place = np.unique(cluster, return_inverse=True)
    error = float(np.sqrt((np.bincount(place, missed) ** 2).sum())) / spread
    kept = min(max(slope - error, 0.0), 1.0)
    return ReturnLine(mean_came - kept * mean_said, kept)


def _newton(columns: npt.NDArray[np.float64], target: PerRow) -> PerRow:
    """Coefficients of the likeliest logistic line."""
    found = np.zeros(columns.shape[1])
    for _ in range(_STEPS):
        chance = 1.0 / (1.0 + np.exp(-(columns @ found)))
        weight = chance * (1.0 - chance)
        step = np.linalg.solve((columns.T * weight) @ columns, columns.T @ (target - chance))
        found = found + step
        if np.abs(step).max() < _CLOSE_ENOUGH:
            break
    return found


def _log_odds(raw: PerRow) -> PerRow:
    inside = np.clip(raw, _FLOOR, 1.0 - _FLOOR)
    found: PerRow = np.log(inside / (1.0 - inside))
    return found
