"""Conformal sets: which classes cannot be ruled out for a row, and when to abstain.

Source: Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World" (2005), sections 2.2 and
4.5 (one threshold a class, so that each class is covered, not only all together).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import PerRowClass
from crypto_bot.core.errors import ConfigError, DataError

_LEAST = 1e-12
"""A threshold is never 0, which says 'no band': a class that is in every set still is."""
_ROUNDING = 1e-9
"""(1 - 0.8) x 10 is 2, whatever binary fractions make of it."""


def conformal_thresholds(
    labels: npt.NDArray[np.int8],
    probabilities: PerRowClass,
    classes: tuple[int, ...],
    coverage: float,
) -> dict[int, float]:
    """Least probability at which a class cannot be ruled out, by class.

    Parameters
    ----------
    labels : int8 (rows,)                       what came
    probabilities : float64 (rows, classes)     of rows the model never learned from
    coverage : float                            share of rows of a class whose set shall hold it, 0..1

    Returns
    -------
    label -> threshold    the floor((1 - coverage) (n + 1))-th smallest probability that the n rows of
                          the class gave to it; with too few rows for that, so low that the class is
                          always in the set

    Notes
    -----
    For rows drawn alike (exchangeable) a new row's set holds its class with at least the wanted
    coverage. Markets drift, so the promise weakens with the age of these rows.
    """
    if not 0.0 < coverage < 1.0:
        raise ConfigError(f"coverage must be between 0 and 1, was {coverage}")
    found = {}
    for k, label in enumerate(classes):
        given = np.sort(probabilities[labels == label, k])
        if not np.isfinite(given).all():
            raise DataError(f"probabilities of class {label} must be known, were NaN on some rows")
        rank = math.floor((1.0 - coverage) * (len(given) + 1) + _ROUNDING)
        found[label] = max(float(given[rank - 1]), _LEAST) if rank >= 1 else _LEAST
    return found


def conformal_sets(
    probabilities: PerRowClass, classes: tuple[int, ...], thresholds: Mapping[int, float]
) -> npt.NDArray[np.bool_]:
    """bool (rows, classes): True where the class cannot be ruled out; False where it is NaN."""
    limits = np.array([thresholds[label] for label in classes])
    return np.asarray(probabilities >= limits, dtype=np.bool_)


def band_thresholds(thresholds: Mapping[int, float]) -> dict[str, float]:
    """As a card keeps them: 'band_up' of class 1, 'band_down' of -1 (or of 0 where there is no -1), 'band_hold'."""
    has_hold = -1 in thresholds
    names = {1: "band_up", -1: "band_down", 0: "band_hold" if has_hold else "band_down"}
    unknown = sorted(set(thresholds) - set(names))
    if unknown or 1 not in thresholds:
        raise ConfigError(
            f"coverage must be for classes down, hold and up (-1, 0, 1) or 0 and 1, "
            f"was for {sorted(thresholds)}"
        )
    return {names[label]: limit for label, limit in sorted(thresholds.items())}
