"""A session of ONNX Runtime computes what its defaults compute, and keeps less."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from support.small_bundles import GRAPHS

import edge_app
from edge_app.backends.onnx import PROVIDER, OnnxRunner
from edge_app.bundle.archive import read_bundle
from edge_app.errors import ModelError

SHIPPED = Path(edge_app.__file__).parent / "assets" / "demo-tapered.bundle"
BRIGHT = GRAPHS / "bright_inspector.onnx"


@pytest.fixture(scope="module")
def graphs() -> dict[str, bytes]:
    files = read_bundle(SHIPPED).files
    return {name: data for name, data in files.items() if name.endswith(".onnx")}


def defaults(graph: bytes) -> ort.InferenceSession:
    """Return a session with no option but those that the figures depend on."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.use_deterministic_compute = True
    return ort.InferenceSession(graph, options, providers=[PROVIDER])


def test_figures_are_those_of_the_defaults_to_the_last_bit(graphs: dict[str, bytes]) -> None:
    """Scores and maps of the shipped inspector, and the detector's boxes, for pictures with one
    part and with several, in an order in which memory is used again: each as if it were alone."""
    rng = np.random.default_rng(5)
    for name, graph in graphs.items():
        ours, theirs = OnnxRunner(graph, 1), defaults(graph)
        (tensor,) = ours.describe().inputs
        for count in (1, 3, 1, 2, 4, 1):
            shape = [axis or count for axis in tensor.shape]
            pictures = rng.integers(0, 256, shape).astype(tensor.dtype)
            alone = [theirs.run(None, {tensor.name: one[None]}) for one in pictures]
            found = ours.run({tensor.name: pictures})
            assert list(found) == [output.name for output in theirs.get_outputs()]
            for one, others in zip(found.values(), zip(*alone, strict=True), strict=True):
                assert np.array_equal(one, np.concatenate(others)), (name, count)


def test_many_pictures_are_given_to_it_one_by_one(graphs: dict[str, bytes]) -> None:
    """Memory grows with the largest call, and so does the time for each."""
    runner = OnnxRunner(graphs["inspector.onnx"], 1)
    (tensor,) = runner.describe().inputs
    shape = [11, *(axis or 1 for axis in tensor.shape[1:])]
    crops = np.random.default_rng(6).integers(0, 256, shape).astype(np.uint8)
    assert runner._session is not None
    sizes: list[int] = []

    class Watched:
        def run(self, names: list[str], inputs: dict[str, Any]) -> Any:
            sizes.append(len(inputs["crops"]))
            return session.run(names, inputs)

    session, runner._session = runner._session, Watched()
    assert len(runner.run({"crops": crops})["score"]) == 11
    assert sizes == [1] * 11


def test_no_plan_of_memory_is_kept_for_each_number_of_parts(graphs: dict[str, bytes]) -> None:
    """It would be a block as large as all that the graph computes, for each number."""
    runner = OnnxRunner(graphs["inspector.onnx"], 1)
    assert runner._session is not None
    assert runner._session.get_session_options().enable_mem_pattern is False


def test_the_graphs_bytes_are_let_go_once_it_is_opened() -> None:
    """Whoever gave them is the only one who still has them; the graph still runs."""
    content = bytes(bytearray(BRIGHT.read_bytes()))
    before = sys.getrefcount(content)

    runner = OnnxRunner(content, 1)
    gc.collect()

    assert sys.getrefcount(content) == before
    crops = np.full((2, 32, 64, 3), 120, np.uint8)
    assert runner.run({"crops": crops})["score"].shape == (2,)


def test_a_graph_that_fails_is_told_once_and_not_run_a_second_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the processor's kernels fail there is no other provider to fall back on: the picture
    has an error, and nothing is printed past the log."""
    runner = OnnxRunner(BRIGHT, 1)
    assert runner._session is not None
    calls: list[object] = []

    class Failing:
        """The session below ONNX Runtime's Python class, whose kernels fail."""

        def __init__(self, real: Any) -> None:
            self.real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def run(self, *args: object) -> None:
            calls.append(args)
            raise ort.capi.onnxruntime_pybind11_state.EPFail("the kernel failed")

    monkeypatch.setattr(runner._session, "_sess", Failing(runner._session._sess))

    for number in (1, 2):
        with pytest.raises(ModelError, match="the kernel failed"):
            runner.run({"crops": np.full((1, 32, 64, 3), 120, np.uint8)})
        assert len(calls) == number
    assert capsys.readouterr().out == ""
