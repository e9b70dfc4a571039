"""What a picture file says of itself before anything is decoded. No file is opened here.

Size, depth and channels bound the memory that decoding takes; orientation, pages and the kind of
values are what readers treat differently. jpg, png, bmp, tif and webp; HEIC is told by name only.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

JPEG, PNG, BMP, TIFF, WEBP, HEIC = "jpg", "png", "bmp", "tif", "webp", "heic"
CMYK, MIN_WHITE = "cmyk", "min-is-white"

_EXIF_START = b"Exif\0\0"
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_TAG_BITS, _TAG_PHOTOMETRIC, _TAG_ORIENTATION, _TAG_SAMPLES = 258, 262, 274, 277
_TAG_WIDTH, _TAG_HEIGHT, _TAG_EXTRA_SAMPLES = 256, 257, 338
_STRAIGHT_ALPHA, _MULTIPLIED_ALPHA = 2, 1
_SIZES = {1: 1, 3: 2, 4: 4, 16: 8}
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
_MAX_PAGES = 10_000
"""A file's own numbers never decide how long a loop is."""


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """The first page of a picture file.

    Attributes:
        file_format: one of JPEG, PNG, BMP, TIFF, WEBP, HEIC.
        hw: (height, width) in pixels as stored, before any turning; (0, 0) for HEIC.
        channels: samples per pixel, alpha included.
        bits: of one sample.
        orientation: EXIF's, 1 (as stored) to 8.
        pages: pages or pictures in the file.
        values: what they stand for: CMYK (printing colours), MIN_WHITE (grey whose 0 is white,
            TIFF), or "".
        plain: TIFF bytes whose tags no longer have a decoder turn it or multiply by alpha.
    """

    file_format: str
    hw: tuple[int, int]
    channels: int = 3
    bits: int = 8
    orientation: int = 1
    pages: int = 1
    values: str = ""
    plain: bytes | None = None


def read_header(encoded: bytes) -> PictureHeader | None:
    """Return what the start of a file says, or None where it is none of these formats, or torn."""
    try:
        if encoded.startswith(b"\xff\xd8"):
            return _jpeg(encoded)
        if encoded.startswith(b"\x89PNG\r\n\x1a\n"):
            return _png(encoded)
        if encoded.startswith(b"BM"):
            return _bmp(encoded)
        if encoded[:2] in (b"II", b"MM"):
            return _tiff(encoded)
        if encoded.startswith(b"RIFF") and encoded[8:12] == b"WEBP":
            return _webp(encoded)
        if encoded[4:8] == b"ftyp" and encoded[8:12] in _HEIC_BRANDS:
            return PictureHeader(HEIC, (0, 0))
    except (struct.error, IndexError):
        return None
    return None


def _jpeg(encoded: bytes) -> PictureHeader | None:
    orientation, at = 1, 2
    while at + 4 <= len(encoded) and encoded[at] == 0xFF:
        marker = encoded[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        length = int.from_bytes(encoded[at + 2 : at + 4], "big")
        body = at + 4
        if marker == 0xE1 and encoded[body : body + 6] == _EXIF_START:
            orientation = _orientation(encoded[body + 6 : at + 2 + length])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, h, w, channels = struct.unpack_from(">BHHB", encoded, body)
            if h == 0 or w == 0:
                return None
            return PictureHeader(
                JPEG, (h, w), channels, bits, orientation, values=CMYK if channels == 4 else ""
            )
        at += 2 + length
    return None


def _png(encoded: bytes) -> PictureHeader | None:
    w, h, bits, colour = struct.unpack_from(">IIBB", encoded, 16)
    channels = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}.get(colour)
    if encoded[12:16] != b"IHDR" or channels is None or not h or not w:
        return None
    orientation = 1
    at = 8
    while at + 8 <= len(encoded) and encoded[at + 4 : at + 8] != b"IEND":
        length = int.from_bytes(encoded[at : at + 4], "big")
        if encoded[at + 4 : at + 8] == b"eXIf":
            orientation = _orientation(encoded[at + 8 : at + 8 + length])
        at += 12 + length
    return PictureHeader(PNG, (h, w), channels, bits, orientation)


def _bmp(encoded: bytes) -> PictureHeader | None:
    (header,) = struct.unpack_from("<I", encoded, 14)
    if header == 12:
        w, h, _, bits = struct.unpack_from("<HHHH", encoded, 18)
    else:
        w, h, _, bits = struct.unpack_from("<iiHH", encoded, 18)
    channels = 4 if bits == 32 else 3
    return PictureHeader(BMP, (abs(h), w), channels) if w > 0 and h != 0 else None


def _webp(encoded: bytes) -> PictureHeader | None:
    orientation, hw, channels = 1, None, 3
    at = 12
    while at + 8 <= len(encoded):
        kind, length = struct.unpack_from("<4sI", encoded, at)
        body = encoded[at + 8 : at + 8 + min(length, 1 << 20)]
        if kind == b"VP8X":
            w, h = (int.from_bytes(body[n : n + 3], "little") + 1 for n in (4, 7))
            hw, channels = (h, w), 4 if body[0] & 0x10 else 3
        elif kind == b"VP8 " and hw is None:
            w, h = struct.unpack_from("<HH", body, 6)
            hw = (h & 0x3FFF, w & 0x3FFF)
        elif kind == b"VP8L" and hw is None:
            (packed,) = struct.unpack_from("<I", body, 1)
            hw, channels = ((packed >> 14 & 0x3FFF) + 1, (packed & 0x3FFF) + 1), 4
        elif kind == b"EXIF":
            orientation = _orientation(body.removeprefix(_EXIF_START))
        at += 8 + length + length % 2
    return PictureHeader(WEBP, hw, channels, orientation=orientation) if hw and all(hw) else None


@dataclass(frozen=True, slots=True)
class _Entry:
    """One tag of a TIFF folder: its first value, how many there are, and where they lie."""

    value: int
    count: int
    value_at: int
    size: int


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a TIFF counts: byte order, and the codes of folder counts and of offsets."""

    order: str
    count: str
    offset: str
    first_at: int

    def number(self, encoded: bytes, at: int, code: str) -> int:
        (value,) = struct.unpack_from(self.order + code, encoded, at)
        return int(value)


def _layout(encoded: bytes) -> _Layout | None:
    order = {b"II": "<", b"MM": ">"}.get(encoded[:2])
    version = encoded[2:4] if order == "<" else encoded[3:1:-1]
    if order is None or version not in (b"*\0", b"+\0"):
        return None
    return _Layout(order, "H", "I", 4) if version == b"*\0" else _Layout(order, "Q", "Q", 8)


def _tiff(encoded: bytes) -> PictureHeader | None:
    layout = _layout(encoded)
    if layout is None:
        return None
    tags, following = _folder(encoded, layout)
    if _TAG_WIDTH not in tags or _TAG_HEIGHT not in tags:
        return None
    photometric = _first(tags, _TAG_PHOTOMETRIC, 1)
    channels = _first(tags, _TAG_SAMPLES, 1)
    return PictureHeader(
        TIFF,
        (tags[_TAG_HEIGHT].value, tags[_TAG_WIDTH].value),
        max(channels, 3 if photometric == 3 else 1),
        _first(tags, _TAG_BITS, 1),
        _known_orientation(_first(tags, _TAG_ORIENTATION, 1)),
        _pages(encoded, layout, following),
        values={5: CMYK, 0: MIN_WHITE}.get(photometric, ""),
        plain=_plain_tiff(encoded, tags, layout),
    )


def _folder(encoded: bytes, layout: _Layout) -> tuple[dict[int, _Entry], int]:
    """Return the tags of a TIFF's first page, and where the second one is described (0: none)."""
    at = layout.number(encoded, layout.first_at, layout.offset)
    count = layout.number(encoded, at, layout.count)
    word, head = struct.calcsize(layout.offset), struct.calcsize("<" + layout.count)
    entry_bytes = 4 + 2 * word
    if at + head + count * entry_bytes + word > len(encoded):
        raise struct.error("the folder of tags lies outside the file")
    tags = {}
    for number in range(count):
        entry = at + head + entry_bytes * number
        tag, kind = (layout.number(encoded, entry + n, "H") for n in (0, 2))
        values = layout.number(encoded, entry + 4, layout.offset)
        size, value_at = _SIZES.get(kind, 0), entry + 4 + word
        if size * values > word:
            value_at = layout.number(encoded, value_at, layout.offset)
        if size:
            value = layout.number(encoded, value_at, _CODES[size])
            tags[tag] = _Entry(value, values, value_at, size)
    return tags, layout.number(encoded, at + head + entry_bytes * count, layout.offset)


def _first(tags: dict[int, _Entry], tag: int, default: int) -> int:
    return tags[tag].value if tag in tags else default


def _pages(encoded: bytes, layout: _Layout, following: int) -> int:
    pages, seen = 1, set()
    while following and following not in seen and pages < _MAX_PAGES:
        seen.add(following)
        pages += 1
        try:
            count = layout.number(encoded, following, layout.count)
            head, word = struct.calcsize("<" + layout.count), struct.calcsize(layout.offset)
            at = following + head + (4 + 2 * word) * count
            following = layout.number(encoded, at, layout.offset)
        except struct.error:
            break
    return pages


def _plain_tiff(encoded: bytes, tags: dict[int, _Entry], layout: _Layout) -> bytes | None:
    """Return the file with orientation 1 and alpha that no decoder multiplies with, or None."""
    changes = []
    turned, extra = tags.get(_TAG_ORIENTATION), tags.get(_TAG_EXTRA_SAMPLES)
    if turned is not None and turned.value != 1:
        changes.append((turned, 1))
    if extra is not None and extra.value == _STRAIGHT_ALPHA:
        changes.append((extra, _MULTIPLIED_ALPHA))
    if not changes:
        return None
    plain = bytearray(encoded)
    for entry, value in changes:
        struct.pack_into(layout.order + _CODES[entry.size], plain, entry.value_at, value)
    return bytes(plain)


def _orientation(tiff: bytes) -> int:
    """Return the orientation in EXIF data, 1 where there is none or it makes no sense."""
    layout = _layout(tiff)
    try:
        tags, _ = _folder(tiff, layout) if layout else ({}, 0)
    except struct.error:
        return 1
    return _known_orientation(_first(tags, _TAG_ORIENTATION, 1))


def _known_orientation(value: int) -> int:
    return value if 1 <= value <= 8 else 1
