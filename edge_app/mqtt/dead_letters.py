"""Messages that could not be read, kept for a person: a file of JSON lines that cannot grow."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from edge_app.host.plain_text import one_line
from edge_app.mqtt.timestamps import rfc3339

MAX_BYTES = 4 << 20
"""Of the file; the one before it is kept too, so that it is twice this at most."""
MAX_PAYLOAD_BYTES = 64 << 10
"""Of each message; what made it unreadable is at its beginning, or in `why`."""


class DeadLetters:
    """A file `NAME.jsonl`, and `NAME.jsonl.1` with what came before.

    Args:
        path: the file; its folder is made if need be.

    Attributes:
        kept: messages written so far.
        trouble: why the last one could not be written; "" if it could.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self.kept = 0
        self.trouble = ""

    def keep(self, topic: str, payload: bytes, why: str, at_ns: int) -> bool:
        """Write one message; return whether it could be. Never raises."""
        entry = {
            "at": rfc3339(at_ns),
            "topic": topic[:1000].encode("utf-8", "replace").decode(),
            "why": one_line(why),
            "bytes": len(payload),
            "payload_base64": base64.b64encode(payload[:MAX_PAYLOAD_BYTES]).decode(),
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._make_room()
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        except OSError as error:
            self.trouble = f"{self.path} cannot be written ({error})"
            return False
        self.kept += 1
        self.trouble = ""
        return True

    def _make_room(self) -> None:
        if self.path.exists() and self.path.stat().st_size >= self._max_bytes:
            self.path.replace(self.path.with_name(self.path.name + ".1"))
