"""Plain arrays and their schema in a zip of npy files: one format for every model that is not a text.

The same arrays give the same bytes, `numpy.load(allow_pickle=False)` opens them, and nothing read is
ever executed.
"""

from __future__ import annotations

import io
import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from crypto_bot.core.errors import ModelError

SIZE_LIMIT_BYTES = 1 << 30
"""Of all arrays together once unpacked."""
_FREE_BYTES, _MOST_RATIO = 1 << 24, 64
"""A file may unpack to this much, and to this many times its size: beyond it packs nothing useful."""
_END, _END_MARK = struct.Struct("<4s4H2LH"), b"PK\5\6"
_END_64_BYTES, _END_64_MARK = 20, b"PK\6\7"
_MOST_DIRECTORY_BYTES = 256
_PREFIX_BYTES = 10
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(..)\{'descr': '([<>|][A-Za-z][0-9]{0,2})', 'fortran_order': False, "
    rb"'shape': \((\d{1,18}(?:, \d{1,18})*),?\), \} *\n",
    re.DOTALL,
)
"""What `numpy.lib.format` writes; nothing else is evaluated."""
SCHEMA = "schema"
_SCHEMA_KIND = ("|u1", 1)
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_COMPRESSION_LEVEL = 1
Layout = Mapping[str, tuple[str, int]]
"""Name -> dtype and number of axes, in the order of the file; `schema` comes last by itself."""


def write_arrays(arrays: Mapping[str, Any], layout: Layout, schema: Mapping[str, Any]) -> bytes:
    """The bytes of a file with these arrays; `schema` is kept as JSON and names the format."""
    encoded = np.frombuffer(json.dumps(schema, sort_keys=True).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, (dtype, _) in layout.items():
            _write_array(archive, name, np.ascontiguousarray(arrays[name], dtype=dtype))
        _write_array(archive, SCHEMA, encoded)
    return buffer.getvalue()


def read_arrays(
    content: bytes, *, file: str, kind: str, layout: Layout, limit: int = SIZE_LIMIT_BYTES
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays and the schema of a file whose schema says `format: kind`.

    Raises ModelError, naming `file`, when the bytes are damaged, unpack to more than `limit` bytes,
    or hold anything but the arrays of the layout.
    """
    wanted = {**layout, SCHEMA: _SCHEMA_KIND}
    try:
        arrays = _read_all(content, wanted, limit)
        schema = json.loads(arrays.pop(SCHEMA).tobytes())
        if not isinstance(schema, dict) or schema.get("format") != kind:
            raise ValueError("its format is not ours")
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
        RecursionError,
    ) as error:
        raise not_intact(file, kind, str(error)) from error
    return arrays, schema


def read_names(schema: Mapping[str, Any], name: str, file: str, kind: str) -> tuple[str, ...]:
    """A list of text of the schema. ModelError if it is anything else."""
    return _listed(schema, name, str, "text", file, kind)


def read_labels(schema: Mapping[str, Any], name: str, file: str, kind: str) -> tuple[int, ...]:
    """A list of whole numbers of the schema. ModelError if it is anything else."""
    return _listed(schema, name, int, "whole numbers", file, kind)


def not_intact(file: str, kind: str, fault: str) -> ModelError:
    """The error for a file that is not what it should be."""
    what = kind.removeprefix("crypto-bot ").rstrip("0123456789 ")
    return ModelError(f"{file} must be an intact {what}, was not: {fault}")


def _listed(
    schema: Mapping[str, Any], name: str, of: type, words: str, file: str, kind: str
) -> tuple[Any, ...]:
    found = schema.get(name)
    if not isinstance(found, list) or not all(type(each) is of for each in found):
        raise not_intact(file, kind, f"{name.replace('_', ' ')} are not {words}")
    return tuple(found)


def _write_array(archive: zipfile.ZipFile, name: str, array: npt.NDArray[Any]) -> None:
    entry = zipfile.ZipInfo(f"{name}.npy", date_time=_ZIP_EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    content = io.BytesIO()
    np.lib.format.write_array(content, array, version=(1, 0), allow_pickle=False)
    archive.writestr(entry, content.getvalue(), compresslevel=_COMPRESSION_LEVEL)


def _read_all(content: bytes, layout: Layout, limit: int) -> dict[str, Any]:
    _check_directory(content, len(layout))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if sorted(entries) != sorted(f"{name}.npy" for name in layout):
            raise ValueError(f"its members are {sorted(entries)}")
        size = sum(entry.file_size for entry in entries.values())
        most = min(limit, _FREE_BYTES + _MOST_RATIO * len(content))
        if size > most:
            raise ValueError(f"it unpacks to {size} bytes, more than {most}")
        return {
            name: _read_array(_unpacked(archive, entries[f"{name}.npy"]), name, *kind)
            for name, kind in layout.items()
        }


def _check_directory(content: bytes, members: int) -> None:
    """Refuse a directory larger than ours before the zip reader builds one object a member."""
    end = content[-_END.size :]
    if len(end) != _END.size:
        raise ValueError("it is too short")
    mark, *_, here, total, size, _, comment = _END.unpack(end)
    is_64 = content[-_END.size - _END_64_BYTES :].startswith(_END_64_MARK)
    if mark != _END_MARK or comment or is_64:
        raise ValueError("it does not end as a zip file does")
    if here != members or total != members or size > members * _MOST_DIRECTORY_BYTES:
        raise ValueError(f"it states {total} members in {size} bytes, not {members}")


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """A member's stated bytes and no more, whatever its stream would unpack to."""
    if entry.compress_type not in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        raise ValueError(f"{entry.filename} is packed in another way")
    with archive.open(entry) as stream:
        return stream.read(entry.file_size)


def _read_array(data: bytes, name: str, wanted: str, axes: int) -> npt.NDArray[Any]:
    """One npy member; its stated shape must account for every byte before anything is built."""
    match = _HEADER.match(data)
    if match is None:
        raise ValueError(f"{name} has no npy header of ours")
    length, descr, digits = match.groups()
    start = match.end()
    if int.from_bytes(length, "little") + _PREFIX_BYTES != start:
        raise ValueError(f"{name} has an npy header of another length")
    shape = tuple(map(int, digits.split(b",")))
    if descr.decode() != wanted or len(shape) != axes:
        raise ValueError(f"{name} is {descr.decode()} with {len(shape)} axes")
    dtype = np.dtype(wanted)
    if math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError(f"{name} states shape {shape} for {len(data) - start} bytes")
    return np.frombuffer(data, dtype=dtype, offset=start).reshape(shape)
