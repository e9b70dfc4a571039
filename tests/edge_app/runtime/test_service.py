"""When the service calls itself ready, and which loops of a real line the watchdog watches."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

from support.brokers import wait_until
from support.small_bundles import write_bright_bundle, write_pictures

from edge_app.bundle.archive import read_bundle
from edge_app.cameras.folder import FolderCamera
from edge_app.cameras.grabber import Grabber
from edge_app.host.sd_notify import ServiceNotifier
from edge_app.host.watchdog import Loop, Watchdog
from edge_app.model.loaded_model import load_model, make_line, make_tracker
from edge_app.runtime.inspection_thread import CameraPipeline, GapWatch, InspectionThread
from edge_app.runtime.service import READY_AFTER_S, Service, loops_of


class Desk:
    """A service with a real socket for systemd and a clock that is set by hand."""

    def __init__(self, folder: Path, heard: socket.socket) -> None:
        heard.bind(str(folder / "notify"))
        heard.setblocking(False)
        self._heard = heard
        self.now_s = 50.0
        self.is_told = False
        notifier = ServiceNotifier(heard.getsockname())
        self.service = Service(notifier, (), lambda: self.is_told, lambda: round(self.now_s * 1e9))

    def tend(self) -> list[str]:
        """Let the main loop go round once; return what systemd heard."""
        self.service.tend(lambda: "inspecting")
        found = []
        while True:
            try:
                found.append(self._heard.recv(4096).decode())
            except BlockingIOError:
                return found


def test_ready_once_the_broker_was_told_or_could_not_be(tmp_path: Path) -> None:
    """Ready follows the first word about the broker, and is said once."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        desk = Desk(tmp_path, heard)
        assert desk.tend() == ["STATUS=inspecting"]
        desk.is_told = True
        assert desk.tend() == ["READY=1"]
        assert desk.tend() == []


def test_a_name_server_that_hangs_does_not_hold_up_ready(tmp_path: Path) -> None:
    """Nothing known of the broker for READY_AFTER_S: the line runs, so the service is ready."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        desk = Desk(tmp_path, heard)
        desk.tend()
        desk.now_s += READY_AFTER_S
        assert desk.tend() == []
        desk.now_s += 0.1
        assert desk.tend() == ["READY=1"]


def real_line(
    tmp_path: Path, pictures: int, loop: bool, sink: SlowDisk
) -> tuple[CameraPipeline, InspectionThread]:
    """Return a folder camera and its inspection thread, both started."""
    model = load_model(read_bundle(write_bright_bundle(tmp_path / "a.bundle")))
    folder = write_pictures(tmp_path / "in", pictures, set())
    camera = FolderCamera(folder, "cam", loop=loop, interval_s=0.01)
    tracker = make_tracker(camera.describe(), "cam-1", model.fills_frame)
    line = make_line(model, "cam", tracker, lambda: "alarm")
    pipeline = CameraPipeline("cam", Grabber(camera, "cam"), line, GapWatch(None))
    thread = InspectionThread([pipeline], sink, lambda _report: None)
    pipeline.grabber.start()
    thread.start()
    return pipeline, thread


class SlowDisk:
    """A sink that keeps nothing, and does not return while its door is closed."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.is_open.set()

    def deliver(self, *_: object) -> None:
        self.is_open.wait(20)

    def forget_progress(self, camera: str) -> None: ...


def loops(pipeline: CameraPipeline, thread: InspectionThread) -> tuple[Loop, ...]:
    return loops_of([pipeline], thread, None, inspection_deadline_s=0.5, camera_deadline_s=1.2)


def test_a_line_at_work_moves_and_a_held_one_does_not(tmp_path: Path) -> None:
    """Real loops keep within their deadlines; the inspection thread held up is named alone."""
    disk = SlowDisk()
    pipeline, thread = real_line(tmp_path, 3, loop=True, sink=disk)
    watchdog = Watchdog(loops(pipeline, thread), lambda: None, 1.0)
    wait_until(lambda: pipeline.grabber.counts().frames > 10)
    assert watchdog.standing_still() == ()
    running = {thread.name for thread in threading.enumerate()}
    assert {loop.thread for loop in loops(pipeline, thread)} <= running
    disk.is_open.clear()
    wait_until(lambda: watchdog.standing_still() != ())
    time.sleep(1.5)  # the camera waits for room in its queue: that is progress
    assert [loop.name for loop in watchdog.standing_still()] == ["inspection"]
    disk.is_open.set()
    wait_until(lambda: watchdog.standing_still() == ())
    pipeline.grabber.stop()
    thread.stop()


def test_a_folder_shown_to_its_end_stands_still_lawfully(tmp_path: Path) -> None:
    """After the last picture neither loop has to beat any more."""
    pipeline, thread = real_line(tmp_path, 2, loop=False, sink=SlowDisk())
    wait_until(lambda: not thread.is_alive())
    assert [loop.is_running() for loop in loops(pipeline, thread)] == [False, False]
    pipeline.grabber.stop()
