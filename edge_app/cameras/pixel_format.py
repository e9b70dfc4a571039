"""The camera formats that are understood: names and codes of the GenICam PFNC. Standard library.

Source: GenICam Pixel Format Naming Convention 2.4 and its value list; Aravis' and pylon's own
constants are compared with this table in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Packing = Literal["bytes", "words", "bits", "gev"]
"""bytes: 8 bit a sample. words: 16 bit little-endian, value in the low bits. bits: samples follow
each other bit by bit (`p` formats). gev: GigE Vision's own `Packed`: two samples in three bytes,
the high eight bits of each in the outer two."""

Layout = (
    Literal["mono", "bayer_rg", "bayer_gr", "bayer_gb", "bayer_bg", "rgb", "bgr", "bgra"]
    | (Literal["rgba", "yuyv", "uyvy"])
)


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """One format.

    Attributes:
        name: as PFNC writes it.
        code: PFNC's 32-bit value.
        bits: significant bits of a sample.
        packing: see Packing.
        layout: what the samples are; `bayer_rg`: the first row begins red, green.
    """

    name: str
    code: int
    bits: int
    packing: Packing
    layout: Layout

    @property
    def samples(self) -> int:
        """Samples per pixel as stored."""
        return {"rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4, "yuyv": 2, "uyvy": 2}.get(self.layout, 1)

    @property
    def bits_per_pixel(self) -> int:
        """Bits a pixel takes in memory; PFNC writes them into its code."""
        return (self.code >> 16) & 0xFF


_BAYER = ("GR", "RG", "GB", "BG")


def _bayer(suffix: str, codes: tuple[int, ...], bits: int, packing: Packing) -> list[PixelFormat]:
    return [
        PixelFormat(f"Bayer{tile}{suffix}", code, bits, packing, f"bayer_{tile.lower()}")  # type: ignore[arg-type]
        for tile, code in zip(_BAYER, codes, strict=True)
    ]


_ALL = (
    PixelFormat("Mono8", 0x01080001, 8, "bytes", "mono"),
    PixelFormat("Mono10", 0x01100003, 10, "words", "mono"),
    PixelFormat("Mono12", 0x01100005, 12, "words", "mono"),
    PixelFormat("Mono16", 0x01100007, 16, "words", "mono"),
    PixelFormat("Mono10p", 0x010A0046, 10, "bits", "mono"),
    PixelFormat("Mono12p", 0x010C0047, 12, "bits", "mono"),
    PixelFormat("Mono10Packed", 0x010C0004, 10, "gev", "mono"),
    PixelFormat("Mono12Packed", 0x010C0006, 12, "gev", "mono"),
    *_bayer("8", (0x01080008, 0x01080009, 0x0108000A, 0x0108000B), 8, "bytes"),
    *_bayer("10", (0x0110000C, 0x0110000D, 0x0110000E, 0x0110000F), 10, "words"),
    *_bayer("12", (0x01100010, 0x01100011, 0x01100012, 0x01100013), 12, "words"),
    *_bayer("16", (0x0110002E, 0x0110002F, 0x01100030, 0x01100031), 16, "words"),
    *_bayer("10p", (0x010A0056, 0x010A0058, 0x010A0054, 0x010A0052), 10, "bits"),
    *_bayer("12p", (0x010C0057, 0x010C0059, 0x010C0055, 0x010C0053), 12, "bits"),
    *_bayer("10Packed", (0x010C0026, 0x010C0027, 0x010C0028, 0x010C0029), 10, "gev"),
    *_bayer("12Packed", (0x010C002A, 0x010C002B, 0x010C002C, 0x010C002D), 12, "gev"),
    PixelFormat("RGB8", 0x02180014, 8, "bytes", "rgb"),
    PixelFormat("BGR8", 0x02180015, 8, "bytes", "bgr"),
    PixelFormat("RGBa8", 0x02200016, 8, "bytes", "rgba"),
    PixelFormat("BGRa8", 0x02200017, 8, "bytes", "bgra"),
    PixelFormat("YUV422_8", 0x02100032, 8, "bytes", "yuyv"),
    PixelFormat("YUV422_8_UYVY", 0x0210001F, 8, "bytes", "uyvy"),
)

PIXEL_FORMATS = {known.name: known for known in _ALL}

_BY_CODE = {known.code: known.name for known in _ALL}

VENDOR_BIT = 0x80000000
"""Pylon marks its own formats so, and with them the `p` ones that PFNC has since taken in."""


def name_of_code(code: int) -> str:
    """Return a format's name; an unknown one comes back as its hexadecimal code."""
    return _BY_CODE.get(code & ~VENDOR_BIT, f"0x{code:08X}")


def stride_of(pixel_format: str, width: int, padding: int) -> int:
    """Return the bytes from row to row of a transport that tells the padding behind each row.

    Returns:
        0 where there is none: then rows follow each other bit by bit.
    """
    known = PIXEL_FORMATS.get(pixel_format)
    if known is None or padding <= 0:
        return 0
    return -(-width * known.bits_per_pixel // 8) + padding
