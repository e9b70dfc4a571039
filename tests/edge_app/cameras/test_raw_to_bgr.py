"""Every camera format against pictures made by hand or by another implementation."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from edge_app.cameras.isolation.process import python_with
from edge_app.cameras.pixel_format import PIXEL_FORMATS, PixelFormat, name_of_code
from edge_app.cameras.raw_to_bgr import bgr_of_raw
from edge_app.errors import FrameCorrupt
from edge_app.records import U8Array

HW = (6, 10)


def values_of(known: PixelFormat, hw: tuple[int, int]) -> np.ndarray:
    """Return (h, w) samples over the format's whole range."""
    return np.random.default_rng(7).integers(0, 1 << known.bits, hw).astype(np.uint16)


def packed(known: PixelFormat, values_hw: np.ndarray) -> bytes:
    """Pack samples by the convention's text, one bit at a time: slow and plain."""
    samples = [int(v) for v in values_hw.reshape(-1)]
    if known.packing == "bytes":
        return bytes(samples)
    if known.packing == "words":
        return b"".join(v.to_bytes(2, "little") for v in samples)
    if known.packing == "bits":
        whole = sum(v << (known.bits * i) for i, v in enumerate(samples))
        return whole.to_bytes(-(-len(samples) * known.bits // 8), "little")
    out = b""
    low = known.bits - 8
    for first, second in zip(samples[::2], samples[1::2], strict=True):
        nibbles = (first & ((1 << low) - 1)) | (second & ((1 << low) - 1)) << 4
        out += bytes([first >> low, nibbles, second >> low])
    return out


@pytest.mark.parametrize("name", [n for n, f in PIXEL_FORMATS.items() if f.layout == "mono"])
def test_mono_keeps_the_high_eight_bits(name: str) -> None:
    """Every grey format gives each sample's high byte in all three channels."""
    known = PIXEL_FORMATS[name]
    values = values_of(known, HW)
    bgr = bgr_of_raw(packed(known, values), HW, 0, name)
    expected = (values >> (known.bits - 8)).astype(np.uint8)
    assert (bgr == expected[:, :, None]).all()


@pytest.mark.parametrize("name", [n for n in PIXEL_FORMATS if n.startswith("Bayer")])
def test_colour_filter_gives_the_colours_back(name: str) -> None:
    """A flat orange seen through any filter, at any depth, comes back orange inside."""
    known = PIXEL_FORMATS[name]
    level = {"R": 200, "G": 100, "B": 20}
    tile = known.layout.removeprefix("bayer_").upper()
    swapped = {"R": "B", "B": "R", "G": "G"}
    rows = (tile, swapped[tile[1]] + swapped[tile[0]])  # green lies crosswise
    mosaic = np.array([[level[rows[y % 2][x % 2]] for x in range(10)] for y in range(6)])
    data = packed(known, mosaic.astype(np.uint16) << (known.bits - 8))
    bgr = bgr_of_raw(data, HW, 0, name)
    assert (bgr[2:-2, 2:-2] == (20, 100, 200)).all()


@pytest.mark.parametrize(
    ("name", "pixel"),
    [
        ("RGB8", (30, 20, 10)),
        ("BGR8", (10, 20, 30)),
        ("RGBa8", (30, 20, 10, 255)),
        ("BGRa8", (10, 20, 30, 255)),
    ],
)
def test_colour_order_is_blue_first(name: str, pixel: tuple[int, ...]) -> None:
    """Whatever the camera's order, blue is the first channel and alpha is gone."""
    bgr = bgr_of_raw(bytes(pixel) * 60, HW, 0, name)
    assert (bgr == (10, 20, 30)).all()
    assert bgr.shape == (6, 10, 3)


@pytest.mark.parametrize(("name", "pair"), [("YUV422_8", (90, 128)), ("YUV422_8_UYVY", (128, 90))])
def test_yuv_without_colour_is_grey(name: str, pair: tuple[int, int]) -> None:
    """A neutral YUV picture is grey: (90 - 16) x 255 / 219 = 86."""
    bgr = bgr_of_raw(bytes(pair) * 60, HW, 0, name)
    assert np.abs(bgr.astype(int) - 86).max() <= 1


@pytest.mark.parametrize("name", ["Mono8", "Mono12", "BGR8"])
def test_padding_between_rows_is_left_out(name: str) -> None:
    """A stride larger than the row skips the camera's padding."""
    known = PIXEL_FORMATS[name]
    values = values_of(known, (3, 5 * known.samples))
    rows = [packed(known, row) + b"\xaa\xaa\xaa" for row in values]
    padded = bgr_of_raw(b"".join(rows)[:-3], (3, 5), len(rows[0]), name)
    assert (padded == bgr_of_raw(packed(known, values), (3, 5), 0, name)).all()


@pytest.mark.parametrize("hw", [(1, 1), (1, 3), (3, 1), (5, 3)])
def test_odd_sizes_are_whole(hw: tuple[int, int]) -> None:
    """One pixel, one row, one column and odd products survive bit packing."""
    known = PIXEL_FORMATS["Mono12p"]
    values = values_of(known, hw)
    bgr = bgr_of_raw(packed(known, values), hw, 0, "Mono12p")
    assert (bgr[:, :, 0] == values >> 4).all()


def test_result_keeps_nothing_of_the_buffer() -> None:
    """The pixels stay when the camera's buffer is used again."""
    data = bytearray(b"\x07" * 180)
    bgr: U8Array = bgr_of_raw(memoryview(data), HW, 30, "BGR8")
    data[:] = b"\xff" * 180
    assert (bgr == 7).all()


@pytest.mark.parametrize(
    ("length", "hw", "stride", "name"),
    [
        (59, HW, 10, "Mono8"),
        (60, HW, 9, "Mono8"),
        (60, (0, 10), 10, "Mono8"),
        (89, HW, 0, "Mono12p"),
        (0, HW, 0, "BayerRG8"),
    ],
)
def test_half_a_frame_is_refused(length: int, hw: tuple[int, int], stride: int, name: str) -> None:
    """Too few bytes, too short rows and no rows at all are told with the numbers."""
    with pytest.raises(FrameCorrupt, match=f"{name} need .* {length} came"):
        bgr_of_raw(bytes(length), hw, stride, name)


def test_every_code_says_its_bits() -> None:
    """The table's codes carry the number of bits their packing takes."""
    bits = {"bytes": 8, "words": 16}
    for known in PIXEL_FORMATS.values():
        stored = bits.get(known.packing, known.bits if known.packing == "bits" else 12)
        assert known.bits_per_pixel == stored * known.samples, known.name
        assert name_of_code(known.code) == known.name
    assert name_of_code(0x810C0047) == "Mono12p"
    assert name_of_code(0x12345678) == "0x12345678"


# pylon crashes at import where the warnings about its SWIG types are errors.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.needs("the extra basler")
def test_codes_agree_with_pylon() -> None:
    """Basler's own constants have the same values as the table."""
    from pypylon import pylon

    names = {"RGB8": "RGB8packed", "BGR8": "BGR8packed", "BGRa8": "BGRA8packed"}
    names |= {"YUV422_8": "YUV422_YUYV_Packed", "YUV422_8_UYVY": "YUV422packed"}
    compared = 0
    for known in PIXEL_FORMATS.values():
        short = known.name.replace("Packed", "packed")
        code = getattr(pylon, "PixelType_" + names.get(known.name, short), None)
        if code is not None:
            assert code & 0x7FFFFFFF == known.code, known.name
            compared += 1
    assert compared >= 30


@pytest.mark.needs("Aravis")
def test_codes_agree_with_aravis() -> None:
    """Aravis' own constants have the same values as the table."""
    program = (
        "import gi; gi.require_version('Aravis', '0.8')\n"
        "from gi.repository import Aravis\n"
        "for n in dir(Aravis):\n"
        "    if n.startswith('PIXEL_FORMAT_'): print(n[13:], getattr(Aravis, n))\n"
    )
    python = python_with("gi")
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    lines = [line.replace("_", "").split() for line in done.stdout.splitlines()]
    codes = {name: int(code) for name, code in lines}
    named = [known for known in PIXEL_FORMATS.values() if known.name.upper() in codes]
    assert len(named) >= 25
    assert [codes[k.name.upper()] & 0xFFFFFFFF for k in named] == [k.code for k in named]
