"""The fp16 variant: the network in half precision, what is fragile in single.

Casts stand only where the two meet. Values between two fp32 nodes never pass through fp16 (ONNX
Runtime's own converter rounds them at every node), so densities and distances keep all their bits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from calibration.graphs.onnx_graph import (
    array_of,
    check_names,
    float_tensors,
    initializers,
    load_graph,
    network_nodes,
    save_graph,
)
from edge_app.errors import ModelError

LARGEST = float(np.finfo(np.float16).max)

FLOAT32_INPUTS = {"Resize": (2,), "QuantizeLinear": (1,), "DequantizeLinear": (1,)}
"""Inputs that ONNX keeps in float32 whatever the node computes in (opset 17)."""


def to_fp16(model: bytes, fp32_nodes: Collection[str]) -> bytes:
    """Return the graph with its network in fp16; inputs and outputs keep their types.

    Args:
        model: ONNX, fp32.
        fp32_nodes: names of nodes that stay in fp32, from the method that made the graph.

    Raises:
        ModelError: no valid graph, a name that is not in it, or a weight too large for fp16.
    """
    graph = load_graph(model)
    check_names(graph)
    unknown = sorted(set(fp32_nodes) - {n.name for n in _all_nodes(model)})
    if unknown:
        raise ModelError(
            f"The method names fp32 nodes that the graph does not have: {', '.join(unknown[:3])}. "
            "Bundle and graph do not belong together: build the bundle again."
        )
    halve(graph, network_nodes(graph.graph) - set(fp32_nodes))
    return save_graph(graph)


def halve(model: ModelProto, nodes: Collection[str]) -> None:
    """Rewrite the graph in place so that the named nodes compute in fp16."""
    floats = float_tensors(model)
    weights = initializers(model.graph)
    outputs = {v.name for v in model.graph.output}
    made_in_half: set[str] = set()
    casts: dict[tuple[str, int], str] = {}
    rewritten: list[NodeProto] = []
    for node in model.graph.node:
        in_half = node.name in nodes
        for index, name in enumerate(node.input):
            keeps_type = index in FLOAT32_INPUTS.get(node.op_type, ())
            wants = TensorProto.FLOAT16 if in_half and not keeps_type else TensorProto.FLOAT
            if name in weights:
                if wants == TensorProto.FLOAT16 and _is_float(weights[name]):
                    node.input[index] = _halved(model, weights[name])
                continue
            has = TensorProto.FLOAT16 if name in made_in_half else TensorProto.FLOAT
            if name in floats and has != wants:
                if (name, wants) not in casts:
                    kind = "fp16" if wants == TensorProto.FLOAT16 else "fp32"
                    casts[name, wants] = f"{name}_{kind}"
                    rewritten.append(_cast(name, casts[name, wants], wants))
                node.input[index] = casts[name, wants]
        rewritten.append(node)
        if in_half:
            made_in_half.update(_rename_outputs(node, outputs, floats, rewritten))
    del model.graph.node[:]
    model.graph.node.extend(rewritten)
    _drop_unused(model)


def _rename_outputs(
    node: NodeProto, outputs: set[str], floats: set[str], rewritten: list[NodeProto]
) -> list[str]:
    """Return the node's fp16 tensors; one that leaves the graph is cast back to fp32."""
    made = []
    for index, name in enumerate(node.output):
        if name not in floats:
            continue
        if name in outputs:
            node.output[index] = f"{name}_half"
            rewritten.append(_cast(f"{name}_half", name, TensorProto.FLOAT))
        else:
            made.append(name)
    return made


def _cast(source: str, target: str, kind: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast/{target}", to=kind)


def _is_float(tensor: TensorProto) -> bool:
    return int(tensor.data_type) == int(TensorProto.FLOAT)


def _halved(model: ModelProto, tensor: TensorProto) -> str:
    """Return the name of a weight's fp16 copy, made once.

    Raises:
        ModelError: a value is too large for fp16.
    """
    name = f"{tensor.name}_fp16"
    if any(t.name == name for t in model.graph.initializer):
        return name
    values = array_of(tensor)
    if values.size and float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) > LARGEST:
        raise ModelError(
            f"The weight `{tensor.name}` reaches {np.abs(values).max():.4g}, fp16 ends at "
            f"{LARGEST:.0f}. Name its node among the fp32 nodes of the method."
        )
    model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), name))
    return name


def _drop_unused(model: ModelProto) -> None:
    used = {i for n in model.graph.node for i in n.input} | {o.name for o in model.graph.output}
    kept = [t for t in model.graph.initializer if t.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _all_nodes(model: bytes) -> Iterable[NodeProto]:
    """Return the nodes as the file has them, constants included: the method may name those too."""
    loaded: ModelProto = onnx.load_from_string(model)
    return list(loaded.graph.node)
