"""What to watch, how to show it, and under which name the broker keeps the session."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_app.mqtt.settings import MqttSettings
from edge_app.mqtt.topics import alert_filter


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What to watch and how to show it.

    Attributes:
        topic: subscription filter (`topics.alert_filter`).
        client_id: names the persistent session: the same id receives what arrived meanwhile.
        evidence_folder: where to save each alert's picture; None fetches none.
        evidence_tokens: host, or host:port → its page's token.
        count: end after so many alerts; None goes on.
        timeout_s: end after so long; None goes on.
        dead_letters: where messages that are no alerts are kept; None: `default_dead_letters`.
    """

    settings: MqttSettings
    topic: str
    client_id: str
    as_json: bool = False
    evidence_folder: Path | None = None
    evidence_tokens: Mapping[str, str] = field(default_factory=dict)
    count: int | None = None
    timeout_s: float | None = None
    dead_letters: Path | None = None


def default_dead_letters() -> Path:
    """Return where messages that are no alerts are kept, on this workstation."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "cropliq-edge" / "watch-refused.jsonl"


def watch_client_id(host: str, topic: str) -> str:
    """Return the usual client id: watches of other lines have sessions of their own.

    Args:
        topic: what is watched; of all alerts the id is 0.1.0's, so that its session goes on.
    """
    if topic == alert_filter():
        return f"edge-watch-{host}"
    return f"edge-watch-{host}-{hashlib.sha256(topic.encode()).hexdigest()[:12]}"
