"""What runs a graph: one Protocol for ONNX Runtime and TensorRT, checked once at the boundary.

The rest of the product sees names, dtypes and shapes only; no caller knows the backend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_app.errors import ModelError

AnyArray = NDArray[Any]


CLASSIFIER = "classifier"
"""The graph of the defect classifier; its batch is one part's defects."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One input or output of a graph.

    Attributes:
        name: as the graph spells it.
        dtype: numpy's name, e.g. "uint8".
        shape: one entry per axis; None where any length is accepted.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        axes = ", ".join("any" if length is None else str(length) for length in self.shape)
        return f"`{self.name}` {self.dtype} ({axes})"


@dataclass(frozen=True, slots=True)
class GraphInfo:
    """What a loaded graph takes and gives, and which backend runs it.

    Attributes:
        inputs: in the graph's order.
        outputs: in the graph's order.
        provider: the backend, e.g. "CPUExecutionProvider".
        may_run_beside: another thread may run it while other graphs run elsewhere; a GPU's, whose
            graphs share one device, may not.
    """

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    provider: str
    may_run_beside: bool = False


class GraphRunner(Protocol):
    """A loaded graph. Not thread-safe: one thread runs and closes it."""

    def run(self, inputs: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        """Return every output by name.

        Raises:
            ModelError: the inputs break the contract, or the backend failed.
        """

    def describe(self) -> GraphInfo:
        """Return what the graph takes and gives."""

    def close(self) -> None:
        """Release the graph; may be called twice."""


OpenGraph = Callable[[bytes, str, str], GraphRunner]
"""Called with (ONNX bytes, the graph's name, the variant's precision); returns what runs it."""


def check_inputs(info: GraphInfo, inputs: Mapping[str, AnyArray]) -> None:
    """Raise unless `inputs` are exactly what the graph takes.

    Raises:
        ModelError: a name is missing or unknown, or a dtype or shape differs; says how to fix it.
    """
    wanted = {tensor.name for tensor in info.inputs}
    if set(inputs) != wanted:
        raise ModelError(
            f"The graph takes the inputs {sorted(wanted)}, got {sorted(inputs)}. "
            "Pass exactly one array for each name."
        )
    for tensor in info.inputs:
        _check_array(tensor, inputs[tensor.name])


def check_contract(info: GraphInfo, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
    """Raise unless the graph has exactly these inputs and at least these outputs.

    Raises:
        ModelError: it is another sort of graph; the message lists its tensors.
    """
    has_inputs = {tensor.name for tensor in info.inputs}
    has_outputs = {tensor.name for tensor in info.outputs}
    if has_inputs != set(inputs) or not set(outputs) <= has_outputs:
        raise ModelError(
            f"A graph with inputs {sorted(inputs)} and outputs {sorted(outputs)} was expected, "
            f"this one has {_listing(info.inputs)} → {_listing(info.outputs)}. "
            "Export it again with edge-export, or check that the right file was named."
        )


def _listing(tensors: tuple[TensorInfo, ...]) -> str:
    return "; ".join(str(tensor) for tensor in tensors) or "nothing"


def _check_array(tensor: TensorInfo, array: AnyArray) -> None:
    if array.dtype != np.dtype(tensor.dtype):
        raise ModelError(
            f"Input {tensor} was given {array.dtype}. Convert it with "
            f".astype(np.{tensor.dtype}) where the picture is made."
        )
    fits = len(array.shape) == len(tensor.shape) and all(
        wanted is None or wanted == got
        for wanted, got in zip(tensor.shape, array.shape, strict=True)
    )
    if not fits:
        raise ModelError(
            f"Input {tensor} was given shape {array.shape}. Letterbox or crop to the size in the "
            "manifest, or export the graph for this size."
        )
