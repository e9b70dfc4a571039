"""What a video file's container says about its end. Reads a few bytes, decodes nothing.

A count of frames is exact in AVI and MP4. Matroska has none: what is taken for it is the duration
times a rate, wrong for a longer sound track, a changing rate or a late start. There the length that
the file says it has tells whether it was cut.
"""

from __future__ import annotations

from pathlib import Path

EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = 0x18538067
_HEAD = 4096


def has_frame_count(file: Path) -> bool:
    """Tell whether the container counts its frames: AVI, and MP4 and its relatives."""
    head = _head(file)
    return head[:4] == b"RIFF" or head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free")


def missing_bytes(file: Path) -> int:
    """Return how many bytes a Matroska file lacks by its own word.

    Returns:
        0 for a whole file, one whose length was never written (a recorder that was switched off),
        and other containers.
    """
    head = _head(file)
    if head[:4] != EBML:
        return 0
    at = 4
    length, at = _number(head, at)
    if length is None:
        return 0
    at += length
    if int.from_bytes(head[at : at + 4], "big") != _SEGMENT:
        return 0
    length, at = _number(head, at + 4)
    return 0 if length is None else max(0, at + length - file.stat().st_size)


def _head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(_HEAD)


def _number(data: bytes, at: int) -> tuple[int | None, int]:
    """Return an EBML length, None for an unknown one, and where it ends."""
    if at >= len(data) or data[at] == 0:
        return None, at
    size = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + size], "big") & ((1 << 7 * size) - 1)
    is_unknown = value == (1 << 7 * size) - 1 or at + size > len(data)
    return (None if is_unknown else value), at + size
