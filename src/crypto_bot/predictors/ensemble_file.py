"""`ensemble.npz`: who is asked and with what weight; the members' own files lie beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crypto_bot.predictors.array_file import read_arrays, read_labels, read_names, write_arrays
from crypto_bot.predictors.composite import Member, described, read_members

ENSEMBLE_FILE = "ensemble.npz"
_FORMAT = "crypto-bot ensemble 1"
_LAYOUT: dict[str, tuple[str, int]] = {"weights": ("<f8", 1)}


class EnsembleFile(NamedTuple):
    """What the file says; a stack's last model is the last of `members`."""

    members: tuple[Member, ...]
    weights: npt.NDArray[np.float64]
    feature_names: tuple[str, ...]
    classes: tuple[int, ...]


def write_ensemble(
    members: Sequence[Member],
    weights: npt.NDArray[np.float64],
    feature_names: Sequence[str],
    classes: Sequence[int],
) -> bytes:
    """The bytes of ensemble.npz."""
    schema = {
        "format": _FORMAT,
        "members": described(members),
        "feature_names": list(feature_names),
        "classes": [int(label) for label in classes],
    }
    return write_arrays({"weights": weights}, _LAYOUT, schema)


def read_ensemble(content: bytes) -> EnsembleFile:
    """What ensemble.npz says. ModelError when the bytes are damaged."""
    arrays, schema = read_arrays(content, file=ENSEMBLE_FILE, kind=_FORMAT, layout=_LAYOUT)
    return EnsembleFile(
        members=read_members(schema, "members", ENSEMBLE_FILE, _FORMAT),
        weights=arrays["weights"],
        feature_names=read_names(schema, "feature_names", ENSEMBLE_FILE, _FORMAT),
        classes=read_labels(schema, "classes", ENSEMBLE_FILE, _FORMAT),
    )
