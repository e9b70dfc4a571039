"""One thread per camera: reads, reconnects by itself, and hands frames to the line.

live        only the newest frame is kept, what it replaces is counted as skipped
triggered   every trigger comes out once: as a Frame in time, or as Unjudged
file        the reader sets the pace, nothing is skipped
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_app.cameras.capture_state import (
    LOCAL_RETRY_MAX_S,
    CameraState,
    CaptureState,
    StateCallback,
)
from edge_app.cameras.frame_queue import (
    DEADLINE,
    FrameQueue,
    Unjudged,
    Waiting,
    unjudged_of,
    unjudged_of_corrupt,
    with_arrival,
)
from edge_app.cameras.grabber_counts import GrabberCounts
from edge_app.cameras.picture_health import Finding, PictureFault, PictureHealth
from edge_app.cameras.protocol import Camera, FlowingCamera
from edge_app.errors import CameraUnavailable, EndOfStream, FrameCorrupt, FrameTimeout
from edge_app.records import Frame

__all__ = [
    "CameraState",
    "Grabber",
    "GrabberClock",
    "GrabberCounts",
    "GrabberLimits",
    "Unjudged",
]

log = logging.getLogger(__name__)

READ_SLICE_S = 0.5
"""Longest single wait of the loop: the heartbeat advances at least this often while all is well,
and `stop` is obeyed within it."""

JOIN_S = 5.0
"""`stop` gives a hung driver this long; its thread is a daemon and does not keep the process."""


@dataclass(frozen=True, slots=True)
class GrabberLimits:
    """How long a camera's frames may wait, and how long the camera itself may be silent.

    Attributes:
        queue_depth: frames that may wait (triggered, file).
        verdict_deadline_s: a triggered part older than this is not judged any more; counted
            from its arrival here on the monotonic clock, which no time server moves.
        stall_after_s: a live source without a frame for this long is reopened.
        reconnect_max_s: longest wait between two openings; of a local camera 1 s at most.
    """

    queue_depth: int = 8
    verdict_deadline_s: float = 1.0
    stall_after_s: float = 5.0
    reconnect_max_s: float = 10.0


@dataclass(frozen=True, slots=True)
class GrabberClock:
    """What a grabber knows of time; tests pass their own.

    Attributes:
        monotonic_ns: never set back.
        wall_ns: since 1970.
        pause: waits for the stop event or that many seconds.
    """

    monotonic_ns: Callable[[], int] = time.monotonic_ns
    wall_ns: Callable[[], int] = time.time_ns
    pause: Callable[[threading.Event, float], object] = threading.Event.wait


class Grabber:
    """Owns a camera and its thread.

    Use: `start()`, then `next()` in a loop until `is_finished()`, then `stop()`.
    """

    def __init__(
        self,
        camera: Camera,
        name: str,
        *,
        limits: GrabberLimits = GrabberLimits(),
        resume_after: int | None = None,
        on_state: StateCallback | None = None,
        health: PictureHealth | None = None,
        clock: GrabberClock = GrabberClock(),
    ) -> None:
        """Prepare; the camera is opened by `start()`'s thread.

        Args:
            name: the camera's name in the configuration.
            resume_after: last finished source number; see `Camera.open`.
            on_state: called from the grabber's thread on every change of state.
            health: looks at every picture; of files only for what is black or white.
        """
        self.name = name
        self._camera = camera
        info = camera.describe()
        longest_s = LOCAL_RETRY_MAX_S if info.is_local else limits.reconnect_max_s
        self._mode = info.mode
        self._health = health.for_files() if health and self._mode == "file" else health
        self._queue = FrameQueue(self._mode, limits.queue_depth)
        self._state = CaptureState(
            name,
            self._mode,
            stall_after_s=limits.stall_after_s,
            reconnect_max_s=min(limits.reconnect_max_s, longest_s),
            on_state=on_state,
        )
        self._read_slice_s = min(READ_SLICE_S, limits.stall_after_s / 2)
        self._deadline_ns = round(limits.verdict_deadline_s * 1e9)
        self._resume_after = resume_after
        self._monotonic_ns, self._wall_ns = clock.monotonic_ns, clock.wall_ns
        self._pause = clock.pause
        self._counts = dict.fromkeys(GrabberCounts.__dataclass_fields__, 0)
        self._opened = 0
        self._last_frame_id: int | None = None
        self._is_corrupt_told = False
        self._heartbeat_ns = clock.monotonic_ns()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"grab-{name}", daemon=True)

    def start(self) -> None:
        """Begin to read in an own thread; call once."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the camera; what already waits can still be taken."""
        self._stop.set()
        self._queue.close()
        if not self._thread.ident:
            return
        self._thread.join(JOIN_S)
        if self._thread.is_alive():
            log.error("camera %s: its driver has not returned for %g s", self.name, JOIN_S)

    def wake(self, event: threading.Event) -> None:
        """Have the wake-up event set whenever something comes; before `start` only."""
        self._queue.wake_up = event

    def learn_anew(self) -> None:
        """Another product is made from now on: the next minutes show what is normal."""
        if self._health is not None:
            self._health.learn_anew()

    def next(self, timeout_s: float) -> Frame | Unjudged | None:
        """Return the next frame, or the next part that cannot be judged; None if none came."""
        entry = self.take(timeout_s)
        return None if entry is None else self.due(entry)

    def take(self, timeout_s: float) -> Waiting | None:
        """Return the next entry, or None if none came; what it is worth by now says `due`."""
        return self._queue.take(timeout_s)

    def due(self, entry: Waiting) -> Frame | Unjudged:
        """Return what to do with an entry now: a triggered frame may have waited too long."""
        if self._mode != "triggered" or isinstance(entry.item, Unjudged):
            return entry.item
        waited_ns = self._monotonic_ns() - entry.arrived_ns
        if waited_ns <= self._deadline_ns:
            return entry.item
        self._counts["deadline"] += 1
        why = f"waited {waited_ns / 1e6:.0f} ms, allowed {self._deadline_ns / 1e6:.0f} ms"
        return unjudged_of(entry.item, DEADLINE, why)

    def is_finished(self) -> bool:
        """The source has ended (or was stopped) and everything it gave was taken."""
        return not self._is_running() and self._queue.is_drained()

    def state(self) -> CameraState:
        return self._state.state

    def counts(self) -> GrabberCounts:
        return GrabberCounts(**self._counts)

    def queue_length(self) -> int:
        """How many frames wait for the line."""
        return len(self._queue)

    def heartbeat_ns(self) -> int:
        """When the loop last went round, monotonic ns; waiting and reconnecting are progress.

        It stands still only while the driver does not return, and after the source has ended.
        """
        return self._heartbeat_ns

    def _is_running(self) -> bool:
        return self._thread.is_alive() or not (self._thread.ident or self._stop.is_set())

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._beat()
                if self._read_until_it_ends():
                    break
        finally:
            self._close()
            self._queue.close()

    def _read_until_it_ends(self) -> bool:
        """Open and read; True at the end of a finite source, False when it has to be reopened."""
        try:
            self._open()
            while not self._stop.is_set():
                self._beat()
                if self._read_once():
                    break  # stalled
        except EndOfStream as end:
            self._state.ended(str(end))
            return True
        except CameraUnavailable as error:
            self._back_off(self._state.lost(str(error)))
        except Exception as error:
            # A driver's bug must not end the thread that would bring the camera back.
            log.debug("camera %s: unexpected error", self.name, exc_info=True)
            why = f"the driver raised {type(error).__name__}: {error}"
            self._back_off(self._state.lost(why))
        return False

    def _open(self) -> None:
        self._camera.open(self._resume_after)
        self._counts["reconnects"] += self._opened > 0
        self._opened += 1
        self._last_frame_id = None
        self._state.opened(self._monotonic_ns())

    def _read_once(self) -> bool:
        """Read one frame and pass it on; True when a live source has stalled."""
        try:
            frame = self._camera.read(self._read_slice_s)
        except FrameTimeout:
            return self._nothing_came()
        except FrameCorrupt as error:
            self._pass_on_corrupt(error)
            return self._mode == "live" and self._nothing_came()
        self._is_corrupt_told, now_ns = False, self._monotonic_ns()
        self._count(frame)
        finding = self._look(frame, now_ns)
        if finding is not None and not finding.fault.is_usable:
            return self._refuse(frame, finding)
        self._state.frame_came(now_ns, finding)
        self._pass_on(with_arrival(frame, self._mode, now_ns))
        return False

    def _look(self, frame: Frame, now_ns: int) -> Finding | None:
        """Return what is wrong with a picture; one that cannot be looked at goes on as it is."""
        if self._health is None:
            return None
        try:
            return self._health.look(frame.pixels_hwc, now_ns)
        except Exception:  # no memory, or an odd shape: the same would come at the next opening
            log.warning("camera %s: a picture's health is not known", self.name, exc_info=True)
            return None

    def _count(self, frame: Frame) -> None:
        """Count a frame, and the ones its number says were lost on the way (live)."""
        self._counts["frames"] += 1
        before, self._last_frame_id = self._last_frame_id, frame.frame_id
        if self._mode == "live" and before is not None:
            self._counts["missed"] += max(0, frame.frame_id - before - 1)

    def _refuse(self, frame: Frame, finding: Finding) -> bool:
        """Hand no unusable picture on; True when the source has to be opened again.

        A repeated picture of a live source is as good as none: it stalls in the same time.
        """
        is_repeat = finding.fault is PictureFault.REPEATED
        self._counts["repeated" if is_repeat else "unusable"] += 1
        if self._mode == "live" and is_repeat:
            return self._nothing_came(finding.why)
        stands_still = self._state.unusable_came(self._monotonic_ns(), finding)
        if self._mode == "triggered" or frame.source_number is not None:
            self._pass_on(unjudged_of(frame, finding.fault.value, finding.why))
        if stands_still:
            self._back_off(self._state.stalled(finding.why))
        return stands_still

    def _nothing_came(self, why: str = "") -> bool:
        """Back off when a live source has stalled; tell whether it has.

        One that still sends data is waited for: a stream may have a key frame every ten seconds.
        """
        now_ns = self._monotonic_ns()
        if not self._state.nothing_came(now_ns):
            return False
        camera = self._camera
        data_ns = camera.data_came_ns() if isinstance(camera, FlowingCamera) else None
        if data_ns is not None and self._state.data_came(data_ns, now_ns):
            return False
        self._back_off(self._state.stalled(why))
        return True

    def _pass_on(self, item: Frame | Unjudged) -> None:
        """Queue it; after a reconnect a numbered source goes on behind what was queued."""
        outcome = self._queue.offer(item, self._monotonic_ns(), READ_SLICE_S)
        while outcome == "full" and not self._stop.is_set():
            self._beat()
            outcome = self._queue.offer(item, self._monotonic_ns(), READ_SLICE_S)
        self._counts["skipped"] += outcome == "replaced"
        self._counts["overload"] += outcome == "refused"
        if outcome != "full" and item.source_number is not None:
            self._resume_after = item.source_number

    def _pass_on_corrupt(self, error: FrameCorrupt) -> None:
        """Count it; where pictures are parts or the file is damaged, it also gets a verdict."""
        self._counts["corrupt"] += 1
        level = logging.DEBUG if self._is_corrupt_told else logging.WARNING
        log.log(level, "camera %s: %s", self.name, error)
        self._is_corrupt_told = True
        if self._mode == "live":
            return
        is_triggered = self._mode == "triggered"
        record = unjudged_of_corrupt(self.name, error, self._wall_ns(), is_triggered)
        self._pass_on(record)

    def _close(self) -> None:
        """Close the camera; a driver that fails even at this must not end the thread."""
        try:
            self._camera.close()
        except Exception as error:
            log.warning("camera %s: closing failed: %s", self.name, error)

    def _back_off(self, wait_s: float) -> None:
        """Wait before the next attempt, in slices that keep the heart beating."""
        until_ns = self._monotonic_ns() + round(wait_s * 1e9)
        self._close()
        while not self._stop.is_set():
            left_s = (until_ns - self._monotonic_ns()) / 1e9
            if left_s <= 0:
                return
            self._beat()
            self._pause(self._stop, min(READ_SLICE_S, left_s))

    def _beat(self) -> None:
        self._heartbeat_ns = self._monotonic_ns()
