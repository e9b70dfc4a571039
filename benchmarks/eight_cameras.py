"""Eight cameras at 10 frames per second in one process: what is judged and skipped, what it costs.

`python -m benchmarks.eight_cameras --seconds 30`. The simulated line's pictures are rendered before
and played in real time, so that rendering is no part of the figures. One model serves all cameras.
CPU time is taken per thread; what no thread of ours used was used by ONNX Runtime's own.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from edge_app.backends.protocol import AnyArray, GraphInfo, GraphRunner
from edge_app.bundle.archive import read_bundle
from edge_app.cameras.grabber import Grabber
from edge_app.cameras.picture_health import PictureHealth
from edge_app.cameras.protocol import CameraInfo
from edge_app.cameras.registry import open_camera
from edge_app.errors import FrameTimeout
from edge_app.model.loaded_model import LoadedModel, load_model, make_line, make_tracker
from edge_app.records import AlarmEvent, Frame, FrameReport, U8Array
from edge_app.runtime.inspection_thread import CameraPipeline, GapWatch, InspectionThread

PICTURES = 48
"""Rendered once: at 5 pictures apart each of eight cameras shows another part of the same belt."""

APART = 5
COUNTED = ("skipped", "missed", "repeated", "unusable")


class PlayedBelt:
    """A live camera that plays rendered pictures in real time. Implements `protocol.Camera`."""

    def __init__(self, name: str, pictures: Sequence[U8Array], fps: float, first: int) -> None:
        self._name, self._pictures, self._fps, self._first = name, pictures, fps, first
        self._began_s = 0.0
        self._next = 0
        self.ids: list[int] = []

    def open(self, resume_after: int | None = None) -> None:
        del resume_after
        self._began_s, self._next = time.monotonic(), 0

    def read(self, timeout_s: float) -> Frame:
        newest = math.floor((time.monotonic() - self._began_s) * self._fps)
        number = max(self._next, newest)
        wait_s = self._began_s + number / self._fps - time.monotonic()
        if wait_s > timeout_s:
            time.sleep(timeout_s)
            raise FrameTimeout("not yet")
        time.sleep(max(0.0, wait_s))
        self._next = number + 1
        self.ids.append(number)
        pixels = self._pictures[(self._first + number) % len(self._pictures)]
        return Frame(self._name, number, pixels, time.time_ns())

    def close(self) -> None:
        pass

    def describe(self) -> CameraInfo:
        return CameraInfo("played:", "live", self._pictures[0].shape[:2], False, False)


class TimedRunner:
    """A graph that adds up the calling thread's CPU time in it. Implements `GraphRunner`."""

    def __init__(self, runner: GraphRunner) -> None:
        self._runner = runner
        self.cpu_s = self.wall_s = 0.0
        self.calls = 0

    def run(self, inputs: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        cpu_s, wall_s = time.thread_time(), time.perf_counter()
        try:
            return self._runner.run(inputs)
        finally:
            self.cpu_s += time.thread_time() - cpu_s
            self.wall_s += time.perf_counter() - wall_s
            self.calls += 1

    def describe(self) -> GraphInfo:
        return self._runner.describe()

    def close(self) -> None:
        self._runner.close()


class Nowhere:
    """An event sink that keeps nothing: storing alerts has its own benchmark."""

    def deliver(
        self, camera: str, events: Sequence[AlarmEvent], finished_number: int | None
    ) -> None: ...

    def forget_progress(self, camera: str) -> None: ...


@dataclass(slots=True)
class Outcome:
    """What one run gave.

    Attributes:
        cameras: name → taken, judged, skipped, missed, repeated, unusable.
        seconds: of the run.
        cpu_s: where the process's CPU time went: models, inspection (the rest of its thread),
            grabbers, other.
        parts: verdict → how many parts left.
    """

    cameras: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)
    parts: Counter[str] = field(default_factory=Counter)

    @property
    def adds_up(self) -> bool:
        """Every picture taken is judged or counted under one reason."""
        return all(
            c["taken"] == c["judged"] + sum(c[k] for k in COUNTED) for c in self.cameras.values()
        )


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--fps", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--threads", type=int, default=1, help="of ONNX Runtime")
    args = parser.parse_args()
    outcome = measure(args.cameras, args.fps, args.seconds, args.threads)
    print(json.dumps(_as_json(outcome), indent=2))
    raise SystemExit(0 if outcome.adds_up else 1)


def measure(count: int, fps: float, seconds: float, threads: int) -> Outcome:
    """Run so many cameras for so long."""
    pictures = _rendered(PICTURES)
    bundle = Path(str(files("edge_app").joinpath("assets").joinpath("demo-tapered.bundle")))
    model = load_model(read_bundle(bundle), threads)
    runners = _timed(model)
    belts = {f"cam{n}": PlayedBelt(f"cam{n}", pictures, fps, APART * n) for n in range(count)}
    pipelines = [_pipeline(name, belt, model) for name, belt in belts.items()]
    outcome, judged = Outcome(), Counter[str]()

    def show(report: FrameReport) -> None:
        judged[report.frame.camera] += bool(report.timings_ms)
        outcome.parts.update(v.state.value for v in report.finished)

    thread = InspectionThread(pipelines, Nowhere(), show)
    process_s, began_s = time.process_time(), time.monotonic()
    for pipeline in pipelines:
        pipeline.grabber.start()
    thread.start()
    time.sleep(seconds)
    python_s = {t.name: _cpu_s(t) for t in threading.enumerate()}
    used_s, in_graphs_s = time.process_time() - process_s, sum(r.cpu_s for r in runners)
    outcome.seconds = time.monotonic() - began_s
    for pipeline in pipelines:
        pipeline.grabber.stop()
    while any(pipeline.grabber.queue_length() for pipeline in pipelines):
        time.sleep(0.05)
    time.sleep(0.5)  # the last one is in the line
    thread.stop()
    _add_cpu(outcome, python_s, used_s, in_graphs_s)
    for pipeline in pipelines:
        counts = pipeline.grabber.counts()
        ids = belts[pipeline.name].ids
        outcome.cameras[pipeline.name] = {
            "taken": ids[-1] - ids[0] + 1,
            "judged": judged[pipeline.name],
            **{name: getattr(counts, name) for name in COUNTED},
        }
    return outcome


def _rendered(count: int) -> list[U8Array]:
    camera = open_camera(f"sim:tapered?seed=44&mode=file&fps=10&advance=100&parts={count}", "sim")
    camera.open()
    return [camera.read(1.0).pixels_hwc for _ in range(count)]


def _timed(model: LoadedModel) -> list[TimedRunner]:
    """Put a clock round both graphs; returns the clocks."""
    timed = []
    for owner in (model.finder, model.inspector):
        clock = TimedRunner(owner._runner)  # type: ignore[union-attr]
        owner._runner = clock  # type: ignore[union-attr]
        timed.append(clock)
    return timed


def _pipeline(name: str, belt: PlayedBelt, model: LoadedModel) -> CameraPipeline:
    tracker = make_tracker(belt.describe(), name, model.fills_frame)
    line = make_line(model, name, tracker, lambda: "alarm")
    return CameraPipeline(name, Grabber(belt, name, health=PictureHealth()), line, GapWatch(None))


def _cpu_s(thread: threading.Thread) -> float:
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident or 0))


def _add_cpu(
    outcome: Outcome, python_s: dict[str, float], used_s: float, in_graphs_s: float
) -> None:
    """Divide the process's CPU time; ONNX Runtime's own threads are the ones Python cannot see."""
    grabbers_s = sum(s for name, s in python_s.items() if name.startswith("grab-"))
    inspection_s = python_s["inspection"] - in_graphs_s
    hidden_s = max(0.0, used_s - grabbers_s - python_s["inspection"])
    outcome.cpu_s = {
        "models": in_graphs_s + hidden_s,
        "inspection": inspection_s,
        "grabbers": grabbers_s,
        "all": used_s,
    }


def _as_json(outcome: Outcome) -> dict[str, object]:
    cpu, cameras = outcome.cpu_s, outcome.cameras.values()
    outside_s = cpu["inspection"] + cpu["grabbers"]
    sums = {key: sum(c[key] for c in cameras) for key in ("taken", "judged", *COUNTED)}
    return {
        "cameras": len(outcome.cameras),
        "cores": len(os.sched_getaffinity(0)),
        "seconds": round(outcome.seconds, 1),
        "sums": sums,
        "adds_up": outcome.adds_up,
        "judged_per_camera": [c["judged"] for c in cameras],
        "judged_per_second": round(sums["judged"] / outcome.seconds, 1),
        "cpu_s": {name: round(s, 2) for name, s in cpu.items()},
        "cpu_share_outside_the_models": round(outside_s / cpu["all"], 3),
        "parts": dict(outcome.parts),
    }


if __name__ == "__main__":
    main()
