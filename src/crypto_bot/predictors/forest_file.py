"""`forest.npz`: a forest as plain arrays in a zip of npy files; the same model gives the same bytes."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from crypto_bot.core.errors import ModelError
from crypto_bot.predictors.trees import AVERAGE, TreeEnsemble

FOREST_FILE = "forest.npz"
SIZE_LIMIT_BYTES = 1 << 31
"""Of all arrays together once unpacked; a forest beyond it wants a smaller depth."""
_FORMAT = "crypto-bot forest 1"
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_COMPRESSION_LEVEL = 1
_ARRAYS: dict[str, tuple[str, int]] = {
    "roots": ("<i4", 1),
    "feature": ("<i4", 1),
    "threshold": ("<f8", 1),
    "children": ("<i4", 2),
    "missing": ("|u1", 1),
    "leaf_values": ("<f8", 2),
    "mean": ("<f8", 1),
    "scale": ("<f8", 1),
    "schema": ("|u1", 1),
}
"""Name -> dtype and axes; `schema` is the UTF-8 JSON of format, feature names and classes."""


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
    encoded = np.frombuffer(json.dumps(schema, sort_keys=True).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, (dtype, _) in _ARRAYS.items():
            array = encoded if name == "schema" else getattr(ensemble, name)
            _write_array(archive, name, np.ascontiguousarray(array, dtype=dtype))
    return buffer.getvalue()


def read_forest(content: bytes) -> tuple[TreeEnsemble, tuple[str, ...], tuple[int, ...]]:
    """The ensemble, feature names and classes of forest.npz.

    Raises ModelError when the bytes are damaged, unpack to more than SIZE_LIMIT_BYTES, or hold
    anything but the arrays of a forest. Nothing in the file is ever executed.
    """
    try:
        arrays = _read_arrays(content)
        schema = json.loads(arrays.pop("schema").tobytes())
        names, classes = _schema(schema)
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        ValueError,
        KeyError,
        EOFError,
        OSError,
        OverflowError,
        NotImplementedError,
        RuntimeError,
        MemoryError,
    ) as error:
        raise ModelError(f"{FOREST_FILE} must be an intact forest, was not: {error}") from error
    ensemble = TreeEnsemble(
        **arrays, link=AVERAGE, classes=len(classes), steepness=1.0, is_float32=True
    )
    return ensemble, names, classes


def _write_array(archive: zipfile.ZipFile, name: str, array: npt.NDArray[Any]) -> None:
    entry = zipfile.ZipInfo(f"{name}.npy", date_time=_ZIP_EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    content = io.BytesIO()
    np.lib.format.write_array(content, array, version=(1, 0), allow_pickle=False)
    archive.writestr(entry, content.getvalue(), compresslevel=_COMPRESSION_LEVEL)


def _read_arrays(content: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if sorted(entries) != sorted(f"{name}.npy" for name in _ARRAYS):
            raise ValueError(f"its members are {sorted(entries)}")
        size = sum(entry.file_size for entry in entries.values())
        if size > SIZE_LIMIT_BYTES:
            raise ValueError(f"it unpacks to {size} bytes, more than {SIZE_LIMIT_BYTES}")
        return {name: _read_array(archive, name) for name in _ARRAYS}


def _read_array(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    """One npy member; its stated shape must account for every byte before anything is built."""
    wanted, axes = _ARRAYS[name]
    data = archive.read(f"{name}.npy")
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"{name} has npy version {version}")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    count = 1
    for length in shape:
        count *= length
    start = stream.tell()
    if dtype != np.dtype(wanted) or is_fortran or len(shape) != axes:
        raise ValueError(f"{name} is {dtype} with {len(shape)} axes")
    if min(shape) < 0 or count * dtype.itemsize != len(data) - start:
        raise ValueError(f"{name} states shape {shape} for {len(data) - start} bytes")
    return np.frombuffer(data, dtype=dtype, offset=start).reshape(shape)


def _schema(schema: Any) -> tuple[tuple[str, ...], tuple[int, ...]]:
    if not isinstance(schema, Mapping) or schema["format"] != _FORMAT:
        raise ValueError("its format is not ours")
    names, classes = tuple(schema["feature_names"]), tuple(schema["classes"])
    if not all(isinstance(name, str) for name in names):
        raise ValueError("feature names are not text")
    if not all(isinstance(label, int) for label in classes):
        raise ValueError("classes are not whole numbers")
    return names, classes
