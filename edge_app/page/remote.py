"""The page's end of the line: what inspection last said, kept for whoever asks.

One thread reads the link; requests read copies under a lock. When inspection is not there, or says
nothing, the state says so in words instead of showing what was.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_app.device_state import unknown_health
from edge_app.ipc.frame_ring import FrameRingReader
from edge_app.ipc.page_link import (
    MAX_WATCHED,
    GiveBack,
    LineState,
    PageLink,
    Picture,
    Ring,
    Settings,
    Watch,
)
from edge_app.ipc.protocol import ProtocolError
from edge_app.page.health import silent_health
from edge_app.page.picture_notes import report_of
from edge_app.page.source import Drawable
from edge_app.page.words import age_words
from edge_app.records import JsonObject, U8Array

_log = logging.getLogger(__name__)

SILENCE_S = 3.0
"""Inspection says its state five times a second; after this long it does not answer."""

WATCH_EVERY_S = 0.5
ASKED_S = 2.0
"""Nobody has asked for a camera in this time: its pictures are no longer wanted."""
FORGET_S = 30.0
"""And after this long the last one is forgotten; inspection sends it again to the next who asks."""

TICK_S = 0.05

NOT_RUNNING = "inspection is not running"
SILENT = "inspection does not answer"


@dataclass(slots=True)
class _Kept:
    """What inspection said last."""

    state: JsonObject
    alerts: JsonObject
    health: list[JsonObject] | None = None
    heard_s: float | None = None
    is_connected: bool = False


class RemoteLine:
    """The line in inspection's process, as a source of the page's answers.

    Args:
        on_settings: called by the reading thread with every settings message.
        clock_s: monotonic seconds.
        now_ns: wall clock.
    """

    def __init__(
        self,
        on_settings: Callable[[Settings], None],
        clock_s: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._on_settings = on_settings
        self._clock_s, self._now_ns = clock_s, now_ns
        self._lock = threading.Lock()
        self._kept = _Kept({"cameras": [], "bundle": [], "has_map": False}, {"alerts": []})
        self._pictures: dict[str, Drawable] = {}
        self._asked_s: dict[str, float] = {}
        self._base = 0  # added to numbers, so that they grow over a restart of inspection too
        self._highest = 0
        self._ring: FrameRingReader | None = None

    def state(self) -> JsonObject:
        """Return the state; without inspection every camera is blind, and a note says why."""
        with self._lock:
            kept, problem, age_s = self._kept.state, self._problem(), self._silent_s()
        state = {**kept, "now_ns": self._now_ns()}
        return state if problem is None else _without_line(state, problem, age_s)

    def health(self) -> list[JsonObject]:
        """Return the device's health; without inspection nothing is known of it but that."""
        with self._lock:
            kept, problem, silent_s = self._kept.health, self._problem(), self._silent_s()
            is_connected = self._kept.is_connected
        if problem is None and kept is not None:
            return kept
        if problem is None:  # an inspection of an earlier release
            return [subject.as_json() | {"since": None} for subject in unknown_health()]
        heard_ns = None if silent_s is None else self._now_ns() - int(silent_s * 1e9)
        return silent_health(is_connected, heard_ns)

    def alerts(self) -> JsonObject:
        """Return the last alarms that inspection told of."""
        with self._lock:
            return self._kept.alerts

    def sequence(self, camera: str) -> int | None:
        """Return the newest number known, and ask inspection for this camera's pictures."""
        with self._lock:
            told = next((c for c in self._kept.state["cameras"] if c["name"] == camera), None)
            if told is None:
                return None
            if len(self._asked_s) < MAX_WATCHED or camera in self._asked_s:
                self._asked_s[camera] = self._clock_s()
            picture = self._pictures.get(camera)
            return max(int(told["sequence"]), 0 if picture is None else picture.sequence)

    def picture(self, camera: str) -> Drawable | None:
        """Return the newest picture that has come."""
        with self._lock:
            return self._pictures.get(camera)

    def read(self, connection: socket.socket, is_stopping: Callable[[], bool]) -> None:
        """Keep what comes over a connection until it ends, breaks, or it is time to stop."""
        link = PageLink(connection, "page")
        with self._lock:
            self._base = self._highest
        try:
            self._follow(link, is_stopping)
        except (OSError, ProtocolError) as error:
            _log.warning("the connection to inspection was closed: %s", error)
        finally:
            link.close()
            self._disconnect()

    def _follow(self, link: PageLink, is_stopping: Callable[[], bool]) -> None:
        watched: frozenset[str] = frozenset()
        due_s = 0.0
        while not is_stopping():
            messages = link.receive(TICK_S)
            if messages is None:
                return
            for message in messages:
                self._take(message, link)
            asked, now_s = self._asked(), self._clock_s()
            if asked and (asked - watched or now_s >= due_s):
                link.send(Watch(cameras=tuple(sorted(asked))))
                due_s = now_s + WATCH_EVERY_S
            watched = asked

    def _take(self, message: Any, link: PageLink) -> None:
        if isinstance(message, Settings):
            self._on_settings(message)
        elif isinstance(message, LineState):
            self._keep(message)
        elif isinstance(message, Ring):
            self._close_ring()
            descriptor = link.take_descriptor()
            self._ring = FrameRingReader(descriptor, message.generation, message.slot_bytes)
        elif isinstance(message, Picture):
            self._keep_picture(message)
            link.send(GiveBack(generation=message.generation, slot=message.slot))

    def _keep(self, line: LineState) -> None:
        with self._lock:
            cameras = [self._numbered(camera) for camera in line.state["cameras"]]
            health = line.state.get("health")
            self._kept.health = health if isinstance(health, list) else None
            state = {k: v for k, v in line.state.items() if k != "health"}
            self._kept.state = {**state, "cameras": cameras}
            if line.alerts is not None:
                self._kept.alerts = line.alerts
            if not self._kept.is_connected:
                _log.info("inspection is connected")
            self._kept.heard_s, self._kept.is_connected = self._clock_s(), True

    def _numbered(self, camera: JsonObject) -> JsonObject:
        sequence = camera["sequence"] + self._base if camera["sequence"] else 0
        self._highest = max(self._highest, sequence)
        return {**camera, "sequence": sequence}

    def _keep_picture(self, message: Picture) -> None:
        ring = self._ring
        if ring is None or ring.generation != message.generation:
            return
        h, w, channels = message.shape
        shape = (h, w, channels) if channels else (h, w)
        length = int(np.prod(shape))
        data = ring.copy(message.slot, message.notes_bytes + length)
        pixels: U8Array = np.frombuffer(data, np.uint8, length, message.notes_bytes).reshape(shape)
        report, threshold = report_of(message.camera, pixels, data[: message.notes_bytes])
        sequence = message.sequence + self._base
        with self._lock:
            self._highest = max(self._highest, sequence)
            self._pictures[message.camera] = Drawable(sequence, report, threshold)

    def _asked(self) -> frozenset[str]:
        """Return the cameras somebody looks at; forget what nobody has looked at for long."""
        with self._lock:
            now_s = self._clock_s()
            for camera in [c for c, at_s in self._asked_s.items() if now_s - at_s > FORGET_S]:
                del self._asked_s[camera]
                self._pictures.pop(camera, None)
            return frozenset(c for c, at_s in self._asked_s.items() if now_s - at_s <= ASKED_S)

    def _problem(self) -> str | None:
        if not self._kept.is_connected:
            return NOT_RUNNING
        silent_s = self._silent_s()
        return SILENT if silent_s is None or silent_s > SILENCE_S else None

    def _silent_s(self) -> float | None:
        heard_s = self._kept.heard_s
        return None if heard_s is None else self._clock_s() - heard_s

    def _disconnect(self) -> None:
        self._close_ring()
        with self._lock:
            if self._kept.is_connected:
                _log.info("%s, or has hung up", NOT_RUNNING)  # the page shows it
            self._kept.is_connected = False

    def _close_ring(self) -> None:
        if self._ring is not None:
            self._ring.close()
            self._ring = None


def _without_line(state: JsonObject, problem: str, silent_s: float | None) -> JsonObject:
    """Return the last state as it is to be read now: nothing in it is live."""
    since = "" if silent_s is None else f" It was last heard {age_words(silent_s)} ago."
    note = f"{problem[0].upper()}{problem[1:]}: no part is judged.{since}"
    broker = {"text": f"not known, {problem}", "is_good": False}
    cameras = [_blind(camera, problem, silent_s or 0.0) for camera in state["cameras"]]
    code = "line_not_running" if problem == NOT_RUNNING else "line_silent"
    ago = None if silent_s is None else round(silent_s, 1)
    notice = {"code": code, "values": {"silent_s": ago}, "text": note}
    told = {"broker": broker, "cameras": cameras, "notes": [note], "notices": [notice]}
    return {**state, **told, "has_line": False}


def _blind(camera: JsonObject, problem: str, silent_s: float) -> JsonObject:
    age_s = camera["picture_age_s"]
    age_s = None if age_s is None else age_s + silent_s
    return {
        **camera,
        "picture_age_s": age_s,
        "picture_age_text": "" if age_s is None else age_words(age_s),
        "state": "not_running",
        "state_text": problem,
        "state_words": problem,
        "reason_text": "",
        "is_good": False,
        "is_blind": True,
    }
