"""What is to be said about the device: a code for every language, and the English sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from edge_app.device_words import plain_reason
from edge_app.page.state import Facts
from edge_app.records import JsonObject

FEW_WAITING = 5
"""Up to this many alerts may be in transit to a reachable broker without a notice."""


GOLDEN_DUE = "Golden part {part} is due: lay it under camera {camera} within {left} minutes."
_SHOW = "Stop and check, then show it again."
GOLDEN_ALARMS = {
    "golden_missed": "Golden part {part} was not called bad at camera {camera}: bad parts may "
    f"pass. {_SHOW}",
    "golden_wrong_class": "Golden part {part} was called bad at camera {camera}, as another "
    f"defect than it has. {_SHOW}",
    "golden_not_shown": "Golden part {part} was not shown to camera {camera} in its time: whether "
    "bad parts are found is not known. Show it.",
}


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


def golden_parts(facts: Facts) -> list[JsonObject]:
    """Return where every golden part stands; see `GoldenWatch.figures`."""
    return list((facts.health.get("golden") or {}).get("parts") or ())


def _golden(part: JsonObject) -> list[Notice]:
    """Return what is to be said of a golden part: an alarm, and that it is due."""
    values = {"part": part["name"], "camera": part["camera"]}
    found = []
    if part["is_alarmed"]:
        code = f"golden_{part['outcome']}"
        found.append(Notice(code, GOLDEN_ALARMS[code].format(**values), values))
    if part["due_at"] is not None:
        values = {**values, "left": math.ceil(part["left_min"])}
        found.append(Notice("golden_due", GOLDEN_DUE.format(**values), values))
    return found


def notices_of(facts: Facts) -> list[Notice]:
    """Return notices about the device, worst first; empty if all is well.

    While the broker is not reachable, its own line says that alerts are waiting; where none is
    used, nothing waits for one.
    """
    outbox: dict[str, Any] = facts.health.get("outbox") or {}
    evidence: dict[str, Any] = facts.health.get("evidence") or {}
    found = [Notice("said", text, {"text": text}) for text in facts.weaknesses]
    found += [notice for part in golden_parts(facts) for notice in _golden(part)]
    if outbox.get("reserve_released"):
        text = "The disk is full: alerts use the last reserve. Free some space soon."
        found.append(Notice("disk_full", text))
    if count := outbox.get("counted_only"):
        text = f"Alerts that were only counted, for the alarm store is full: {count}."
        found.append(Notice("counted_only", text, {"count": count}))
    if (why := plain_reason(evidence.get("problem") or "")) and (count := evidence["dropped"]):
        text = f"Alerts without a picture: {count} ({why})."
        found.append(Notice("no_picture", text, {"count": count, "why": why}))
    depth = outbox.get("depth", 0)
    if depth > FEW_WAITING and facts.is_broker_good:
        text = f"Alerts waiting safely on disk for the broker: {depth}."
        found.append(Notice("waiting", text, {"count": depth}))
    return found
