"""A packaged ONNX graph with its weights in it, for an engine that cannot be handed them beside it.

The package onnx is needed to make graphs, not to run them, so the few fields in question are read here: a file is a
list of fields, each with a number and a length or a value (protobuf's wire format).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from streamseg.errors import ModelError

# Numbers of fields in onnx.proto.
_GRAPH, _INITIALIZER = 7, 5
_DIMS, _DATA_TYPE, _NAME, _RAW_DATA = 1, 2, 8, 9
_FLOAT = 1

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def with_weights(model: bytes, weights: Mapping[str, np.ndarray]) -> bytes:
    """An ONNX file whose weights lie elsewhere, with them inside.

    Args:
        model: the file.
        weights: float32, by name; each takes the place of the one of that name.

    Raises:
        ModelError: it is no such file.
    """
    try:
        return b"".join(
            _sized(_GRAPH, b"".join(_initialized(value, weights))) if number == _GRAPH else whole
            for number, value, whole in _fields(model)
        )
    except (IndexError, UnicodeDecodeError) as error:
        raise ModelError("a packaged ONNX graph is damaged; reinstall streamseg") from error


def _initialized(graph: bytes, weights: Mapping[str, np.ndarray]) -> Iterator[bytes]:
    for number, value, whole in _fields(graph):
        if number != _INITIALIZER or _name(value) not in weights:
            yield whole
    for name, weight in weights.items():
        yield _sized(_INITIALIZER, _tensor(name, weight))


def _tensor(name: str, weight: np.ndarray) -> bytes:
    dims = b"".join(_tag(_DIMS, _VARINT) + _varint(size) for size in weight.shape)
    kind = _tag(_DATA_TYPE, _VARINT) + _varint(_FLOAT)
    return dims + kind + _sized(_NAME, name.encode()) + _sized(_RAW_DATA, weight.astype("<f4", copy=False).tobytes())


def _name(tensor: bytes) -> str:
    return next((value.decode() for number, value, _ in _fields(tensor) if number == _NAME), "")


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(number, value, the whole field) of each; the value is empty if it is a number."""
    start = 0
    while start < len(message):
        tag, place = _read_varint(message, start)
        value = b""
        kind = tag & 7
        if kind == _VARINT:
            _, end = _read_varint(message, place)
        elif kind == _BYTES:
            size, place = _read_varint(message, place)
            end = place + size
            value = message[place:end]
        elif kind in (_FIXED64, _FIXED32):
            end = place + (8 if kind == _FIXED64 else 4)
        else:
            raise IndexError(kind)
        if end > len(message):
            raise IndexError(end)
        yield tag >> 3, value, message[start:end]
        start = end


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, place
        shift += 7


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _tag(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _sized(number: int, value: bytes) -> bytes:
    return _tag(number, _BYTES) + _varint(len(value)) + value
