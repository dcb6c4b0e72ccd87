"""Partial dependence: what a model says on average when one feature is set to one value everywhere.

Source: Friedman 2001, "Greedy function approximation"; single rows: Goldstein et al. 2015 (ICE).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crypto_bot.core import Predictor
from crypto_bot.core.arrays import PerBarFeature, PerRow, PerRowClass
from crypto_bot.core.errors import DataError

_TAIL = 0.02
"""Share of the rows beyond either end of the grid: out there one would draw single rows."""


@dataclass(frozen=True, eq=False)
class PartialDependence:
    """One feature moved over its range, all others as they were.

    Attributes
    ----------
    feature : str
    grid : float64 (points,)                  ascending, at quantiles of the rows
    mean : float64 (points, classes)          mean probability over the rows
    single : float64 (lines, points)          of the last class, one line a row
    """

    feature: str
    grid: PerRow
    mean: PerRowClass
    single: npt.NDArray[np.float64]


def quantile_grid(values: PerRow, points: int) -> PerRow:
    """Distinct quantiles from 2 % to 98 %, ascending; fewer where values repeat."""
    return np.unique(np.quantile(values, np.linspace(_TAIL, 1.0 - _TAIL, points)))


def partial_dependence(
    predictor: Predictor,
    features: PerBarFeature,
    name: str,
    grid: PerRow,
    *,
    single_rows: int = 0,
) -> PartialDependence:
    """Move one feature over a grid.

    Parameters
    ----------
    predictor : Predictor                     reads `name`
    features : float64 (rows, features)       rows the model never learned from, its schema
    grid : float64 (points,)                  finite

    Raises
    ------
    DataError    if the predictor does not read the feature, or there are no rows

    Notes
    -----
    Rows are asked about combinations that the market may never show (RSI 90 after a fall): where
    features hang together, read the curve as the model's habit and not as the market's.
    """
    if name not in predictor.feature_names or not len(features):
        raise DataError(
            f"feature must be one the model reads and rows some, were {name} and {len(features)} rows"
        )
    column = predictor.feature_names.index(name)
    moved = np.repeat(features[None], len(grid), axis=0)
    moved[:, :, column] = grid[:, None]
    said = predictor.predict_proba(moved.reshape(-1, features.shape[1]))
    said = said.reshape(len(grid), len(features), -1)
    chosen = np.linspace(0, len(features) - 1, min(single_rows, len(features))).astype(np.int64)
    return PartialDependence(
        name, grid, said.mean(axis=1), np.ascontiguousarray(said[:, chosen, -1].T)
    )
