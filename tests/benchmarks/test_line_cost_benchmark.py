"""The line's cost: both releases judge the same frames, and every stage has its share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.end_to_end import sim_frames
from benchmarks.line_cost import SHIPPED, figures, measure, start, table
from benchmarks.products_arms import ROOT


@pytest.mark.slow
def test_both_arms_judge_the_same_frames(tmp_path: Path) -> None:
    """Twelve frames by this code, twice: equal parts and verdicts, and a table of two arms."""
    frames = tmp_path / "frames.npy"
    np.save(frames, np.stack([f.pixels_hwc for f in sim_frames(12)]))
    sides = [start(n, ROOT, ROOT / SHIPPED, frames, "onnxruntime") for n in ("one", "two")]
    try:
        found = {name: figures(arm) for name, arm in measure(sides, 12).items()}
    finally:
        for side in sides:
            side.stop()
    one, two = found["one"], found["two"]
    assert (one["parts"], one["ng"], one["judged_per_frame"]) == (
        two["parts"], two["ng"], two["judged_per_frame"],
    )  # fmt: skip
    cpu = one["cpu_ms"]
    stages = ("find", "pose and crop", "score")
    assert 0 < sum(cpu[s]["mean"] for s in stages) < cpu["frame"]["mean"]
    assert table(found).row_count == 9
