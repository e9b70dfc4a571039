"""Half precision where it is safe, single where it is not."""

from __future__ import annotations

import numpy as np
import pytest
from support.needs import require

require("the extra calibrate")

import onnx
from onnx import TensorProto
from support.conv_graphs import FP32_NODES, conv_inspector

from calibration.graphs.onnx_graph import float_tensors, load_graph, network_nodes, weight_bytes
from calibration.precision.fp16 import to_fp16
from edge_app.backends.onnx import OnnxRunner
from edge_app.errors import ModelError

NETWORK = {"/net/one/Conv", "/net/one/Relu", "/net/two/Conv", "/net/two/Relu", "/net/three/Conv"}


def _crops(count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (count, 32, 64, 3), np.uint8)


def _types(model: bytes) -> dict[str, int]:
    graph = load_graph(model).graph
    return {v.name: v.type.tensor_type.elem_type for v in [*graph.value_info, *graph.output]}


def test_network_is_what_lies_between_learnt_convolutions() -> None:
    """Pixels before it, a projection without bias and the distance after it are not the network."""
    assert network_nodes(load_graph(conv_inspector()).graph) == NETWORK


def test_network_computes_in_half_and_the_distance_in_single() -> None:
    """Tensors inside the network are float16, those of the distance float32, as are the outputs."""
    types = _types(to_fp16(conv_inspector(), FP32_NODES))
    assert {types[name] for name in "abcde"} == {TensorProto.FLOAT16}
    assert {types[name] for name in ("f", "g", "h", "map", "score")} == {TensorProto.FLOAT}


def test_values_between_single_nodes_never_pass_through_half() -> None:
    """There is one cast into the network and one out of it, none in between the fp32 nodes."""
    graph = onnx.load_from_string(to_fp16(conv_inspector(), FP32_NODES)).graph
    casts = [n for n in graph.node if n.op_type == "Cast" and n.name != "/Cast"]
    assert [(n.input[0], n.output[0]) for n in casts] == [("unit", "unit_fp16"), ("e", "e_fp32")]


def test_scores_stay_within_half_precisions_rounding() -> None:
    """Scores differ by less than 0.5 %, ten roundings of 2^-11 on the way; NaN nowhere."""
    crops = _crops()
    before = OnnxRunner(conv_inspector(), 1).run({"crops": crops})
    after = OnnxRunner(to_fp16(conv_inspector(), FP32_NODES), 1).run({"crops": crops})
    np.testing.assert_allclose(after["score"], before["score"], rtol=5e-3)
    assert after["map"].dtype == np.float32


def test_weights_take_half_the_bytes() -> None:
    """The network's weights take 0.50 of their fp32 bytes."""
    before, after = load_graph(conv_inspector()), load_graph(to_fp16(conv_inspector(), FP32_NODES))
    share = weight_bytes(after.graph, NETWORK) / weight_bytes(before.graph, NETWORK)
    assert share == pytest.approx(0.5, abs=0.001)


def test_a_named_node_stays_in_single() -> None:
    """A convolution that the method names keeps its float32 weights; its neighbours do not."""
    model = to_fp16(conv_inspector(), (*FP32_NODES, "/net/two/Conv"))
    types = _types(model)
    assert types["a"] == TensorProto.FLOAT16
    assert types["c"] == TensorProto.FLOAT
    kinds = {t.name: t.data_type for t in load_graph(model).graph.initializer}
    assert kinds["two.weight"] == TensorProto.FLOAT
    assert kinds["one.weight_fp16"] == TensorProto.FLOAT16


def test_same_graph_gives_same_bytes() -> None:
    """Rewriting twice gives the same file."""
    assert to_fp16(conv_inspector(), FP32_NODES) == to_fp16(conv_inspector(), FP32_NODES)


def test_unknown_node_is_refused() -> None:
    """A name that the graph does not have means that bundle and graph do not belong together."""
    with pytest.raises(ModelError, match=r"/gone.*build the bundle again"):
        to_fp16(conv_inspector(), ("/gone",))


def test_weight_beyond_half_is_refused() -> None:
    """A weight that fp16 cannot hold is named rather than turned into infinity."""
    with pytest.raises(ModelError, match=r"three\.weight.*65504"):
        to_fp16(conv_inspector(largest_weight=1e6), FP32_NODES)


def test_what_is_no_graph_is_refused() -> None:
    """Bytes that are no ONNX model are said to be none."""
    with pytest.raises(ModelError, match="no valid ONNX model"):
        to_fp16(b"nothing", ())


def test_graph_output_of_the_network_keeps_its_type() -> None:
    """A network whose own output leaves the graph is cast back to float32."""
    model = onnx.load_from_string(conv_inspector())
    value = onnx.helper.make_tensor_value_info("e", TensorProto.FLOAT, ["n", 4, 8, 16])
    model.graph.output.append(value)
    rewritten = to_fp16(model.SerializeToString(), FP32_NODES)
    outputs = OnnxRunner(rewritten, 1).run({"crops": _crops(1)})
    assert outputs["e"].dtype == np.float32
    assert "e" in float_tensors(load_graph(rewritten))
