"""A graph that points at other files is found without the onnx package."""

from __future__ import annotations

import pytest
from support.onnx_protobuf import external_graphs, message, model, number, varint
from support.small_bundles import GRAPHS

from edge_app.bundle.onnx_external import check_self_contained
from edge_app.errors import BundleError

TENSOR = message(1, b"\x01") + number(2, 1) + message(9, b"\0" * 4) + number(14, 0)
"""One float, stored inside."""


def check(data: bytes) -> None:
    check_self_contained(data, "inspector.onnx", "a.bundle")


@pytest.mark.parametrize("where", external_graphs())
def test_external_data_is_found_everywhere(where: str) -> None:
    """Wherever ONNX allows a tensor, one that lies in another file is refused."""
    with pytest.raises(BundleError, match="keeps tensors in other files"):
        check(external_graphs()[where])


@pytest.mark.parametrize("graph", sorted(GRAPHS.glob("*.onnx")), ids=lambda p: p.stem)
def test_ordinary_graphs_pass(graph: object) -> None:
    """Graphs as exporters write them hold everything themselves."""
    check(graph.read_bytes())  # type: ignore[attr-defined]


def test_tensors_inside_pass() -> None:
    """A tensor with its bytes inside is no external one, nor is an unknown field a problem."""
    check(model(message(5, TENSOR), message(99, b"whatever"), message(2, b"name")))


DEEP = message(5, TENSOR)
for _ in range(200):
    DEEP = message(1, message(5, message(6, DEEP)))


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("a cut off field", model()[:-1] + b"\x7f"),
        ("a cut off number", b"\xff"),
        ("a number without end", b"\x08" + b"\xff" * 11),
        ("a tag of more than 32 bits", varint((1 << 40) | 7 << 3 | 2) + b"\0"),
        ("a tag longer than it needs to be", b"\xba\x80\x80\x80\x80\x00\x00"),
        ("the field number nought", b"\x00\x00"),
        ("a group", varint(7 << 3 | 3)),
        ("a wire type that does not exist", varint(7 << 3 | 7)),
        ("a length beyond the file", varint(7 << 3 | 2) + varint(1 << 31)),
        ("a number beyond its tensor", model(message(5, b"\x70\x80"), message(2, b"name"))),
        ("a length beyond its tensor", model(message(5, b"\x4a\x03"), message(2, b"name"))),
        ("graphs in graphs without end", model(DEEP)),
    ],
)
def test_what_is_no_protobuf_is_refused(what: str, data: bytes) -> None:
    """Where a lenient parser could read something else, nothing is accepted."""
    with pytest.raises(BundleError, match="is not an ONNX file"):
        check(data)
