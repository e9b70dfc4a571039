"""`make bench`: the figures that are watched, in one run. Compare by ratio within a run only."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from edge_app.bundle.archive import read_bundle
from edge_app.cameras.registry import open_camera
from edge_app.errors import EndOfStream
from edge_app.model.loaded_model import LoadedModel, load_model, make_line, make_tracker

PARTS = 60
THREADS = 2


def main() -> None:
    """Measure and print."""
    bundle = Path(str(files("edge_app").joinpath("assets").joinpath("demo-tapered.bundle")))
    model = load_model(read_bundle(bundle), THREADS)
    table = Table(title=f"{THREADS} threads in ONNX Runtime; medians")
    table.add_column("What")
    table.add_column("Figure", justify="right")
    table.add_row("edge-app --help, whole process", f"{_help_s() * 1e3:.0f} ms")
    table.add_row("load the demo bundle", f"{_median_ms(lambda: read_bundle(bundle)):.0f} ms")
    for name, text in [*_line_rows(model), *_inspector_rows(model)]:
        table.add_row(name, text)
    Console().print(table)


def _help_s() -> float:
    command = [str(Path(sys.executable).with_name("edge-app")), "--help"]
    seconds = []
    for _ in range(7):
        started = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _median_ms(work: Callable[[], object], runs: int = 15) -> float:
    work()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


def _line_rows(model: LoadedModel) -> list[tuple[str, str]]:
    """Run the line over the simulated belt; per frame, without the simulator's own time."""
    camera = open_camera(f"sim:tapered?seed=44&parts={PARTS}&mode=file", "bench")
    tracker = make_tracker(camera.describe(), "bench", model.fills_frame)
    line = make_line(model, "bench", tracker, lambda: "alarm")
    stages: dict[str, list[float]] = {}
    whole: list[float] = []
    camera.open()
    try:
        while True:
            frame = camera.read(5.0)
            started = time.perf_counter()
            report = line.inspect(frame)
            whole.append((time.perf_counter() - started) * 1e3)
            for stage, ms in report.timings_ms.items():
                stages.setdefault(stage, []).append(ms)
    except EndOfStream:
        camera.close()
    h, w = report.frame.hw
    rows = [(f"line, one frame of {w} × {h}", f"{statistics.median(whole):.1f} ms")]
    rows.append(("line, 95 % of frames below", f"{np.quantile(whole, 0.95):.1f} ms"))
    return rows + [(f"  {name}", f"{statistics.median(v):.1f} ms") for name, v in stages.items()]


def _inspector_rows(model: LoadedModel) -> list[tuple[str, str]]:
    crop = np.full((*model.spec.crop_hw, 3), 90, np.uint8)
    h, w = model.spec.crop_hw
    rows = []
    for count in (1, 4):
        ms = _median_ms(partial(model.inspector.score, [crop] * count))
        rows.append((f"inspector, {count} × {w} × {h}", f"{ms:.1f} ms"))
    return rows


if __name__ == "__main__":
    main()
