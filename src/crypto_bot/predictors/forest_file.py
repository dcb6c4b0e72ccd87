"""`forest.npz`: a forest as plain arrays in a zip of npy files; the same model gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crypto_bot.core.errors import ModelError
from crypto_bot.predictors.array_file import (
    not_intact,
    read_arrays,
    read_labels,
    read_names,
    write_arrays,
)
from crypto_bot.predictors.trees import AVERAGE, TreeEnsemble

FOREST_FILE = "forest.npz"
SIZE_LIMIT_BYTES = 1 << 30
"""Of all arrays together once unpacked; a forest beyond it wants a smaller depth."""
_FORMAT = "crypto-bot forest 1"
_LARGEST_ERROR = 1e-6
_LAYOUT: dict[str, tuple[str, int]] = {
    "roots": ("<i4", 1),
    "feature": ("<i4", 1),
    "threshold": ("<f8", 1),
    "children": ("<i4", 2),
    "missing": ("|u1", 1),
    "leaf_values": ("<f8", 2),
    "mean": ("<f8", 1),
    "scale": ("<f8", 1),
}


def write_forest(
    ensemble: TreeEnsemble, feature_names: Sequence[str], classes: Sequence[int]
) -> bytes:
    """The bytes of forest.npz, which `numpy.load(allow_pickle=False)` opens too."""
    if ensemble.link != AVERAGE or not ensemble.is_float32:
        raise ModelError(f"{FOREST_FILE} must hold a forest, was another kind of ensemble")
    schema = {
        "format": _FORMAT,
        "feature_names": list(feature_names),
        "classes": [int(label) for label in classes],
    }
    return write_arrays(ensemble._asdict(), _LAYOUT, schema)


def read_forest(content: bytes) -> tuple[TreeEnsemble, tuple[str, ...], tuple[int, ...]]:
    """The ensemble, feature names and classes of forest.npz.

    Raises ModelError when the bytes are damaged, unpack to more than SIZE_LIMIT_BYTES, or hold
    anything but the arrays of a forest. Nothing in the file is ever executed.
    """
    arrays, schema = read_arrays(
        content, file=FOREST_FILE, kind=_FORMAT, layout=_LAYOUT, limit=SIZE_LIMIT_BYTES
    )
    names = read_names(schema, "feature_names", FOREST_FILE, _FORMAT)
    classes = read_labels(schema, "classes", FOREST_FILE, _FORMAT)
    _check_leaves(arrays["leaf_values"])
    ensemble = TreeEnsemble(
        **arrays, link=AVERAGE, classes=len(classes), steepness=1.0, is_float32=True
    )
    return ensemble, names, classes


def _check_leaves(leaf_values: npt.NDArray[np.float64]) -> None:
    """A forest's answer is the mean of its leaves: each of them must be probabilities."""
    if not np.isfinite(leaf_values).all():
        raise not_intact(FOREST_FILE, _FORMAT, "leaf_values must be finite")
    sums = leaf_values.sum(axis=1)
    if (leaf_values < 0).any() or (np.abs(sums - 1.0) > _LARGEST_ERROR).any():
        raise not_intact(FOREST_FILE, _FORMAT, "leaf_values must be probabilities")
