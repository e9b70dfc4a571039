"""Several cameras in one process: one model, fair turns, and no camera suffers for another."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.small_bundles import write_bright_bundle

from edge_app.bundle.archive import read_bundle
from edge_app.cameras.grabber import CameraState, Grabber
from edge_app.cameras.picture_health import PictureHealth
from edge_app.cameras.protocol import CameraInfo
from edge_app.errors import CameraUnavailable, EndOfStream, FrameTimeout
from edge_app.model.loaded_model import LoadedModel, load_model, make_line, make_tracker
from edge_app.records import AlarmEvent, Frame, FrameReport
from edge_app.runtime.inspection_thread import CameraPipeline, GapWatch, InspectionThread

LAST_S = 1.5
FAULT_AT_S = 0.5


class NoisyCamera:
    """A live camera in real time; late readers get the frame of now. Ends after LAST_S.

    Args:
        fault: what it does from FAULT_AT_S on: "", "raises" at every read, or "hangs".
    """

    def __init__(self, name: str, fps: float, fault: str = "") -> None:
        self.name, self._fps, self._fault = name, fps, fault
        self._began_s: float | None = None
        self._next = 0
        self._rng = np.random.default_rng(3)
        self.ids: list[int] = []
        self.release = threading.Event()

    def open(self, resume_after: int | None = None) -> None:
        self._began_s = self._began_s or time.monotonic()

    def read(self, timeout_s: float) -> Frame:
        assert self._began_s is not None
        now_s = time.monotonic() - self._began_s
        if now_s > LAST_S:
            raise EndOfStream("over")
        if self._fault == "raises" and now_s > FAULT_AT_S:
            raise CameraUnavailable("the cable is out")
        if self._fault == "hangs" and now_s > FAULT_AT_S:
            self.release.wait(20)
        number = max(self._next, math.floor(now_s * self._fps))
        wait_s = number / self._fps - now_s
        time.sleep(max(0.0, min(wait_s, timeout_s)))
        if wait_s > timeout_s:
            raise FrameTimeout("not yet")
        self._next = number + 1
        self.ids.append(number)
        pixels = self._rng.integers(90, 110, (48, 64, 3), dtype=np.uint8)
        return Frame(self.name, number, pixels, time.time_ns())

    def close(self) -> None:
        pass

    def describe(self) -> CameraInfo:
        return CameraInfo("noisy:", "live", (48, 64), False, False)


class Nowhere:
    def deliver(
        self, camera: str, events: Sequence[AlarmEvent], finished_number: int | None
    ) -> None:
        pass

    def forget_progress(self, camera: str) -> None:
        pass


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    path = tmp_path_factory.mktemp("bundle") / "a.bundle"
    return load_model(read_bundle(write_bright_bundle(path)), 1)


def run_all(
    cameras: list[NoisyCamera], model: LoadedModel, line_s: float
) -> tuple[Counter[str], dict[str, Grabber]]:
    """Judge with a line that takes `line_s` a frame; return the frames judged per camera."""
    pipelines, judged = [], Counter[str]()
    for camera in cameras:
        tracker = make_tracker(camera.describe(), camera.name, model.fills_frame)
        line = make_line(model, camera.name, tracker, lambda: "alarm")
        grabber = Grabber(camera, camera.name, health=PictureHealth())
        pipelines.append(CameraPipeline(camera.name, grabber, line, GapWatch(None)))

    def show(report: FrameReport) -> None:
        judged[report.frame.camera] += bool(report.timings_ms)
        time.sleep(line_s)

    thread = InspectionThread(pipelines, Nowhere(), show)
    for pipeline in pipelines:
        pipeline.grabber.start()
    thread.start()
    time.sleep(LAST_S + 0.3)
    for camera in cameras:
        camera.release.set()
    thread._thread.join(10)
    assert not thread.is_alive()
    assert thread.failure is None
    return judged, {pipeline.name: pipeline.grabber for pipeline in pipelines}


def eight(fps: float, **faults: str) -> list[NoisyCamera]:
    return [NoisyCamera(f"cam{n}", fps, faults.get(f"cam{n}", "")) for n in range(8)]


def test_eight_cameras_judged_and_skipped_add_up_exactly(model: LoadedModel) -> None:
    """Overloaded three times over: every picture taken is judged or counted, in fair shares."""
    cameras = eight(30)
    judged, grabbers = run_all(cameras, model, line_s=0.012)
    for camera in cameras:
        counts = grabbers[camera.name].counts()
        taken = camera.ids[-1] - camera.ids[0] + 1
        assert taken == judged[camera.name] + counts.skipped + counts.missed
        assert counts.skipped > 0
    assert max(judged.values()) - min(judged.values()) <= 2


def test_a_fast_camera_takes_nothing_from_a_slow_one(model: LoadedModel) -> None:
    """100 frames per second beside 5, and a slow line: the slow camera loses nothing."""
    cameras = [NoisyCamera("fast", 100), NoisyCamera("slow", 5)]
    judged, grabbers = run_all(cameras, model, line_s=0.05)
    counts = grabbers["slow"].counts()
    assert counts.skipped == 0
    assert judged["slow"] == counts.frames
    assert grabbers["fast"].counts().skipped > 0


@pytest.mark.parametrize("fault", ["raises", "hangs"])
def test_one_camera_s_failure_touches_no_other(fault: str, model: LoadedModel) -> None:
    """One cable out, or one driver that never returns: the others are judged on as before."""
    cameras = eight(10, cam3=fault)
    judged, grabbers = run_all(cameras, model, line_s=0.0)
    for camera in cameras:
        counts = grabbers[camera.name].counts()
        if camera.name != "cam3":
            assert judged[camera.name] == counts.frames - counts.skipped
            assert counts.frames >= 0.5 * 10 * LAST_S
            assert grabbers[camera.name].state() is CameraState.ENDED
    assert judged["cam3"] <= 0.6 * max(judged.values())


def test_a_silent_camera_delays_no_other(model: LoadedModel) -> None:
    """Seven cameras that deliver nothing cost the eighth no time: verdicts within a few ms."""
    cameras = [NoisyCamera("busy", 20), *(NoisyCamera(f"off{n}", 0.1) for n in range(7))]
    waits_ms: list[float] = []
    pipelines = []
    for camera in cameras:
        tracker = make_tracker(camera.describe(), camera.name, model.fills_frame)
        line = make_line(model, camera.name, tracker, lambda: "a")
        pipelines.append(
            CameraPipeline(camera.name, Grabber(camera, camera.name), line, GapWatch(None))
        )
    thread = InspectionThread(
        pipelines, Nowhere(), lambda r: waits_ms.extend(v.latency_ms for v in r.finished)
    )
    for pipeline in pipelines:
        pipeline.grabber.start()
    thread.start()
    time.sleep(LAST_S)
    for pipeline in pipelines:
        pipeline.grabber.stop()
    thread.stop()
    assert len(waits_ms) > 10
    assert np.median(waits_ms) < 60  # asked in turn, 10 ms each, it took 70


def test_the_model_is_loaded_once(model: LoadedModel, tmp_path: Path) -> None:
    """Two cameras of one slot judge with the same graph objects."""
    info = NoisyCamera("a", 1).describe()
    lines = [make_line(model, n, make_tracker(info, n, True), lambda: "x") for n in "ab"]
    assert lines[0]._stages.inspector is lines[1]._stages.inspector
