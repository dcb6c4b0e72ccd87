"""Weights of averages over the last N values: half a Gaussian, and a fractional difference."""

from __future__ import annotations

import numpy as np

from crypto_bot.core.arrays import PerBar

TOLERANCE = 1e-4
"""The first weight of a fractional difference smaller than this ends its window."""


def gaussian_weights(window: int) -> PerBar:
    """float64 (window,), newest first: half a Gaussian of width window / 4, adding up to 1."""
    weights = np.exp(-0.5 * (4.0 * np.arange(window) / window) ** 2)
    scaled: PerBar = weights / weights.sum()
    return scaled


def fractional_weights(order: float) -> PerBar:
    """float64 (window,), newest first: of (1 - lag operator)^order, adding up to 0.

    The binomial series w_0 = 1, w_k = w_{k-1} (k - 1 - order) / k (Hosking 1981), cut where it falls
    below `TOLERANCE` (the fixed-width window of Lopez de Prado 2018, chapter 5). What is cut off is
    laid on the oldest value, as if the series had been still before it; the book drops it, which
    leaves a share of the price's level in the difference.

    >>> fractional_weights(0.4)[:3].round(4).tolist(), len(fractional_weights(0.4))
    ([1.0, -0.4, -0.12], 282)
    """
    weights = [1.0]
    while abs(weights[-1]) >= TOLERANCE:
        k = len(weights)
        weights.append(weights[-1] * (k - 1 - order) / k)
    whole = np.array(weights[:-1])
    whole[-1] -= whole.sum()
    return whole
