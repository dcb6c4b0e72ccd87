"""How much of an ONNX file is not numbers, found before a parser builds an object for every field.

Two bytes of the wire format can make an object of a hundred. Only the fields on the way to a
constant's raw bytes are looked at: model (7 graph), graph (5 initializer), tensor (9 raw data).
Source: protobuf.dev, "Encoding"; onnx.proto.
"""

from __future__ import annotations

from crypto_bot.core.errors import ModelError

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_MOST_VARINT_BYTES = 10
_MOST_FIELDS = 10_000
_PATH = (_GRAPH, _INITIALIZER, _RAW_DATA)


def overhead(content: bytes) -> int:
    """Bytes that are not the raw data of a constant of the graph.

    Raises ModelError where the bytes are no fields, or are more fields than a network of ours has.
    """
    numbers = 0
    fields = 0
    waiting = [(0, len(content), 0)]
    while waiting:
        at, end, depth = waiting.pop()
        while at < end:
            fields += 1
            if fields > _MOST_FIELDS:
                raise _no_network(f"it has more than {_MOST_FIELDS} fields")
            tag, at = _varint(content, at, end)
            start, stop = _value(content, at, end, tag & 7)
            if tag & 7 == _LENGTH and tag >> 3 == _PATH[depth]:
                if depth == len(_PATH) - 1:
                    numbers += stop - start
                else:
                    waiting.append((start, stop, depth + 1))
            at = stop
    return len(content) - numbers


def _value(content: bytes, at: int, end: int, kind: int) -> tuple[int, int]:
    """Where a field's content starts and stops."""
    if kind == _VARINT:
        return at, _varint(content, at, end)[1]
    if kind == _LENGTH:
        length, at = _varint(content, at, end)
    elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
        length = 8 if kind == _EIGHT_BYTES else 4
    else:
        raise _no_network(f"byte {at} begins a field of kind {kind}")
    if length > end - at:
        raise _no_network(f"a field at byte {at} is cut")
    return at, at + length


def _varint(content: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for k, byte in enumerate(content[at : min(end, at + _MOST_VARINT_BYTES)]):
        value |= (byte & 127) << (7 * k)
        if byte < 128:
            return value, at + k + 1
    raise _no_network(f"a number at byte {at} has no end")


def _no_network(reason: str) -> ModelError:
    return ModelError(f"lstm.onnx must be an intact LSTM of ours, was not: {reason}")
