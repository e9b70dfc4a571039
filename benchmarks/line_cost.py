"""What judging a frame costs: the shipped bundle as a user runs it, beside release 0.1.0 with its
own bundle, on the same frames, in turns, one thread:

    python -m benchmarks.line_cost [--frames 200] [--backend auto] [--against REVISION]

With --against it is that revision's code beside this one, both with the shipped bundle of now.

Primary figures: CPU ms per frame in total, and outside the graphs. A frame of the simulated belt
(1024 × 768, 1.2 to 1.4 judged parts) goes through `InspectionLine.inspect`: detector, direction,
registration, crop, score, map, verdict. The arms take turns of ten frames, so that what disturbs
one disturbs the other; ratios compare, times of different runs do not. Written as JSON into
benchmarks/results/line_cost.json, with --against into line_cost_against.json.

Not measured: grabbing and decoding, evidence, history, MQTT and the page, which run in other
threads and processes; several cameras; GPUs. 0.1.0 runs with this environment's packages, not with
its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.end_to_end import sim_frames
from benchmarks.line_cost_side import STAGES
from benchmarks.products_arms import RELEASE, ROOT, release_code
from benchmarks.start import code_of

TURN = 10
RESULT = Path(__file__).parent / "results" / "line_cost.json"
RESULT_AGAINST = RESULT.with_name("line_cost_against.json")
SHIPPED = Path("edge_app/assets/demo-tapered.bundle")
GRAPHS = ("detector graph", "inspector graph")


@dataclass
class Side:
    """One arm's process."""

    name: str
    process: subprocess.Popen[str]

    def ask(self, first: int, end: int, also: str = "") -> dict[str, Any]:
        """Return what these frames took."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{first} {end} {also}\n")
        self.process.stdin.flush()
        return self.answer()

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()

    def answer(self) -> dict[str, Any]:
        """Return the next answer.

        Raises:
            SystemExit: the arm has ended.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with {self.process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found


def start(name: str, root: Path, bundle: Path, frames: Path, backend: str) -> Side:
    """Start an arm whose `edge_app` is the one below `root`."""
    script = Path(__file__).with_name("line_cost_side.py")
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]),
    }
    env |= {"OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}
    command = [sys.executable, str(script), str(bundle), str(frames), backend]
    process = subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    side = Side(name, process)
    side.answer()
    return side


def measure(sides: list[Side], count: int) -> dict[str, Any]:
    """Return per arm the times of every frame, the judged parts and the verdicts."""
    found = {side.name: nothing_yet() for side in sides}
    for side in sides:
        side.ask(0, TURN)  # the first frames allocate
    for first in range(0, count, TURN):
        for side in sides:
            add(found[side.name], side.ask(first, min(count, first + TURN)))
    return found


def nothing_yet() -> dict[str, Any]:
    """Return an arm's findings before its first turn."""
    return {"cpu": defaultdict(list), "wall": defaultdict(list), "judged": [], "verdicts": []}


def add(found: dict[str, Any], answer: dict[str, Any]) -> None:
    """Add a turn to an arm's findings."""
    found["judged"] += answer["judged"]
    found["verdicts"] += answer["verdicts"]
    for kind in ("cpu", "wall"):
        for stage, times in answer[kind].items():
            found[kind][stage] += times


def figures(found: dict[str, Any]) -> dict[str, Any]:
    """Return mean, median and 95 % of CPU and wall time by stage, ms per frame."""
    cpu, wall = ({s: np.array(t[s]) for s in STAGES} for t in (found["cpu"], found["wall"]))
    outside = {}
    for name, times in (("cpu", cpu), ("wall", wall)):
        times["outside the graphs"] = times["frame"] - sum(times[g] for g in GRAPHS)
        outside[name] = times
    return {
        "judged_per_frame": round(sum(found["judged"]) / len(cpu["frame"]), 3),
        "ng": found["verdicts"].count("NG"),
        "parts": len(found["verdicts"]),
        **{
            f"{name}_ms": {
                stage: {
                    "mean": round(float(values.mean()), 2),
                    "median": round(float(np.median(values)), 2),
                    "p95": round(float(np.quantile(values, 0.95)), 2),
                }
                for stage, values in times.items()
            }
            for name, times in outside.items()
        },
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument(
        "--backend", default="onnxruntime", help="of this code: also openvino, auto"
    )
    parser.add_argument("--against", metavar="REVISION", help="beside it instead of 0.1.0")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="line-cost-") as folder:
        frames = Path(folder) / "frames.npy"
        np.save(frames, np.stack([f.pixels_hwc for f in sim_frames(args.frames)]))
        sides = [
            before(args.against, Path(folder), frames),
            start("now", ROOT, ROOT / SHIPPED, frames, args.backend),
        ]
        try:
            found = {n: figures(f) for n, f in measure(sides, args.frames).items()}
        finally:
            for side in sides:
                side.stop()
    result = {"backend": args.backend, "frames": args.frames, "arms": found}
    out: Path = args.out or (RESULT_AGAINST if args.against else RESULT)
    out.write_text(json.dumps(result, indent=1) + "\n")
    Console(width=100).print(table(found))


def before(revision: str | None, work: Path, frames: Path) -> Side:
    """Start the arm to compare with: a revision with the shipped bundle, or 0.1.0 with its own."""
    if revision:
        return start(revision, code_of(revision, work), ROOT / SHIPPED, frames, "onnxruntime")
    release = release_code(work).root
    shown = subprocess.run(
        ["git", "-C", str(ROOT), "show", f"f7f7a26:{SHIPPED}"], capture_output=True, check=True
    )
    bundle = work / "release.bundle"
    bundle.write_bytes(shown.stdout)
    return start(RELEASE, release, bundle, frames, "onnxruntime")


def table(found: dict[str, Any]) -> Table:
    """Return the figures for people: mean CPU ms a frame, and the ratio."""
    shown = Table(title="CPU ms per frame, one thread: mean (median, 95 %)")
    for head in ("", *found, "ratio"):
        shown.add_column(head, justify="left" if not head else "right")
    arms = list(found.values())
    for stage in (*STAGES, "outside the graphs"):
        cells = [arm["cpu_ms"][stage] for arm in arms]
        ratio = cells[1]["mean"] / cells[0]["mean"] if cells[0]["mean"] else float("nan")
        shown.add_row(
            stage,
            *(f"{c['mean']:.2f} ({c['median']:.2f}, {c['p95']:.2f})" for c in cells),
            f"{ratio:.2f}",
        )
    shown.add_row("judged parts per frame", *(f"{arm['judged_per_frame']:.2f}" for arm in arms), "")
    shown.add_row("parts, of them NG", *(f"{a['parts']}, {a['ng']}" for a in arms), "")
    return shown


if __name__ == "__main__":
    main()
