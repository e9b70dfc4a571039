"""Pointers and payloads for tests of the way from workstation to agent."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Any

from edge_app.mqtt.deploy_messages import Desired
from edge_app.mqtt.timestamps import rfc3339, uuid7

PAYLOAD = bytes(range(256)) * 4096
"""One MiB that differs from place to place, in place of a bundle: downloads do not look inside."""


def pointer(url: str, payload: bytes = PAYLOAD, **changed: Any) -> Desired:
    """Return a fresh pointer to a payload."""
    now_ns = time.time_ns()
    fields = {
        "message_id": uuid7(now_ns, secrets.randbits),
        "issued_at": rfc3339(now_ns),
        "product": "screws",
        "serial": 3,
        "sha256": hashlib.sha256(payload).hexdigest(),
        "length": len(payload),
        "url": url,
    }
    return Desired(**(fields | changed))
