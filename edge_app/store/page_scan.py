"""Rows of a table read from the raw pages of a damaged SQLite file and its write-ahead log.

SQLite gives up a whole log behind one damaged frame, and every page below a damaged one; the rows
in them are often whole. Whoever uses this needs a way to tell whether a row is: pages that were
given up long ago are read too. Source: https://www.sqlite.org/fileformat2.html, sections 1.6, 2.1
and 4.1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

PAGE = 4096
"""SQLite's default since 3.12, which this product leaves as it is."""
_LEAF = 0x0D
_LARGEST_LOCAL, _SMALLEST_LOCAL = PAGE - 35, (PAGE - 12) * 32 // 255 - 23
_WAL_HEADER, _FRAME_HEADER = 32, 24
MAX_COLUMNS = 16
MAX_PAYLOAD = 16 << 20

Value = int | bytes | None
Record = tuple[int, tuple[Value, ...]]
"""A row's number and its columns; texts as bytes, floats left out as None."""


def scan(database: Path, log: Path) -> Iterator[Record]:
    """Return every row that can be read, older versions before newer ones, equal ones once.

    Args:
        database, log: need not exist.

    Raises:
        OSError: one of them cannot be read.
    """
    main = database.read_bytes() if database.exists() else b""
    starts = range(0, len(main), PAGE)
    pages = {start // PAGE + 1: _padded(main[start : start + PAGE]) for start in starts}
    seen: set[tuple[int, bytes]] = set()
    for number in sorted(pages):
        yield from _rows(pages[number], pages, 100 if number == 1 else 0, seen)
    for number, page in _frames(log.read_bytes() if log.exists() else b""):
        pages[number] = page
        yield from _rows(page, pages, 100 if number == 1 else 0, seen)


def _frames(log: bytes) -> Iterator[tuple[int, bytes]]:
    step = _FRAME_HEADER + PAGE
    for start in range(_WAL_HEADER, len(log) - _FRAME_HEADER, step):
        (number,) = struct.unpack_from(">I", log, start)
        yield number, _padded(log[start + _FRAME_HEADER : start + step])


def _padded(page: bytes) -> bytes:
    """Return a whole page where the file was cut within it."""
    return page.ljust(PAGE, b"\0")


def _rows(
    page: bytes, pages: dict[int, bytes], start: int, seen: set[tuple[int, bytes]]
) -> Iterator[Record]:
    if page[start] != _LEAF:
        return
    (count,) = struct.unpack_from(">H", page, start + 3)
    for index in range(min(count, (PAGE - 8 - start) // 2)):
        try:
            (offset,) = struct.unpack_from(">H", page, start + 8 + 2 * index)
            size, offset = _varint(page, offset)
            number, offset = _varint(page, offset)
            payload = _payload(page, offset, size, pages)
            if (number, payload) not in seen:
                seen.add((number, payload))
                yield _signed(number), _columns(payload)
        except (IndexError, ValueError, struct.error):
            continue  # a damaged cell


def _payload(page: bytes, offset: int, size: int, pages: dict[int, bytes]) -> bytes:
    if size > MAX_PAYLOAD:
        raise ValueError("no row is as large")
    local = size
    if size > _LARGEST_LOCAL:
        local = _SMALLEST_LOCAL + (size - _SMALLEST_LOCAL) % (PAGE - 4)
        local = local if local <= _LARGEST_LOCAL else _SMALLEST_LOCAL
    data = page[offset : offset + local]
    following = page[offset + local : offset + local + 4] if local < size else b""
    while len(data) < size:
        (number,) = struct.unpack(">I", following)
        more = pages.get(number, b"")
        if not more:
            raise ValueError("its continuation is gone")
        following, data = more[:4], data + more[4 : 4 + size - len(data)]
    return data


def _columns(payload: bytes) -> tuple[Value, ...]:
    head_size, offset = _varint(payload, 0)
    kinds: list[int] = []
    while offset < head_size and len(kinds) < MAX_COLUMNS:
        kind, offset = _varint(payload, offset)
        kinds.append(kind)
    offset, values = head_size, list[Value]()
    for kind in kinds:
        size = _size(kind)
        data = payload[offset : offset + size]
        if len(data) < size:
            raise ValueError("cut")
        values.append(_value(kind, data))
        offset += size
    return tuple(values)


def _size(kind: int) -> int:
    return (kind - 12) // 2 if kind >= 12 else (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)[kind]


def _value(kind: int, data: bytes) -> Value:
    if kind >= 12:
        return data
    if kind in (8, 9):
        return kind - 8
    return int.from_bytes(data, "big", signed=True) if 1 <= kind <= 6 else None


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    value = 0
    for place in range(9):
        byte = data[offset + place]
        if place == 8:
            return value << 8 | byte, offset + 9
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, offset + place + 1
    raise ValueError("no number")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
