"""A line on stand-ins that say who looked at which picture, and when: for what goes on at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edge_app.backends.protocol import AnyArray, GraphInfo, TensorInfo
from edge_app.cameras.grabber import Grabber, GrabberClock, GrabberLimits
from edge_app.cameras.protocol import CameraInfo, CameraMode
from edge_app.errors import EndOfStream, FrameTimeout
from edge_app.inspection.detector import Detector
from edge_app.model.loaded_model import LoadedModel, make_line, make_tracker
from edge_app.records import AlarmEvent, Anomaly, Frame, FrameReport, U8Array
from edge_app.runtime.inspection_thread import (
    CameraPipeline,
    GapWatch,
    InspectionThread,
)
from support.brokers import wait_until

HW = (64, 96)
BRIGHT = 200
"""Grey of a defective part's picture; a good one's is its number."""


@dataclass
class Looks:
    """A detector's graph: sees one part in every picture, and writes down who asked.

    Attributes:
        then: called with the number of the picture.
        seen: (number, name of the thread) in order.
    """

    then: Callable[[int], None] = lambda _number: None
    may_run_beside: bool = True
    seen: list[tuple[int, str]] = field(default_factory=list)
    overlaps: int = 0
    is_busy: bool = False

    def run(self, inputs: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        self.overlaps += self.is_busy
        self.is_busy = True
        number = int(inputs["image"][0, 0, 0, 0])
        self.seen.append((number, threading.current_thread().name))
        try:
            self.then(number)
        finally:
            self.is_busy = False
        return {"boxes": np.array([[[48, 32, 60, 30, 0, 0.9, 0]]], np.float32)}

    def describe(self) -> GraphInfo:
        image = TensorInfo("image", "uint8", (1, *HW, 3))
        boxes = TensorInfo("boxes", "float32", (1, None, 7))
        return GraphInfo((image,), (boxes,), "stub", self.may_run_beside)

    def close(self) -> None:
        pass

    @property
    def ahead(self) -> list[int]:
        """The pictures that were looked at beside the inspection."""
        return [number for number, thread in self.seen if thread == "find-ahead"]


@dataclass
class Scores:
    """An inspector: the brightness of a crop; `then` is called with it before it answers."""

    then: Callable[[int], None] = lambda _grey: None

    def score(self, crops: Sequence[U8Array]) -> list[Anomaly]:
        greys = [int(crop[16, 32, 0]) for crop in crops]
        for grey in greys:
            self.then(grey)
        return [Anomaly(float(grey), np.full((4, 8), grey, np.float32)) for grey in greys]


class Pictures:
    """A camera with numbered parts that are all there at once, or a live one without an end."""

    def __init__(
        self,
        mode: CameraMode,
        parts: int,
        bad: frozenset[int] = frozenset(),
        last_after: threading.Event | None = None,
    ) -> None:
        self._mode, self._parts, self._bad, self._count = mode, parts, bad, 0
        self._last_after = last_after

    def open(self, resume_after: int | None = None) -> None:
        pass

    def read(self, timeout_s: float) -> Frame:
        if self._mode == "live":
            time.sleep(0.001)
        elif self._count == self._parts:
            if self._mode == "triggered":
                time.sleep(timeout_s)
                raise FrameTimeout("no trigger")
            raise EndOfStream("all shown")
        self._count += 1
        number = self._count
        if number == self._parts and self._last_after is not None:
            self._last_after.wait(20)
        pixels = np.full((*HW, 3), number % 100, np.uint8)
        if number in self._bad:
            pixels[20:40, 20:80] = BRIGHT
        is_part = self._mode != "live"
        trigger = f"t{number}" if self._mode == "triggered" else None
        return Frame("cam", number, pixels, 77, trigger, number if is_part else None)

    def close(self) -> None:
        pass

    def describe(self) -> CameraInfo:
        return CameraInfo("pictures:", self._mode, HW, self._mode != "live", False)


class Sink:
    """Writes down what was delivered."""

    def __init__(self) -> None:
        self.numbers: list[int | None] = []
        self.kinds: list[tuple[int | None, list[str]]] = []
        self.forgotten: list[str] = []

    def deliver(
        self, camera: str, events: Sequence[AlarmEvent], finished_number: int | None
    ) -> None:
        self.numbers.append(finished_number)
        self.kinds.append((finished_number, [event.kind.value for event in events]))

    def forget_progress(self, camera: str) -> None:
        self.forgotten.append(camera)


def model_of(bright: LoadedModel, looks: Looks, scores: Scores) -> LoadedModel:
    detector = Detector(looks, HW, 0.25, 0.3, ("part",))
    return replace(bright, finder=detector, inspector=scores, max_views=10**9)  # type: ignore[arg-type]


@dataclass
class Running:
    """One camera's line; everything the camera has waits before the thread starts."""

    bright: LoadedModel
    looks: Looks
    scores: Scores
    camera: Pictures
    finds_ahead: bool = True
    clock: GrabberClock = field(default_factory=GrabberClock)

    def __post_init__(self) -> None:
        model = model_of(self.bright, self.looks, self.scores)
        self.tracker = make_tracker(self.camera.describe(), "c", model.fills_frame)
        line = make_line(model, "cam", self.tracker, lambda: "alarm")
        limits = GrabberLimits(queue_depth=20, verdict_deadline_s=0.1)
        self.grabber = Grabber(self.camera, "cam", limits=limits, clock=self.clock)
        self.pipeline = CameraPipeline("cam", self.grabber, line, GapWatch(None))
        self.sink, self.reports = Sink(), list[FrameReport]()
        self.thread = InspectionThread(
            [self.pipeline], self.sink, self.reports.append, finds_ahead=self.finds_ahead
        )

    def run(self, parts: int, waiting: int | None = None) -> None:
        """Judge this many parts, then stop; at the start all of them wait, or so many."""
        self.grabber.start()
        first = parts if waiting is None else waiting
        wait_until(lambda: self.grabber.queue_length() == first, 20, "pictures")
        self.thread.start()
        wait_until(lambda: len(self.verdicts) >= parts, 20, "verdicts")
        self.grabber.stop()
        self.thread.stop()
        assert not self.thread.is_alive()
        assert self.thread.failure is None

    @property
    def verdicts(self) -> list[tuple[int | None, str, str]]:
        return [
            (v.source_number, v.state.value, v.reason) for r in self.reports for v in r.finished
        ]
