"""Which backend runs a graph: TensorRT if there is an engine for it, otherwise the faster of
OpenVINO, where it is installed, and ONNX Runtime."""

from __future__ import annotations

import logging
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from edge_app.backends.cuda_driver import find_gpu
from edge_app.backends.engine_cache import EngineCache, EngineKey, engine_key
from edge_app.backends.onnx import PROVIDER, OnnxRunner
from edge_app.backends.openvino import OpenVinoRunner, has_openvino
from edge_app.backends.protocol import CLASSIFIER, GraphRunner
from edge_app.backends.tensorrt import TensorRtRunner
from edge_app.backends.tensorrt_library import load_tensorrt
from edge_app.errors import ModelError
from edge_app.records import MAX_DEFECTS

_log = logging.getLogger(__name__)

BackendName = Literal["auto", "onnxruntime", "openvino", "tensorrt"]

MIN_GAIN = 0.1
"""OpenVINO is taken where it saves a tenth of ONNX Runtime's time: nearly equal times would choose
now one and now the other, and no two starts would compute the same."""
TIMED_RUNS = 5


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """What a person can choose.

    Attributes:
        backend: "tensorrt" refuses to start without engines; "auto" uses those that match, and
            otherwise the faster one on this processor.
        threads: of ONNX Runtime and OpenVINO, per graph; 0: their own default.
        engine_dir: the engine cache; None means there is none.
        max_batch: most crops in one call of an engine.
        use_cuda_graphs: record repeating shapes.
    """

    backend: BackendName = "onnxruntime"
    threads: int = 0
    engine_dir: Path | None = None
    max_batch: int = 8
    use_cuda_graphs: bool = True


class GraphOpener:
    """Opens a bundle's graphs as chosen, and records which backend was used and why.

    Attributes:
        providers: graph name → what runs it, of the graphs opened last.
        without_engine: graph name → why it runs on the CPU here, where TensorRT is available and
            could run it; of the graphs opened last.
    """

    def __init__(self, choice: BackendChoice) -> None:
        self._choice = choice
        self.providers: dict[str, str] = {}
        self.without_engine: dict[str, str] = {}

    def __call__(self, model: bytes, name: str, precision: str) -> GraphRunner:
        """Return a runner.

        Raises:
            ModelError: the graph cannot be loaded, or TensorRT is required and has no engine.
        """
        self.without_engine.pop(name, None)
        runner = self._open(model, name, precision)
        self.providers[name] = runner.describe().provider
        return runner

    def do_without_engines(self) -> bool:
        """Open on ONNX Runtime from now on; False if TensorRT is required, or no engine ran."""
        if self._choice.backend != "auto" or set(self.providers.values()) <= {PROVIDER}:
            return False
        self._choice = replace(self._choice, backend="onnxruntime")
        return True

    def _open(self, model: bytes, name: str, precision: str) -> GraphRunner:
        has_no_gpu = self._choice.backend == "auto" and find_gpu() is None
        if self._choice.backend == "onnxruntime":
            return OnnxRunner(model, self._choice.threads)
        if self._choice.backend == "openvino":
            return self._openvino(model, name)
        if has_no_gpu:
            return self._faster(model, name)
        try:
            runner = self._engine(model, name, precision)
        except ModelError as error:
            if self._choice.backend == "tensorrt":
                raise
            _log.warning("%s runs on the CPU meanwhile: %s", name, error)
            if has_tensorrt():
                self.without_engine[name] = str(error)
            return self._faster(model, name)
        _log.info("%s runs on %s", name, runner.describe().provider)
        return runner

    def _openvino(self, model: bytes, name: str) -> OpenVinoRunner:
        folder = self._choice.engine_dir
        return OpenVinoRunner(model, name, self._choice.threads, folder)

    def _faster(self, model: bytes, name: str) -> GraphRunner:
        """Return what takes less time here; ONNX Runtime where OpenVINO cannot run the graph."""
        ours = OnnxRunner(model, self._choice.threads)
        if not has_openvino():
            return ours
        try:
            other = self._openvino(model, name)
            ours_s, other_s = times_s(ours, other)
        except ModelError as error:
            _log.warning("%s runs on ONNX Runtime: %s", name, error)
            return ours
        is_faster = other_s < (1 - MIN_GAIN) * ours_s
        taken, left = (other, ours) if is_faster else (ours, other)
        left.close()
        _log.info(
            "%s runs on %s: %.1f ms here with ONNX Runtime, %.1f with OpenVINO",
            name, taken.describe().provider, 1e3 * ours_s, 1e3 * other_s,
        )  # fmt: skip
        return taken

    def _engine(self, model: bytes, name: str, precision: str) -> TensorRtRunner:
        plan = self._plan(model, name, precision)
        try:
            return TensorRtRunner(plan, name, self._choice.use_cuda_graphs)
        except ModelError:
            raise
        except Exception as error:  # of TensorRT's Python, which has no error of its own
            _log.exception("%s: its engine cannot be opened", name)
            raise ModelError(
                f"{name}: its engine cannot be opened: {type(error).__name__}: {error}. Please "
                "send us the log around this line, with the output of `edge-app doctor`."
            ) from error

    def _plan(self, model: bytes, name: str, precision: str) -> bytes:
        if self._choice.engine_dir is None:
            raise ModelError("There is no engine cache: runtime.engine_dir is not set.")
        key = key_here(model, precision, batch_of(name, self._choice.max_batch))
        return EngineCache(self._choice.engine_dir).load(key)


def times_s(first: GraphRunner, second: GraphRunner) -> tuple[float, float]:
    """Return the medians of one run each on a grey picture, in seconds, taken in turns."""
    grey = {
        tensor.name: np.full([axis or 1 for axis in tensor.shape], 100).astype(tensor.dtype)
        for tensor in first.describe().inputs
    }
    took_s: tuple[list[float], list[float]] = ([], [])
    for round_number in range(TIMED_RUNS + 1):
        for runner, times in zip((first, second), took_s, strict=True):
            began_s = time.perf_counter()
            runner.run(grey)
            if round_number:  # the first one allocates
                times.append(time.perf_counter() - began_s)
    return statistics.median(took_s[0]), statistics.median(took_s[1])


def has_tensorrt() -> bool:
    """Tell whether an engine could run here; a GPU alone, as in many laptops, is not enough."""
    try:
        load_tensorrt()
    except ModelError:
        return False
    return True


def batch_of(graph: str, max_batch: int) -> int:
    """Return the largest batch of a graph's engine: a part's defects come all at once."""
    return max(max_batch, MAX_DEFECTS) if graph == CLASSIFIER else max_batch


def key_here(model: bytes, precision: str, max_batch: int) -> EngineKey:
    """Return the key of a graph's engine on this machine.

    Raises:
        ModelError: no GPU, or no TensorRT.
    """
    gpu = find_gpu()
    if gpu is None:
        raise ModelError("No NVIDIA GPU can be used here: no driver, or it shows no device.")
    trt = load_tensorrt()
    return engine_key(model, trt.name, trt.version, gpu, precision, max_batch)
