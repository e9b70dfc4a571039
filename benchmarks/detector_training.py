"""The detector's training beside the recipe of 0.1.0: time by ratio, and what each then finds.

    git archive --prefix=old/ b29c452 edge_app export | tar -x -C /tmp
    python -m benchmarks.detector_training --old /tmp/old --data mvtec_screw --data sim:tapered

Both learn from the same labels of the training split, in one process each, one after the other; the
time is the processor's, so that other work on the machine counts for neither. One thread: two that
share their cores with other work wait for each other, and that counts. Measured
on the hold-out split of the **training** pictures, with turned copies of them: nothing under test/
is opened. The simulated line shows other parts than those learnt from.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import benchmarks.simulated_detection as simulated
from edge_app.backends.onnx import OnnxRunner
from edge_app.inspection.detector import Detector
from export.data.dataset import scan_good_pictures
from export.data.split import split
from export.data.yolo_dataset import LabelledPicture
from export.detector.augment import Scene, augmented
from export.detector.metrics import evaluate_detector
from export.labels.autolabel import autolabel_folder

ROOT = Path(__file__).resolve().parent.parent
TURNED_COPIES = 3
HALF_PIXEL = np.array([0.5, 0.5, 0.0, 0.0, 0.0])
"""Scenes count from the edge of the picture, labels from the middle of its first pixel."""

SCENES = {"learnt": (5, 120), "unseen": (simulated.SEED, 80)}
"""Of the simulated line: seed and number."""

CHILD = """
import inspect, json, pickle, resource, sys, time
from pathlib import Path
from types import SimpleNamespace
from export.detector import step, train
from export.detector.export import export_detector
labelled = pickle.load(open(sys.argv[1], "rb"))
is_round, out = sys.argv[2] == "round", Path(sys.argv[3])
seen = [SimpleNamespace(hw=p.pixels().shape[:2]) for p in labelled]
if hasattr(step, "input_hw_for"):
    input_hw = step.input_hw_for(seen, labelled)
else:
    input_hw = step._input_hw(seen)
told = []
train.CPU_THREADS = int(sys.argv[4])
wall, before = time.monotonic(), time.process_time()
weights = train.train_detector(labelled, out, input_hw=input_hw, class_names=("product",),
                               is_round=is_round, progress=told.append)
spent = {"cpu_s": time.process_time() - before, "wall_s": time.monotonic() - wall}
export_detector(weights, out / "detector.onnx")
last = {k: v for k, v in vars_of(told[-1]).items() if isinstance(v, (int, float))}
print(json.dumps({**spent, "input_hw": list(input_hw), "last": last}))
""".replace("vars_of(told[-1])", "{n: getattr(told[-1], n) for n in told[-1].__slots__}")


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """Labelled pictures of one product: to learn from, and to measure on."""

    learnt: list[LabelledPicture]
    unseen: list[LabelledPicture]
    shape: str


def main() -> None:
    """Print one JSON object per set and arm, and the ratio of times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", type=Path, required=True, help="0.1.0's edge_app and export")
    parser.add_argument("--data", action="append", required=True, help="a data set, or sim:PRODUCT")
    parser.add_argument("--datasets", type=Path, default=ROOT.parent / "shared" / "datasets")
    options = parser.parse_args()
    for name in options.data:
        bench = _bench(name, options.datasets)
        figures = {
            arm: _measured(bench, code) for arm, code in (("0.1.0", options.old), ("now", ROOT))
        }
        for arm, found in figures.items():
            print(json.dumps({"set": name, "arm": arm, **found}), flush=True)
        ratio = figures["now"]["cpu_s"] / figures["0.1.0"]["cpu_s"]  # type: ignore[operator]
        print(json.dumps({"set": name, "time_ratio": round(ratio, 3)}), flush=True)


def _bench(name: str, datasets: Path) -> Bench:
    if name.startswith("sim:"):
        learnt, unseen = (_simulated(name[4:], *SCENES[part]) for part in ("learnt", "unseen"))
        return Bench(learnt, unseen, name[4:])
    good = scan_good_pictures(datasets / name)
    training = {p.path for p in split(good.pictures)[0]}
    report = autolabel_folder([p.path for p in good.pictures])
    sure = report.labelled()
    return Bench(
        [p for p in sure if p.source in training],
        [t for p in sure if p.source not in training for t in _turned(p)],
        report.usual.kind,
    )


def _simulated(product: str, seed: int, count: int) -> list[LabelledPicture]:
    before, simulated.SEED = simulated.SEED, seed
    try:
        return list(simulated._scenes(product, count))
    finally:
        simulated.SEED = before


def _turned(picture: LabelledPicture) -> list[LabelledPicture]:
    """Return the picture and copies of it, turned, shifted and relit."""
    pixels = picture.pixels()
    rng = np.random.default_rng(pixels.sum())
    scene = Scene(pixels, picture.boxes_cxcywhr + HALF_PIXEL, picture.classes())
    copies = [augmented(scene, rng) for _ in range(TURNED_COPIES)]
    moved = [LabelledPicture(c.pixels_hwc, c.boxes_cxcywhr - HALF_PIXEL) for c in copies]
    return [picture, *moved]


def _measured(bench: Bench, code: Path) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        labels, out = Path(folder, "labels.pickle"), Path(folder, "detector")
        labels.write_bytes(pickle.dumps(bench.learnt))
        environment = {**os.environ, "PYTHONPATH": str(code)}
        environment.pop("PYTHONPYCACHEPREFIX", None)
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        command = [sys.executable, "-c", CHILD, str(labels), bench.shape, str(out), "1"]
        done = subprocess.run(
            command, cwd=code, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        told = json.loads(done.stdout.splitlines()[-1])
        h, w = told["input_hw"]
        return {**told, **_found(out / "detector.onnx", (h, w), bench)}


def _found(file: Path, input_hw: tuple[int, int], bench: Bench) -> dict[str, object]:
    has_axis = bench.shape in ("elongated", "tapered")
    finder = Detector(
        OnnxRunner(file, 2), input_hw, 0.25, 0.3, ("product",), has_axis, shrink="pyramid"
    )
    found = evaluate_detector(finder.find, bench.unseen, np.pi if has_axis else np.pi / 2)
    return {
        "parts": found.parts,
        "missed": found.missed,
        "extra": found.extra,
        "map50": round(found.map50, 4),
        "map50_95": round(found.map50_95, 4),
        "median_iou": round(found.median_iou, 4),
        "angle_deg": _quantiles(found.angle_errors_deg),
    }


def _quantiles(values: Sequence[float]) -> list[float]:
    return [round(float(q), 3) for q in np.quantile(values, (0.5, 0.95))] if values else []


if __name__ == "__main__":
    main()
