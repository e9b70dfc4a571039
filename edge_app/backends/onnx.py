"""Running a graph in ONNX Runtime on the CPU: what every device can do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

# ONNX Runtime 1.31 for Linux sends telemetry and writes a device id into the home directory
# unless this is set when it is imported (its `disable_telemetry_events()` comes too late).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime as ort

from edge_app.backends.protocol import (
    AnyArray,
    GraphInfo,
    TensorInfo,
    check_inputs,
)
from edge_app.errors import ModelError

ERRORS_ONLY = 3
"""ONNX Runtime's log level: its warnings about graph clean-up are irrelevant on the line."""

PROVIDER = "CPUExecutionProvider"

DTYPES = {
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
}


class OnnxRunner:
    """A graph in ONNX Runtime. The same input gives the same bytes on the same machine.

    Args:
        model: the file, or its bytes.
        threads: for one run; 0 leaves the number to ONNX Runtime (one per physical core).
        is_together: run a batch in one call, as other runtimes do, instead of picture by picture.

    Raises:
        ModelError: the file cannot be read or is not a graph that ONNX Runtime accepts.
    """

    def __init__(self, model: bytes | Path, threads: int = 0, *, is_together: bool = False) -> None:
        self._name = str(model) if isinstance(model, Path) else "the graph"
        session = _open_session(model, threads, self._name)
        self._info = info = _describe(session)
        # One input, and every output has an entry for each of its pictures.
        self._is_batched = (
            not is_together
            and len(info.inputs) == 1
            and all(
                tensor.shape and tensor.shape[0] is None for tensor in (*info.inputs, *info.outputs)
            )
        )
        self._session: ort.InferenceSession | None = session

    def run(self, inputs: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        """Return every output by name.

        Raises:
            ModelError: the inputs break the contract, ONNX Runtime failed, or it is closed.
        """
        if self._session is None:
            raise ModelError(f"{self._name} was closed; open it again before running it.")
        check_inputs(self._info, inputs)
        contiguous = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        names = [tensor.name for tensor in self._info.outputs]
        try:
            calls = [self._session.run(names, one) for one in self._one_by_one(contiguous)]
            values = (
                calls[0]
                if len(calls) == 1
                else [np.concatenate(v) for v in zip(*calls, strict=True)]
            )
        except Exception as error:  # ONNX Runtime's classes share no public base
            raise ModelError(f"{self._name} failed while running: {error}") from error
        return dict(zip(names, values, strict=True))

    def _one_by_one(self, inputs: dict[str, AnyArray]) -> list[dict[str, AnyArray]]:
        """Return the inputs with one picture each, where they are a batch: mostly faster than
        together, and what a picture scores does not depend on those beside it."""
        if not self._is_batched:
            return [inputs]
        ((name, pictures),) = inputs.items()
        return [{name: pictures[at : at + 1]} for at in range(len(pictures) or 1)]

    def describe(self) -> GraphInfo:
        """Return what the graph takes and gives."""
        return self._info

    def close(self) -> None:
        """Release the session; may be called twice."""
        self._session = None


def _open_session(model: bytes | Path, threads: int, name: str) -> ort.InferenceSession:
    try:
        content = model.read_bytes() if isinstance(model, Path) else model
        session = ort.InferenceSession(
            content, _options(threads), providers=[PROVIDER], enable_fallback=0
        )
    except Exception as error:  # ONNX Runtime's classes share no public base
        raise ModelError(
            f"{name} cannot be loaded: {error}. Check that the file is complete (compare its "
            "sha256 with the manifest) and was exported for ONNX opset 17 or older."
        ) from error
    # Its Python class keeps the graph's bytes for falling back on another provider, and for
    # set_providers(); there is only one here, and the session has its own copy of the weights.
    session._model_bytes = None
    return session


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    options.use_deterministic_compute = True
    # A plan for every number of parts in a picture, and a block of memory as large as all that the
    # graph computes with it, would be kept for good: half as much again as the whole process.
    options.enable_mem_pattern = False
    # Spinning workers burn a core between frames and steal it from the grabber.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _describe(session: ort.InferenceSession) -> GraphInfo:
    inputs = tuple(_tensor_info(node) for node in session.get_inputs())
    outputs = tuple(_tensor_info(node) for node in session.get_outputs())
    return GraphInfo(inputs, outputs, PROVIDER, may_run_beside=True)


def _tensor_info(node: Any) -> TensorInfo:
    if node.type not in DTYPES:
        raise ModelError(
            f"`{node.name}` has type {node.type}; supported are {sorted(DTYPES)}. "
            "Export the graph with one of these."
        )
    shape = tuple(length if isinstance(length, int) else None for length in node.shape)
    return TensorInfo(node.name, DTYPES[node.type], shape)
