"""Packed formats with padding behind their rows, against a decoder that reads bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from edge_app.cameras.pixel_format import PIXEL_FORMATS, stride_of
from edge_app.cameras.raw_to_bgr import bgr_of_raw

PACKED = [name for name in PIXEL_FORMATS if name.endswith(("p", "Packed"))]
WIDTHS = (1, 2, 3, 5, 8, 13, 66)
H = 5


def high_byte(row: bytes, name: str, x: int) -> int:
    """Return sample `x` of a row, its eight high bits, by PFNC's drawings of the formats."""
    bits = 10 if "10" in name else 12
    if name.endswith("p"):  # the first sample's lowest bit is the first byte's lowest
        value = 0
        for i in range(bits):
            at = x * bits + i
            value |= (row[at // 8] >> (at % 8) & 1) << i
        return value >> (bits - 8)
    pair, second = divmod(x, 2)  # GigE Vision: high byte, both low parts, high byte
    return row[3 * pair + 2 * second]


def row_bytes(name: str, w: int) -> int:
    return -(-w * ((10 if "10" in name else 12) if name.endswith("p") else 12) // 8)


@pytest.mark.parametrize("padding", [0, 1, 3, 10, 64])
@pytest.mark.parametrize("name", PACKED)
def test_every_packed_format_with_padded_rows(name: str, padding: int) -> None:
    """Random bytes in rows of any width and padding give what the slow decoder reads."""
    rng = np.random.default_rng(padding)
    for w in WIDTHS:
        stride = row_bytes(name, w) + padding
        data = rng.integers(0, 256, H * stride, dtype=np.uint8).tobytes()
        mosaic = np.array(
            [[high_byte(data[y * stride :], name, x) for x in range(w)] for y in range(H)], np.uint8
        )
        plain = "Mono8" if name.startswith("Mono") else name[:7] + "8"
        if plain != "Mono8" and w < 3:
            continue  # no colour is interpolated in so narrow a mosaic
        expected = bgr_of_raw(mosaic.tobytes(), (H, w), 0, plain)
        for sent in (data, data[: len(data) - padding]):  # the last padding may be missing
            assert (bgr_of_raw(sent, (H, w), stride, name) == expected).all(), (w, len(sent))


@pytest.mark.parametrize("name", PACKED)
def test_rows_without_padding_go_on_inside_a_byte(name: str) -> None:
    """Stride 0: the next row begins at the next bit, also where a row ends inside a byte."""
    if not name.startswith("Mono"):
        name = f"Mono{name[7:]}"
    rng = np.random.default_rng(1)
    for w in (3, 5, 13):
        data = rng.integers(0, 256, row_bytes(name, w * H) + 2, dtype=np.uint8).tobytes()
        values = [high_byte(data, name, i) for i in range(w * H)]
        bgr = bgr_of_raw(data, (H, w), 0, name)
        assert bgr[:, :, 0].reshape(-1).tolist() == values


def test_padding_becomes_a_stride() -> None:
    """13 samples of 12 bits take 19.5 bytes: with 2 bytes of padding rows are 22 bytes apart."""
    assert stride_of("Mono12p", 13, 2) == 22
    assert stride_of("Mono8", 13, 3) == 16
    assert stride_of("Mono12p", 13, 0) == 0
    assert stride_of("0x12345678", 13, 2) == 0
