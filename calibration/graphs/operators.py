"""Which operators TensorRT 10.3, JetPack 6's, knows: checked before a graph reaches a device.

From the ONNX parser's published matrices (onnx-tensorrt, docs/operators.md and docs/Changelog.md):
what release 8.4 supports, and what was added up to 10.3; its change log removes none. Restrictions
that a graph of ours could break are checked beside the names.
"""

from __future__ import annotations

from onnx import GraphProto, NodeProto, TensorProto, numpy_helper

from calibration.graphs.onnx_graph import initializers, load_graph
from edge_app.errors import ModelError

LAST_OPSET = 20
"""TensorRT 10.0 to 10.3 read opsets 9 to 20."""

_NAMES = """
Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast
Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace
DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather
GatherElements GatherND Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual
GridSample GroupNormalization HardSigmoid Hardmax Identity InstanceNormalization IsInf IsNaN
LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization
LpPool MatMul Max MaxPool Mean MeanVarianceNormalization Min Mod Mul Neg NonMaxSuppression
NonZero Not Or PRelu Pad Pow QuantizeLinear Range ReduceL1 ReduceL2 ReduceLogSum
ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
Reshape Resize ReverseSequence RoiAlign Round Scatter ScatterElements ScatterND Selu Shape
Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt
Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Where Xor
"""

SUPPORTED = frozenset(_NAMES.split())


def operators_of(model: bytes) -> tuple[str, ...]:
    """Return the graph's operators by name, each once."""
    return tuple(sorted({node.op_type for node in load_graph(model).graph.node}))


def problems_for_tensorrt(model: bytes) -> tuple[str, ...]:
    """Return what TensorRT 10.3 would refuse, one sentence per node; empty when all is well.

    Raises:
        ModelError: no valid ONNX.
    """
    loaded = load_graph(model)
    opset = max(o.version for o in loaded.opset_import if o.domain in ("", "ai.onnx"))
    problems = [] if opset <= LAST_OPSET else [f"opset {opset} is newer than {LAST_OPSET}"]
    for node in loaded.graph.node:
        problems += _problems(node, loaded.graph)
    return tuple(problems)


def check_for_tensorrt(model: bytes, name: str) -> None:
    """Raise unless TensorRT 10.3 can read the graph.

    Raises:
        ModelError: lists the nodes.
    """
    problems = problems_for_tensorrt(model)
    if problems:
        raise ModelError(
            f"TensorRT 10.3 (JetPack 6) cannot read {name}: {'; '.join(problems[:5])}. Use other "
            "operators in the export; the list is in calibration/graphs/operators.py."
        )


def _problems(node: NodeProto, graph: GraphProto) -> list[str]:
    problems = []
    weights = initializers(graph)
    where = f"{node.op_type} `{node.name}`"
    if node.op_type not in SUPPORTED or node.domain not in ("", "ai.onnx"):
        problems.append(f"{where} is not supported")
    if node.op_type == "TopK" and node.input[1] not in weights:
        problems.append(f"{where}: the number of results must be a constant")
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        problems += [f"{where}: {what}" for what in _quantisation_problems(node, weights)]
    uint8_inputs = {i.name for i in graph.input if _kind(i) == TensorProto.UINT8}
    if node.op_type != "Cast" and uint8_inputs & set(node.input):
        problems.append(f"{where}: a uint8 input must be cast before anything else")
    return problems


def _quantisation_problems(node: NodeProto, weights: dict[str, TensorProto]) -> list[str]:
    if len(node.input) < 3:
        return []
    zero = weights.get(node.input[2])
    if zero is None:
        return ["the zero point must be a constant"]
    if zero.data_type != TensorProto.INT8:
        return ["only int8 is supported"]
    return ["the zero point must be 0"] if numpy_helper.to_array(zero).any() else []


def _kind(value: object) -> int:
    return int(value.type.tensor_type.elem_type)  # type: ignore[attr-defined]
