"""The int8 variant: explicit Q/DQ round the learnt convolutions, the fragile ones left in fp16.

Weights are quantised per output channel, activations per tensor, both symmetric; biases stay
float. What surrounds the convolutions computes in fp32, as in the fp32 graph.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from calibration.graphs.onnx_graph import (
    array_of,
    check_names,
    initializers,
    learnt_convolutions,
    load_graph,
    save_graph,
)
from calibration.precision.fp16 import halve
from calibration.precision.ranges import LEVELS
from edge_app.errors import ModelError
from edge_app.records import F32Array

SMALLEST_SCALE = 1e-12
"""Of a channel whose weights are all zero: 0 would divide by 0."""


def quantisable_nodes(model: bytes) -> tuple[str, ...]:
    """Return the names of the convolutions that can be quantised, in graph order."""
    return tuple(n.name for n in learnt_convolutions(load_graph(model).graph))


def to_int8(
    model: bytes, ranges: Mapping[str, float], nodes: Collection[str], half: Collection[str] = ()
) -> bytes:
    """Return the graph with the named convolutions in int8.

    Args:
        model: ONNX, fp32.
        ranges: largest magnitude of every tensor that enters a quantised convolution.
        nodes: names of the convolutions to quantise.
        half: names of further convolutions, to compute in fp16.

    Raises:
        ModelError: no valid graph, or a name or a range that does not fit.
    """
    graph = load_graph(model)
    check_names(graph)
    known = {n.name: n for n in learnt_convolutions(graph.graph)}
    unknown = sorted({*nodes, *half} - set(known))
    missing = sorted(n for n in nodes if n in known and known[n].input[0] not in ranges)
    if unknown or missing:
        raise ModelError(
            f"These convolutions cannot be quantised: {', '.join((unknown + missing)[:3])}; they "
            "are not in the graph, or no range was measured for what enters them."
        )
    limits = {name: ranges[known[name].input[0]] for name in nodes}  # before casts rename inputs
    halve(graph, set(half))
    _quantise(graph, limits)
    return save_graph(graph)


def _quantise(model: ModelProto, limits: Mapping[str, float]) -> None:
    """Put Q/DQ before the convolutions that have a limit, by node name, in place."""
    weights = initializers(model.graph)
    made: set[str] = set()
    rewritten: list[NodeProto] = []
    for node in model.graph.node:
        if node.name in limits:
            tensor = node.input[0]
            if tensor not in made:
                made.add(tensor)
                rewritten += _activation_pair(model, tensor, limits[node.name])
            node.input[0] = f"{tensor}_dq"
            weight = node.input[1]
            if weight not in made:
                made.add(weight)
                rewritten.append(_quantised_weight(model, weight, array_of(weights[weight])))
            node.input[1] = f"{weight}_dq"
        rewritten.append(node)
    del model.graph.node[:]
    model.graph.node.extend(rewritten)
    used = {i for n in rewritten for i in n.input}
    kept = [t for t in model.graph.initializer if t.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _activation_pair(model: ModelProto, tensor: str, limit: float) -> list[NodeProto]:
    """Return QuantizeLinear and DequantizeLinear for a tensor; its scale is stored once."""
    scale = np.float32(max(limit / LEVELS, SMALLEST_SCALE))
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.asarray(scale, np.float32), f"{tensor}_scale"),
            helper.make_tensor(f"{tensor}_zero", TensorProto.INT8, [], [0]),
        ]
    )
    constants = [f"{tensor}_scale", f"{tensor}_zero"]
    return [
        helper.make_node("QuantizeLinear", [tensor, *constants], [f"{tensor}_q"],
                         name=f"quantise/{tensor}"),
        helper.make_node("DequantizeLinear", [f"{tensor}_q", *constants], [f"{tensor}_dq"],
                         name=f"dequantise/{tensor}"),
    ]  # fmt: skip


def _quantised_weight(model: ModelProto, name: str, values: F32Array) -> NodeProto:
    """Store a weight as int8 with one scale per output channel; return what restores it."""
    flat = np.abs(values).reshape(len(values), -1)
    scales = np.maximum(flat.max(axis=1) / LEVELS, SMALLEST_SCALE).astype(np.float32)  # (out,)
    steps = scales.reshape(-1, *([1] * (values.ndim - 1)))
    rounded = np.clip(np.round(values / steps), -LEVELS, LEVELS).astype(np.int8)
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(rounded, f"{name}_q"),
            numpy_helper.from_array(scales, f"{name}_scale"),
        ]
    )
    inputs = [f"{name}_q", f"{name}_scale"]  # without a zero point it is 0
    return helper.make_node("DequantizeLinear", inputs, [f"{name}_dq"],
                            name=f"dequantise/{name}", axis=0)  # fmt: skip
