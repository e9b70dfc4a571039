"""One side of `line_cost`: judges the frames it is told to, and says what each took.

Runs with this code or with release 0.1.0's in front of it on the path, whose modules have other
names. Reads lines "FROM TO" and answers each with one JSON object; FROM 0 begins a new line.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

STAGES = ("frame", "find", "detector graph", "pose and crop", "score", "inspector graph")


def one_of(*names: str) -> Any:
    """Return the first of these modules that this release has."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise SystemExit(f"none of {names} is here")


@dataclass
class Spent:
    """CPU and wall time since the last frame, by stage, in ms."""

    cpu_ms: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    wall_ms: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def timed(self, stage: str | Callable[..., str], work: Callable[..., Any]) -> Any:
        """Return the function with its time counted for a stage."""

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            cpu_s, wall_s = time.process_time(), time.perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                name = stage if isinstance(stage, str) else stage(*args)
                self.cpu_ms[name] += (time.process_time() - cpu_s) * 1e3
                self.wall_ms[name] += (time.perf_counter() - wall_s) * 1e3

        return wrapped


def graph_name(_runner: Any, inputs: dict[str, Any]) -> str:
    """Return which graph a run is of, by what it takes."""
    return {"image": "detector graph", "crops": "inspector graph"}.get(next(iter(inputs)), "other")


def opened(bundle: Path, backend: str) -> Any:
    """Return the loaded model, on one thread."""
    archive = one_of("edge_app.bundle.archive", "edge_app.bundle")
    loaded = one_of("edge_app.model.loaded_model", "edge_app.model")
    if backend == "onnxruntime":
        return loaded.load_model(archive.read_bundle(bundle), 1)
    choice = importlib.import_module("edge_app.backends.choice")
    opener = choice.GraphOpener(choice.BackendChoice(backend, 1))
    model = loaded.load_model(archive.read_bundle(bundle), 1, None, opener)
    print(json.dumps(opener.providers), file=sys.stderr)
    return model


def watch(spent: Spent, model: Any) -> None:
    """Count what graphs and stages take."""
    for module, name in (
        ("edge_app.backends.onnx", "OnnxRunner"),
        ("edge_app.backends.openvino", "OpenVinoRunner"),
    ):
        try:
            runner = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError:
            continue
        runner.run = spent.timed(graph_name, runner.run)
    finder, pose = type(model.finder), type(model.pose)
    finder.find = spent.timed("find", finder.find)
    name = "cut" if hasattr(pose, "cut") else "find"
    setattr(pose, name, spent.timed("pose and crop", getattr(pose, name)))
    inspector = type(model.inspector)
    inspector.score = spent.timed("score", inspector.score)


def new_line(loaded: Any, model: Any, tracker: Any) -> Any:
    """Return a line; 0.1.0's also wants to know where evidence goes: nowhere here."""
    try:
        return loaded.make_line(model, "bench", tracker, lambda: "alarm")
    except TypeError:
        return loaded.make_line(model, "bench", tracker, lambda: "alarm", lambda *_: None)


def main() -> None:
    """Answer until the input ends."""
    cv2.setNumThreads(1)
    bundle, frames_file, backend = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    frames = np.load(frames_file)
    model = opened(bundle, backend)
    loaded = one_of("edge_app.model.loaded_model", "edge_app.model")
    records = importlib.import_module("edge_app.records")
    cameras = importlib.import_module("edge_app.cameras.registry")
    info = cameras.open_camera("sim:tapered?mode=file", "bench").describe()
    spent = Spent()
    watch(spent, model)
    line: Any = None
    print(json.dumps({"ready": True}), flush=True)
    for order in sys.stdin:
        first, end = map(int, order.split()[:2])
        if first == 0:
            tracker = loaded.make_tracker(info, "bench", False)
            line = new_line(loaded, model, tracker)
        found: dict[str, Any] = {"cpu": defaultdict(list), "wall": defaultdict(list)}
        judged = []
        verdicts = []
        for number in range(first, end):
            frame = records.Frame("bench", number + 1, frames[number], number, source_number=number)
            spent.cpu_ms.clear()
            spent.wall_ms.clear()
            report = spent.timed("frame", line.inspect)(frame)
            for stage in STAGES:
                found["cpu"][stage].append(spent.cpu_ms[stage])
                found["wall"][stage].append(spent.wall_ms[stage])
            judged.append(len(report.anomalies))
            verdicts += [v.state.value for v in report.finished]
        print(json.dumps({**found, "judged": judged, "verdicts": verdicts}), flush=True)


if __name__ == "__main__":
    main()
