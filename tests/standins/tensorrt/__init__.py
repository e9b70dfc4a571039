"""A `tensorrt` whose engines run in ONNX Runtime, on the stand-in of NVIDIA's driver.

A "plan" is the optimisation profile and the ONNX file. It has what the product calls of TensorRT
10.3, no more, and lets the GPU's tests and the whole way of an engine run where no GPU is; what it
computes is ONNX Runtime's and proves nothing of NVIDIA's.
"""

from __future__ import annotations

import ctypes
import enum
import json
import os
from typing import Any

import numpy as np
import onnxruntime as ort

__version__ = os.environ.get("STAND_IN_VERSION", "10.3.0")
FACTOR = np.float32(os.environ.get("STAND_IN_FACTOR", "1"))
"""Of all scores: what an engine that computes wrongly may give."""

DRIVER = ctypes.CDLL("libcuda.so.1")
WORK = ctypes.CFUNCTYPE(None, ctypes.c_long)
TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
MARK = b"stand-in's plan "

Shape = tuple[int, ...]


class Severity(enum.IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1


class ILogger:
    INTERNAL_ERROR, ERROR = Severity


class Logger(ILogger):
    def __init__(self, _least: Severity) -> None:
        pass


class IProgressMonitor:
    phase_start = step_complete = phase_finish = None  # the product's own take their place


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


class BuilderFlag(enum.IntEnum):
    TF32 = 6


class MemoryPoolType(enum.IntEnum):
    WORKSPACE = 0


class TensorIOMode(enum.IntEnum):
    INPUT = 1
    OUTPUT = 2


def nptype(dtype: type) -> type:
    return dtype


def _session(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _shape(tensor: Any) -> Shape:
    return tuple(n if isinstance(n, int) else -1 for n in tensor.shape)


class Tensor:
    def __init__(self, tensor: Any) -> None:
        self.name, self.shape = tensor.name, _shape(tensor)


class INetworkDefinition:
    num_layers, num_outputs = 0, 1
    model = b""

    @property
    def num_inputs(self) -> int:
        return len(_session(self.model).get_inputs())

    def get_input(self, index: int) -> Tensor:
        return Tensor(_session(self.model).get_inputs()[index])


class ParserError:
    """Never given: what ONNX Runtime cannot read ends the build with its own words."""

    node_name = node_operator = desc = None


class OnnxParser:
    num_errors = 0
    get_error = None

    def __init__(self, network: INetworkDefinition, _log: ILogger) -> None:
        self._network = network

    def parse(self, model: bytes) -> bool:
        self._network.model = model
        return True


class IOptimizationProfile(dict[str, tuple[Shape, Shape, Shape]]):
    def set_shape(self, name: str, least: Shape, best: Shape, most: Shape) -> None:
        self[name] = (least, best, most)


class ITimingCache:
    def serialize(self) -> bytearray:
        return bytearray(b"timings")


class IBuilderConfig:
    progress_monitor: Any = None

    def __init__(self) -> None:
        self.profile = IOptimizationProfile()

    def set_flag(self, flag: BuilderFlag) -> None:
        pass

    clear_flag = set_flag

    def set_memory_pool_limit(self, pool: MemoryPoolType, limit: int) -> None:
        pass

    def add_optimization_profile(self, profile: IOptimizationProfile) -> None:
        self.profile = profile

    def create_timing_cache(self, _content: bytes) -> ITimingCache:
        return ITimingCache()

    def set_timing_cache(self, _cache: ITimingCache, _ignore_mismatch: bool) -> bool:
        return True


class Builder:
    def __init__(self, _log: ILogger) -> None:
        pass

    def create_network(self, flags: int) -> INetworkDefinition:
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> bytearray:
        if config.progress_monitor is not None:
            config.progress_monitor.phase_start("Building engine", None, 1)
            config.progress_monitor.step_complete("Building engine", 0)
            config.progress_monitor.phase_finish("Building engine")
        return bytearray(MARK + json.dumps(config.profile).encode() + b"\0" + network.model)


class Runtime:
    def __init__(self, log: Logger) -> None:
        assert isinstance(log, Logger)

    def deserialize_cuda_engine(self, plan: bytes) -> ICudaEngine | None:
        return ICudaEngine(plan) if plan.startswith(MARK) else None


class ICudaEngine:
    num_io_tensors = 0

    def __init__(self, plan: bytes) -> None:
        profile, _, model = plan[len(MARK) :].partition(b"\0")
        self._profile = json.loads(profile)
        self.session = _session(model)
        self._inputs = self.session.get_inputs()
        self._tensors = {t.name: t for t in (*self._inputs, *self.session.get_outputs())}
        self.num_io_tensors = len(self._tensors)

    def get_tensor_name(self, index: int) -> str:
        return str(list(self._tensors)[index])

    def get_tensor_shape(self, name: str) -> Shape:
        return _shape(self._tensors[name])

    def get_tensor_dtype(self, name: str) -> type:
        return TYPES[self._tensors[name].type]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        is_input = name in {t.name for t in self._inputs}
        return TensorIOMode.INPUT if is_input else TensorIOMode.OUTPUT

    def get_tensor_profile_shape(self, name: str, _number: int) -> list[Shape]:
        return [tuple(shape) for shape in self._profile[name]]

    def create_execution_context(self) -> IExecutionContext:
        return IExecutionContext(self)


class IExecutionContext:
    """Runs when the stream comes to it, with what then lies at the addresses."""

    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self._input = engine.get_tensor_name(0)
        self._shape: Shape = ()
        self._addresses: dict[str, int] = {}
        self._work = WORK(self._run)

    def set_input_shape(self, _name: str, shape: Shape) -> bool:
        self._shape = tuple(shape)
        return True

    def get_tensor_shape(self, name: str) -> Shape:
        if name == self._input:
            return self._shape
        shape = self._engine.get_tensor_shape(name)
        if -1 in shape[1:]:  # known to TensorRT from the graph, to ONNX Runtime from a run
            return tuple(self._judge(np.zeros(self._shape, np.uint8))[name].shape)
        return (self._shape[0] if shape[0] == -1 else shape[0], *shape[1:])

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        code = DRIVER.fake_enqueue(ctypes.c_void_p(stream), self._work, ctypes.c_long(0))
        return bool(code == 0)

    def _judge(self, pixels: Any) -> dict[str, Any]:
        names = [t.name for t in self._engine.session.get_outputs()]
        values = self._engine.session.run(names, {self._input: pixels})
        return dict(zip(names, values, strict=True))

    def _run(self, _which: int) -> None:
        size = int(np.prod(self._shape))
        raw = (ctypes.c_char * size).from_address(self._addresses[self._input])
        pixels = np.frombuffer(memoryview(raw), np.uint8).reshape(self._shape)
        for name, value in self._judge(pixels).items():
            whole = np.ascontiguousarray(value * FACTOR if name == "score" else value)
            ctypes.memmove(self._addresses[name], whole.ctypes.data, whole.nbytes)
