"""The benchmark beside Ultralytics and anomalib: what it hands over, and its arithmetic."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.needs import require

require("the extra train")

import onnx
import onnxruntime

from benchmarks.beside_others import (
    OURS,
    OURS_OPENVINO,
    PEERS,
    SIDE,
    arm_figures,
    for_ultralytics,
    peers_python,
    ratios,
    table,
    turn_ratio,
)
from benchmarks.end_to_end import BUNDLE, sim_frames
from benchmarks.line_cost import TURN, add, nothing_yet
from benchmarks.line_cost_side import STAGES
from edge_app.bundle.archive import read_bundle
from edge_app.errors import DataError
from edge_app.imaging.upright_crop import letterbox

pytestmark = pytest.mark.needs("the extra train")


def _found(frame_ms: list[float], judged: list[int]) -> dict[str, object]:
    found = nothing_yet()
    times = {stage: [1.0] * len(frame_ms) for stage in STAGES} | {"frame": frame_ms}
    add(found, {"judged": judged, "verdicts": [], "cpu": times, "wall": times})
    return found


def test_ultralytics_gets_our_detectors_own_candidates() -> None:
    """The most confident of the candidates that predict is handed is our graph's first row."""
    bundle = read_bundle(BUNDLE)
    detector = bundle.files["detector.onnx"]
    assert bundle.manifest.detector is not None
    hw = bundle.manifest.detector.input_hw
    handed = for_ultralytics(detector, ("product",))
    image, _ = letterbox(sim_frames(3)[2].pixels_hwc, hw, "pyramid")

    ours = onnxruntime.InferenceSession(detector).run(None, {"image": image[None]})[0][0]
    session = onnxruntime.InferenceSession(handed)
    planes = (image[..., ::-1].transpose(2, 0, 1)[None] / np.float32(255)).astype(np.float32)
    (raw,) = session.run(None, {session.get_inputs()[0].name: planes})

    assert raw.shape[:2] == (1, 6)  # cx, cy, w, h, confidence, angle
    best = raw[0, :, raw[0, 4].argmax()]
    np.testing.assert_allclose(best[[0, 1, 2, 3, 5, 4]], ours[0, :6], rtol=1e-4, atol=1e-4)
    told = {p.key: p.value for p in onnx.load_from_string(handed).metadata_props}
    assert told["imgsz"] == str([*hw])
    assert told["names"] == "{0: 'product'}"
    assert told["task"] == "obb"


def test_a_graph_of_another_form_is_refused() -> None:
    """One without convolutions or best candidates cannot be cut for Ultralytics."""
    plain = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["image"], ["boxes"])], "plain",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, (1, 32, 32, 3))],
        [onnx.helper.make_tensor_value_info("boxes", onnx.TensorProto.UINT8, (1, 32, 32, 3))],
    )  # fmt: skip
    with pytest.raises(DataError, match="no convolution"):
        for_ultralytics(onnx.helper.make_model(plain).SerializeToString(), ("product",))


def test_a_part_costs_what_its_frame_costs_shared_out() -> None:
    """Frames without a part count in the mean, not in the median of frames with parts."""
    told = arm_figures(_found([10.0, 30.0, 60.0], [0, 1, 3]))
    assert told["cpu_ms_per_part"]["mean"] == 25.0  # 100 ms, 4 parts
    assert told["cpu_ms_per_part"]["median"] == 25.0  # of 30 and 20
    assert told["judged_per_frame"] == 1.333
    assert "ng" not in told


def test_a_ratio_is_of_the_same_turn() -> None:
    """A turn in which all took twice as long changes neither the median nor the middle half."""
    theirs = [10.0] * TURN + [20.0] * TURN
    ours = [v * 0.4 for v in theirs]
    assert turn_ratio(ours, theirs) == {"mean": 0.4, "median_turn": 0.4, "middle_half": [0.4, 0.4]}


def test_every_arm_of_ours_stands_beside_every_peer() -> None:
    """With OpenVINO there are two arms of ours; none is compared with the other."""
    peer = PEERS["padim"]
    found = {OURS: 10.0, OURS_OPENVINO: 5.0, peer: 20.0}
    arms = {name: _found([ms] * TURN, [1] * TURN) for name, ms in found.items()}
    beside = ratios(arms)
    assert {name: told[peer]["mean"] for name, told in beside.items()} == {
        OURS: 0.5, OURS_OPENVINO: 0.25,
    }  # fmt: skip
    assert all(list(told) == [peer] for told in beside.values())
    figures = {name: {**arm_figures(f), "resident_mb": 1} for name, f in arms.items()}
    shown = table({"product": "tapered", "arms": figures, "ratio": beside})
    assert shown.row_count == len(STAGES) + 6


def test_what_cannot_be_installed_is_told_in_a_sentence(tmp_path: Path) -> None:
    """Without anomalib the benchmark says so and names the option that helps."""
    bin_folder = tmp_path / "anomalib" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "python").write_text("#!/bin/sh\necho no index >&2\nexit 1\n")
    (bin_folder / "python").chmod(0o755)
    (tmp_path / "anomalib" / "installed").touch()  # anomalib is there, the rest cannot be had
    with pytest.raises(DataError, match=r"could not be installed beside anomalib.*--python"):
        peers_python(None, tmp_path)


def test_an_interpreter_that_is_given_is_taken(tmp_path: Path) -> None:
    """Nothing is installed into an environment that somebody names."""
    assert peers_python(Path(sys.executable), tmp_path) == Path(sys.executable)
    assert list(tmp_path.iterdir()) == []


def test_the_other_half_imports_nothing_of_ours() -> None:
    """It runs where only anomalib and Ultralytics are installed."""
    text = SIDE.read_text(encoding="utf-8")
    assert not any(name in text for name in ("edge_app", "from export", "calibration"))


def test_the_command_line_tells_what_is_measured() -> None:
    """Its help says what is the same on both sides, what is not and what is not measured."""
    command = [sys.executable, "-m", "benchmarks.beside_others", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(word in said for word in ("The same on both", "Not the same", "Not measured"))
    assert "--bundle" in said
