"""Protobuf of ONNX files, made by hand: what the onnx package would not write."""

from __future__ import annotations


def number(field: int, value: int) -> bytes:
    """Return a varint field."""
    return varint(field << 3) + varint(value)


def message(field: int, *parts: bytes) -> bytes:
    """Return a length-delimited field."""
    content = b"".join(parts)
    return varint(field << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


LOCATION = message(13, message(1, b"location"), message(2, b"/etc/passwd"))
"""TensorProto.external_data."""

EXTERNAL = message(1, b"\x01") + LOCATION + number(14, 1)


def model(*graph: bytes) -> bytes:
    """Return a ModelProto with that graph."""
    return number(1, 8) + message(7, *graph)


def node(*attribute: bytes) -> bytes:
    """Return a NodeProto with one attribute."""
    return message(4, b"Constant") + message(5, message(1, b"value"), *attribute)


def external_graphs() -> dict[str, bytes]:
    """Return an ONNX file for every place where a tensor may point at another file."""
    body = message(5, EXTERNAL)
    return {
        "an initializer": model(body),
        "an initializer by its location alone": model(message(5, number(14, 1))),
        "an initializer by its path alone": model(message(5, LOCATION)),
        "a constant": model(message(1, node(message(5, EXTERNAL)))),
        "a list of constants": model(message(1, node(message(10, EXTERNAL)))),
        "a branch": model(message(1, node(message(6, body)))),
        "one of several branches": model(message(1, node(message(11, body)))),
        "a sparse initializer": model(message(15, message(1, EXTERNAL))),
        "a sparse initializer's indices": model(message(15, message(2, EXTERNAL))),
        "a sparse constant": model(message(1, node(message(22, message(1, EXTERNAL))))),
        "a list of sparse constants": model(message(1, node(message(23, message(1, EXTERNAL))))),
        "a function": model() + message(25, message(7, node(message(5, EXTERNAL)))),
        "a function's default": model() + message(25, message(11, message(5, EXTERNAL))),
        "a training graph": model() + message(20, message(1, body)),
        "a second half of the graph": model() + message(7, body),
    }
