"""int8 convolutions: explicit Q/DQ as TensorRT wants it, and ranges drawn from real values."""

from __future__ import annotations

import numpy as np
import pytest
from support.needs import require

require("the extra calibrate")

import onnx
from onnx import numpy_helper
from support.conv_graphs import conv_inspector

from calibration.graphs.onnx_graph import load_graph, weight_bytes
from calibration.graphs.operators import check_for_tensorrt, operators_of, problems_for_tensorrt
from calibration.precision.int8 import quantisable_nodes, to_int8
from calibration.precision.ranges import (
    BINS,
    RULES,
    Histogram,
    convolution_histograms,
    full_range,
    least_squares,
    percentile_range,
)
from edge_app.backends.onnx import OnnxRunner
from edge_app.errors import DataError, ModelError

CONVS = ("/net/one/Conv", "/net/two/Conv", "/net/three/Conv")


def _crops(seed: int, count: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (count, 32, 64, 3), np.uint8)


def _ranges(rule: str = "max") -> dict[str, float]:
    found = convolution_histograms(conv_inspector(), "crops", [_crops(1), _crops(2)], 1)
    return {name: RULES[rule](histogram) for name, histogram in found.items()}


def test_learnt_convolutions_can_be_quantised() -> None:
    """Those with a bias, in graph order; the projection has none and is left alone."""
    assert quantisable_nodes(conv_inspector()) == CONVS


@pytest.mark.parametrize("rule", sorted(RULES))
def test_int8_scores_stay_near(rule: str) -> None:
    """With every convolution in int8 the unseen crops' scores move by less than 5 %."""
    model = to_int8(conv_inspector(), _ranges(rule), CONVS)
    crops = _crops(3, 8)
    before = OnnxRunner(conv_inspector(), 1).run({"crops": crops})["score"]
    after = OnnxRunner(model, 1).run({"crops": crops})["score"]
    assert not np.array_equal(before, after)
    np.testing.assert_allclose(after, before, rtol=0.05)


def test_weights_are_int8_per_channel_and_symmetric() -> None:
    """Every output channel has its own scale, reaches ±127 and is restored to half a step."""
    graph = load_graph(to_int8(conv_inspector(), _ranges(), CONVS)).graph
    stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    weight, scale = stored["one.weight_q"], stored["one.weight_scale"]
    assert weight.dtype == np.int8
    assert scale.shape == (8,)
    assert set(np.abs(weight).reshape(8, -1).max(1).tolist()) == {127}
    original = {t.name: t for t in load_graph(conv_inspector()).graph.initializer}
    restored = weight * scale.reshape(-1, 1, 1, 1)
    error = np.abs(restored - numpy_helper.to_array(original["one.weight"]))
    assert (error <= scale.reshape(-1, 1, 1, 1) * 0.5001).all()


def test_zero_points_are_zero_and_biases_float() -> None:
    """What TensorRT demands: int8 only, zero points 0, no quantised bias."""
    model = to_int8(conv_inspector(), _ranges(), CONVS)
    assert problems_for_tensorrt(model) == ()
    stored = {t.name: t for t in load_graph(model).graph.initializer}
    assert stored["one.bias"].data_type == onnx.TensorProto.FLOAT


def test_int8_weights_take_about_a_quarter() -> None:
    """Scales and biases included the int8 layers take at most 0.3 of their fp32 bytes."""
    before = load_graph(conv_inspector())
    after = load_graph(to_int8(conv_inspector(), _ranges(), CONVS))
    nodes = {"/net/two/Conv"}
    assert weight_bytes(after.graph, nodes) / weight_bytes(before.graph, nodes) <= 0.3


def test_fragile_layer_is_left_in_half_precision() -> None:
    """A layer left out computes in fp16, between casts, and the rest in int8."""
    model = to_int8(conv_inspector(), _ranges(), CONVS[1:], CONVS[:1])
    stored = {t.name for t in load_graph(model).graph.initializer}
    assert {"one.weight_fp16", "two.weight_q", "three.weight_q"} <= stored
    assert "one.weight_q" not in stored
    OnnxRunner(model, 1).run({"crops": _crops(1)})


def test_channel_of_zeros_is_no_division_by_zero() -> None:
    """A channel whose weights are all zero stays zero."""
    model = onnx.load_from_string(conv_inspector())
    for tensor in model.graph.initializer:
        if tensor.name == "two.weight":
            values = numpy_helper.to_array(tensor).copy()
            values[3] = 0
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    rewritten = to_int8(model.SerializeToString(), _ranges(), CONVS)
    assert np.isfinite(OnnxRunner(rewritten, 1).run({"crops": _crops(1)})["score"]).all()


def test_unknown_convolution_is_refused() -> None:
    """A name that is no convolution, or has no range, is named."""
    with pytest.raises(ModelError, match="/project/Conv"):
        to_int8(conv_inspector(), _ranges(), ("/project/Conv",))
    with pytest.raises(ModelError, match="no range was measured"):
        to_int8(conv_inspector(), {}, CONVS)


def test_full_range_clips_nothing() -> None:
    """The largest magnitude seen, and no less, is the range."""
    assert full_range(Histogram(np.ones(BINS), 7.0)) == 7.0


def test_percentile_leaves_a_lone_spike_out() -> None:
    """One value in a million far away does not stretch the range."""
    counts = np.zeros(BINS)
    counts[: BINS // 8], counts[-1] = 1e6, 1.0
    assert percentile_range(Histogram(counts, 8.0)) == pytest.approx(1.0, abs=0.01)


def test_least_squares_keeps_a_uniform_range_and_cuts_a_long_tail() -> None:
    """Even values need the whole range; a thin tail is worth less than finer steps."""
    assert least_squares(Histogram(np.ones(BINS), 4.0)) == pytest.approx(4.0, rel=0.05)
    counts = np.exp(-np.arange(BINS) / 40.0)
    counts[-1] = 1e-7
    assert least_squares(Histogram(counts, 4.0)) < 2.0


def test_ranges_need_pictures_and_finite_values() -> None:
    """No picture, or a graph that gives NaN, is refused with what to do."""
    with pytest.raises(DataError, match="at least one"):
        convolution_histograms(conv_inspector(), "crops", [], 1)
    broken = onnx.load_from_string(conv_inspector())
    for tensor in broken.graph.initializer:
        if tensor.name == "one.bias":
            tensor.CopyFrom(numpy_helper.from_array(np.full(8, np.nan, np.float32), tensor.name))
    with pytest.raises(DataError, match="not finite"):
        convolution_histograms(broken.SerializeToString(), "crops", [_crops(1)], 1)


def test_operator_that_jetpack_lacks_is_named() -> None:
    """A graph with an operator unknown to TensorRT 10.3 is refused with node and list."""
    model = onnx.load_from_string(conv_inspector())
    model.graph.node[4].op_type = "Det"
    model.graph.node[4].input[0] = "square"
    square = numpy_helper.from_array(np.eye(2, dtype=np.float32), "square")
    model.graph.initializer.append(square)
    del model.graph.node[5:], model.graph.output[:]
    value = onnx.helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, [])
    model.graph.output.append(value)
    with pytest.raises(ModelError, match=r"Det `/net/one/Relu` is not supported"):
        check_for_tensorrt(model.SerializeToString(), "inspector.onnx")


def test_uint8_must_be_cast_first() -> None:
    """Transposing bytes before the cast, which the parser refuses, is found beforehand."""
    model = onnx.load_from_string(conv_inspector())
    cast, transpose = model.graph.node[0], model.graph.node[1]
    transpose.input[0], transpose.output[0] = "crops", "turned"
    cast.input[0], cast.output[0] = "turned", "nchw"
    nodes = [transpose, cast, *model.graph.node[2:]]
    copied = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copied)
    (problem,) = problems_for_tensorrt(model.SerializeToString())
    assert "must be cast before anything else" in problem


def test_operators_are_listed_once() -> None:
    """The list is what a person compares with NVIDIA's."""
    assert operators_of(conv_inspector()) == (
        "Cast", "Conv", "Div", "Mul", "ReduceMax", "ReduceSum", "Relu", "Sub", "Transpose",
    )  # fmt: skip
