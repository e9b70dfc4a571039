"""Running an engine with TensorRT and pycuda: the same contract as ONNX Runtime's runner.

Every buffer is allocated when the engine is loaded, for the largest batch. A shape that repeats is
recorded as a CUDA graph, copies included, and launched as one call.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_app.backends.cuda_driver import CudaGraph
from edge_app.backends.cuda_memory import Buffer, Cuda, open_cuda
from edge_app.backends.protocol import AnyArray, GraphInfo, TensorInfo, check_inputs
from edge_app.backends.tensorrt_library import TensorRt, load_tensorrt
from edge_app.errors import ModelError

_log = logging.getLogger(__name__)

REPEATS_BEFORE_GRAPH = 2
"""Runs of one shape before it is recorded: TensorRT sets itself up in the first run of a shape,
which cannot be recorded; the second shows that the shape repeats."""


class TensorRtRunner:
    """A deserialised engine with one execution context and one stream. Not thread-safe.

    Args:
        plan: the engine's bytes, built on this GPU with this TensorRT.
        name: the graph's name, for messages.
        use_cuda_graphs: record repeating shapes.

    Raises:
        ModelError: no GPU, no TensorRT, an engine of another version or GPU, too little memory.
    """

    def __init__(self, plan: bytes, name: str = "the engine", use_cuda_graphs: bool = True) -> None:
        self._name = name
        self._cuda, self._trt = open_cuda(), load_tensorrt()
        self._use_graphs = use_cuda_graphs
        self._graph: CudaGraph | None = None
        self._shapes: tuple[tuple[int, ...], ...] = ()
        self._repeats = 0
        self._buffers: dict[str, Buffer] = {}
        with self._cuda.current():
            self._engine: Any = _deserialise(self._trt, plan, name)
            self._context: Any = self._engine.create_execution_context()
            if self._context is None:
                raise ModelError(f"{name}: too little GPU memory for its execution context.")
            self._stream: Any = self._cuda.driver.Stream()
            self._info, self._largest = _describe(self._trt, self._engine)
            self._allocate(self._cuda)

    def run(self, inputs: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        """Return every output by name.

        Raises:
            ModelError: the inputs break the contract or are too many, the GPU failed, or it is
                closed.
        """
        if self._context is None:
            raise ModelError(f"{self._name} was closed; open it again before running it.")
        check_inputs(self._info, inputs)
        self._check_batch(inputs)
        with self._cuda.current():
            self._set_shapes(inputs)
            for name, array in inputs.items():
                self._buffers[name].fill(array)
            try:
                self._execute()
                self._stream.synchronize()
            except self._cuda.driver.Error as error:
                raise ModelError(f"{self._name} failed on the GPU: {error}") from error
        return {t.name: self._buffers[t.name].taken(self._shape(t)) for t in self._info.outputs}

    def describe(self) -> GraphInfo:
        """Return what the graph takes and gives."""
        return self._info

    def close(self) -> None:
        """Release graph, context, engine and memory; may be called twice."""
        if self._context is None:
            return
        with self._cuda.current():
            self._stream.synchronize()
            self._forget_graph()
            for buffer in self._buffers.values():
                buffer.close()
            self._context = self._engine = self._stream = None

    def _allocate(self, cuda: Cuda) -> None:
        for tensor in self._info.inputs:
            self._context.set_input_shape(tensor.name, self._largest[tensor.name])
        for tensor in (*self._info.inputs, *self._info.outputs):
            shape = tuple(self._context.get_tensor_shape(tensor.name))
            if min(shape, default=1) < 0:
                raise ModelError(
                    f"{self._name}: the size of {tensor} depends on values, not sizes."
                )
            buffer = Buffer(cuda, shape, tensor.dtype)
            self._buffers[tensor.name] = buffer
            self._context.set_tensor_address(tensor.name, buffer.address)

    def _check_batch(self, inputs: Mapping[str, AnyArray]) -> None:
        for name, array in inputs.items():
            if array.shape[0] > self._largest[name][0]:
                raise ModelError(
                    f"{self._name} was built for at most {self._largest[name][0]} in one call, got "
                    f"{array.shape[0]}. Build it with a larger runtime.max_batch."
                )

    def _set_shapes(self, inputs: Mapping[str, AnyArray]) -> None:
        shapes = tuple(inputs[t.name].shape for t in self._info.inputs)
        if shapes == self._shapes:
            self._repeats += 1
            return
        self._forget_graph()
        self._shapes, self._repeats = shapes, 0
        for tensor, shape in zip(self._info.inputs, shapes, strict=True):
            self._context.set_input_shape(tensor.name, shape)

    def _execute(self) -> None:
        """Queue copies and the engine, recorded or one by one."""
        if self._graph is None and self._use_graphs and self._repeats >= REPEATS_BEFORE_GRAPH:
            self._graph = self._recorded()
        if self._graph is not None:
            self._graph.launch()
        else:
            self._enqueue()

    def _recorded(self) -> CudaGraph | None:
        """Return the present shape's work as a graph; None, for good, where that fails."""
        graph = CudaGraph(self._stream.handle)
        try:
            graph.begin()
            self._enqueue()
            graph.end()
        except (ModelError, self._cuda.driver.Error) as error:
            graph.close()
            self._use_graphs = False
            _log.warning("%s runs without a CUDA graph: %s", self._name, error)
            return None
        return graph

    def _enqueue(self) -> None:
        for tensor, shape in zip(self._info.inputs, self._shapes, strict=True):
            self._buffers[tensor.name].upload(int(np.prod(shape)), self._stream)
        if not self._context.execute_async_v3(self._stream.handle):
            raise ModelError(f"{self._name}: TensorRT refused to run it; see the service's log.")
        for tensor in self._info.outputs:
            count = int(np.prod(self._shape(tensor)))
            self._buffers[tensor.name].download(count, self._stream)

    def _shape(self, tensor: TensorInfo) -> tuple[int, ...]:
        return tuple(self._context.get_tensor_shape(tensor.name))

    def _forget_graph(self) -> None:
        if self._graph is not None:
            self._graph.close()
        self._graph = None


def _deserialise(trt: TensorRt, plan: bytes, name: str) -> Any:
    log = trt.module.Logger(trt.module.Logger.ERROR)
    engine = trt.module.Runtime(log).deserialize_cuda_engine(plan)
    if engine is None:
        raise ModelError(
            f"{name}: {trt.name} {trt.version} cannot load this engine; it was built by another "
            "version or for another GPU. Build it again: edge-app engine build --config FILE."
        )
    return engine


def _describe(trt: TensorRt, engine: Any) -> tuple[GraphInfo, dict[str, tuple[int, ...]]]:
    """Return the contract, and every input's largest shape."""
    inputs, outputs, largest = [], [], {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        raw = tuple(engine.get_tensor_shape(name))
        dtype = np.dtype(trt.module.nptype(engine.get_tensor_dtype(name))).name
        info = TensorInfo(name, dtype, tuple(None if n < 0 else n for n in raw))
        if engine.get_tensor_mode(name) == trt.module.TensorIOMode.INPUT:
            inputs.append(info)
            is_open = min(raw, default=1) < 0
            most = engine.get_tensor_profile_shape(name, 0)[2] if is_open else raw
            largest[name] = tuple(most)
        else:
            outputs.append(info)
    return GraphInfo(tuple(inputs), tuple(outputs), f"{trt.name} {trt.version}"), largest
