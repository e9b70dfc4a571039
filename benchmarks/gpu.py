"""What the product costs on a GPU: every figure of docs/hardware.md that needs one, in one run.

    make bench-gpu [WHEELS=FOLDER] [BUNDLE=FILE]

The shipped bundle (or BUNDLE), each of its precisions and fp16 made here where it has none; engines
built here, by the product's own builder; ONNX Runtime on one thread beside it. Prints one table and
writes all of it as JSON. It ends by itself within eight minutes: what is not reached is named.

- engines: seconds to build, with the timings of the first build again, size;
- graphs: ms a call by crops in it, median and 95 %, recorded (CUDA graphs) and plain;
- the line: the same frames of the simulated belt in turns of ten on ONNX Runtime and on the engines
  of each precision: CPU and wall ms a frame, frames a second, verdicts that differ, scores;
- memory of this process; power while the line runs, where nvidia-smi tells it. Memory of the GPU
  over 10,000 calls and 50 switches is `make test-gpu`'s.

Not measured: cameras, decoding, evidence, MQTT and page; several lines at once; training.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.end_to_end import BUNDLE, sim_frames
from benchmarks.memory import resident_mb
from calibration.precision.fp16 import to_fp16
from calibration.precision.rewritten import fp32_nodes
from edge_app.backends.choice import BackendChoice, GraphOpener, key_here
from edge_app.backends.cuda_driver import find_gpu
from edge_app.backends.engine_build import build_into
from edge_app.backends.engine_cache import EngineCache
from edge_app.backends.protocol import GraphRunner
from edge_app.backends.tensorrt import TensorRtRunner
from edge_app.backends.tensorrt_build import EngineOptions, build_engine
from edge_app.backends.tensorrt_library import load_tensorrt
from edge_app.bundle.archive import Bundle, read_bundle
from edge_app.cameras.registry import open_camera
from edge_app.errors import BundleError, ModelError
from edge_app.inspection.line import InspectionLine
from edge_app.model.loaded_model import load_model, make_line, make_tracker
from edge_app.records import Frame

RESULT = Path(__file__).parent / "results" / "gpu.json"
BATCHES = (1, 2, 4, 8)
MB = 1 << 20
ENOUGH_S = 420.0
"""No new part of the run begins after this."""


@dataclass
class Run:
    """What is known so far, and how long it took.

    Attributes:
        found: the figures, as they are written.
        left_out: what there was no time for, or what failed, and why.
    """

    began_s: float = field(default_factory=time.monotonic)
    found: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def part(self, name: str, work: Callable[[], Any]) -> None:
        """Do one part, if there is time; a failure is noted and the others go on."""
        spent_s = time.monotonic() - self.began_s
        if spent_s > ENOUGH_S:
            self.left_out[name] = f"no time: {spent_s:.0f} s had gone"
            return
        print(f"{spent_s:4.0f} s  {name} ...", file=sys.stderr, flush=True)
        try:
            self.found[name] = work()
        except (ModelError, BundleError) as error:
            self.left_out[name] = str(error)


def main() -> int:
    """Measure, print, write; 1 where a part failed or there is no GPU."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--calls", type=int, default=200, help="of each graph and batch")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    gpu = find_gpu()
    if gpu is None:
        print("No NVIDIA GPU here; `make bench` is what runs without one.", file=sys.stderr)
        return 1
    cv2.setNumThreads(1)
    bundle, trt = read_bundle(args.bundle), load_tensorrt()
    run = Run()
    run.found["machine"] = {
        "gpu": gpu.name, "compute_capability": gpu.compute_capability,
        "is_integrated": gpu.is_integrated, "tensorrt": f"{trt.name} {trt.version}",
        "bundle_sha256": bundle.sha256,
    }  # fmt: skip
    graphs = graphs_of(bundle, run)
    for name, model in graphs.items():
        run.part(f"engine {name}", partial(engine_figures, model))
    with tempfile.TemporaryDirectory(prefix="bench-gpu-") as folder:
        for name, model in graphs.items():
            run.part(f"graph {name}", partial(graph_figures, model, name, args.calls))
        for variant in bundle.manifest.variants:
            run.part(
                f"line {variant.precision}",
                partial(line_figures, bundle, variant.precision, Path(folder), args.frames),
            )
    run.found["left_out"] = run.left_out
    run.found["took_s"] = round(time.monotonic() - run.began_s, 1)
    args.out.write_text(json.dumps(run.found, indent=1) + "\n", encoding="utf-8")
    show(run.found)
    for name, why in run.left_out.items():
        print(f"left out: {name}: {why}", file=sys.stderr)
    return 1 if any(not why.startswith("no time") for why in run.left_out.values()) else 0


def graphs_of(bundle: Bundle, run: Run) -> dict[str, bytes]:
    """Return every graph of the bundle by name and precision, and fp16 where it has none."""
    graphs: dict[str, bytes] = {}
    for variant in bundle.manifest.variants:
        for name, file in (("detector", variant.detector), ("inspector", variant.inspector)):
            if file is not None:
                graphs[f"{name} {variant.precision}"] = bundle.files[file]
    if "inspector fp16" not in graphs:
        try:
            graphs["inspector fp16"] = to_fp16(
                graphs["inspector fp32"], fp32_nodes(bundle.manifest)
            )
        except (BundleError, ModelError) as error:
            run.left_out["inspector fp16"] = str(error)
    return graphs


def engine_figures(model: bytes) -> dict[str, float]:
    """Return what building takes, in s, and what comes out, in MB."""
    began_s = time.monotonic()
    engine = build_engine(model, EngineOptions())
    took_s = time.monotonic() - began_s
    again_s = time.monotonic()
    build_engine(model, EngineOptions(), engine.timing_cache)
    return {
        "build_s": round(took_s, 2), "again_s": round(time.monotonic() - again_s, 2),
        "plan_mb": round(len(engine.plan) / MB, 2),
    }  # fmt: skip


def graph_figures(model: bytes, name: str, calls: int) -> dict[str, Any]:
    """Return ms a call by crops in it, recorded and plain."""
    plan = build_engine(model, EngineOptions()).plan
    found: dict[str, Any] = {}
    for how, is_recorded in (("recorded", True), ("plain", False)):
        runner = TensorRtRunner(plan, name, is_recorded)
        for count in BATCHES:
            inputs = random_inputs(runner, count)
            if inputs is None:  # a detector takes one picture
                continue
            found[f"{how}, {count}"] = quantiles(timed_ms(runner, inputs, calls))
        runner.close()
    return found


def random_inputs(runner: GraphRunner, count: int) -> dict[str, Any] | None:
    """Return random pictures for a call; None where the graph does not take so many."""
    rng = np.random.default_rng(7)
    found: dict[str, Any] = {}
    for tensor in runner.describe().inputs:
        if tensor.shape[0] is not None and tensor.shape[0] != count:
            return None
        shape = [count if axis is None else axis for axis in tensor.shape]
        found[tensor.name] = rng.integers(0, 255, shape).astype(tensor.dtype)
    return found


def timed_ms(runner: GraphRunner, inputs: dict[str, Any], calls: int) -> list[float]:
    """Return what each call took, after ten that do not count."""
    times = []
    for number in range(calls + 10):
        began_s = time.perf_counter()
        runner.run(inputs)
        if number >= 10:
            times.append((time.perf_counter() - began_s) * 1e3)
    return times


def quantiles(times_ms: list[float]) -> dict[str, float]:
    """Return median and 95 %."""
    return {
        "median": round(statistics.median(times_ms), 3),
        "95 %": round(float(np.percentile(times_ms, 95)), 3),
    }


@dataclass
class Side:
    """One backend's line, and what it took so far.

    Attributes:
        verdicts: part → (state, score).
    """

    line: InspectionLine
    cpu_ms: list[float] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)
    verdicts: dict[str, tuple[str, float | None]] = field(default_factory=dict)

    def judge(self, frames: list[Frame]) -> None:
        """Judge some pictures."""
        for frame in frames:
            cpu_s, wall_s = time.process_time(), time.perf_counter()
            report = self.line.inspect(frame)
            self.cpu_ms.append((time.process_time() - cpu_s) * 1e3)
            self.wall_ms.append((time.perf_counter() - wall_s) * 1e3)
            for verdict in report.finished:
                self.verdicts[verdict.part_id] = (verdict.state.value, verdict.score)

    def figures(self) -> dict[str, Any]:
        """Return ms a frame, the first ten left out, and frames a second."""
        wall_ms = self.wall_ms[10:]
        return {
            "cpu_ms": quantiles(self.cpu_ms[10:]), "wall_ms": quantiles(wall_ms),
            "frames_per_s": round(1e3 / statistics.fmean(wall_ms), 1),
        }  # fmt: skip


def line_figures(bundle: Bundle, precision: str, folder: Path, count: int) -> dict[str, Any]:
    """Return one precision's line on engines beside the reference on ONNX Runtime."""
    cache, variant = EngineCache(folder), bundle.variant(precision)
    for graph, file in (("detector", variant.detector), ("inspector", variant.inspector)):
        if file is not None:
            key = key_here(bundle.files[file], precision, 8)
            build_into(cache, key, graph, bundle.files[file], progress=lambda *_: None,
                       timeout_s=300)  # fmt: skip
    used_mb = resident_mb()
    opener = GraphOpener(BackendChoice("tensorrt", 1, folder))
    sides = {
        "onnxruntime": Side(new_line(bundle, "fp32", None)),
        "engines": Side(new_line(bundle, precision, opener)),
    }
    frames = sim_frames(count)
    with power() as watts:
        for at in range(0, len(frames), 10):
            for side in sides.values():
                side.judge(frames[at : at + 10])
    limit = variant.thresholds.score_threshold
    return {
        **{name: side.figures() for name, side in sides.items()},
        "providers": dict(opener.providers),
        "parts": len(sides["engines"].verdicts),
        "verdicts_that_differ": differing(sides["onnxruntime"], sides["engines"]),
        "largest_score_difference_of_limit": largest(sides["onnxruntime"], sides["engines"], limit),
        "resident_mb": round(resident_mb() - used_mb, 1),
        "watts": watts,
    }


def new_line(bundle: Bundle, precision: str, opener: GraphOpener | None) -> InspectionLine:
    """Return a line that judges the simulated belt."""
    model = load_model(bundle, 1, precision, opener)
    info = open_camera("sim:tapered?mode=file", "bench").describe()
    return make_line(model, "bench", make_tracker(info, "bench", False), lambda: "alarm")


def differing(one: Side, other: Side) -> int:
    """Return how many parts have another verdict, or are known to one side only."""
    ids = one.verdicts.keys() | other.verdicts.keys()
    states = ((one.verdicts.get(i, ("",))[0], other.verdicts.get(i, ("",))[0]) for i in ids)
    return sum(a != b for a, b in states)


def largest(one: Side, other: Side, limit: float) -> float:
    """Return the largest difference of a part's scores, as a share of the limit."""
    pairs = [
        (one.verdicts[i][1], other.verdicts[i][1]) for i in one.verdicts.keys() & other.verdicts
    ]
    apart = [abs(a - b) for a, b in pairs if a is not None and b is not None]
    return round(max(apart, default=0.0) / abs(limit), 6)


@contextmanager
def power() -> Iterator[dict[str, float]]:
    """Give what the GPU drew meanwhile, in watts; empty where nvidia-smi is not there."""
    found: dict[str, float] = {}
    program = shutil.which("nvidia-smi")
    if program is None:
        yield found
        return
    asking = subprocess.Popen(
        [program, "--query-gpu=power.draw", "--format=csv,noheader,nounits", "--loop-ms=200"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield found
    finally:
        asking.terminate()
        told, _ = asking.communicate()
        drawn = [float(w) for w in told.split() if w.replace(".", "", 1).isdigit()]
        if drawn:
            found.update(mean=round(statistics.fmean(drawn), 1), largest=max(drawn))


def show(found: dict[str, Any]) -> None:
    """Print the figures for people."""
    machine, console = found["machine"], Console(width=110)
    graphs = Table(title=f"{machine['gpu']}, {machine['tensorrt']}: ms a call, recorded (plain)")
    for name in ("graph", "built in s (again)", "MiB", *(f"{count} at once" for count in BATCHES)):
        graphs.add_column(name, justify="right" if name != "graph" else "left")
    lines = Table(title="The line: median a frame")
    for name in ("precision", "on", "CPU ms", "wall ms", "frames a s"):
        lines.add_column(name, justify="left" if name in ("precision", "on") else "right")
    for part, figures in found.items():
        kind, _, name = part.partition(" ")
        if kind == "engine":
            calls = found.get(f"graph {name}", {})
            built = f"{figures['build_s']} ({figures['again_s']})"
            graphs.add_row(name, built, str(figures["plan_mb"]), *map(partial(_ms, calls), BATCHES))
        if kind == "line":
            for side in ("onnxruntime", "engines"):
                of = figures[side]
                ms = (f"{of[clock]['median']:.1f}" for clock in ("cpu_ms", "wall_ms"))
                lines.add_row(name, side, *ms, str(of["frames_per_s"]))
    console.print(graphs)
    console.print(lines)
    for part, figures in found.items():
        if part.startswith("line "):
            drawn = f"{figures['watts']['mean']} W" if figures["watts"] else "not told here"
            console.print(
                f"{part}: {figures['verdicts_that_differ']} of {figures['parts']} verdicts differ, "
                f"scores by {figures['largest_score_difference_of_limit']:.2%} of the limit at "
                f"most; {figures['resident_mb']} MiB more resident; power {drawn}"
            )
    console.print(f"Took {found['took_s']:.0f} s.")


def _ms(calls: dict[str, Any], count: int) -> str:
    """Return what a call of so many pictures took, or a dash."""
    if f"recorded, {count}" not in calls:
        return "–"
    recorded, plain = (calls[f"{how}, {count}"]["median"] for how in ("recorded", "plain"))
    return f"{recorded:.2f} ({plain:.2f})"


if __name__ == "__main__":
    sys.exit(main())
