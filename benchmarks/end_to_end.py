"""What the line costs beside its models' bare `session.run`, on the same frames and one thread:

    python -m benchmarks.end_to_end [--frames 40]

CPU time, not wall time: other work on the machine does not count. The detector is a YOLO11n-OBB at
640 × 640 with random weights (the time does not depend on them); the boxes are the demo bundle's
own. Beside it Ultralytics' own `predict` with the same network, size and threads.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.detector_sides import INPUT_HW, SHRINK, DetectorSides, large_network, median_turn
from edge_app.backends.onnx import OnnxRunner
from edge_app.backends.protocol import GraphRunner
from edge_app.bundle.archive import read_bundle
from edge_app.cameras.registry import open_camera
from edge_app.errors import EndOfStream
from edge_app.imaging.rotated_nms import rotated_nms
from edge_app.imaging.upright_crop import letterbox
from edge_app.inspection.detector import checked_rows
from edge_app.inspection.stages import ProductFinder
from edge_app.model.loaded_model import LoadedModel, load_model, make_line, make_tracker
from edge_app.records import Anomaly, Detection, F64Array, Frame, U8Array

CANDIDATES = 14
"""Boxes above the minimum confidence: the most that the demo's detector gave in a frame."""

NMS_CALLS = 200
TURNS = 5

BUNDLE = Path(str(files("edge_app").joinpath("assets/demo-tapered.bundle")))
COLD_START = (
    "import time; started = time.perf_counter()\n"
    "import sys; from pathlib import Path; import numpy as np\n"
    "from edge_app.bundle.archive import read_bundle\n"
    "from edge_app.model.loaded_model import load_model\n"
    "from edge_app.model.offline import inspect_pictures, pictures_at\n"
    "model = load_model(read_bundle(Path(sys.argv[1])), 1)\n"
    "next(iter(inspect_pictures(model, pictures_at(Path(sys.argv[2])), None)))\n"
    "peak = [l for l in open('/proc/self/status') if l.startswith('VmHWM')][0].split()[1]\n"
    "print(time.process_time(), int(peak) / 1024)\n"
)


class LargeDetector:
    """The 640 px network runs on every frame; the boxes are those that the bundle's finds."""

    def __init__(self, graph: bytes, finder: ProductFinder) -> None:
        self.runner = OnnxRunner(graph, 1)
        self._finder = finder
        self._known: dict[int, list[Detection]] = {}
        self._image = np.empty((*INPUT_HW, 3), np.uint8)

    def learn(self, frames: Sequence[Frame]) -> None:
        """Find the boxes beforehand."""
        for frame in frames:
            self._known[id(frame.pixels_hwc)] = self._finder.find(frame.pixels_hwc)

    def find(self, pixels_hwc: U8Array) -> list[Detection]:
        """Return the known boxes after all the work that the large network makes."""
        image, _ = letterbox(pixels_hwc, INPUT_HW, SHRINK, self._image)
        rows = checked_rows(self.runner.run({"image": image[None]})["boxes"])
        best = rows[:CANDIDATES]  # random weights leave none above any confidence
        rotated_nms(best[:, :5], best[:, 5], 0.0, 0.3)
        return self._known[id(pixels_hwc)]


class Watched:
    """The inspector, remembering what it was given."""

    def __init__(self, model: LoadedModel) -> None:
        self._score = model.inspector.score
        self.batches: list[list[U8Array]] = []

    def score(self, crops: Sequence[U8Array]) -> list[Anomaly]:
        self.batches.append(list(crops))
        return self._score(crops)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=40)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    model = load_model(read_bundle(BUNDLE), 1)
    frames = sim_frames(args.frames)
    table = Table(title="CPU time, one thread")
    table.add_column("What")
    table.add_column("Figure", justify="right")
    network, graph = large_network()
    rows = _share_rows(measure_share(model, frames, graph))
    rows += _peer_rows(DetectorSides(network, graph, frames))
    rows += _nms_rows()
    rows += _cold_start_rows(frames[0])
    for row in rows:
        table.add_row(*row)
    Console(width=100).print(table)


def sim_frames(count: int, product: str = "tapered", options: str = "seed=44") -> list[Frame]:
    """Return the first pictures of a simulated belt."""
    camera = open_camera(f"sim:{product}?{options}&parts={count}&mode=file", "bench")
    camera.open()
    found: list[Frame] = []
    try:
        while len(found) < count:
            found.append(camera.read(5.0))
    except EndOfStream:
        pass
    camera.close()
    return found


def _run_each(runner: GraphRunner, batches: list[U8Array]) -> None:
    for batch in batches:
        runner.run({"crops": batch})


def _cpu_ms(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1e3


@dataclass(frozen=True, slots=True)
class Share:
    """CPU time of one frame, ms: the whole line, and its graphs alone."""

    line_ms: float
    detector_ms: float
    inspector_ms: float
    parts: float

    @property
    def outside_ms(self) -> float:
        """What the line takes outside its graphs."""
        return self.line_ms - self.detector_ms - self.inspector_ms

    @property
    def of_models(self) -> float:
        """The graphs' share of the line's time, 0..1."""
        return (self.detector_ms + self.inspector_ms) / self.line_ms


def measure_share(model: LoadedModel, frames: list[Frame], graph: bytes) -> Share:
    """Return what the line costs beside its models."""
    finder = LargeDetector(graph, model.finder)
    finder.learn(frames)
    watched = Watched(model)
    info = open_camera("sim:tapered?mode=file", "bench").describe()
    line = make_line(
        replace(model, finder=finder, inspector=watched),  # type: ignore[arg-type]
        "bench", make_tracker(info, "bench", False), lambda: "alarm",
    )  # fmt: skip
    line.inspect(frames[0])
    runner = model.inspector._runner
    times: dict[str, list[float]] = {"line": [], "detector": [], "inspector": []}
    batches = []
    for frame in frames:  # line and bare models take turns: what disturbs one disturbs the other
        watched.batches.clear()
        times["line"].append(_cpu_ms(partial(line.inspect, frame)))
        image = letterbox(frame.pixels_hwc, INPUT_HW, SHRINK)[0][None]
        times["detector"].append(_cpu_ms(partial(finder.runner.run, {"image": image})))
        crops = [np.stack(b) for b in watched.batches if b]
        batches += crops
        times["inspector"].append(_cpu_ms(partial(_run_each, runner, crops)))
    line_ms, detector_ms, inspector_ms = (float(np.mean(t)) for t in times.values())
    parts = sum(len(b) for b in batches) / len(frames)
    return Share(line_ms, detector_ms, inspector_ms, parts)


def _share_rows(share: Share) -> list[tuple[str, str]]:
    bare_ms = share.detector_ms + share.inspector_ms
    return [
        (f"line, a frame with {share.parts:.1f} judged parts", f"{share.line_ms:.1f} ms"),
        ("models, bare session.run", f"{bare_ms:.1f} ms"),
        ("  detector 640 / inspector", f"{share.detector_ms:.1f} / {share.inspector_ms:.1f} ms"),
        ("share of the models (frames a second beside bare)", f"{share.of_models:.3f}"),
        ("outside the models", f"{share.outside_ms:.1f} ms"),
    ]


def _peer_rows(sides: DetectorSides) -> list[tuple[str, str]]:
    """Return Ultralytics' predict beside ours on the same frames, in turns."""
    turns = [(sides.ours(), sides.ultralytics()) for _ in range(TURNS)]
    ours, theirs = (median_turn(side) for side in zip(*turns, strict=True))
    return [
        ("detector, ours / its network alone", f"{ours.whole:.1f} / {ours.bare:.1f} ms"),
        ("Ultralytics predict / its network alone", f"{theirs.whole:.1f} / {theirs.bare:.1f} ms"),
        ("around the network, ours / theirs", f"{ours.outside:.2f} / {theirs.outside:.2f} ms"),
    ]


def _nms_rows() -> list[tuple[str, str]]:
    rows = []
    for name, heaps in (("in 30 heaps", 30), ("nearly all apart", 300)):
        boxes, scores = nms_boxes(heaps)
        calls = [lambda b=boxes, s=scores: rotated_nms(b, s, 0.25, 0.3)] * NMS_CALLS
        ms = float(np.median([_cpu_ms(call) for call in calls]))
        stay = len(rotated_nms(boxes, scores, 0.25, 0.3))
        rows.append((f"rotated NMS, 300 boxes {name} ({stay} stay), median", f"{ms:.2f} ms"))
    return rows


def nms_boxes(heaps: int) -> tuple[F64Array, F64Array]:
    """Return (300, 5) boxes in as many even heaps over 640 × 640 px, and their scores."""
    rng = np.random.default_rng(0)
    middles = np.column_stack(
        [rng.uniform(0, 640, (heaps, 2)), rng.uniform(20, 80, heaps), rng.uniform(10, 40, heaps),
         rng.uniform(-1.5, 1.5, heaps)]
    )  # fmt: skip
    spread = rng.normal(0, 1, (300, 5)) * [1, 1, 1, 1, 0.02]
    return np.repeat(middles, 300 // heaps, 0) + spread, rng.uniform(0.5, 1, 300)


def cold_start(frame: Frame) -> tuple[float, float]:
    """Return (CPU seconds, peak MB) of a process from its start to its first verdict."""
    with tempfile.TemporaryDirectory() as folder:
        cv2.imwrite(f"{folder}/part.png", frame.pixels_hwc)
        command = [sys.executable, "-c", COLD_START, str(BUNDLE), f"{folder}/part.png"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(said[0]), float(said[1])


def _cold_start_rows(frame: Frame) -> list[tuple[str, str]]:
    seconds, peak_mb = cold_start(frame)
    return [
        ("cold start to the first verdict", f"{seconds:.2f} s"),
        ("resident memory after it", f"{peak_mb:.0f} MB"),
    ]


if __name__ == "__main__":
    main()
