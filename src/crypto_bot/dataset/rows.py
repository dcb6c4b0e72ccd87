"""`Dataset`: labelled rows in time order, with every dropped bar counted and the reason named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import Index, Mask, PerBarFeature, PerRow
from crypto_bot.core.errors import DataError

ARRAYS = (
    "features",
    "labels",
    "weights",
    "decided_at_ns",
    "label_end_ns",
    "bar_index",
    "symbol_index",
)
"""Fields with one entry a row."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows to learn from, sorted by `decided_at_ns`, then symbol.

    Attributes
    ----------
    features : float64 (rows, features)   finite, read-only
    feature_names : tuple of str          ordered schema
    labels : int8 (rows,)                 one of `classes`
    weights : float64 (rows,)             how much each row counts in training; 1 unless told
    classes : tuple of int                every label there can be, ascending
    decided_at_ns : int64 (rows,)         close time of the bar, UTC ns: features are known then
    label_end_ns : int64 (rows,)          when the label became known: purge by this
    bar_index : int64 (rows,)             row's position in the bars of its symbol
    symbol_index : int64 (rows,)          position in `symbols`
    symbols : tuple of str                sorted
    timeframe : str
    label_definition : dict
    fingerprint : str                     sha256 of the bars, features, labels and sampling
    dropped : dict                        reason -> bars that gave no row
    is_simulated : bool                   True if any bars are
    """

    features: PerBarFeature
    feature_names: tuple[str, ...]
    labels: npt.NDArray[np.int8]
    weights: PerRow
    classes: tuple[int, ...]
    decided_at_ns: Index
    label_end_ns: Index
    bar_index: Index
    symbol_index: Index
    symbols: tuple[str, ...]
    timeframe: str
    label_definition: dict[str, Any]
    fingerprint: str
    dropped: dict[str, int]
    is_simulated: bool

    def __post_init__(self) -> None:
        for name in ARRAYS:
            array = getattr(self, name)
            if len(array) != len(self.labels):
                raise DataError(f"{name} must have {len(self.labels)} rows, was {len(array)}")
            array.flags.writeable = False
        if (np.diff(self.decided_at_ns) < 0).any():
            raise DataError("decided_at_ns must not decrease, did; sort the rows by time")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Index | Mask) -> Dataset:
        """The rows of an ascending index or a mask; data identity and drop counts stay.

        Rows that lie side by side are not copied: like the dataset's own they are read-only.
        """
        rows = _side_by_side(index, len(self))
        return replace(self, **{name: getattr(self, name)[rows] for name in ARRAYS})

    def weighed(self) -> Dataset:
        """The same rows, their weights brought to a mean of 1.

        Older rows alone weigh next to nothing under a half-life: a penalty would then win over
        everything they say. The same dataset where the mean is 1 already, or nothing weighs.
        """
        mean = float(self.weights.mean()) if len(self) else 1.0
        return self if mean in (0.0, 1.0) else replace(self, weights=self.weights / mean)

    def columns(self, names: Sequence[str]) -> Dataset:
        """The same rows with only the named features, in that order. DataError for an unknown one."""
        lacking = [name for name in names if name not in self.feature_names]
        if lacking or not names:
            raise DataError(
                f"features must be among the dataset's {len(self.feature_names)}, "
                f"lacked {', '.join(lacking) or 'all: none was named'}"
            )
        place = [self.feature_names.index(name) for name in names]
        return replace(
            self,
            features=np.ascontiguousarray(self.features[:, place]),
            feature_names=tuple(names),
        )

    def class_counts(self) -> dict[int, int]:
        """Label -> rows, for every possible class."""
        return {label: int(np.count_nonzero(self.labels == label)) for label in self.classes}


def _side_by_side(index: Index | Mask, rows: int) -> slice | Index | Mask:
    """A slice where the index or mask of so many rows has no holes, else what was given."""
    if index.dtype == np.bool_ and index.shape != (rows,):
        return index
    places = np.flatnonzero(index) if index.dtype == np.bool_ else index
    if places.ndim != 1 or not len(places) or places[0] < 0 or places[-1] >= rows:
        return index
    first, last = int(places[0]), int(places[-1])
    has_holes = last - first + 1 != len(places) or bool((np.diff(places) != 1).any())
    return index if has_holes else slice(first, last + 1)
