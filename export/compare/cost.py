"""What an inspector.onnx costs: time per crop and memory, in a process of its own.

    python -m export.compare.cost inspector.onnx HEIGHT WIDTH

prints one JSON object. A process of its own, because memory that training took is not the graph's.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from edge_app.backends.onnx import OnnxRunner
from edge_app.errors import ModelError
from edge_app.records import JsonObject

RUNS = 30
WARM_UPS = 3
LIMIT_S = 600.0
"""Before a graph that does not come back is given up."""


def cost_of(graph: Path, crop_hw: tuple[int, int]) -> JsonObject:
    """Return `crop_ms` (median), `crop_ms_fastest`, and `memory_mb` (10⁶ bytes) or None.

    The memory is what the process grew by at its peak: opening the graph and judging one crop at a
    time. None where the system does not tell (it is read from /proc).

    Raises:
        ModelError: the graph cannot be run.
    """
    command = [sys.executable, "-m", "export.compare.cost", str(graph), *map(str, crop_hw)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ModelError(f"Measuring {graph.name} ended with code {done.returncode}: {last}")
    found: JsonObject = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(graph: Path, crop_hw: tuple[int, int]) -> JsonObject:
    """Return what `cost_of` does, measured in this process."""
    before_kb = _peak_kb()
    runner = OnnxRunner(graph)
    crop = np.random.default_rng(0).integers(0, 256, (1, *crop_hw, 3), np.uint8)
    times_ms = []
    for _ in range(WARM_UPS + RUNS):
        started = time.perf_counter()
        runner.run({"crops": crop})
        times_ms.append((time.perf_counter() - started) * 1e3)
    after_kb = _peak_kb()
    grown = None if before_kb is None or after_kb is None else (after_kb - before_kb) * 1024 / 1e6
    return {
        "crop_ms": round(statistics.median(times_ms[WARM_UPS:]), 2),
        "crop_ms_fastest": round(min(times_ms[WARM_UPS:]), 2),
        "memory_mb": None if grown is None else round(grown, 1),
    }


def _peak_kb() -> int | None:
    """Return this process's largest resident size so far, in KiB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return peaks[0] if peaks else None


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), (int(sys.argv[2]), int(sys.argv[3])))))
