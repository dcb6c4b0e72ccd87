"""Ways to damage, forge and inflate what a store holds. Everything follows from the given `Random`."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import numpy as np

from crypto_bot.predictors.lightgbm_text import seal_text

Files = dict[str, bytes]
NUMBERS = (
    "-1",
    "0",
    "1e999",
    "nan",
    "-inf",
    "1e308",
    "-1e308",
    "2147483648",
    "9" * 30,
    "9" * 5000,
    "0x10",
    "1_0",
    "",
    "é",
    "1 1",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1e308,
    -1e308,
    10**18,
    10**400,
    "",
    "../../etc/passwd",
    "x" * 50_000,
    "\ud800",
    [],
    {},
    [[]] * 2000,
    ["a", "a"],
    {"a": {"a": {}}},
)
RAW_JSON = (
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"[" + b"[]," * 60_000 + b"[]]",
    b'{"format": ' + b"9" * 100_000 + b"}",
    b'{"x": NaN}',
    b'{"x": 1e999}',
    b"\xff\xfe",
    b"",
    b"null",
    b'{"%s": 1}' % (b"k" * 100_000),
    b"{" + b",".join(b'"k%d": 1' % k for k in range(20_000)) + b"}",
)
_PACKINGS = (zipfile.ZIP_DEFLATED,) * 18 + (zipfile.ZIP_STORED, zipfile.ZIP_LZMA)
NAMES = (
    "../up.txt",
    "/etc/passwd",
    ".hidden",
    "a/b",
    "a\\b",
    "x.pkl",
    "é.txt",
    "a\x00b",
    "n" * 300,
)


def flipped(chance: Random, content: bytes) -> bytes:
    changed = bytearray(content or b"\x00")
    for _ in range(chance.randint(1, 8)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def cut(chance: Random, content: bytes) -> bytes:
    return content[: chance.randrange(len(content) or 1)]


def grown(chance: Random, content: bytes) -> bytes:
    return content + chance.randbytes(chance.randint(1, 200))


def doubled(chance: Random, content: bytes) -> bytes:
    """A piece of the content stands twice."""
    start, stop = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    return content[:stop] + content[start:]


def replaced(chance: Random, content: bytes) -> bytes:
    del content
    return chance.choice((*RAW_JSON, chance.randbytes(300), b"\x80\x04\x95", b"PK\x05\x06" * 6))


ANY_BYTES: tuple[Callable[[Random, bytes], bytes], ...] = (flipped, cut, grown, doubled, replaced)


def edited_json(chance: Random, content: bytes) -> bytes:
    """One value, key or number of a JSON file is another; it stays JSON."""
    values = json.loads(content)
    holder, key = _place(chance, values)
    what = chance.randrange(4)
    if what == 0:
        holder[key] = chance.choice(VALUES)
    elif what == 1:
        del holder[key]
    elif what == 2 and isinstance(holder, dict):
        holder[chance.choice(("extra", "", "../x", "k" * 10_000))] = chance.choice(VALUES)
    else:
        holder[key] = _nudged(chance, holder[key])
    return json.dumps(values).encode()


def edited_text(chance: Random, content: bytes) -> bytes:
    """A number, a line or a size of a LightGBM text is another; its seal is right again."""
    lines = content.decode().split("\n")
    lines = [line for line in lines if not line.startswith("sealed_sha256:")]
    k = chance.randrange(len(lines))
    key, mark, text = lines[k].partition("=")
    what = chance.randrange(6)
    if what == 0:
        del lines[k]
    elif what == 1:
        lines.insert(k, lines[chance.randrange(len(lines))])
    elif what == 2:
        lines[k] = f"{key}={' '.join(['1'] * 100_000)}"
    elif mark:
        parts = text.split(" ")
        for _ in range(chance.choice((1, 1, 3))):
            parts[chance.randrange(len(parts))] = chance.choice(
                (*NUMBERS, str(chance.randint(-5, 20)))
            )
        lines[k] = f"{key}={' '.join(parts)}"
    else:
        lines[k] = chance.choice((*NUMBERS, "Tree=0", "end of trees", "feature_names=a b"))
    text = "\n".join(lines)
    return seal_text(_measured(text) if chance.random() < 0.7 else text)


def edited_arrays(chance: Random, content: bytes) -> bytes:
    """An array, its header or the schema of an npz file is another; its checksums are right again."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    name = chance.choice(sorted(members))
    what = chance.randrange(12)
    if what == 0:
        del members[name]
    elif what == 1:
        members[chance.choice(("extra.npy", "../up.npy", "schema.npy/x"))] = members[name]
    elif what == 2:
        members[name] = _with_header(chance, members[name])
    elif what == 3:
        members[name] = flipped(chance, members[name])
    elif name == "schema.npy":
        members[name] = _as_npy(np.frombuffer(_edited_schema(chance, members[name]), np.uint8))
    else:
        members[name] = _as_npy(_edited_array(chance, np.load(io.BytesIO(members[name]))))
    return _zipped(members, chance.choice(_PACKINGS))


def bombed(chance: Random, content: bytes) -> bytes:
    """A member that unpacks to far more than the file, stated truly or not."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    name = chance.choice(sorted(members))
    header = members[name][: members[name].index(b"\n") + 1]
    members[name] = header + bytes(chance.choice((1 << 22, 1 << 25)))
    packed = bytearray(_zipped(members, chance.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))))
    if chance.random() < 0.5:
        start = packed.rindex(b"PK\x01\x02" if chance.random() < 0.5 else b"PK\x05\x06")
        packed[start + 8 : start + 12] = struct.pack("<L", chance.choice((0, 1, 1 << 31)))
        stated = packed.find(struct.pack("<L", len(members[name])), packed.index(b"PK\x01\x02"))
        if stated > 0:
            packed[stated : stated + 4] = struct.pack("<L", chance.choice((10, 1000)))
    return bytes(packed)


def edited_network(chance: Random, content: bytes) -> bytes:
    """A field of the ONNX file is another, or there are very many of them."""
    import onnx

    if chance.random() < 0.3:
        return content + chance.choice((b"\x3a\x00", b"\x0a\x00", b"\x72\x00")) * 100_000
    model = onnx.load_from_string(content)
    tensor = chance.choice(list(model.graph.initializer))
    what = chance.randrange(6)
    if what == 0:
        tensor.dims[0] = chance.choice((-1, 0, 2**40, 7))
    elif what == 1:
        tensor.raw_data = flipped(chance, tensor.raw_data)
    elif what == 2:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../etc/passwd")
    elif what == 3:
        model.graph.node.add(op_type=chance.choice(("Loop", "If", "Identity", "Evil")))
    elif what == 4:
        model.graph.node[chance.randrange(len(model.graph.node))].op_type = "Identity"
    else:
        tensor.name = chance.choice(("mean", "", "x" * 1000))
    return bytes(model.SerializeToString())


def edited(chance: Random, name: str, content: bytes) -> bytes:
    """A change that the parser of this file gets to see."""
    if name.endswith(".json"):
        return edited_json(chance, content)
    if name.endswith(".txt"):
        return edited_text(chance, content)
    if name.endswith(".onnx"):
        return edited_network(chance, content)
    return bombed(chance, content) if chance.random() < 0.06 else edited_arrays(chance, content)


def swapped(chance: Random, files: Mapping[str, bytes], strange: Mapping[str, bytes]) -> Files:
    """Two files change places, or one is another model's, gets another name or a companion."""
    changed = dict(files)
    name = chance.choice(sorted(changed))
    what = chance.randrange(5)
    if what == 0:
        other = chance.choice(sorted(changed))
        changed[name], changed[other] = changed[other], changed[name]
    elif what == 1:
        changed[name] = strange[chance.choice(sorted(strange))]
    elif what == 2:
        changed[f"0.{name}"] = changed.pop(name)
    elif what == 3:
        del changed[name]
    else:
        changed |= {f"{k}.{name}": changed[name] for k in range(chance.choice((1, 5, 60)))}
    return changed


def _place(chance: Random, values: Any) -> tuple[Any, Any]:
    """A container somewhere in the values, and one of its keys."""
    holder, key = {"": values}, ""
    while isinstance(holder[key], (dict, list)) and len(holder[key]):
        holder = holder[key]
        key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        if chance.random() < 0.3:
            break
    return holder, key


def _nudged(chance: Random, value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return chance.choice(VALUES)
    if isinstance(value, (int, float)):
        return value + chance.choice((-1, 1, 0.5, 10**6))
    if isinstance(value, str):
        return flipped(chance, value.encode()).decode("latin-1")
    return [value, value]


def _measured(text: str) -> str:
    """The text with the sizes of its trees as they are: the change is then in the tree itself."""
    head, _, rest = text.partition("\nTree=")
    body = f"Tree={rest}".partition("end of trees")[0]
    blocks = [f"Tree={part}" for part in body.split("Tree=")[1:]]
    sizes = " ".join(str(len(block.encode())) for block in blocks)
    lines = [
        f"tree_sizes={sizes}" if line.startswith("tree_sizes=") else line
        for line in head.split("\n")
    ]
    return "\n".join(lines) + text[len(head) :]


def _edited_schema(chance: Random, member: bytes) -> bytes:
    content = np.load(io.BytesIO(member)).tobytes()
    return chance.choice(RAW_JSON) if chance.random() < 0.2 else edited_json(chance, content)


def _edited_array(chance: Random, array: Any) -> Any:
    what = chance.randrange(7)
    if what == 0 or not array.size:
        return np.resize(array, chance.choice(((0,), (1,), (7,), (3, 2), (100_000,))))
    if what == 1:
        return array.astype(chance.choice(("<f4", "<i8", "|u1", "<c16")))
    if what == 2:
        return array[::-1].copy()
    changed = array.copy()
    if what >= 5:
        place = chance.randrange(array.size)
        near = (1.5, -1.0, 1.0 + 1e-12) if array.dtype.kind == "f" else (2, 3, 0)
        changed.flat[place] = np.asarray(changed.flat[place] * chance.choice(near), array.dtype)
        return changed
    is_float = array.dtype.kind == "f"
    values = (np.nan, np.inf, -np.inf, 1e308, -1e308, 0.0, -1.0, 5e-324) if is_float else (-1, 0, 1)
    limits = () if is_float else (np.iinfo(array.dtype).min, np.iinfo(array.dtype).max)
    value = chance.choice((*values, *limits))
    with np.errstate(all="ignore"):
        if what == 3:
            changed[...] = np.asarray(value).astype(array.dtype)
        else:
            changed.flat[chance.randrange(array.size)] = np.asarray(value).astype(array.dtype)
    return changed


def _with_header(chance: Random, member: bytes) -> bytes:
    shape = chance.choice(("(1125899906842624,)", "(-1,)", "(0, 99999999)", "()", "(((((1,)))))"))
    kind = chance.choice(("<f8", "|O", "<U999999999", "[('a', '<f8')]"))
    text = f"{{'descr': '{kind}', 'fortran_order': True, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + member[-20:]


def _as_npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=False)
    return out.getvalue()


def _zipped(members: Mapping[str, bytes], packing: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression=packing, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()
