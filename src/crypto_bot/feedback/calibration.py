"""Are the probabilities still worth what validation said? Brier score and log-loss of live decisions."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from crypto_bot.core.arrays import PerBarTime, PerRow
from crypto_bot.core.errors import DataError
from crypto_bot.feedback.evidence import CalibrationEvidence

FEWEST_BLOCKS = 10
"""Blocks of time without a shared label that a standard error needs."""
DEVIATIONS = 2.33
"""Standard errors by which a score must be worse: once in 100 by chance."""


@dataclass(frozen=True)
class CalibrationDecay:
    """Live scores beside validation's.

    Attributes
    ----------
    rows : int                          decisions with probabilities whose label is known
    brier, promised_brier : float
    log_loss, promised_log_loss : float | None
    reliability : float                 mean squared gap of promise and outcome over tenths of
                                        probability: the part of the Brier score that is miscalibration
    standard_error : float | None       of `brier`, from blocks of time; None from too few
    """

    rows: int
    brier: float
    promised_brier: float
    log_loss: float
    promised_log_loss: float | None
    reliability: float
    standard_error: float | None

    @property
    def decay(self) -> float:
        """Live Brier score less the promised one: positive is worse."""
        return self.brier - self.promised_brier

    def has_decayed(self, threshold: float) -> bool:
        """Worse by more than `threshold`, and by more than chance explains."""
        if self.standard_error is None:
            return False
        return self.decay > threshold and self.decay > DEVIATIONS * self.standard_error


def calibration_decay(evidence: CalibrationEvidence) -> CalibrationDecay | None:
    """Score live probabilities against the labels that came; None without a scored row.

    Rows with NaN probabilities are left out. As in validation's scores, the Brier score of two classes
    is of the upper alone, of more it is summed over the classes.

    Raises
    ------
    DataError    if shapes differ, or a label is no class of the model
    """
    probabilities, labels = evidence.probabilities, evidence.labels
    classes = np.array(evidence.classes)
    if probabilities.shape != (len(labels), len(classes)) or len(evidence.time_ns) != len(labels):
        raise DataError(
            f"probabilities must be ({len(labels)}, {len(classes)}), was {probabilities.shape}"
        )
    if not np.isin(labels, classes).all():
        raise DataError(f"labels must be among the classes {evidence.classes}, another was there")
    known = np.isfinite(probabilities).all(axis=1)
    if not known.any():
        return None
    promised, truth = probabilities[known], labels[known][:, None] == classes
    squares = (promised - truth) ** 2
    brier = squares[:, 1] if len(classes) == 2 else squares.sum(axis=1)
    given = np.clip((promised * truth).sum(axis=1), 1e-15, 1.0)
    return CalibrationDecay(
        rows=int(known.sum()),
        brier=float(brier.mean()),
        promised_brier=evidence.promised_brier,
        log_loss=float(-np.log(given).mean()),
        promised_log_loss=evidence.promised_log_loss,
        reliability=_reliability(promised, truth),
        standard_error=block_error(evidence.time_ns[known], brier, 2 * evidence.horizon_ns),
    )


def block_error(time_ns: PerBarTime, values: PerRow, block_ns: int) -> float | None:
    """Standard error of the mean of rows that depend on each other, from blocks of time.

    Parameters
    ----------
    time_ns : int64 (rows,)
    values : float64 (rows,)
    block_ns : int              at least this long, so that few rows depend on another block's

    Returns
    -------
    float | None    None from fewer than 10 blocks with rows
    """
    # Longer blocks where there is time enough: neighbours that resemble each other stay together.
    span = int(np.ptp(time_ns)) if len(time_ns) else 0
    length = max(1, block_ns, span // (4 * FEWEST_BLOCKS))
    _, block = np.unique(time_ns // length, return_inverse=True)
    count = int(block.max()) + 1 if len(block) else 0
    if count < FEWEST_BLOCKS:
        return None
    sums = np.bincount(block, values - values.mean())
    return sqrt(float((sums**2).sum()) * count / (count - 1)) / len(values)


def _reliability(promised: np.ndarray, truth: np.ndarray) -> float:
    counted = range(1, 2) if promised.shape[1] == 2 else range(promised.shape[1])
    total = 0.0
    for column in counted:
        tenth = np.minimum((promised[:, column] * 10).astype(np.int64), 9)
        rows = np.bincount(tenth, minlength=10)
        gaps = np.bincount(tenth, promised[:, column] - truth[:, column], minlength=10)
        total += float((gaps**2 / np.maximum(rows, 1)).sum())
    return total / len(promised)
