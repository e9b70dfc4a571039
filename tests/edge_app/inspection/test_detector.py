"""The detector's device half and the ONNX runner, on real graphs in ONNX Runtime."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.needs import require

require("the extra calibrate")

import onnx

from edge_app.backends.onnx import OnnxRunner
from edge_app.errors import ModelError
from edge_app.imaging.oriented_box import axis_difference_rad, rotated_iou
from edge_app.inspection.detector import Detector

INPUT_HW = (64, 96)
HIGH = (48.0, 32.0, 40.0, 10.0, 0.3, 0.9, 0.0)
SAME = (48.5, 32.0, 41.0, 10.0, 0.3 + math.pi, 0.8, 0.0)
OTHER = (15.0, 20.0, 8.0, 20.0, 0.0, 0.7, 0.0)
FAINT = (80.0, 50.0, 8.0, 8.0, 0.0, 0.1, 0.0)


def graph(rows: Sequence[Sequence[float]], dtype: str = "UINT8", output: str = "boxes") -> bytes:
    """Return a graph that answers `rows` to every picture (its input is used: max times 0)."""
    helper, kinds = onnx.helper, onnx.TensorProto
    value = np.array([rows], np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["cast"], to=kinds.FLOAT),
        helper.make_node("ReduceMax", ["cast"], ["top"], keepdims=0),
        helper.make_node("Mul", ["top", "zero"], ["nothing"]),
        helper.make_node("Add", ["rows", "nothing"], [output]),
    ]
    constants = [
        onnx.numpy_helper.from_array(value, "rows"),
        onnx.numpy_helper.from_array(np.float32(0).reshape(()), "zero"),
    ]
    inputs = [helper.make_tensor_value_info("image", getattr(kinds, dtype), (1, *INPUT_HW, 3))]
    outputs = [helper.make_tensor_value_info(output, kinds.FLOAT, value.shape)]
    made = helper.make_graph(nodes, "boxes", inputs, outputs, constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def detector(rows: Sequence[Sequence[float]], has_axis: bool = True) -> Detector:
    """Return a detector that sees `rows` in letterbox pixels."""
    return Detector(OnnxRunner(graph(rows), 1), INPUT_HW, 0.25, 0.3, ("part",), has_axis)


def frame(hw: tuple[int, int] = (128, 192)) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a mid-grey frame; the default is twice the input's size."""
    return np.full((*hw, 3), 120, np.uint8)


def test_each_part_is_found_once_in_frame_pixels_best_first() -> None:
    """Two heaps of candidates and one faint one give two parts, mapped out of the letterbox."""
    found = detector([FAINT, SAME, OTHER, HIGH]).find(frame())
    assert [round(d.confidence, 3) for d in found] == [0.9, 0.7]
    assert found[0].box_cxcywhr == pytest.approx((95.5, 63.5, 80.0, 20.0, 0.3), abs=1e-4)


@pytest.mark.parametrize("turn_deg", [45, 50, 60, 90, 120, 135])
def test_a_second_box_across_the_same_part_is_no_second_part(turn_deg: float) -> None:
    across = (49.0, 33.0, 38.0, 11.0, 0.3 + math.radians(turn_deg), 0.6, 0.0)
    assert rotated_iou(HIGH[:5], across[:5]) < 0.3  # so the overlap does not show it
    found = detector([HIGH, across]).find(frame())
    assert [d.confidence for d in found] == [pytest.approx(0.9)]


@pytest.mark.parametrize(
    "other",
    [
        (48.0 - 10.0 * math.sin(0.3), 32.0 + 10.0 * math.cos(0.3), 40.0, 10.0, 0.3, 0.6, 0.0),
        (48.0 + 5.0, 32.0 + 5.0, 40.0, 10.0, 0.3 + math.pi / 2, 0.6, 0.0),
        (48.0, 32.0, 8.0, 6.0, 0.3, 0.6, 0.0),
    ],
    ids=["touching, side by side", "across another one's end", "small, on a large one"],
)
def test_another_part_near_one_is_kept(other: tuple[float, ...]) -> None:
    assert len(detector([HIGH, other]).find(frame())) == 2


def test_a_box_in_a_padded_letterbox_maps_back() -> None:
    """A frame narrower than the input is padded left and right; the padding is taken off."""
    found = detector([HIGH]).find(frame((64, 64)))  # 16 px of grey on each side
    assert found[0].box_cxcywhr[:2] == pytest.approx((31.5, 31.5))


def test_a_part_with_an_axis_has_its_long_side_first() -> None:
    """A standing rectangle with angle 0 is reported as a long axis of a quarter turn."""
    box = detector([OTHER]).find(frame())[0].box_cxcywhr
    assert box[2:4] == pytest.approx((40.0, 16.0))
    assert axis_difference_rad(box[4], math.pi / 2) == pytest.approx(0.0)


def test_a_part_without_an_axis_keeps_the_networks_rectangle() -> None:
    """Of a square the sides are not swapped, whichever is longer by a hair; the angle is folded."""
    row = (48.0, 32.0, 19.9, 20.0, 2.0, 0.9, 0.0)
    box = detector([row], has_axis=False).find(frame())[0].box_cxcywhr
    assert box[2:] == pytest.approx((39.8, 40.0, 2.0 - math.pi), abs=1e-4)


def test_no_candidate_above_the_confidence_gives_no_part() -> None:
    """An empty belt is an empty list, not an error."""
    assert detector([FAINT]).find(frame()) == []


def test_a_box_reaching_out_of_the_frame_is_kept_whole() -> None:
    """Boxes are not clipped: whether a part touches the border is decided later, on its corners."""
    row = (2.0, 32.0, 20.0, 10.0, 0.0, 0.9, 0.0)
    box = detector([row]).find(frame())[0].box_cxcywhr
    assert rotated_iou(box, (3.5, 63.5, 40.0, 20.0, 0.0)) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_an_error_even_in_a_faint_row(bad: float) -> None:
    """NaN never compares as "nothing found"."""
    with pytest.raises(ModelError, match="not finite"):
        detector([HIGH, (*FAINT[:3], bad, *FAINT[4:])]).find(frame())


def test_an_unknown_class_is_an_error() -> None:
    """A graph with more classes than the manifest names does not belong to it."""
    with pytest.raises(ModelError, match=r"class 3.*1 product"):
        detector([(*HIGH[:6], 3.0)]).find(frame())


def test_a_graph_of_another_size_is_refused_at_the_start() -> None:
    """The manifest's input size and the graph's are compared once, before any frame."""
    with pytest.raises(ModelError, match="do not belong together"):
        Detector(OnnxRunner(graph([HIGH]), 1), (96, 96), 0.25, 0.3, ("part",))


def test_a_graph_with_other_outputs_is_refused_at_the_start() -> None:
    """An inspector in the detector's place is named with what it has."""
    with pytest.raises(ModelError, match="`score` float32"):
        Detector(OnnxRunner(graph([HIGH], output="score"), 1), INPUT_HW, 0.25, 0.3, ("part",))


def test_rows_of_another_width_are_refused() -> None:
    """Six columns (an axis-aligned detector's) are no oriented boxes."""
    with pytest.raises(ModelError, match=r"\(1, k, 7\), got \(1, 1, 6\)"):
        detector([HIGH[:6]]).find(frame())


def test_the_runner_says_what_the_graph_takes_and_gives() -> None:
    """Names, dtypes and shapes as the file states them."""
    info = OnnxRunner(graph([HIGH])).describe()
    assert str(info.inputs[0]) == "`image` uint8 (1, 64, 96, 3)"
    assert str(info.outputs[0]) == "`boxes` float32 (1, 1, 7)"
    assert info.provider == "CPUExecutionProvider"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, r"takes the inputs \['image'\], got \[\]"),
        ({"picture": np.zeros((1, 64, 96, 3), np.uint8)}, r"got \['picture'\]"),
        ({"image": np.zeros((1, 64, 96, 3), np.float32)}, r"given float32.*astype\(np\.uint8\)"),
        ({"image": np.zeros((1, 96, 64, 3), np.uint8)}, r"given shape \(1, 96, 64, 3\)"),
        ({"image": np.zeros((64, 96, 3), np.uint8)}, r"given shape \(64, 96, 3\)"),
    ],
    ids=["missing", "unknown", "dtype", "turned", "no batch"],
)
def test_wrong_inputs_are_named_at_the_border(
    inputs: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]], message: str
) -> None:
    """The message names the input, what it takes, what it got and how to fix it."""
    with pytest.raises(ModelError, match=message):
        OnnxRunner(graph([HIGH]), 1).run(inputs)


def test_a_damaged_file_is_a_model_error(tmp_path: Path) -> None:
    """Half a graph is refused with a hint, not with ONNX Runtime's own exception."""
    path = tmp_path / "detector.onnx"
    path.write_bytes(graph([HIGH])[:100])
    with pytest.raises(ModelError, match="sha256"):
        OnnxRunner(path)


def test_a_missing_file_is_a_model_error(tmp_path: Path) -> None:
    """A path that is not there is named."""
    with pytest.raises(ModelError, match=r"gone\.onnx"):
        OnnxRunner(tmp_path / "gone.onnx")


def test_onnx_runtime_reports_nothing_home(tmp_path: Path) -> None:
    """Running a graph leaves the home directory empty: telemetry is off before it starts."""
    (tmp_path / "home").mkdir()
    (tmp_path / "detector.onnx").write_bytes(graph([HIGH]))
    script = (
        "import sys; from pathlib import Path; from edge_app.backends.onnx import OnnxRunner; "
        "OnnxRunner(Path(sys.argv[1])).close()"
    )
    clean = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "detector.onnx")],
        env={**clean, "HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": ""},
        cwd=Path(__file__).parents[3],
        check=True,
    )
    assert list((tmp_path / "home").iterdir()) == []


def test_a_closed_runner_says_so() -> None:
    """Closing twice is fine; running afterwards is not."""
    runner = OnnxRunner(graph([HIGH]), 1)
    runner.close()
    runner.close()
    with pytest.raises(ModelError, match="closed"):
        runner.run({"image": np.zeros((1, *INPUT_HW, 3), np.uint8)})


def test_the_same_picture_gives_the_same_bytes() -> None:
    """Two sessions and two runs agree to the last bit."""
    image = np.random.default_rng(0).integers(0, 256, (1, *INPUT_HW, 3), np.uint8)
    runs = [OnnxRunner(graph([HIGH]), 1).run({"image": image})["boxes"] for _ in range(2)]
    assert runs[0].tobytes() == runs[1].tobytes()
