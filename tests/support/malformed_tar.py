"""Headers of tar members that no bundle has."""

from __future__ import annotations

import tarfile

from edge_app.bundle.ustar import MAX_NAME, header


def of_kind(kind: bytes, target: str = "") -> bytes:
    """Return the header of a link, a device or another thing that is no plain file."""
    entry = tarfile.TarInfo("thing.bin")
    entry.type, entry.linkname = kind, target
    return entry.tobuf(tarfile.GNU_FORMAT)


def named(name: str) -> bytes:
    """Return the header of an empty member with any name at all."""
    return _patched(0, name.encode().ljust(MAX_NAME, b"\0"))


def prefixed(prefix: bytes) -> bytes:
    """Return a header whose path is split over the two fields that make up a long name."""
    return _patched(345, prefix)


def sized(name: str, field: bytes) -> bytes:
    """Return a header that announces another size than the content has."""
    return _patched(124, field, name)


def _patched(at: int, field: bytes, name: str = "evil") -> bytes:
    """Return a plain header with one field replaced and its checksum put right."""
    head = bytearray(header(name, 0))
    head[at : at + len(field)] = field
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)
