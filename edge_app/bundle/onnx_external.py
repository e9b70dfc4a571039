"""Whether an ONNX file refers to other files; checked without the onnx package.

ONNX Runtime and TensorRT open such paths relative to wherever they run: a signed graph could read
any file of the device. Field numbers are those of onnx.proto3 (IR version 10). Where a lenient
parser could read something else, this one refuses.
"""

from __future__ import annotations

from typing import Literal

from edge_app.errors import BundleError

Kind = Literal["model", "training", "function", "graph", "node", "attribute", "sparse", "tensor"]

_INSIDE: dict[Kind, dict[int, Kind]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""What may hold a tensor, field number → what lies there."""

_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_ORT_FORMAT = b"ORTM"
"""At offset 4: ONNX Runtime would read the bytes as its own format instead of as protobuf."""

_MAX_DEPTH = 64
"""Three times the nesting of graphs in graphs; protobuf itself stops at 100."""


def check_self_contained(data: bytes, name: str, label: str) -> None:
    """Return if the ONNX file holds all its tensors itself.

    Args:
        data: the whole file.
        name: of the member, for messages.
        label: names the bundle in messages.

    Raises:
        BundleError: it names another file, or is not an ONNX file.
    """
    if data[4:8] == _ORT_FORMAT:
        raise BundleError(f"Bundle {label} refused: {name} is in ORT format; expected ONNX.")
    try:
        is_external = _names_files(data, 0, len(data), "model", 0)
    except _Malformed as error:
        raise BundleError(
            f"Bundle {label} refused: {name} is not an ONNX file: {error}."
        ) from error
    if is_external:
        raise BundleError(
            f"Bundle {label} refused: {name} keeps tensors in other files (external data). "
            "Export the graph with everything inside."
        )


class _Malformed(ValueError):
    """The bytes are not valid protobuf."""


def _names_files(data: bytes, at: int, end: int, kind: Kind, depth: int) -> bool:
    """Tell whether the message from `at` to `end` has a tensor in another file."""
    if depth > _MAX_DEPTH:
        raise _Malformed(f"graphs are nested more than {_MAX_DEPTH} levels deep")
    inside, is_tensor = _INSIDE[kind], kind == "tensor"
    while at < end:
        tag, at = _varint(data, at, end, 5)
        field, wire = tag >> 3, tag & 7
        if tag > 0xFFFFFFFF or field == 0:
            raise _Malformed(f"a field has the number {field}")
        if wire == _VARINT:
            value, at = _varint(data, at, end, 10)
            if is_tensor and (field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value)):
                return True
            continue
        length, at = _length(data, at, end, field, wire)
        if is_tensor and field in (_EXTERNAL_DATA, _DATA_LOCATION):
            return True
        if field in inside and _names_files(data, at, at + length, inside[field], depth + 1):
            return True
        at += length
    return False


def _length(data: bytes, at: int, end: int, field: int, wire: int) -> tuple[int, int]:
    """Return how many bytes a field that is no number has, and where they begin."""
    if wire == _LENGTH:
        length, at = _varint(data, at, end, 5)
    elif wire in (_FIXED32, _FIXED64):
        length = 4 if wire == _FIXED32 else 8
    else:
        raise _Malformed(f"field {field} has the wire type {wire}")
    if length > end - at:
        raise _Malformed(f"field {field} is cut off")
    return length, at


def _varint(data: bytes, at: int, end: int, max_bytes: int) -> tuple[int, int]:
    """Return the number at `at` and the position behind it."""
    if at < end and data[at] < 0x80:  # of one byte, as nearly all are
        return data[at], at + 1
    value = 0
    for index, byte in enumerate(data[at : min(at + max_bytes, end)]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise _Malformed("a number is cut off or too long")
