"""Running a graph in OpenVINO on the CPU: faster than ONNX Runtime on many x86 processors.

It is an extra (`openvino`). Its sums run in another order than ONNX Runtime's, so what it computes
has to reproduce the golden set before it judges, like an engine of TensorRT.
"""

from __future__ import annotations

import importlib
import io
import logging
import platform
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from edge_app.backends.engine_cache import OPENVINO, EngineCache, EngineKey, graph_digest
from edge_app.backends.protocol import AnyArray, GraphInfo, TensorInfo, check_inputs
from edge_app.errors import ModelError

_log = logging.getLogger(__name__)

DEVICE = "CPU"
MISSING = "OpenVINO is not installed: pip install 'cropliq-edge[openvino]', or set backend = auto."

_DTYPES = {
    "u8": "uint8",
    "i8": "int8",
    "i32": "int32",
    "i64": "int64",
    "boolean": "bool",
    "f16": "float16",
    "f32": "float32",
    "f64": "float64",
}


class OpenVinoRunner:
    """A graph in OpenVINO. The same input gives the same bytes on the same machine.

    Args:
        model: the ONNX file's bytes.
        name: the graph's, for messages.
        threads: for one run; 0 leaves the number to OpenVINO (one per physical core).
        cache_dir: compiled graphs are kept there; None compiles at every start.

    Raises:
        ModelError: OpenVINO is not installed, or does not accept the graph.
    """

    def __init__(
        self, model: bytes, name: str, threads: int = 0, cache_dir: Path | None = None
    ) -> None:
        self._name = name
        library = _library()
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the processor has it
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # the grabbers and the page run on these cores too
        }
        try:
            compiled = _compiled(library, model, name, options, cache_dir)
            self._info = _describe(compiled, library)
            self._request: Any = compiled.create_infer_request()
        except (RuntimeError, TypeError, ValueError) as error:
            raise ModelError(f"{name}: OpenVINO does not accept the graph: {error}") from error

    def run(self, inputs: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        """Return every output by name.

        Raises:
            ModelError: the inputs break the contract, OpenVINO failed, or it is closed.
        """
        if self._request is None:
            raise ModelError(f"{self._name} was closed; open it again before running it.")
        check_inputs(self._info, inputs)
        try:
            values = self._request.infer({n: np.ascontiguousarray(a) for n, a in inputs.items()})
        except RuntimeError as error:
            raise ModelError(f"{self._name} failed while running: {error}") from error
        # Copied: the request writes the next run's results into the same memory.
        found = [np.array(values[index]) for index in range(len(self._info.outputs))]
        return {tensor.name: a for tensor, a in zip(self._info.outputs, found, strict=True)}

    def describe(self) -> GraphInfo:
        """Return what the graph takes and gives."""
        return self._info

    def close(self) -> None:
        """Release the graph; may be called twice."""
        self._request = None


def has_openvino() -> bool:
    """Tell whether OpenVINO is installed, without importing it."""
    return find_spec("openvino") is not None


def provider_of(library: Any) -> str:
    """Return e.g. "openvino 2026.4.1"."""
    return f"openvino {str(library.__version__).partition('-')[0]}"


def _library() -> Any:
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        detail = "" if isinstance(error, ModuleNotFoundError) else f" ({error})"
        raise ModelError(f"{MISSING}{detail}") from error


def _compiled(
    library: Any, model: bytes, name: str, options: dict[str, Any], cache_dir: Path | None
) -> Any:
    """Return the compiled graph, from the cache where it is kept there for this very machine."""
    core = library.Core()
    if cache_dir is None:
        return core.compile_model(core.read_model(model), DEVICE, options)
    cache, key = EngineCache(cache_dir), _key(core, library, model, options)
    try:
        return core.import_model(io.BytesIO(cache.load(key)), DEVICE, options)
    except (ModelError, RuntimeError):
        began_s = time.monotonic()
        compiled = core.compile_model(core.read_model(model), DEVICE, options)
    try:
        blob = io.BytesIO()
        compiled.export_model(blob)
        cache.store(key, name, blob.getvalue(), time.monotonic() - began_s)
    except (ModelError, RuntimeError) as error:
        _log.warning("%s: what OpenVINO compiled is not kept: %s", name, error)
    return compiled


def _key(core: Any, library: Any, model: bytes, options: dict[str, Any]) -> EngineKey:
    """Return what a compiled graph depends on: processor, its abilities, OpenVINO, options."""
    abilities = " ".join(core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"))
    return EngineKey(
        onnx_sha256=graph_digest(model),
        library=OPENVINO,
        version=str(library.__version__),
        gpu=core.get_property(DEVICE, "FULL_DEVICE_NAME"),
        compute_capability=f"{platform.machine()} {abilities}",
        precision=f"f32, {options['INFERENCE_NUM_THREADS']} threads",
        max_batch=0,
    )


def _describe(compiled: Any, library: Any) -> GraphInfo:
    inputs = tuple(_tensor_info(port) for port in compiled.inputs)
    outputs = tuple(_tensor_info(port) for port in compiled.outputs)
    return GraphInfo(inputs, outputs, provider_of(library), may_run_beside=True)


def _tensor_info(port: Any) -> TensorInfo:
    kind = port.get_element_type().get_type_name()
    if kind not in _DTYPES:
        raise ValueError(f"`{port.get_any_name()}` has type {kind}")
    axes = port.get_partial_shape()
    shape = tuple(axis.get_length() if axis.is_static else None for axis in axes)
    return TensorInfo(port.get_any_name(), _DTYPES[kind], shape)
