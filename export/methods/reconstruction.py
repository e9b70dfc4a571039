"""What a method that rebuilds parts makes of a crop: for people to look at, never on a device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from edge_app.backends.onnx import OnnxRunner
from edge_app.records import U8Array
from export.networks.onnx_export import OPSET, quiet_tracing


@runtime_checkable
class Rebuilds(Protocol):
    """A method's graph that can show what it thinks the part should look like."""

    def rebuilt(self, crops: Tensor) -> Tensor:
        """Return (n, h, w, 3) float32 BGR, 0..255, of uint8 (n, h, w, 3) BGR crops."""


class Reconstruction(nn.Module):
    """crops → rebuilt crops."""

    def __init__(self, graph: nn.Module, rebuilt: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.graph = graph
        self._rebuilt = rebuilt

    def forward(self, crops: Tensor) -> Tensor:
        """Return (n, h, w, 3) float32, 0..255."""
        return self._rebuilt(crops)


def write_reconstruction(graph: nn.Module, crop_hw: tuple[int, int], out: Path) -> bool:
    """Write crops → rebuilt crops as ONNX if the graph can do that; return whether it can."""
    if not isinstance(graph, Rebuilds):
        return False
    example = torch.zeros((2, *crop_hw, 3), dtype=torch.uint8)
    with torch.no_grad(), quiet_tracing():
        torch.onnx.export(
            Reconstruction(graph, graph.rebuilt).eval(), (example,), str(out),
            dynamo=False, opset_version=OPSET, input_names=["crops"], output_names=["rebuilt"],
            dynamic_axes={"crops": {0: "n"}, "rebuilt": {0: "n"}},
        )  # fmt: skip
    return True


def rebuild(reconstruction: Path, crop_hwc: U8Array) -> U8Array:
    """Return one crop as `reconstruction.onnx` rebuilds it, uint8 (h, w, 3).

    Raises:
        ModelError: the file is no such graph.
    """
    rebuilt = OnnxRunner(reconstruction).run({"crops": crop_hwc[None]})["rebuilt"][0]
    return np.asarray(np.clip(np.round(rebuilt), 0, 255), np.uint8)
