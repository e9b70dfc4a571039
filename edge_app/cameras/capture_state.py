"""What a frame source is doing and when to try again: pure rules, told the time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum

from edge_app.cameras.protocol import CameraMode

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.5
"""A cable knocked loose and pushed back, or a restarted driver, is back within about a second."""

RETRY_GROWTH = 2.0
"""0.5, 1, 2, 4, 8 s: quick at first, and no log or network flood from a camera that is off."""

IDLE_AFTER_S = 2.0
"""A triggered camera without a trigger for this long is called waiting; slower than the usual
belt's pace, so that the retained state on MQTT does not flip with every part."""


class CameraState(str, Enum):
    """What people see of a camera; before the first frame it is `reconnecting`."""

    CAPTURING = "capturing"
    WAITING_FOR_TRIGGER = "waiting_for_trigger"
    STALLED = "stalled"
    RECONNECTING = "reconnecting"
    ENDED = "ended"


StateCallback = Callable[[CameraState, str], None]
"""Called with the new state and one sentence saying why; "" when all is well."""


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
        self._last_frame_ns: int | None = None

    def opened(self, now_ns: int) -> None:
        """The source is open; a live one has `stall_after_s` from now for its first frame."""
        self._last_frame_ns = now_ns if self._mode == "live" else None

    def frame_came(self, now_ns: int) -> None:
        """The source delivered."""
        self._last_frame_ns = now_ns
        self._recover()
        self._set(CameraState.CAPTURING, "")

    def nothing_came(self, now_ns: int) -> bool:
        """A read ran into its time-out. Returns True when a live source counts as stalled."""
        last_ns = self._last_frame_ns
        silent_s = float("inf") if last_ns is None else (now_ns - last_ns) / 1e9
        if self._mode == "live":
            return silent_s >= self._stall_after_s
        self._recover()
        if self._mode == "triggered" and silent_s >= IDLE_AFTER_S:
            self._set(CameraState.WAITING_FOR_TRIGGER, "")
        return False

    def stalled(self) -> float:
        """A live source is open but stands still. Returns the seconds to wait before reopening."""
        why = f"no frame for {self._stall_after_s:g} s; it is opened again"
        return self._failed(CameraState.STALLED, why)

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
        level = logging.DEBUG if self._is_failing else logging.WARNING
        log.log(level, "camera %s: %s", self._camera, why)
        self._is_failing = True
        self._set(state, why)
        grown_s = max(FIRST_RETRY_S, self._retry_s * RETRY_GROWTH)
        self._retry_s = min(self._reconnect_max_s, grown_s)
        return self._retry_s

    def _set(self, state: CameraState, why: str) -> None:
        if state is self.state:
            return
        self.state = state
        if self._on_state is not None:
            self._on_state(state, why)
