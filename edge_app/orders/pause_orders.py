"""Orders about pauses, and their end when their time is over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from edge_app.audit.records import AuditEntry
from edge_app.errors import OrderError
from edge_app.ipc.order_schema import Pause as PauseOrder
from edge_app.ipc.order_schema import Resume
from edge_app.orders.desk import Prepared
from edge_app.runtime.pauses import ENDED, PAUSED, RESUMED, Pause, PauseBook


@dataclass(frozen=True, slots=True)
class PauseEffects:
    """What a pause leads to.

    Attributes:
        pause_line: lets a camera's parts pass from the next one on, or inspects again.
        show: says it to people: camera, whether it is paused, until when and why.
        passed: a camera was paused from, to (ns since the epoch).
        note: puts an end that nobody ordered into the audit.
    """

    pause_line: Callable[[str, bool], None]
    show: Callable[[str, bool, str], None]
    passed: Callable[[str, int, int], None]
    note: Callable[[AuditEntry], None]


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
                self._book.end(pause.camera)
                self._effects.note(
                    AuditEntry(
                        ENDED,
                        "machine",
                        "inspection",
                        subject=pause.camera,
                        new={"cameras": [pause.camera]},
                        why="its time was over",
                    )
                )

    def prepare_pause(self, order: PauseOrder) -> Prepared:
        """Check an order.

        Raises:
            OrderError: no such camera.
        """
        cameras = self._named(order.camera)
        current = self._book.current()
        planned = self._book.planned(cameras, order.minutes, order.why)
        until = _clock(planned[0].until_ns)
        return Prepared(
            PAUSED,
            order.camera,
            [p.model_dump(mode="json") for c in cameras if (p := current.get(c))],
            {"minutes": order.minutes, "pauses": [p.model_dump(mode="json") for p in planned]},
            f"{', '.join(cameras)}: parts are not inspected until {until}, or until it is resumed.",
            lambda record: self._pause(planned, record),
        )

    def prepare_resume(self, order: Resume) -> Prepared:
        """Check an order.

        Raises:
            OrderError: no such camera, or it is not paused.
        """
        current = self._book.current()
        paused = [camera for camera in self._named(order.camera) if camera in current]
        if not paused:
            raise OrderError(
                f"{order.camera or 'No camera'} is {'not ' if order.camera else ''}paused."
            )
        return Prepared(
            RESUMED,
            order.camera,
            [current[c].model_dump(mode="json") for c in paused],
            {"cameras": paused},
            f"{', '.join(paused)}: parts are inspected again.",
            lambda record: self._resume(paused, record),
        )

    def _pause(self, planned: list[Pause], record: Mapping[str, Any]) -> str:
        with self._lock:
            self._book.follow([record])
            for pause in planned:
                self._begin(pause)
        return ""

    def _resume(self, cameras: list[str], record: Mapping[str, Any]) -> str:
        with self._lock:
            current = self._book.current()
            self._book.follow([record])
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


def _clock(at_ns: int) -> str:
    return f"{datetime.fromtimestamp(at_ns // 10**9, tz=timezone.utc):%Y-%m-%d %H:%M} UTC"
