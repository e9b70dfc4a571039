"""Whether an audit is what was written: its chain, and the heads that were kept elsewhere.

A changed, inserted or removed record breaks the chain. A chain that was made anew as a whole, and
one that was cut at its end, are whole by themselves: only a head kept where the forger cannot write
tells.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_app.audit.records import MAX_BODY_BYTES, NO_HASH, AuditRecord, Head, hash_of
from edge_app.audit.schema import open_for_reading

MOST_SHOWN = 20
"""Findings that are named; the first one matters."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check found.

    Attributes:
        head: the chain's end as it is.
        findings: what is wrong, in words, the first record first; MOST_SHOWN at most.
        compared: heads from elsewhere that were compared.
    """

    head: Head
    findings: tuple[str, ...]
    compared: int

    @property
    def is_whole(self) -> bool:
        return not self.findings


@dataclass(frozen=True, slots=True)
class NamedHead:
    """A head that was kept, and where."""

    head: Head
    where: str


def verify(path: Path, heads: Iterable[NamedHead] = ()) -> Verified:
    """Read the whole audit: about a second per hundred thousand records.

    Raises:
        AuditError: there is none, or it cannot be opened.
    """
    with closing(open_for_reading(path)) as connection:
        return verify_open(connection, heads)


def verify_open(connection: sqlite3.Connection, heads: Iterable[NamedHead] = ()) -> Verified:
    """Check what a connection sees, see `verify`."""
    named = list(heads)
    wanted = {named_head.head.count for named_head in named}
    hashes: dict[int, str] = {0: NO_HASH}
    findings: list[str] = []
    head = Head()
    try:
        for seq, body, digest in connection.execute(
            "SELECT seq, body, hash FROM records ORDER BY seq"
        ):
            findings += _faults(head, seq, body, digest)[: MOST_SHOWN - len(findings)]
            head = Head(digest if isinstance(digest, str) else NO_HASH, head.count + 1)
            if head.count in wanted:
                hashes[head.count] = head.hash
    except sqlite3.DatabaseError as error:
        findings.append(f"the file is damaged behind record {head.count}: {error}")
    findings += (found for kept in named if (found := _compare(kept, head, hashes)))
    return Verified(head, tuple(findings[: MOST_SHOWN + len(named)]), len(named))


def _faults(head: Head, seq: Any, body: Any, digest: Any) -> list[str]:
    """Return what is wrong with the record that should follow `head`."""
    expected = head.count + 1
    name = f"record {expected}"
    if seq != expected:
        return [f"{name} is missing: {seq} stands in its place"]
    if not isinstance(body, bytes) or not isinstance(digest, str) or len(body) > MAX_BODY_BYTES:
        return [f"{name} is no record"]
    if hash_of(body) != digest:
        return [f"{name} was changed: its bytes do not give its hash"]
    try:
        record = AuditRecord.model_validate_json(body)
    except ValueError:
        return [f"{name} is no record"]
    if record.previous != head.hash:
        return [f"{name} does not follow on the one before it: one of them was replaced"]
    return [] if record.seq == seq else [f"{name} calls itself {record.seq}"]


def _compare(kept: NamedHead, head: Head, hashes: dict[int, str]) -> str:
    """Return what a head kept elsewhere says against the chain; "" if nothing."""
    count = kept.head.count
    if count > head.count:
        return f"the end is cut off: {kept.where} knows {count} records, the file has {head.count}"
    if hashes.get(count) != kept.head.hash:
        return f"the chain was made anew: record {count} is another than {kept.where} knows"
    return ""
