"""Digests of stored rows: a changed byte costs its own row and no other.

SQLite checks the structure of its pages, not what they hold: a flipped bit in a text passes
`PRAGMA quick_check`.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Literal

DIGEST_BYTES = 16
"""Against damage, not against an attacker, who could change the digest too."""
_CRC_BYTES = 4
CHECK_BYTES = DIGEST_BYTES + _CRC_BYTES

RowState = Literal["whole", "damaged", "unchecked"]


def row_check(seq: int, *parts: bytes) -> bytes:
    """Return 20 bytes that belong to this row: its digest, and a CRC over number and digest."""
    hashed = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in (_number(seq), *parts):
        hashed.update(_number(len(part)))
        hashed.update(part)
    digest = hashed.digest()
    return digest + _crc(seq, digest)


def state_of(check: object, seq: int, *parts: bytes) -> RowState:
    """Compare a row with its check.

    Args:
        check: what `row_check` returned, as it was read back; None if there is none.

    Returns:
        "unchecked" if there is no check or the check itself is damaged: that says nothing about
        the row.
    """
    if not isinstance(check, bytes) or len(check) != CHECK_BYTES:
        return "unchecked"
    if check[DIGEST_BYTES:] != _crc(seq, check[:DIGEST_BYTES]):
        return "unchecked"
    return "whole" if check == row_check(seq, *parts) else "damaged"


def _crc(seq: int, digest: bytes) -> bytes:
    return zlib.crc32(_number(seq) + digest).to_bytes(_CRC_BYTES, "little")


def _number(value: int) -> bytes:
    return value.to_bytes(8, "little", signed=True)
