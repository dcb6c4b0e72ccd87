"""`linear.npz`: a scaled logistic model as plain arrays; the same model gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence

from crypto_bot.predictors.array_file import read_arrays, read_labels, read_names, write_arrays
from crypto_bot.predictors.linear import LinearModel

LINEAR_FILE = "linear.npz"
_FORMAT = "crypto-bot linear model 1"
_LAYOUT: dict[str, tuple[str, int]] = {
    "mean": ("<f8", 1),
    "scale": ("<f8", 1),
    "coefficients": ("<f8", 2),
    "intercepts": ("<f8", 1),
    "columns": ("<i8", 1),
}


def write_linear(model: LinearModel, feature_names: Sequence[str], classes: Sequence[int]) -> bytes:
    """The bytes of linear.npz, which `numpy.load(allow_pickle=False)` opens too."""
    schema = {
        "format": _FORMAT,
        "feature_names": list(feature_names),
        "classes": [int(label) for label in classes],
    }
    return write_arrays(model._asdict(), _LAYOUT, schema)


def read_linear(content: bytes) -> tuple[LinearModel, tuple[str, ...], tuple[int, ...]]:
    """The arrays, feature names and classes of linear.npz. ModelError when the bytes are damaged."""
    arrays, schema = read_arrays(content, file=LINEAR_FILE, kind=_FORMAT, layout=_LAYOUT)
    names = read_names(schema, "feature_names", LINEAR_FILE, _FORMAT)
    return LinearModel(**arrays), names, read_labels(schema, "classes", LINEAR_FILE, _FORMAT)
