"""The anomalib benchmark's own half: what it understands of the other process, and our timing."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support.needs import require

require("the extra train")

from benchmarks.detector_sides import Latency, timed, watched
from benchmarks.peers_anomalib import SIDE, our_ask, said
from benchmarks.peers_frame import frame_table
from edge_app.errors import DataError
from export.methods.onnx_file import write_graph
from export.methods.protocol import TrainingSet, TrainSettings
from export.methods.registry import method_of

pytestmark = pytest.mark.needs("the extra train")


def _process(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )


def test_other_output_is_passed_over() -> None:
    """A library's chatter between the objects is no answer."""
    with _process("print('exporting'); print('@{\"whole\": 2.0, \"bare\": 1.5}')") as side:
        assert said(side) == {"whole": 2.0, "bare": 1.5}


def test_a_side_that_ends_is_told_with_its_status() -> None:
    """An interpreter without anomalib ends the benchmark with its status and what it needs."""
    with (
        _process("raise SystemExit(3)") as side,
        pytest.raises(DataError, match=r"status 3.*openvino"),
    ):
        said(side)


def test_the_other_half_imports_nothing_of_ours() -> None:
    """It runs where only anomalib is installed."""
    text = SIDE.read_text(encoding="utf-8")
    assert not any(name in text for name in ("edge_app", "from export", "calibration"))


def test_our_time_outside_the_graph_is_small(tmp_path: Path) -> None:
    """The device's inspector costs a crop at most a tenth and 0.2 ms more than its graph does."""
    crops = np.random.default_rng(0).integers(0, 256, (12, 64, 96, 3), np.uint8)
    trained = method_of("padim-slim").train(
        TrainingSet(crops, None), TrainSettings(0, 0, "cpu", tmp_path), lambda _step, _done: None
    )
    write_graph(trained, (64, 96), tmp_path / "padim.onnx")
    ask = our_ask(tmp_path / "padim.onnx", crops, 1)
    found = min((ask() for _ in range(5)), key=lambda latency: latency.whole)
    assert 0 < found.bare < found.whole * 1.1
    assert found.whole < found.bare * 1.1 + 0.2


def test_the_graphs_time_is_taken_off_within_the_call() -> None:
    """What a watched method takes counts as the graph's, all else of the call as outside."""

    class Side:
        def graph(self) -> None:
            _busy(0.008)

        def call(self, _picture: np.ndarray) -> None:
            _busy(0.004)
            self.graph()

    side = Side()
    found = timed(side.call, [np.zeros((1, 1, 3), np.uint8)] * 5, watched(side, "graph"))
    assert found.bare == pytest.approx(8, abs=2)
    assert found.outside == pytest.approx(4, abs=2)


def _busy(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_a_frame_is_detector_and_inspector_of_each_side() -> None:
    """Outside and whole calls are added up per side, and the ratio is ours over the peers'."""
    ours, theirs = [Latency(11.0, 10.0)] * 3, [Latency(16.0, 12.0)] * 3
    inspectors = ("padim", [Latency(5.0, 4.5)] * 3, [Latency(6.0, 4.0)] * 3)
    table = frame_table([inspectors], ours, theirs, 8.0)
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert rows[1] == ("padim: outside the models", "1.50", "6.00", "0.25")
    assert rows[2] == ("padim: whole calls", "16.00", "22.00", "0.73")
