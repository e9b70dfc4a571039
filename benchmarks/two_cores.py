"""How many pictures the line judges when they wait for it, and what one costs: with the products of
the next picture found beside the inspection of the one in hand, and without.

    python -m benchmarks.two_cores [--bundle B --product tapered] [--frames 60] [--turns 7]

The inspection thread as `edge-app run` has it, with the shipped bundle on ONNX Runtime and a camera
whose pictures are all there at once; arms differ in the graphs' threads ("as delivered" is
`runtime.threads` = 0) and in whether it finds ahead. Each arm judges the same frames in turns; the
first turn warms up. Figures: pictures a second, processor time of the whole process a picture, and
what the stages of a picture take together where none waits. Verdicts are compared across arms.
Written as JSON into benchmarks/results/two_cores.json.

Needs idle cores: unlike processor time, pictures a second fall with any other work. Not measured:
grabbing and decoding, evidence, history, MQTT, page; several cameras; other numbers of cores; GPUs.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.eight_cameras import Nowhere
from benchmarks.end_to_end import BUNDLE, sim_frames
from edge_app.backends.choice import BackendChoice, GraphOpener
from edge_app.bundle.archive import read_bundle
from edge_app.cameras.grabber import Grabber
from edge_app.cameras.protocol import CameraInfo
from edge_app.errors import EndOfStream
from edge_app.model.loaded_model import LoadedModel, load_model, make_line, make_tracker
from edge_app.records import Frame, FrameReport
from edge_app.runtime.inspection_thread import CameraPipeline, GapWatch, InspectionThread

RESULT = Path(__file__).parent / "results" / "two_cores.json"


@dataclass(frozen=True, slots=True)
class Arm:
    """What is compared: threads as in the configuration, and whether it finds ahead."""

    threads: int
    finds_ahead: bool

    @property
    def name(self) -> str:
        threads = {0: "threads as delivered", 1: "one thread"}.get(self.threads)
        return f"{threads or self.threads}, {'ahead' if self.finds_ahead else 'in turn'}"


ARMS = (Arm(0, True), Arm(0, False), Arm(1, True), Arm(1, False))


class Given:
    """A recording of a belt whose frames are there at once, or one when the last is judged."""

    def __init__(self, frames: Sequence[Frame], interval_s: float = 0.0) -> None:
        self._frames, self._interval_s, self._next = frames, interval_s, 0

    def open(self, resume_after: int | None = None) -> None:
        pass

    def read(self, timeout_s: float) -> Frame:
        del timeout_s
        if self._next == len(self._frames):
            raise EndOfStream("all shown")
        time.sleep(self._interval_s)
        self._next += 1
        return self._frames[self._next - 1]

    def close(self) -> None:
        pass

    def describe(self) -> CameraInfo:
        return CameraInfo("given:", "file", None, False, False)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, default=Path(BUNDLE))
    parser.add_argument("--product", default="tapered")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    frames = [
        replace(frame, pixels_hwc=np.ascontiguousarray(frame.pixels_hwc))
        for frame in sim_frames(args.frames, product=args.product)
    ]
    models = {threads: opened(args.bundle, threads) for threads in {a.threads for a in ARMS}}
    found: dict[str, list[dict[str, Any]]] = {arm.name: [] for arm in ARMS}
    for turn in range(args.turns + 1):
        for arm in ARMS:
            taken = judged(models[arm.threads], frames, arm.finds_ahead)
            if turn:
                found[arm.name].append(taken)
    result = {
        "bundle": args.bundle.name, "product": args.product, "frames": len(frames),
        "cores": len(os.sched_getaffinity(0)), "load_before": os.getloadavg()[0],
        "same_verdicts": len({str(t["verdicts"]) for turns in found.values() for t in turns}) == 1,
        "arms": {name: summary(turns) for name, turns in found.items()},
    }  # fmt: skip
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    Console(width=110).print(table(result))


def opened(bundle: Path, threads: int) -> LoadedModel:
    """Return the model as a device opens it on ONNX Runtime."""
    opener = GraphOpener(BackendChoice("onnxruntime", threads))
    return load_model(read_bundle(bundle), threads, None, opener)


def judged(model: LoadedModel, frames: Sequence[Frame], finds_ahead: bool) -> dict[str, Any]:
    """Return what one arm took for all frames waiting, and for one at a time."""
    began_s, cpu_s = time.perf_counter(), time.process_time()
    verdicts, _ = run(model, Given(frames), finds_ahead)
    took_s, used_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    _, latencies_ms = run(model, Given(frames[:20], 0.06), finds_ahead)
    return {
        "per_s": len(frames) / took_s,
        "cpu_ms": used_s / len(frames) * 1e3,
        "alone_ms": float(np.median(latencies_ms)),
        "verdicts": verdicts,
    }


def run(
    model: LoadedModel, camera: Given, finds_ahead: bool
) -> tuple[list[tuple[str, str]], list[float]]:
    """Return the verdicts, and by frame the time its stages took together, ms."""
    tracker = make_tracker(camera.describe(), "bench", model.fills_frame)
    line = make_line(model, "bench", tracker, lambda: "alarm")
    reports: list[FrameReport] = []
    pipeline = CameraPipeline("bench", Grabber(camera, "bench"), line, GapWatch(None))
    thread = InspectionThread([pipeline], Nowhere(), reports.append, finds_ahead=finds_ahead)
    pipeline.grabber.start()
    thread.start()
    while thread.is_alive():
        time.sleep(0.005)
    if thread.failure is not None:
        raise SystemExit(f"the line ended: {thread.failure}")
    verdicts = [(v.part_id, v.state.value) for report in reports for v in report.finished]
    return verdicts, [sum(r.timings_ms.values()) for r in reports if r.timings_ms]


def summary(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Return an arm's medians over its turns, and its best turn's rate."""
    return {
        **{
            figure: round(float(np.median([turn[figure] for turn in turns])), 2)
            for figure in ("per_s", "cpu_ms", "alone_ms")
        },
        "best_per_s": round(max(turn["per_s"] for turn in turns), 2),
        "parts": len(turns[0]["verdicts"]),
    }


def table(result: dict[str, Any]) -> Table:
    """Return the figures as people read them."""
    made = Table(title=f"{result['bundle']}, {result['cores']} cores")
    for column in ("", "pictures a second", "at best", "CPU ms a picture", "one alone, ms"):
        made.add_column(column, justify="left" if not column else "right")
    for name, arm in result["arms"].items():
        figures = (arm[f] for f in ("per_s", "best_per_s", "cpu_ms", "alone_ms"))
        made.add_row(name, *(f"{figure:.1f}" for figure in figures))
    made.caption = "the verdicts are the same" if result["same_verdicts"] else "VERDICTS DIFFER"
    return made


if __name__ == "__main__":
    main()
