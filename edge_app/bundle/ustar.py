"""The tar format of a bundle: plain files, one form of header, zeros at the end.

Python's tarfile reads links, devices, sparse files and three dialects of long names. A bundle has
none of them, so this reader supports none of them: a header is accepted only if it is, byte for
byte, the one that `header` makes of its name and its length.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from edge_app.errors import BundleError

BLOCK = 512
RECORD = 20 * BLOCK
"""A whole tar file is padded with zeros to a multiple of this, as tar has always done."""

MAX_NAME = 100
"""Bytes of the header's name field."""

_CHUNK = 1 << 20
_OCTAL = re.compile(rb"[0-7]{11}\0")


@dataclass(frozen=True, slots=True)
class Entry:
    """One member: its name and its length in bytes."""

    name: str
    length: int


def header(name: str, length: int) -> bytes:
    """Return the 512 bytes before a member: mode 0644, zero time and owners.

    Args:
        name: ASCII, at most 100 characters.
        length: below 8 GiB.
    """
    encoded = name.encode("ascii")
    if len(encoded) > MAX_NAME or not 0 <= length < 8**11:
        raise BundleError(
            f"The member {name!r} of {length} bytes does not fit a bundle: names have at most "
            f"{MAX_NAME} characters, files less than 8 GiB."
        )
    before = encoded.ljust(MAX_NAME, b"\0") + b"0000644\0" + b"0000000\0" * 2
    before += b"%011o\0" % length + b"0" * 11 + b"\0"
    after = b"0" + b"\0" * 100 + b"ustar\x0000"
    blank = (before + b" " * 8 + after).ljust(BLOCK, b"\0")
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def entry_bytes(name: str, data: bytes) -> bytes:
    """Return a member as stored in the file: header, content, zeros up to a full block."""
    return header(name, len(data)) + data + b"\0" * (-len(data) % BLOCK)


def end_bytes(length: int) -> bytes:
    """Return the zeros that end a tar file whose members take `length` bytes."""
    return b"\0" * (2 * BLOCK + -(length + 2 * BLOCK) % RECORD)


class UstarReader:
    """Reads a tar file once, front to back, and hashes all it passes.

    Args:
        file: at its first byte.
        length: of the whole file in bytes; nothing beyond it is read.
        label: names the file in messages.
    """

    def __init__(self, file: BinaryIO, length: int, label: str) -> None:
        self._file = file
        self._length = self._left = length
        self._label = label
        self._whole = hashlib.sha256()
        self._members_end = 0

    def has_exact_end(self, body_offset: int) -> bool:
        """Tell, after the end, whether the file ends in no zero more or less than is written.

        Args:
            body_offset: where the unsigned bundle begins, in bytes: its own length counts.
        """
        members = self._members_end - body_offset
        return self._length == body_offset + members + len(end_bytes(members))

    @property
    def position(self) -> int:
        """How many bytes have been read."""
        return self._length - self._left

    @property
    def sha256(self) -> str:
        """The digest of everything read so far; of the whole file once `next_entry` was None."""
        return self._whole.hexdigest()

    def next_entry(self) -> Entry | None:
        """Return the next member, or None at the end. Its content must be read before the next.

        Raises:
            BundleError: the file is cut off, continues after its end, or has a header that is
                not allowed (a link, a device, a long or encoded name, another dialect).
        """
        is_first = self.position == 0
        if is_first and self._length < BLOCK:
            raise self._no_bundle()
        block = self._take(BLOCK, "before its end")
        if not any(block):
            self._members_end = self.position - BLOCK
            self._check_end()
            return None
        if is_first and block[257:262] != b"ustar":
            raise self._no_bundle()
        name = _name_of(block)
        if block[156:157] not in (b"0", b"\0"):
            raise BundleError(f"Bundle {self._label} refused: {name} is not a plain file.")
        size = block[124:136]
        length = int(size[:11], 8) if _OCTAL.fullmatch(size) else -1
        if length < 0 or not name.isascii() or block != header(name, length):
            raise BundleError(
                f"Bundle {self._label} is not a readable tar of the bundle format: the header of "
                f"{name!r} is damaged or of another type. Copy or build it again."
            )
        if length > self._left:
            raise BundleError(
                f"Bundle {self._label} is cut off inside {name}: {length} bytes are announced, "
                f"{self._left} are there. Copy it again."
            )
        return Entry(name, length)

    def content(self, entry: Entry) -> Iterator[bytes]:
        """Yield the content of the member just returned, in chunks of at most 1 MiB.

        Raises:
            BundleError: the file is cut off, or the bytes that fill its last block are not zero.
        """
        left = entry.length
        while left:
            chunk = self._take(min(left, _CHUNK), f"inside {entry.name}")
            left -= len(chunk)
            yield chunk
        if any(self._take(-entry.length % BLOCK, f"behind {entry.name}")):
            raise BundleError(
                f"Bundle {self._label} refused: there is something behind {entry.name} that no "
                "digest covers."
            )

    def _no_bundle(self) -> BundleError:
        return BundleError(
            f"{self._label} is not a bundle. Expected a file that edge-export has built, such as "
            "product.bundle."
        )

    def _check_end(self) -> None:
        rest = self._take(BLOCK, "before its end")
        while not any(rest):
            if not self._left:
                return
            rest = self._take(min(self._left, _CHUNK), "before its end")
        raise BundleError(
            f"Bundle {self._label} refused: there is something behind its end that no digest "
            "covers."
        )

    def _take(self, count: int, where: str) -> bytes:
        data = self._file.read(count) if count <= self._left else b""
        if len(data) != count:
            raise BundleError(f"Bundle {self._label} is cut off {where}. Copy it again.")
        self._left -= count
        self._whole.update(data)
        return data


def _name_of(block: bytes) -> str:
    name, prefix = (part.partition(b"\0")[0] for part in (block[:MAX_NAME], block[345:500]))
    joined = prefix + b"/" + name if prefix else name
    return joined.decode("ascii", "backslashreplace")
