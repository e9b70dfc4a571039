"""Orders as page and console give them."""

from __future__ import annotations

import os
import secrets
import time
from typing import Any

from edge_app.ipc.order_schema import ORDER, AnyOrder
from edge_app.ipc.peers import Peer
from edge_app.mqtt.timestamps import uuid7

ROOT = {"kind": "root", "name": "root"}
OWN = Peer(os.getpid(), os.geteuid(), os.getegid())


def person(role: str = "engineer") -> dict[str, str]:
    """Return an author with an account."""
    return {"kind": "person", "name": "anna", "role": role}


def order(kind: str, author: dict[str, str] = ROOT, **values: Any) -> AnyOrder:
    """Return a valid order with an id of its own."""
    defaults: dict[str, Any] = {"order_id": uuid7(time.time_ns(), secrets.randbits)}
    if kind in ("set_limit", "undo_limit"):
        defaults["slot"] = "main"
    if kind in ("set_limit", "undo_limit", "pause", "resume"):
        defaults["why"] = "a test"
    return ORDER.validate_python({"type": kind, "author": author, **defaults, **values})
