"""What every predictor checks of the names it is given and of the rows it is asked about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from crypto_bot.core.arrays import PerBarFeature, PerRow
from crypto_bot.core.errors import ModelError

MOST_FEATURES, MOST_CLASSES = 100_000, 1_000
"""Far above any use; a file that states more only wants memory."""


class Scaler(NamedTuple):
    """`(x - mean) / scale` per feature, float64 (features,)."""

    mean: PerRow
    scale: PerRow


def check_schema(
    feature_names: Sequence[str], classes: Sequence[int]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Both as tuples. ModelError for none or a doubled feature, or classes not ascending."""
    if len(feature_names) > MOST_FEATURES or len(classes) > MOST_CLASSES:
        raise ModelError(
            f"model must have at most {MOST_FEATURES} features and {MOST_CLASSES} classes, "
            f"had {len(feature_names)} and {len(classes)}"
        )
    names, labels = tuple(feature_names), tuple(int(label) for label in classes)
    if len(set(names)) != len(names) or not names:
        raise ModelError(f"feature_names must differ from each other, were {names}")
    if list(labels) != sorted(set(labels)) or len(labels) < 2:
        raise ModelError(f"classes must be at least two ascending labels, were {labels}")
    return names, labels


def as_matrix(features: PerBarFeature, width: int) -> PerBarFeature:
    """Contiguous float64 (rows, width). ModelError for another width: no column is ever guessed."""
    matrix = np.ascontiguousarray(features, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] != width:
        raise wrong_shape("features", matrix, f"(rows, {width})")
    return matrix


def as_values(values: PerRow, width: int) -> PerRow:
    """Contiguous float64 (width,), one row. ModelError for anything else."""
    if values.shape != (width,) or values.dtype != np.float64:
        raise wrong_shape("values", values, f"({width},)")
    return np.ascontiguousarray(values)


def wrong_shape(name: str, values: Any, wanted: str) -> ModelError:
    """The error for rows that are not the model's."""
    return ModelError(f"{name} must be float64 {wanted}, was {values.dtype} {values.shape}")
