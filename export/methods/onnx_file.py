"""A trained method's graph, written with the nodes it wants left in fp32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx

from edge_app.errors import ModelError
from export.methods.inspector_record import InspectorRecord
from export.methods.protocol import Trained
from export.networks.onnx_export import write_onnx


def write_graph(trained: Trained, crop_hw: tuple[int, int], out: Path) -> InspectorRecord:
    """Write the graph and return what is known of it.

    Raises:
        ModelError: the graph does not pass ONNX's checker, or a scope that the method names has no
            nodes.
    """

    def fp32_nodes(model: onnx.ModelProto) -> list[str]:
        if trained.fp16_nodes:
            return nodes_outside(model, trained.fp16_nodes)
        return nodes_in(model, trained.fp32_nodes)

    graph = write_onnx(trained.graph, crop_hw, out, fp32_nodes)
    return InspectorRecord.of(trained.about, graph)


def nodes_outside(model: onnx.ModelProto, scopes: Sequence[str]) -> list[str]:
    """Return the names of all nodes that are in none of the scopes, in graph order.

    Raises:
        ModelError: a scope has no nodes.
    """
    inside = set(nodes_in(model, scopes))
    return [node.name for node in model.graph.node if node.name not in inside]


def nodes_in(model: onnx.ModelProto, scopes: Sequence[str]) -> list[str]:
    """Return the names of the nodes inside the scopes, in graph order.

    Raises:
        ModelError: a scope has no nodes: fp16 would reach what must stay in fp32.
    """
    names = [node.name for node in model.graph.node]
    for scope in scopes:
        if not any(name.startswith(scope) for name in names):
            raise ModelError(
                f"The graph has no nodes in {scope}, which decides what stays in fp32; its first "
                f"node is {names[0] if names else 'absent'}: name the scopes as the exporter does."
            )
    return [name for name in names if name.startswith(tuple(scopes))] if scopes else []
