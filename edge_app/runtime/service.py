"""The running app as a systemd service: ready, one status line, the watchdog."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from edge_app.cameras.capture_state import CameraState
from edge_app.cameras.grabber import Grabber
from edge_app.host.sd_notify import ServiceNotifier
from edge_app.host.watchdog import Loop, Watchdog
from edge_app.mqtt.publisher import Publisher
from edge_app.records import ModelIdentity
from edge_app.runtime.inspection_thread import CameraPipeline, InspectionThread
from edge_app.shown_state import ShownState

READY_AFTER_S = 20.0
"""Ready at the latest, whatever the broker does: longer than a dial's own time-outs (5 s for TCP
and up to 10 s for CONNACK), so only a hanging name server gets this far."""

PUBLISHER_DEADLINE_S = 60.0
"""One attempt to connect: TCP 5 s twice, CONNACK 2 s and 10 s, and a resolver that asks two name
servers twice, 5 s each (resolv.conf(5)); the rest is room for a slow disk."""


class Service:
    """Keeps systemd informed about the app; does nothing where there is no systemd.

    *Ready* means that the line runs: `status` has been acknowledged by the broker, or the broker
    could not be reached. Inspection must not wait for a network: alerts wait on disk, and a
    service that is "starting" for as long as a broker is away would be killed by systemd's start
    limit while it does its work.
    """

    def __init__(
        self,
        notifier: ServiceNotifier,
        loops: Sequence[Loop],
        is_told: Callable[[], bool],
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Prepare.

        Args:
            loops: what the watchdog watches.
            is_told: the broker has acknowledged `status`, or an attempt to reach it has failed.
        """
        self._notifier = notifier
        self._watchdog = Watchdog(loops, notifier.alive, notifier.watchdog_s, monotonic_ns)
        self._is_told = is_told
        self._now_ns = monotonic_ns
        self._first_ns: int | None = None
        self._is_ready = False

    def tend(self, status: Callable[[], str]) -> None:
        """Say what is due; called by the main loop a few times a second.

        Args:
            status: makes the line for `systemctl status`; not called without systemd.
        """
        if not self._notifier.is_heard:
            return
        if not self._is_ready and self._may_be_ready():
            self._is_ready = True
            self._notifier.ready()
        self._notifier.status(status())
        self._watchdog.tend()

    def stopping(self) -> None:
        """The end has begun."""
        self._notifier.stopping()

    def _may_be_ready(self) -> bool:
        now_ns = self._now_ns()
        self._first_ns = now_ns if self._first_ns is None else self._first_ns
        return self._is_told() or now_ns - self._first_ns > READY_AFTER_S * 1e9


def loops_of(
    pipelines: Sequence[CameraPipeline],
    inspection: InspectionThread,
    publisher: Publisher | None,
    *,
    inspection_deadline_s: float,
    camera_deadline_s: float,
) -> tuple[Loop, ...]:
    """Return every loop of the app that has to go round; the main loop feeds, so it is watched.

    A camera's loop that has ended without its source's end counts as standing still.
    """
    cameras = [_camera_loop(pipeline.grabber, camera_deadline_s) for pipeline in pipelines]
    inspecting = Loop(
        "inspection", inspection_deadline_s, inspection.heartbeat_ns, inspection.is_alive,
        thread="inspection",
    )  # fmt: skip
    if publisher is None:
        return (inspecting, *cameras)
    publishing = Loop(
        "mqtt-publisher", PUBLISHER_DEADLINE_S, publisher.heartbeat_ns, lambda: True,
        thread="mqtt-publisher",
    )  # fmt: skip
    return (inspecting, publishing, *cameras)


def _camera_loop(grabber: Grabber, deadline_s: float) -> Loop:
    return Loop(
        f"camera {grabber.name}",
        deadline_s,
        grabber.heartbeat_ns,
        lambda: grabber.state() is not CameraState.ENDED,
        thread=f"grab-{grabber.name}",
    )


def status_line(
    shown: Mapping[str, ShownState],
    model: ModelIdentity | None,
    broker: str,
    alerts_waiting: int,
) -> str:
    """Return how it stands, for `systemctl status`.

    Args:
        shown: the cameras' states, in the configured order.
    """
    cameras = ", ".join(_camera_text(name, state) for name, state in shown.items())
    judging = f"judging {model.product} {model.serial}" if model else "no model yet"
    return f"{cameras}; {judging}; broker {broker}; {alerts_waiting} alerts wait"


def _camera_text(name: str, shown: ShownState) -> str:
    reason = f" ({shown.reason})" if shown.reason else ""
    return f"{name} {shown.state}{reason}"
