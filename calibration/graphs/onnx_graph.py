"""Reading and rewriting ONNX graphs: what the fp16 and int8 variants share."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper, shape_inference

from edge_app.errors import ModelError
from edge_app.records import F32Array


def load_graph(model: bytes) -> ModelProto:
    """Return a graph with its constants as initializers and every tensor's type inferred.

    Raises:
        ModelError: the bytes are no valid ONNX model.
    """
    try:
        loaded = onnx.load_from_string(model)
        onnx.checker.check_model(loaded)
        loaded = _with_constants_as_initializers(loaded)
        inferred: ModelProto = shape_inference.infer_shapes(loaded, strict_mode=True)
    except Exception as error:  # protobuf, checker and inference share no base but this
        raise ModelError(f"The graph is no valid ONNX model: {error}. Export it again.") from error
    return inferred


def save_graph(model: ModelProto) -> bytes:
    """Return a rewritten graph's bytes: checked, and the same for the same graph.

    Raises:
        ModelError: the rewriting broke it.
    """
    del model.graph.value_info[:]
    try:
        onnx.checker.check_model(model)
        shape_inference.infer_shapes(model, strict_mode=True)
    except (onnx.checker.ValidationError, shape_inference.InferenceError) as error:
        raise ModelError(f"The rewritten graph is not valid ONNX: {error}.") from error
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def float_tensors(model: ModelProto) -> set[str]:
    """Return the names of all float32 tensors that nodes make; inputs and weights are not among."""
    graph = model.graph
    typed = [*graph.value_info, *graph.output]
    return {v.name for v in typed if v.type.tensor_type.elem_type == TensorProto.FLOAT}


def initializers(graph: GraphProto) -> dict[str, TensorProto]:
    """Return the weights and constants by name."""
    return {tensor.name: tensor for tensor in graph.initializer}


def learnt_convolutions(graph: GraphProto) -> list[NodeProto]:
    """Return the convolutions of the network proper, in graph order.

    They have a bias. Those without hold what was computed, not learnt: the distance bins of
    YOLO's head, the projections of a density.
    """
    weights = initializers(graph)
    return [
        n
        for n in graph.node
        if n.op_type == "Conv" and len(n.input) == 3 and set(n.input[1:]) <= set(weights)
    ]


def network_nodes(graph: GraphProto) -> set[str]:
    """Return the names of the learnt convolutions and of all that lies between two of them.

    What comes before (pixels to numbers) and after (boxes, densities, scores) is not among them.
    """
    convolutions = {n.name for n in learnt_convolutions(graph)}
    makes = {name: n for n in graph.node for name in n.output}
    after: set[str] = set()
    for node in graph.node:  # ONNX nodes stand in an order in which they can be computed
        sources = [makes[i].name for i in node.input if i in makes]
        if node.name in convolutions or any(s in after for s in sources):
            after.add(node.name)
    before: set[str] = set()
    feeds = {i for n in graph.node if n.name in convolutions for i in n.input}
    for node in reversed(graph.node):
        if node.name in convolutions or any(o in feeds for o in node.output):
            before.add(node.name)
            feeds.update(node.input)
    return after & before


def array_of(tensor: TensorProto) -> F32Array:
    """Return a float weight's values."""
    return np.asarray(numpy_helper.to_array(tensor), np.float32)


def weight_bytes(graph: GraphProto, node_names: set[str]) -> int:
    """Return how many bytes the named nodes' own weights take, scales and zero points included.

    A quantised weight reaches its node through DequantizeLinear; that is followed.
    """
    weights = initializers(graph)
    makes = {name: n for n in graph.node for name in n.output}
    total = 0
    for node in graph.node:
        if node.name not in node_names:
            continue
        for name in node.input:
            source = makes.get(name)
            through = source.input if source and source.op_type == "DequantizeLinear" else [name]
            total += sum(len(numpy_helper.to_array(weights[i]).tobytes()) for i in through
                         if i in weights)  # fmt: skip
    return total


def check_names(model: ModelProto) -> None:
    """Raise unless every node has a name of its own.

    Raises:
        ModelError: one has none, or two share one.
    """
    names = [node.name for node in model.graph.node]
    if "" in names or len(set(names)) != len(names):
        raise ModelError(
            "The graph's nodes need a name each to be chosen by; export it again with edge-export."
        )


def _with_constants_as_initializers(model: ModelProto) -> ModelProto:
    kept = []
    for node in model.graph.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            tensor = TensorProto()
            tensor.CopyFrom(value)
            tensor.name = node.output[0]
            model.graph.initializer.append(tensor)
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model
