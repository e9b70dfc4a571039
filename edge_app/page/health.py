"""A device's health for the page and the API, from what the line has last said of itself."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from edge_app.device_state import (
    DeviceFacts,
    SlotFacts,
    SubjectHealth,
    device_health,
    page_health,
    unknown_health,
)
from edge_app.mqtt.timestamps import rfc3339
from edge_app.page.notices import golden_parts
from edge_app.page.state import CameraView, PageState
from edge_app.records import JsonObject
from edge_app.shown_state import ShownState


class Since:
    """Remembers since when each subject has its level and headline. Any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: dict[str, tuple[str, str, int]] = {}

    def dated(self, found: Iterable[SubjectHealth], now_ns: int) -> list[JsonObject]:
        """Return every subject as JSON with `since`, RFC 3339."""
        with self._lock:
            return [self._dated(subject, now_ns) for subject in found]

    def _dated(self, subject: SubjectHealth, now_ns: int) -> JsonObject:
        level, key = subject.level, subject.headline.key
        before = self._told.get(subject.subject)
        if before is None or before[:2] != (level, key):
            self._told[subject.subject] = before = (level, key, now_ns)
        return {**subject.as_json(), "since": rfc3339(before[2])}


def line_health(state: PageState, since: Since) -> list[JsonObject]:
    """Return every subject of a line that is heard, the page last."""
    found = (*device_health(facts_of(state)), page_health(""))
    return since.dated(found, state.now_ns())


def silent_health(is_running: bool, heard_ns: int | None) -> list[JsonObject]:
    """Return every subject while inspection says nothing.

    Args:
        is_running: it is connected, and hangs.
        heard_ns: when it was heard last, ns since the epoch; None: never.
    """
    since = None if heard_ns is None else rfc3339(heard_ns)
    found = (*unknown_health(), page_health("silent" if is_running else "not_running"))
    return [{**subject.as_json(), "since": since} for subject in found]


def facts_of(state: PageState) -> DeviceFacts:
    """Return what is known, from the state's figures; what is missing there is unknown."""
    facts = state.facts()
    health: Mapping[str, Any] = facts.health
    outbox, evidence = _table(health, "outbox"), _table(health, "evidence")
    history, audit = _table(health, "history"), _table(health, "audit")
    disk, agent = _table(health, "disk"), _table(health, "agent")
    shown: list[tuple[str, ShownState]] = []

    def note(view: CameraView) -> JsonObject:
        shown.append((view.name, view.shown))
        return {}

    state.read_cameras(note)
    return DeviceFacts(
        cameras=tuple(shown),
        broker=facts.broker_state,
        broker_waiting=int(outbox.get("depth") or 0),
        broker_in_memory=int(outbox.get("in_memory") or 0),
        slots=tuple(SlotFacts(**slot) for slot in health.get("slots") or ()),
        weaknesses=facts.weaknesses,
        free_bytes=health.get("disk_free_bytes"),
        disk_bytes=disk.get("total_bytes"),
        is_reserve_used=bool(outbox.get("reserve_released")),
        counted_only=int(outbox.get("counted_only") or 0),
        temperature_c=health.get("temperature_c"),
        is_clock_synchronised=health.get("clock_synchronised"),
        clock_jumps=int(health.get("clock_jumps") or 0),
        has_agent=agent.get("is_enabled"),
        is_agent_there=bool(agent.get("is_connected")),
        keeps_history=bool(history.get("is_kept", True)),
        history=history.get("trouble"),
        history_waiting=int(history.get("waiting") or 0),
        history_lost=int(history.get("lost") or 0),
        pictures_dropped=int(evidence.get("dropped") or 0),
        pictures_problem=str(evidence.get("problem") or ""),
        audit=audit.get("trouble"),
        audit_waiting=int(audit.get("waiting") or 0),
        golden=tuple((part["name"], _golden_state(part)) for part in golden_parts(facts)),
    )


def _golden_state(part: Mapping[str, Any]) -> Literal["alarmed", "due", "good"]:
    if part["is_alarmed"]:
        return "alarmed"
    return "good" if part["due_at"] is None else "due"


def _table(health: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = health.get(name)
    return found if isinstance(found, dict) else {}
