"""A torch graph as an inspector.onnx that keeps the edge contract: every method ends here."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from torch.jit._trace import TracerWarning

from calibration.graphs.lean_graph import lean
from edge_app.errors import ModelError

OPSET = 17
MAP_STRIDE = 4
"""Input pixels per map pixel: the finest defects wanted are 6 px wide."""


@dataclass(frozen=True, slots=True)
class GraphRecord:
    """What an exported graph is, for the manifest and the report.

    Attributes:
        map_hw: (height, width) of its map.
        fp32_nodes: nodes that fp16 variants must leave in fp32.
    """

    onnx_bytes: int
    opset: int
    map_hw: tuple[int, int]
    fp32_nodes: tuple[str, ...]


FindNodes = Callable[[onnx.ModelProto], list[str]]


def write_onnx(
    graph: torch.nn.Module, crop_hw: tuple[int, int], out: Path, fp32_nodes: FindNodes
) -> GraphRecord:
    """Write the graph and return what it is.

    Args:
        graph: uint8 (n, h, w, 3) → score (n,) and map (n, h / MAP_STRIDE, w / MAP_STRIDE).
        fp32_nodes: names the nodes that fp16 variants must leave in fp32.

    Raises:
        ModelError: the exported graph does not pass ONNX's checker.
    """
    h, w = crop_hw
    example = torch.zeros((2, h, w, 3), dtype=torch.uint8)
    with torch.no_grad(), quiet_tracing():
        torch.onnx.export(
            graph.eval(), (example,), str(out), dynamo=False, opset_version=OPSET,
            input_names=["crops"], output_names=["score", "map"],
            dynamic_axes={"crops": {0: "n"}, "score": {0: "n"}, "map": {0: "n"}},
        )  # fmt: skip
    model = checked_model(onnx.load(str(out)))
    out.write_bytes(model.SerializeToString(deterministic=True))
    return GraphRecord(
        onnx_bytes=out.stat().st_size,
        opset=OPSET,
        map_hw=(h // MAP_STRIDE, w // MAP_STRIDE),
        fp32_nodes=tuple(fp32_nodes(model)),
    )


@contextlib.contextmanager
def quiet_tracing() -> Iterator[None]:
    """Hush the tracer: it warns of each size read as a constant, and sizes are fixed per bundle."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", TracerWarning)
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


def checked_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model lean (`calibration/graphs/lean_graph.py`) and without exporter notes.

    Raises:
        ModelError: it does not pass ONNX's checker.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
        model = lean(model)
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"The exported graph is not valid ONNX: {error}") from error
    model.ClearField("doc_string")
    for node in model.graph.node:
        node.ClearField("doc_string")
    return model
