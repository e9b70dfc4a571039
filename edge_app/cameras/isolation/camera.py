"""A camera whose driver runs in a child process. Implements `protocol.Camera`."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edge_app import errors
from edge_app.cameras.device_clock import DeviceClock
from edge_app.cameras.isolation.process import CameraProcess
from edge_app.cameras.isolation.raw import Settings
from edge_app.cameras.isolation.ring import RingReader
from edge_app.cameras.isolation.triggers import Firing, LostTrigger, TriggerBook
from edge_app.cameras.isolation.wire import Message
from edge_app.cameras.protocol import CameraInfo
from edge_app.cameras.raw_to_bgr import bgr_of_raw
from edge_app.errors import (
    CameraError,
    CameraUnavailable,
    EndOfStream,
    FrameCorrupt,
    FrameTimeout,
)
from edge_app.host.clock import wall_at_ns
from edge_app.records import Frame, U8Array

log = logging.getLogger(__name__)

OPEN_S = 20.0
"""GigE discovery takes 1 s, pylon's import and opening 1 s on this project's machine; a Jetson
under load and a camera that boots its stream may take several times as long."""

SILENCE_S = 4.0
"""The child is heard of every 0.25 s. Sixteen missed in a row are a hang, and a hang is reported
before the default `stall_after_s` of 5 s."""

TriggerKind = Literal["free", "fired", "line"]
"""free: the camera runs by itself. fired: one frame for each trigger of ours.
line: one frame for each pulse on the camera's input."""


@dataclass(frozen=True, slots=True)
class IsolatedDriver:
    """What runs in the child and how it is spoken to.

    Attributes:
        url: the address shown to people, without passwords.
        module: has `make_source(settings)`.
        settings: passed to it, as JSON; never on a command line, where others could read it.
        trigger: see TriggerKind.
        interval_s: fire by the clock this often; 0 for only when asked (fired).
        trigger_timeout_s: how long a fired frame may take.
        wraps_after: last value of the camera's frame count before it begins again at 1.
        interpreter: the Python that runs the driver.
        is_local: see CameraInfo.
    """

    url: str
    module: str
    settings: Settings
    trigger: TriggerKind = "free"
    interval_s: float = 0.0
    trigger_timeout_s: float = 1.0
    wraps_after: int | None = None
    interpreter: str = sys.executable
    is_local: bool = True


class IsolatedCamera:
    """Reads frames from the child; a child that hangs or dies is ended and can be opened again.

    Frames are stamped with the camera's clock mapped to the host's (`device_clock.py`), or when
    the child's message arrived. Frames that are missing leave a gap in `frame_id`. Every trigger
    comes out of `read` once, as a Frame or as FrameCorrupt with its number: also those in flight
    when a driver dies.

    Args:
        driver: what to run.
        name: the camera's name in the configuration.
        silence_s: see SILENCE_S.
    """

    def __init__(
        self,
        driver: IsolatedDriver,
        name: str,
        *,
        open_s: float = OPEN_S,
        silence_s: float = SILENCE_S,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._driver, self._name = driver, name
        self._open_s, self._silence_s = open_s, silence_s
        self._wall_ns = wall_ns
        self._triggers = TriggerBook(name, driver.interval_s)
        self._process: CameraProcess | None = None
        self._ring: RingReader | None = None
        self._clock, self._is_clock_wrong = DeviceClock(), False
        self._frame_id = 0
        self._failure: CameraError | None = None
        self._data_ns: int | None = None
        self._hw: tuple[int, int] | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id, or None while closed."""
        return self._process.pid if self._process else None

    def open(self, resume_after: int | None = None) -> None:
        self.close()
        self._triggers.reopened(resume_after or 0)
        self._clock, self._frame_id, self._data_ns = DeviceClock(), 0, None
        self._process = CameraProcess(self._name, self._driver.interpreter)
        self._process.send(
            {
                "driver": self._driver.module,
                "settings": self._driver.settings,
                "is_fired": self._driver.trigger == "fired",
                "trigger_timeout_s": self._driver.trigger_timeout_s,
                "wraps_after": self._driver.wraps_after,
            }
        )
        received = self._process.receive(self._open_s, self._open_s)
        if received is not None and received[0]["is"] == "failed":
            self.close()
            raise _error_of(received[0])

    def fire(self, trigger_id: str | None = None) -> int:
        """Ask for one frame (trigger "fired"); may be called from any thread. Returns its number.

        A trigger that comes while the camera is away is reported as lost when it is back.
        """
        return self._triggers.fire(trigger_id)

    def read(self, timeout_s: float) -> Frame:
        until_s = time.monotonic() + timeout_s
        while True:
            if (lost := self._triggers.next_lost()) is not None:
                raise lost.as_error()
            if self._failure is not None:
                raise self._failure
            try:
                frame = self._step(until_s)
            except (CameraUnavailable, EndOfStream) as error:
                self._failure = error  # reported after the triggers that were in flight
                self._triggers.lose_fired(str(error))
                continue
            if frame is not None:
                return frame
            if time.monotonic() >= until_s:
                raise FrameTimeout(f"Camera {self._name}: no frame within {timeout_s:g} s.")

    def _step(self, until_s: float) -> Frame | None:
        """Fire what is due and take one message."""
        if self._process is None:
            raise CameraUnavailable(f"Camera {self._name} is closed. Open it before reading.")
        now_s = time.monotonic()
        firing = self._triggers.take_due(now_s)
        if firing is not None:
            self._process.send({"do": "trigger", "number": firing.number})
        wait_s = max(0.0, until_s - now_s)
        if self._driver.trigger == "fired":
            wait_s = min(wait_s, self._triggers.idle_s(now_s))
        received = self._process.receive(wait_s, self._silence_s)
        return self._frame_of(*received) if received is not None else None

    def close(self) -> None:
        self._triggers.lose_fired("the camera was closed while it was in flight")
        self._failure = None
        if self._process is not None:
            self._process.close()
            self._process = None
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def describe(self) -> CameraInfo:
        is_free = self._driver.trigger == "free"
        mode: Literal["live", "triggered"] = "live" if is_free else "triggered"
        return CameraInfo(
            self._driver.url,
            mode,
            self._hw,
            is_numbered=not is_free,
            can_resume=False,
            is_local=self._driver.is_local,
            awaits_fire=self._driver.trigger == "fired" and not self._driver.interval_s,
        )

    def data_came_ns(self) -> int | None:
        """See `protocol.FlowingCamera`."""
        return self._data_ns

    def _frame_of(self, message: Message, fd: int | None) -> Frame | None:
        """Return the frame a message announces; None where it announces none."""
        kind = message["is"]
        if message.get("data"):
            self._data_ns = time.monotonic_ns()
        if kind == "frame":
            return self._take_frame(message)
        if kind == "lost":
            raise self._loss_of(message)
        if kind == "missed":
            self._count_missed(message)
        if kind == "failed":
            raise _error_of(message)
        if kind == "ring":
            self._take_ring(message, fd)
        return None

    def _take_ring(self, message: Message, fd: int | None) -> None:
        assert fd is not None
        if self._ring is not None:
            self._ring.close()
        self._ring = RingReader(fd, message["generation"], message["slot_bytes"])

    def _take_frame(self, message: Message) -> Frame:
        arrived_ns = time.monotonic_ns()
        firing = self._firing_of(message["number"])
        try:
            pixels_hwc = self._pixels_of(message)
        except (FrameCorrupt, MemoryError) as error:
            self._give_back(message)
            name = firing.trigger_id if firing else None
            why = str(error) or "there is not enough memory for it"
            raise FrameCorrupt(why, firing.number if firing else None, name) from error
        self._give_back(message)
        self._frame_id += 1
        self._hw = int(pixels_hwc.shape[0]), int(pixels_hwc.shape[1])
        device_ns = message["device_ns"]
        taken_ns = arrived_ns
        if device_ns is not None:
            taken_ns = self._clock.host_ns(device_ns, arrived_ns)
            self._tell_clock()
        return Frame(
            camera=self._name,
            frame_id=self._frame_id,
            pixels_hwc=pixels_hwc,
            captured_at_ns=wall_at_ns(taken_ns, self._wall_ns),
            monotonic_ns=taken_ns,
            trigger_id=firing.trigger_id if firing else None,
            source_number=firing.number if firing else None,
            source_name=firing.trigger_id if firing else None,
        )

    def _tell_clock(self) -> None:
        """Say it when the camera's stamps stop being believed, and when they are again."""
        wrong, before = self._clock.wrong, self._is_clock_wrong
        self._is_clock_wrong = bool(wrong)
        if wrong and not before:
            log.warning(
                "camera %s: its time stamps do not run like this machine's clock: %s; pictures "
                "are dated by their arrival. Check the camera's clock and its driver.",
                self._name,
                wrong,
            )
        elif before and not wrong:
            log.info("camera %s: its time stamps run like this machine's clock again", self._name)

    def _firing_of(self, number: int | None) -> Firing | None:
        if self._driver.trigger == "free":
            return None
        return self._triggers.answered(number)

    def _pixels_of(self, message: Message) -> U8Array:
        assert self._ring is not None
        h, w = message["hw"]
        view = self._ring.view(message["slot"], message["length"])
        return bgr_of_raw(view, (h, w), message["stride"], message["pixel_format"])

    def _give_back(self, message: Message) -> None:
        assert self._ring is not None
        assert self._process is not None
        order = {"do": "free", "ring": self._ring.generation, "slot": message["slot"]}
        with contextlib.suppress(CameraUnavailable):  # the frame is good; the next read says why
            self._process.send(order)

    def _count_missed(self, message: Message) -> None:
        """Leave the gap in the frames' numbers, or lose that many pulses of the input."""
        if self._driver.trigger == "free":
            self._frame_id += message["count"]
            return
        for _ in range(message["count"]):
            self._triggers.lose(None, message["why"])

    def _loss_of(self, message: Message) -> FrameCorrupt:
        if self._driver.trigger == "free":
            return FrameCorrupt(f"Camera {self._name}: frame lost: {message['why']}.")
        self._triggers.lose(message["number"], message["why"])
        lost: LostTrigger | None = self._triggers.next_lost()
        assert lost is not None
        return lost.as_error()


def _error_of(message: Message) -> CameraError:
    """Return the error a child reported."""
    kind = getattr(errors, message["kind"], None)
    if isinstance(kind, type) and issubclass(kind, CameraError):
        return kind(message["why"])
    return CameraUnavailable(message["why"])
