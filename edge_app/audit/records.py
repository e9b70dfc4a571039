"""One record of the audit, its canonical bytes and its hash. No IO.

A record's hash is the SHA-256 of its canonical JSON, which holds the hash of the record before:
whoever changes one has to make every later one anew, and then the head is another.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edge_app.mqtt.timestamps import rfc3339

FORMAT = "cropliq-audit/1"
NO_HASH = "0" * 64
"""What the first record names as the one before it."""

MAX_BODY_BYTES = 256 << 10
"""Longest record that is read."""

HEAD = re.compile(r"\b([0-9a-f]{64}):([0-9]{1,12})\b", re.ASCII)
AuthorKind = Literal["person", "root", "key", "machine"]


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: the last record's hash, and how many records there are."""

    hash: str = NO_HASH
    count: int = 0

    def __str__(self) -> str:
        return f"{self.hash}:{self.count}"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What is to be recorded.

    Attributes:
        event: e.g. limit, pause, product, model, configuration, user_added.
        author_kind, author_name, author_role: who; a machine where nobody ordered it.
        subject: what it is about: a slot, a camera; "" for the device.
        old, new: before and after, as JSON values.
        why: the author's words, or the device's.
        via: how it came: page, console, device.
        order_id: of the order; None where there was none.
        at_ns: when, ns since the epoch.
        is_clock_synchronised: whether `at_ns` can be trusted; None: not known.
    """

    event: str
    author_kind: AuthorKind
    author_name: str
    author_role: str = ""
    subject: str = ""
    old: Any = None
    new: Any = None
    why: str = ""
    via: str = "device"
    order_id: str | None = None
    at_ns: int = 0
    is_clock_synchronised: bool | None = None


class AuditAuthor(BaseModel):
    """Who did it."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    kind: str
    name: str
    role: str = ""


class AuditRecord(BaseModel):
    """A record as it is stored. Later releases may add keys."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="allow")

    format: str
    seq: int = Field(ge=1)
    previous: str = Field(pattern=r"^[0-9a-f]{64}$")
    at: str
    clock_synchronised: bool | None = None
    event: str
    author: AuditAuthor
    subject: str = ""
    old: Any = None
    new: Any = None
    why: str = ""
    via: str = ""
    order_id: str | None = None


def body_of(entry: AuditEntry, head: Head) -> bytes:
    """Return the canonical JSON of the record that follows `head`.

    Raises:
        ValueError: a value is no JSON, such as NaN, or the record is too long.
    """
    record = {
        "format": FORMAT,
        "seq": head.count + 1,
        "previous": head.hash,
        "at": rfc3339(entry.at_ns),
        "clock_synchronised": entry.is_clock_synchronised,
        "event": entry.event,
        "author": {
            "kind": entry.author_kind,
            "name": entry.author_name,
            "role": entry.author_role,
        },
        "subject": entry.subject,
        "old": entry.old,
        "new": entry.new,
        "why": entry.why,
        "via": entry.via,
        "order_id": entry.order_id,
    }
    body = canonical(record)
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"a record of {len(body)} bytes, at most {MAX_BODY_BYTES} are kept")
    return body


def canonical(value: Any) -> bytes:
    """Return JSON with sorted keys, without spaces, in UTF-8: the same bytes for the same value.

    Raises:
        ValueError: it is no JSON, such as NaN, or a text cannot be written in UTF-8.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def hash_of(body: bytes) -> str:
    """Return a record's hash, 64 hexadecimal digits."""
    return hashlib.sha256(body).hexdigest()


def heads_in(text: str) -> list[Head]:
    """Return every HASH:COUNT of a text, such as a journal or a retained message."""
    return [Head(digest, int(count)) for digest, count in HEAD.findall(text)]
