"""`edge-calibrate lean`: a bundle of an earlier build becomes faster and judges the same."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from support.conv_graphs import FP32_NODES, write_conv_bundle
from support.needs import require

require("the extra calibrate")

from calibration.cli.main import main
from calibration.graphs.lean_graph import lean
from calibration.precision import lean_bundle
from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.model.golden_check import check_golden
from edge_app.model.loaded_model import load_model


def padded_bundle(path: Path) -> Path:
    """Write a bundle whose inspector pads beside its first convolution, as 0.1.0's builds do."""
    write_conv_bundle(path)
    bundle = read_bundle(path)
    model = onnx.load_from_string(bundle.files["inspector.onnx"])
    graph = model.graph
    conv = next(n for n in graph.node if n.name == "/net/one/Conv")
    pads = next(a for a in conv.attribute if a.name == "pads")
    pads.CopyFrom(helper.make_attribute("pads", [0, 0, 0, 0]))
    sides = np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    graph.initializer.append(numpy_helper.from_array(sides, "sides"))
    at = list(graph.node).index(conv)
    graph.node.insert(at, helper.make_node("Pad", ["unit", "sides"], ["rimmed"], "/net/one/Pad"))
    next(n for n in graph.node if n.name == "/net/one/Conv").input[0] = "rimmed"
    write_bundle(
        path, bundle.manifest, {**bundle.files, "inspector.onnx": model.SerializeToString()}
    )
    return path


def test_a_bundle_is_made_lean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The graph changes, limits and golden set stay and pass, the bundle before is kept."""
    file = padded_bundle(tmp_path / "a.bundle")
    before = read_bundle(file)
    assert main(["lean", str(file)]) == 0
    after = read_bundle(file)
    said = capsys.readouterr().out
    assert "inspector: 14 nodes → 13" in said
    assert "2 golden pictures judged with both" in said
    assert read_bundle(tmp_path / "a.bundle.bak").sha256 == before.sha256
    assert after.manifest.variants == before.manifest.variants
    assert check_golden(load_model(after), after).reason == ""
    (note,) = after.manifest.provenance.notes
    assert ast.literal_eval(note.partition(": ")[2]) == list(FP32_NODES)
    assert main(["lean", str(file)]) == 0
    assert "nothing to make faster" in capsys.readouterr().out
    assert read_bundle(file).sha256 == after.sha256


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what it would do."""
    file = padded_bundle(tmp_path / "a.bundle")
    before = file.read_bytes()
    assert main(["lean", str(file), "--dry-run"]) == 0
    assert "dry run" in capsys.readouterr().out
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_graph_that_says_otherwise_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a rewritten graph scored golden pictures otherwise, nothing would be written."""
    file = padded_bundle(tmp_path / "a.bundle")
    before = file.read_bytes()

    def wrong(model: onnx.ModelProto) -> onnx.ModelProto:
        found = lean(model)
        weight = next(t for t in found.graph.initializer if t.name == "mean")
        weight.CopyFrom(numpy_helper.from_array(np.full((1, 4, 1, 1), 0.41, np.float32), "mean"))
        return found

    monkeypatch.setattr(lean_bundle, "lean", wrong)
    assert main(["lean", str(file)]) == 2
    said = capsys.readouterr().err
    assert "a score differs by" in said
    assert "Nothing is written" in said
    assert file.read_bytes() == before
