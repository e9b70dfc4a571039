"""Orders about pauses, and their end when their time is over.

A pause has one begin and one end in the audit, whichever of its time and a person ends it, and
wherever a kill comes: the end's record has an id, and the pause stays on disk until it is there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from edge_app.audit.records import AuditEntry
from edge_app.errors import OrderError
from edge_app.ipc.order_schema import Pause as PauseOrder
from edge_app.ipc.order_schema import Resume
from edge_app.orders.desk import Prepared
from edge_app.runtime.pauses import ENDED, PAUSED, RESUMED, Pause, PauseBook

CLAIM_S = 30.0
"""An order is recorded within this time, or it has failed."""


@dataclass(frozen=True, slots=True)
class PauseEffects:
    """What a pause leads to.

    Attributes:
        pause_line: lets a camera's parts pass from the next one on, or inspects again.
        show: says it to people: camera, whether it is paused, until when and why.
        passed: a camera was paused from, to (ns since the epoch).
        note: puts an end that nobody ordered into the audit, once for its id.
        are_noted: tells whether all that was noted is on the disk.
    """

    pause_line: Callable[[str, bool], None]
    show: Callable[[str, bool, str], None]
    passed: Callable[[str, int, int], None]
    note: Callable[[AuditEntry], None]
    are_noted: Callable[[], bool] = lambda: False


class PauseOrders:
    """Pauses cameras and lets them inspect again.

    Args:
        book: what is paused.
        cameras: the configured ones.
    """

    def __init__(
        self,
        book: PauseBook,
        cameras: tuple[str, ...],
        effects: PauseEffects,
        wall_ns: Callable[[], int],
    ) -> None:
        self._book, self._cameras, self._effects = book, cameras, effects
        self._wall_ns = wall_ns
        self._lock = threading.Lock()
        self._claimed_until_s: dict[str, float] = {}
        self._unsaid: dict[str, Pause] = {}

    def start(self) -> None:
        """Go on with the pauses that a restart interrupted; those that are over end now."""
        self.tick()
        for pause in self._book.current().values():
            self._begin(pause)

    def tick(self) -> None:
        """End the pauses whose time is over; called about once a second."""
        with self._lock:
            for pause in self._book.over():
                self._end(pause)
                self._book.end(pause)
                self._unsaid[pause.camera] = pause
            now_s = time.monotonic()
            for camera in list(self._unsaid):
                if self._claimed_until_s.get(camera, now_s) <= now_s:
                    self._effects.note(_end_of(self._unsaid.pop(camera)))
            ended = self._book.ended()
            if ended and not self._unsaid and self._effects.are_noted():
                self._book.follow((), ended)

    def prepare_pause(self, order: PauseOrder) -> Prepared:
        """Check an order.

        Raises:
            OrderError: no such camera.
        """
        cameras = self._named(order.camera)
        current, settled = self._claim(cameras)
        planned = self._book.planned(cameras, order.minutes, order.why)
        until = _clock(planned[0].until_ns)
        return Prepared(
            PAUSED,
            order.camera,
            [p.model_dump(mode="json") for c in cameras if (p := current.get(c))],
            {"minutes": order.minutes, "pauses": [p.model_dump(mode="json") for p in planned]},
            f"{', '.join(cameras)}: parts are not inspected until {until}, or until it is resumed.",
            lambda record: self._pause(planned, settled, record),
        )

    def prepare_resume(self, order: Resume) -> Prepared:
        """Check an order.

        Raises:
            OrderError: no such camera, or it is not paused.
        """
        cameras = self._named(order.camera)
        current, settled = self._claim(cameras)
        paused = [camera for camera in cameras if camera in current]
        if not paused:
            self._let_go(cameras)
            raise OrderError(
                f"{order.camera or 'No camera'} is {'not ' if order.camera else ''}paused."
            )
        return Prepared(
            RESUMED,
            order.camera,
            [current[c].model_dump(mode="json") for c in paused],
            {"cameras": paused},
            f"{', '.join(paused)}: parts are inspected again.",
            lambda record: self._resume(paused, settled, record),
        )

    def _claim(self, cameras: tuple[str, ...]) -> tuple[dict[str, Pause], list[Pause]]:
        """Return what is paused, and which ends are in the audit before an order that follows.

        Until the order is carried out, no other end of these cameras' pauses is recorded: the order
        itself says what becomes of them.
        """
        with self._lock:
            until_s = time.monotonic() + CLAIM_S
            self._claimed_until_s.update(dict.fromkeys(cameras, until_s))
            unsaid = self._unsaid.values()
            settled = [pause for pause in self._book.ended() if pause not in unsaid]
            return self._book.current(), settled

    def _let_go(self, cameras: tuple[str, ...]) -> None:
        with self._lock:
            for camera in cameras:
                self._claimed_until_s.pop(camera, None)

    def _carried_out(self, cameras: Iterable[str]) -> None:
        for camera in cameras:
            self._unsaid.pop(camera, None)
            self._claimed_until_s.pop(camera, None)

    def _pause(self, planned: list[Pause], settled: list[Pause], record: Mapping[str, Any]) -> str:
        with self._lock:
            self._book.follow([record], settled)
            self._carried_out(pause.camera for pause in planned)
            for pause in planned:
                self._begin(pause)
        return ""

    def _resume(self, cameras: list[str], settled: list[Pause], record: Mapping[str, Any]) -> str:
        with self._lock:
            current = self._book.current()
            self._book.follow([record], settled)
            self._carried_out(cameras)
            for camera in cameras:
                if camera in current:
                    self._end(current[camera])
        return ""

    def _begin(self, pause: Pause) -> None:
        self._effects.pause_line(pause.camera, True)
        self._effects.show(pause.camera, True, f"until {_clock(pause.until_ns)}: {pause.why}")

    def _end(self, pause: Pause) -> None:
        self._effects.pause_line(pause.camera, False)
        self._effects.show(pause.camera, False, "")
        self._effects.passed(pause.camera, pause.began_ns, self._wall_ns())

    def _named(self, camera: str) -> tuple[str, ...]:
        if camera and camera not in self._cameras:
            raise OrderError(
                f"There is no camera {camera!r}; there are: {', '.join(self._cameras)}."
            )
        return (camera,) if camera else self._cameras


def _end_of(pause: Pause) -> AuditEntry:
    """Return the record of an end; the same pause's is the same order, however often it is told."""
    return AuditEntry(
        ENDED,
        "machine",
        "inspection",
        subject=pause.camera,
        new={"cameras": [pause.camera]},
        why="its time was over",
        order_id=f"end of pause {pause.camera} {pause.began_ns} {pause.until_ns}",
    )


def _clock(at_ns: int) -> str:
    return f"{datetime.fromtimestamp(at_ns // 10**9, tz=timezone.utc):%Y-%m-%d %H:%M} UTC"
