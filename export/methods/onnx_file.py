"""A method's graph as an inspector.onnx that keeps the edge contract."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
import torch
from torch.jit._trace import TracerWarning

from edge_app.errors import ModelError
from edge_app.records import JsonObject
from export.inspector_graph import MAP_STRIDE, OPSET
from export.methods.protocol import Trained


def write_graph(trained: Trained, crop_hw: tuple[int, int], out: Path) -> JsonObject:
    """Write the graph and return its metadata for the manifest and the report.

    Returns:
        What the method says about itself, and `onnx_bytes`, `opset`, `map_hw`, `fp32_nodes` (names
        of nodes that fp16 variants leave in fp32).

    Raises:
        ModelError: the graph does not pass ONNX's checker, or a scope named in `fp32_nodes` has no
            nodes.
    """
    h, w = crop_hw
    example = torch.zeros((2, h, w, 3), dtype=torch.uint8)
    with torch.no_grad(), _quiet_tracing():
        torch.onnx.export(
            trained.graph.eval(), (example,), str(out), dynamo=False, opset_version=OPSET,
            input_names=["crops"], output_names=["score", "map"],
            dynamic_axes={"crops": {0: "n"}, "score": {0: "n"}, "map": {0: "n"}},
        )  # fmt: skip
    model = _checked(onnx.load(str(out)))
    out.write_bytes(model.SerializeToString(deterministic=True))
    return {
        **trained.about,
        "onnx_bytes": out.stat().st_size,
        "opset": OPSET,
        "map_hw": [h // MAP_STRIDE, w // MAP_STRIDE],
        "fp32_nodes": nodes_in(model, trained.fp32_nodes),
    }


def nodes_in(model: onnx.ModelProto, scopes: Sequence[str]) -> list[str]:
    """Return the names of the nodes inside the scopes, in graph order.

    Raises:
        ModelError: a scope has no nodes: fp16 would reach what must stay in fp32.
    """
    names = [node.name for node in model.graph.node]
    for scope in scopes:
        if not any(name.startswith(scope) for name in names):
            raise ModelError(
                f"The graph has no nodes in {scope}, which must stay in fp32; its first node is "
                f"{names[0] if names else 'absent'}: name the scopes as the exporter does."
            )
    return [name for name in names if name.startswith(tuple(scopes))] if scopes else []


@contextlib.contextmanager
def _quiet_tracing() -> Iterator[None]:
    """Hush the tracer: it warns of each size read as a constant, and sizes are fixed per bundle."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", TracerWarning)
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


def _checked(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"The exported graph is not valid ONNX: {error}") from error
    model.ClearField("doc_string")
    for node in model.graph.node:
        node.ClearField("doc_string")
    return model
