"""The line's budget beside its models, by ratio within one run, so that any machine can hold it.

| What | Budget | Measured on a busy two-core machine |
|---|---|---|
| share of the graphs in the line's CPU time, 640 px detector | at least 0.85 | 0.90 to 0.94 |
| cold start to the first verdict, CPU time | under 3 s | 0.4 s |
| memory up to then | under 400 MB | 140 MB |
"""

from __future__ import annotations

import cv2
import pytest
from support.needs import require

require("the extra train")

from benchmarks.detector_sides import large_network
from benchmarks.end_to_end import (
    BUNDLE,
    cold_start,
    measure_share,
    sim_frames,
)
from edge_app.bundle.archive import read_bundle
from edge_app.model.loaded_model import load_model

pytestmark = [pytest.mark.slow, pytest.mark.needs("the extra train")]


def test_most_of_the_time_is_the_models_own() -> None:
    """Everything outside the graphs takes at most 15 % of the line's CPU time."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        _, graph = large_network()
        share = measure_share(load_model(read_bundle(BUNDLE), 1), sim_frames(8), graph)
    finally:
        cv2.setNumThreads(threads)
    print(share)
    assert share.of_models >= 0.85


def test_first_verdict_comes_soon_and_in_little_memory() -> None:
    """A fresh process judges its first part within 3 s of CPU time and 400 MB."""
    seconds, peak_mb = cold_start(sim_frames(1)[0])
    print(f"{seconds:.2f} s, {peak_mb:.0f} MB")
    assert seconds < 3.0
    assert peak_mb < 400
