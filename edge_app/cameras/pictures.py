"""Picture files → BGR pixels: the one reader of all commands, cameras and training.

- Orientation (EXIF in JPEG, PNG and WebP, the tag in TIFF) is applied: rows and columns are as a
  person sees them, and as label tools count them. A camera that writes none changes nothing.
- 16 bit becomes 8 bit by dropping the low byte (`>> 8`), never by the picture's own extremes:
  the same light gives the same grey level in every picture. Where no value reaches 4096 the file
  holds 12 bits and the low 4 are dropped (`>> 4`): a picture of 16 bits so dark would be black.
- Grey is repeated into three channels; an alpha channel is dropped, not blended; palettes and
  printing colours (CMYK) become BGR.
- Of a file with several pages the first counts.
- HEIC is read where pillow-heif is installed (extra `heic`).

Size and format are read from the file's first bytes before anything is decoded, and a picture that
would not fit into memory is refused. `load_picture` says which of these rules were used.
"""

from __future__ import annotations

import importlib
import logging
import os
import stat
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.errors import FrameCorrupt
from edge_app.host.memory import available_mb
from edge_app.imaging.picture_header import (
    CMYK,
    HEIC,
    JPEG,
    MIN_WHITE,
    PictureHeader,
    read_header,
)
from edge_app.records import U8Array

log = logging.getLogger(__name__)

_ALWAYS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")

HEIC_ENDINGS = (".heic", ".heif")
HOW_TO_READ_HEIC = "HEIC needs pillow-heif: pip install 'cropliq-edge[heic]'"

PICTURE_ENDINGS = (*_ALWAYS, *(HEIC_ENDINGS if find_spec("pillow_heif") else ()))
"""What is taken for a picture on this machine; compared in lower case."""

MAX_PIXELS = 250_000_000
MAX_FILE_BYTES = 2 << 30
_SMALL_PIXELS = 16_000_000
"""Smaller pictures are not compared with the memory that is free."""

TURNED = "an EXIF orientation, turned upright"
TWELVE_BITS = "12 bits in 16-bit files, read as such"
FIRST_PAGE = "several pages in the file, the first one read"
NO_ALPHA = "transparency, which is not used"
FROM_CMYK = "printing colours (CMYK), converted"

_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = 0xDA
_TWELVE_BIT_TOP = 4096

AnyArray = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class LoadedPicture:
    """A picture's pixels, and which rules were needed.

    Attributes:
        pixels_hwc: uint8 (h, w, 3), BGR, contiguous.
        notes: e.g. TURNED, TWELVE_BITS; each fits behind a number of pictures.
        bits: of one sample in the file.
    """

    pixels_hwc: U8Array
    notes: tuple[str, ...]
    bits: int


class NotesTold:
    """Logs each note of `LoadedPicture` once.

    Args:
        whose: what the pictures come from, e.g. `camera cam1`.
    """

    def __init__(self, whose: str) -> None:
        self._whose = whose
        self._told: set[str] = set()

    def tell(self, notes: tuple[str, ...]) -> None:
        for note in set(notes) - self._told:
            self._told.add(note)
            log.info("%s: pictures with %s", self._whose, note)


def read_picture(path: Path | str) -> U8Array:
    """Return a picture file's pixels by the rules at the top of this file.

    Args:
        path: jpg, png, bmp, tif or webp, HEIC where it can be read; 8 or 16 bit; grey, grey +
            alpha, colour, colour + alpha, palette, CMYK.

    Returns:
        uint8 (h, w, 3), BGR, contiguous.

    Raises:
        FrameCorrupt: not there, not readable, empty, truncated, too large for the memory, or not
            one of these formats. Flipped bits inside a JPEG that is complete are not noticed: the
            format has no checksum.
    """
    return load_picture(path).pixels_hwc


def load_picture(path: Path | str) -> LoadedPicture:
    """Return a picture file's pixels and what was done to them.

    Raises:
        FrameCorrupt: as `read_picture`.
    """
    path = Path(path)
    try:
        return _loaded(path)
    except (MemoryError, cv2.error, ValueError, OverflowError, RecursionError) as error:
        why = getattr(error, "err", "") or str(error) or "not enough memory"
        raise _corrupt(path, f"it cannot be decoded: {why}") from error


def _loaded(path: Path) -> LoadedPicture:
    header, decoded = _decoded(path)
    pixels, is_12_bit = _to_8_bit(decoded, header, path)
    has_alpha = decoded.ndim == 3 and decoded.shape[2] in (2, 4) and header.values != CMYK
    said = {
        TURNED: header.orientation != 1,
        TWELVE_BITS: is_12_bit,
        FIRST_PAGE: header.pages > 1,
        NO_ALPHA: has_alpha,
        FROM_CMYK: header.values == CMYK,
    }
    notes = tuple(note for note, is_so in said.items() if is_so)
    return LoadedPicture(_to_bgr(_upright(pixels, header.orientation)), notes, header.bits)


def read_values(path: Path | str) -> AnyArray:
    """Return the numbers in a picture file as they are, turned upright: what masks are read with.

    Returns:
        (h, w) or (h, w, channels) of the file's own dtype, alpha included.

    Raises:
        FrameCorrupt: as `read_picture`.
    """
    header, decoded = _decoded(Path(path))
    return _upright(decoded, header.orientation)


def _decoded(path: Path) -> tuple[PictureHeader, AnyArray]:
    encoded = _read_bytes(path)
    raw = encoded.tobytes()
    header = read_header(raw)
    if header is None:
        raise _corrupt(path, f"{len(raw)} bytes are no complete jpg, png, bmp, tif or webp")
    if header.file_format == HEIC:
        return header, _heic(raw, path)
    _refuse_too_large(header, path)
    if header.file_format == JPEG and not _jpeg_is_complete(raw):
        raise _corrupt(path, "the JPEG's end marker is missing: it was cut off while written")
    plain = encoded if header.plain is None else np.frombuffer(header.plain, np.uint8)
    try:
        # IMREAD_UNCHANGED keeps 16 bit; it ignores EXIF, and `plain` has no TIFF orientation left.
        decoded = cv2.imdecode(plain, cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError) as error:
        why = getattr(error, "err", "") or "not enough memory"
        raise _corrupt(path, f"OpenCV refuses it: {why}") from error
    if decoded is None:
        raise _corrupt(
            path, f"{encoded.size} bytes are no complete {header.file_format}, or damaged ones"
        )
    values = np.asarray(decoded)
    # OpenCV turns 8 bits round itself.
    is_negative = header.values == MIN_WHITE and values.dtype == np.uint16
    return header, np.invert(values) if is_negative else values


def _refuse_too_large(header: PictureHeader, path: Path) -> None:
    h, w = header.hw
    needed_mb = h * w * (header.channels * max(1, header.bits // 8) + 6) >> 20
    is_large = h * w > _SMALL_PIXELS
    free_mb = available_mb() if is_large else None
    if h * w > MAX_PIXELS or (free_mb is not None and needed_mb > free_mb / 2):
        raise _corrupt(
            path,
            f"its {w}×{h} pixels need {needed_mb} MB; allowed are {MAX_PIXELS // 1_000_000} "
            f"million pixels and half of the memory that is free ({free_mb or 'unknown'} MB)",
        )


def _heic(encoded: bytes, path: Path) -> AnyArray:
    """Return uint8 (h, w, 3) BGR; libheif turns it upright itself."""
    if find_spec("pillow_heif") is None:
        raise _corrupt(path, f"{HOW_TO_READ_HEIC}, or save it as JPEG or PNG")
    try:
        picture = importlib.import_module("pillow_heif").open_heif(
            encoded, convert_hdr_to_8bit=True
        )
        w, h = picture.size
        _refuse_too_large(PictureHeader(HEIC, (h, w)), path)
        values = np.asarray(picture)
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        raise _corrupt(path, f"pillow-heif refuses it: {error}") from error
    grey_or_rgb = values.reshape(h, w, -1)
    return np.ascontiguousarray(
        grey_or_rgb[:, :, [2, 1, 0]] if grey_or_rgb.shape[2] > 2 else values
    )


def _read_bytes(path: Path) -> U8Array:
    """Return the file's bytes; np.fromfile opens any name the file system knows, cv2 does not."""
    try:
        found = os.stat(path)  # noqa: PTH116 — a Path's own stat takes no bytes in its name
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise _corrupt(path, "it is no file but a pipe, socket or device")
        if found.st_size > MAX_FILE_BYTES:
            raise _corrupt(path, f"it has {found.st_size} bytes, at most {MAX_FILE_BYTES} are read")
        encoded = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise _corrupt(path, f"it cannot be read: {error.strerror or error}") from error
    if encoded.size == 0:
        raise _corrupt(path, "the file is empty (0 bytes)")
    return encoded


def _jpeg_is_complete(encoded: bytes) -> bool:
    """Tell whether an end marker follows the start of the picture's own scan.

    Segments before the scan are stepped over by their length: an EXIF thumbnail has end markers
    of its own. Older OpenCV decodes a cut JPEG half grey and only prints a warning.
    """
    at = 2
    while at + 4 <= len(encoded) and encoded[at] == 0xFF:
        marker = encoded[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == _JPEG_SCAN:
            return encoded.find(_JPEG_END, at) > 0
        at += 2 + int.from_bytes(encoded[at + 2 : at + 4], "big")
    return False


def _to_8_bit(decoded: AnyArray, header: PictureHeader, path: Path) -> tuple[AnyArray, bool]:
    """Return uint8 of the same shape, and whether 12 bits lay in 16."""
    if decoded.dtype == np.uint16:
        colours = decoded[:, :, :3] if decoded.ndim == 3 else decoded
        is_12_bit = header.bits == 16 and int(colours.max()) < _TWELVE_BIT_TOP
        return (decoded >> (4 if is_12_bit else 8)).astype(np.uint8), is_12_bit
    if decoded.dtype != np.uint8:
        raise _corrupt(path, f"its pixels are {decoded.dtype}; expected 8 or 16 bit whole numbers")
    return decoded, False


def _upright(values: AnyArray, orientation: int) -> AnyArray:
    """Return (h, w, ...) as EXIF's orientation 1 to 8 shows it."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return np.ascontiguousarray(values)


def _to_bgr(decoded: AnyArray) -> U8Array:
    """Return (h, w, 3) of (h, w), (h, w, 1), (h, w, 2), (h, w, 3) or (h, w, 4)."""
    grey_or_colour = decoded if decoded.ndim == 3 else decoded[:, :, None]
    if grey_or_colour.shape[2] < 3:
        grey_or_colour = np.repeat(grey_or_colour[:, :, :1], 3, axis=2)
    return np.ascontiguousarray(grey_or_colour[:, :, :3], dtype=np.uint8)


def _corrupt(path: Path, why: str) -> FrameCorrupt:
    return FrameCorrupt(f"Picture {path} cannot be used: {why}. Replace or remove the file.")
