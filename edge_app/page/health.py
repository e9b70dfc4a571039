"""A device's health for the page and the API, from what the line has last said of itself."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from edge_app.device_state import (
    DeviceFacts,
    SubjectHealth,
    device_health,
    page_health,
    unknown_health,
)
from edge_app.mqtt.timestamps import rfc3339
from edge_app.page.state import CameraView, PageState
from edge_app.records import JsonObject
from edge_app.runtime.device_facts import facts_from
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
    shown: list[tuple[str, ShownState]] = []

    def note(view: CameraView) -> JsonObject:
        shown.append((view.name, view.shown))
        return {}

    state.read_cameras(note)
    return facts_from(facts.health, shown, facts.broker_state, facts.weaknesses)
