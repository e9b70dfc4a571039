"""A correct signed bundle and the ways to alter it without the signer's key."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from support.signed_bundles import Members, Signer, tar_of


@dataclass
class Victim:
    """A correct signed bundle, and the trusted signer who made it."""

    folder: Path
    signer: Signer
    members: Members

    @cached_property
    def whole(self) -> bytes:
        return self.behind(self.members)

    @cached_property
    def signature(self) -> bytes:
        return self.signer.sign(self.members)

    def behind(self, members: Members, signature: bytes | None = None) -> bytes:
        """Return other members behind the true signature."""
        return tar_of([("bundle.sig", signature or self.signature), *members])

    def with_content(self, name: str, change: Callable[[bytes], bytes]) -> bytes:
        return self.behind([(n, change(d) if n == name else d) for n, d in self.members])

    def with_signature(self, change: Callable[[Any], object]) -> bytes:
        """Return the bundle with its signature's JSON changed."""
        document = json.loads(self.signature)
        change(document)
        text = json.dumps(document, separators=(",", ":")).encode()
        return self.behind(self.members, text)


def flipped(data: bytes, at: int = 10) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def envelope(document: Any) -> Any:
    return document["dsseEnvelope"]


def flip_text(holder: Any, key: str) -> None:
    """Exchange one character of a hexadecimal or base64 text."""
    text = holder[key]
    holder[key] = text[:40] + ("b" if text[40] == "a" else "a") + text[41:]


def swapped(members: Members, one: str, other: str) -> Members:
    """Exchange the contents of two members."""
    contents = dict(members)
    contents[one], contents[other] = contents[other], contents[one]
    return [(n, contents[n]) for n, _ in members]


def impersonated(victim: Victim) -> bytes:
    """Return the bundle signed by a stranger who claims the trusted key's id."""
    stranger = Signer("stranger")
    text = stranger.sign(victim.members)
    return victim.behind(
        victim.members, text.replace(stranger.key_id.encode(), victim.signer.key_id.encode())
    )
