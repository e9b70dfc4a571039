"""What is to be said about the device: a code for every language, and the English sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edge_app.page.state import Facts
from edge_app.records import JsonObject

FEW_WAITING = 5
"""Up to this many alerts may be in transit to a reachable broker without a notice."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence.

    Attributes:
        code: its words are `note.CODE` in every language file.
        values: what is filled in.
        text: in English.
    """

    code: str
    text: str
    values: JsonObject = field(default_factory=dict)

    def json(self) -> JsonObject:
        """Return what the page's script reads."""
        return {"code": self.code, "values": self.values, "text": self.text}


def notices_of(facts: Facts) -> list[Notice]:
    """Return notices about the device, worst first; empty if all is well.

    While the broker is not reachable, its own line says that alerts are waiting; where none is
    used, nothing waits for one.
    """
    outbox: dict[str, Any] = facts.health.get("outbox") or {}
    evidence: dict[str, Any] = facts.health.get("evidence") or {}
    found = [Notice("said", text, {"text": text}) for text in facts.weaknesses]
    if outbox.get("reserve_released"):
        text = "The disk is full: alerts use the last reserve. Free some space soon."
        found.append(Notice("disk_full", text))
    if count := outbox.get("counted_only"):
        text = f"{count} alerts were only counted: the alarm store is full."
        found.append(Notice("counted_only", text, {"count": count}))
    if count := evidence.get("dropped"):
        why = evidence["problem"]
        text = f"{count} alerts have no picture: {why}."
        found.append(Notice("no_picture", text, {"count": count, "why": why}))
    depth = outbox.get("depth", 0)
    if depth > FEW_WAITING and facts.is_broker_good:
        text = f"Alerts waiting safely on disk for the broker: {depth}."
        found.append(Notice("waiting", text, {"count": depth}))
    return found
