"""What a frame source is doing and when to try again: pure rules; the time is passed in."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from enum import Enum

from edge_app.cameras.picture_health import Finding, PictureFault
from edge_app.cameras.protocol import CameraMode

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.5
"""A cable knocked loose and pushed back, or a restarted driver, is back within about a second."""

RETRY_GROWTH = 2.0
"""0.5, 1, 2, 4, 8 s: quick at first, and no log or network flood from a camera that is off."""

LOCAL_RETRY_MAX_S = 1.0
"""A camera on its own cable is tried every second: plugged in again it is back within 2 s."""

REPEATS_TO_REOPEN = 3
"""A triggered source with the same picture at so many triggers in a row is opened again: a driver
that repeats its buffer does not stop by itself (docs/cameras.md, "Picture health")."""

WITHOUT_PICTURE_S = 60.0
"""A source that sends data all the time and gives no good picture for this long is opened again."""

IDLE_AFTER_S = 2.0
"""A triggered camera without a trigger for this long is called waiting; slower than the usual
belt's pace, so that the retained state on MQTT does not flip with every part."""


class CameraState(str, Enum):
    """What people see of a camera; before the first frame it is `reconnecting`.

    impaired: pictures come and are judged, but they are blurred or show another place.
    blind: pictures come, but none that can be judged.
    """

    CAPTURING = "capturing"
    IMPAIRED = "impaired"
    BLIND = "blind"
    WAITING_FOR_TRIGGER = "waiting_for_trigger"
    STALLED = "stalled"
    RECONNECTING = "reconnecting"
    ENDED = "ended"


StateCallback = Callable[[CameraState, str], None]
"""Called with the new state and one sentence saying why; "" when all is well."""


def _news_of(why: str) -> str:
    """Return a reason without its figures: only a change of what is left is news."""
    return re.sub(r"\d+", "#", why)


class CaptureState:
    """Follows one source from what its reads bring; says when it stalls and how long to back off.

    The back-off starts again at its first step only after the source has delivered or, when
    triggered, has answered: a camera that opens but shows nothing is tried ever more slowly.
    First failure WARNING, repeats DEBUG, recovery INFO.
    """

    def __init__(
        self,
        camera: str,
        mode: CameraMode,
        *,
        stall_after_s: float,
        reconnect_max_s: float,
        on_state: StateCallback | None = None,
    ) -> None:
        self.state = CameraState.RECONNECTING
        self._camera, self._mode = camera, mode
        self._stall_after_s = stall_after_s
        self._reconnect_max_s = reconnect_max_s
        self._on_state = on_state
        self._retry_s = 0.0
        self._is_failing = False
        self._fault: PictureFault | None = None
        self._news = ""
        self._repeats = 0
        self._last_frame_ns: int | None = None

    def opened(self, now_ns: int) -> None:
        """The source is open; a live one has `stall_after_s` from now for its first frame."""
        self._last_frame_ns = now_ns if self._mode == "live" else None

    def frame_came(self, now_ns: int, finding: Finding | None = None) -> None:
        """The source delivered a picture that will be judged, whatever else is wrong with it."""
        self._last_frame_ns = now_ns
        self._repeats = 0
        self._recover()
        if finding is None:
            self._set(CameraState.CAPTURING, "")
        else:
            self._tell(CameraState.IMPAIRED, finding)

    def unusable_came(self, now_ns: int, finding: Finding) -> bool:
        """The source delivered a picture nobody can judge. True: it stands still, reopen it."""
        self._last_frame_ns = now_ns
        self._repeats = self._repeats + 1 if finding.fault is PictureFault.REPEATED else 0
        self._tell(CameraState.BLIND, finding)
        if self._repeats < REPEATS_TO_REOPEN:
            return False
        self._repeats = 0
        return True

    def nothing_came(self, now_ns: int) -> bool:
        """A read ran into its time-out. Returns True when a live source counts as stalled."""
        last_ns = self._last_frame_ns
        silent_s = float("inf") if last_ns is None else (now_ns - last_ns) / 1e9
        if self._mode == "live":
            return silent_s >= self._stall_after_s
        if self.state is CameraState.BLIND:
            return False  # until a picture shows that it sees again
        self._recover()
        if self._mode == "triggered" and silent_s >= IDLE_AFTER_S:
            self._set(CameraState.WAITING_FOR_TRIGGER, "")
        return False

    def data_came(self, data_ns: int, now_ns: int) -> bool:
        """A silent live source still sent data at `data_ns`. Returns True to go on waiting."""
        silent_s = (now_ns - (self._last_frame_ns or now_ns)) / 1e9
        if silent_s >= max(WITHOUT_PICTURE_S, self._stall_after_s):
            return False
        if (now_ns - data_ns) / 1e9 >= self._stall_after_s:
            return False
        self._set(
            CameraState.BLIND,
            f"data comes, and no whole picture for {self._stall_after_s:g} s: the next good key "
            "frame is awaited",
        )
        return True

    def stalled(self, why: str = "") -> float:
        """The source is open but stands still. Returns the seconds to wait before reopening."""
        why = why or f"no frame for {self._stall_after_s:g} s"
        return self._failed(CameraState.STALLED, f"{why}; it is opened again")

    def lost(self, why: str) -> float:
        """The source cannot be opened or has gone. Returns the seconds to wait before reopening."""
        return self._failed(CameraState.RECONNECTING, why)

    def ended(self, why: str) -> None:
        """A finite source is at its end."""
        log.info("camera %s: %s", self._camera, why)
        self._set(CameraState.ENDED, why)

    def _recover(self) -> None:
        self._retry_s = 0.0
        if self._is_failing:
            self._is_failing = False
            log.info("camera %s: back again", self._camera)

    def _failed(self, state: CameraState, why: str) -> float:
        is_known = self._is_failing and (state, _news_of(why)) == (self.state, self._news)
        level = logging.DEBUG if is_known else logging.WARNING
        log.log(level, "camera %s: %s", self._camera, why)
        self._is_failing = True
        self._set(state, why)
        grown_s = max(FIRST_RETRY_S, self._retry_s * RETRY_GROWTH)
        self._retry_s = min(self._reconnect_max_s, grown_s)
        return self._retry_s

    def _tell(self, state: CameraState, finding: Finding) -> None:
        """Say a picture's fault: log it when it is new."""
        if (state, finding.fault) == (self.state, self._fault):
            return
        log.warning("camera %s: %s", self._camera, finding.why)
        self._set(state, finding.why, finding.fault)

    def _set(self, state: CameraState, why: str, fault: PictureFault | None = None) -> None:
        news = _news_of(why)
        if (state, fault, news) == (self.state, self._fault, self._news):
            return
        if self._fault is not None and state is CameraState.CAPTURING:
            log.info("camera %s: its pictures are good again", self._camera)
        self.state, self._fault, self._news = state, fault, news
        if self._on_state is not None:
            self._on_state(state, why)
