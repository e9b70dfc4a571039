"""Resident memory of the line over many frames, and its slope with the slope's error:

    python -m benchmarks.memory [--frames 20000] [--marks FILE]

The demo's whole line (its own detector, registration, crops, inspector, verdicts) over simulated
frames again and again. What the first tenth takes (buffers that grow once) is no leak and is left
out of the slope. With --marks the figures so far are in a file all the time.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.end_to_end import BUNDLE, sim_frames
from edge_app.bundle.archive import read_bundle
from edge_app.cameras.registry import open_camera
from edge_app.model.loaded_model import load_model, make_line, make_tracker

MARKS = 200
SCENES = 40


@dataclass(frozen=True, slots=True)
class Slope:
    """A straight line's rise by least squares, MB per 1,000 frames.

    Attributes:
        mb: the rise.
        error_mb: its standard error.
    """

    mb: float
    error_mb: float


def main() -> None:
    """Run the frames and print what memory did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=20000)
    parser.add_argument("--marks", type=Path, help="write 'frame MB' lines there while it runs")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    marks = memory_marks(args.frames, args.marks)
    settled = [mark for mark in marks if mark[0] >= args.frames // 10]
    slope = fitted(settled)
    values = [mb for _, mb in settled]
    print(
        f"{args.frames} frames: {marks[0][1]:.1f} MB at frame {marks[0][0]}, {settled[0][1]:.1f} "
        f"at {settled[0][0]}, {settled[-1][1]:.1f} at the end; from a tenth on "
        f"{min(values):.1f} to {max(values):.1f}, slope {slope.mb:+.4f} ± {slope.error_mb:.4f} MB "
        "per 1,000 frames"
    )


def memory_marks(frames: int, file: Path | None) -> list[tuple[int, float]]:
    """Return (frame number, resident MB) at MARKS even steps."""
    scenes = sim_frames(SCENES)
    model = load_model(read_bundle(BUNDLE), 1)
    info = open_camera("sim:tapered?mode=file", "bench").describe()
    tracker = make_tracker(info, "bench", False)
    line = make_line(model, "bench", tracker, lambda: "alarm")
    step = max(1, frames // MARKS)
    marks = []
    for number in range(1, frames + 1):
        scene = scenes[number % len(scenes)]
        line.inspect(replace(scene, frame_id=number, source_number=number))
        if number % step == 0:
            marks.append((number, resident_mb()))
            if file is not None:
                text = "".join(f"{frame} {mb:.2f}\n" for frame, mb in marks)
                file.write_text(text, encoding="utf-8")
    return marks


def resident_mb(pid: int | str = "self") -> float:
    """Return a process's resident memory in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def fitted(marks: Sequence[tuple[int, float]]) -> Slope:
    """Return the rise of memory over frames.

    Args:
        marks: at least three of (frame number, MB).
    """
    frames, mb = np.array(marks, np.float64).T
    x = (frames - frames.mean()) / 1000
    spread = float((x**2).sum())
    rise = float((x * (mb - mb.mean())).sum()) / spread
    left = mb - mb.mean() - rise * x
    return Slope(rise, math.sqrt(float((left**2).sum()) / (len(mb) - 2) / spread))


if __name__ == "__main__":
    main()
