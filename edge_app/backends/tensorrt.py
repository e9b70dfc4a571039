"""Running an engine with TensorRT and pycuda: the same contract as ONNX Runtime's runner.

Every buffer is allocated when the engine is loaded, for the largest batch. A shape that repeats is
recorded as a CUDA graph, copies included, and launched as one call.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_app.backends.cuda_driver import CudaGraph
from edge_app.backends.cuda_memory import Buffer, Cuda, open_cuda
from edge_app.backends.protocol import AnyArray, GraphInfo, TensorInfo, check_inputs
from edge_app.backends.tensorrt_library import TensorRt, load_tensorrt, make_runtime
from edge_app.errors import ModelError

_log = logging.getLogger(__name__)

REPEATS_BEFORE_GRAPH = 2
"""Runs of one shape before it is recorded: TensorRT sets itself up in the first run of a shape,
which cannot be recorded; the second shows that the shape repeats."""


@dataclass(slots=True)
class _Held:
    """What a runner has on the GPU.

    pycuda releases memory in the thread that opened the GPU or while the context is current;
    elsewhere it warns and leaks. A model may be released by any thread, so all of it is released
    here and nothing else keeps a reference.
    """

    cuda: Cuda
    name: str
    engine: Any = None
    config: Any = None
    context: Any = None
    stream: Any = None
    graph: CudaGraph | None = None
    buffers: dict[str, Buffer] = field(default_factory=dict)

    def forget_graph(self) -> None:
        if self.graph is not None:
            self.graph.close()
        self.graph = None

    def release(self) -> None:
        """Release everything; errors of the driver are logged."""
        try:
            with self.cuda.current(f"{self.name}: releasing it"):
                if self.stream is not None:
                    self.stream.synchronize()
                self.forget_graph()
                self.context = self.config = self.engine = None
                while self.buffers:
                    self.buffers.popitem()[1].close()
                self.stream = None
        except ModelError as error:
            _log.warning("%s", error)


class TensorRtRunner:
    """A deserialised engine with one execution context and one stream. Not thread-safe.

    Without `close` it releases its memory when it is garbage collected, in any thread.

    Args:
        plan: the engine's bytes, built on this GPU with this TensorRT.
        name: the graph's name, for messages.
        use_cuda_graphs: record repeating shapes.

    Raises:
        ModelError: no GPU, no TensorRT, an engine of another version or GPU, too little memory.
    """

    def __init__(self, plan: bytes, name: str = "the engine", use_cuda_graphs: bool = True) -> None:
        self._name = name
        self._cuda, trt = open_cuda(), load_tensorrt()
        self._shapes: tuple[tuple[int, ...], ...] = ()
        self._repeats = 0
        self._held = _Held(self._cuda, name)
        self._release = weakref.finalize(self, self._held.release)
        self._release.atexit = (
            False  # the end of the process frees all; a thread may still be running
        )
        with self._cuda.current(f"{name}: loading its engine"):
            self._held.engine = _deserialise(trt, plan, name)
            self._use_graphs = use_cuda_graphs and not _records_itself(trt)
            if use_cuda_graphs and _records_itself(trt):
                self._held.config = _recording_config(trt, self._held.engine)
            self._held.context = _make_context(self._held, name)
            self._held.stream = self._cuda.new_stream()
            self._info, self._largest = _describe(trt, self._held.engine)
            self._allocate()
            # Weights may still be in transfer on the default stream, which ours does not wait for.
            self._cuda.driver.Context.synchronize()

    def run(self, inputs: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        """Return every output by name.

        Raises:
            ModelError: the inputs break the contract, are none or too many, the GPU failed, or it
                is closed.
        """
        if not self._release.alive:
            raise ModelError(f"{self._name} was closed; open it again before running it.")
        check_inputs(self._info, inputs)
        self._check_batch(inputs)
        try:
            self._put_through(inputs)
        except ModelError:
            raise
        except Exception as error:  # of TensorRT's Python, which has no error of its own
            raise ModelError(f"{self._name} failed: {type(error).__name__}: {error}") from error
        return {
            t.name: self._held.buffers[t.name].taken(self._shape(t)) for t in self._info.outputs
        }

    def describe(self) -> GraphInfo:
        """Return what the graph takes and gives."""
        return self._info

    def close(self) -> None:
        """Release graph, context, engine and memory; may be called twice."""
        self._release()

    def _put_through(self, inputs: Mapping[str, AnyArray]) -> None:
        with self._cuda.current(self._name):
            self._set_shapes(inputs)
            for name, array in inputs.items():
                self._held.buffers[name].fill(array)
            self._execute()
            self._held.stream.synchronize()

    def _allocate(self) -> None:
        for tensor in self._info.inputs:
            self._set_shape(tensor, self._largest[tensor.name])
        for tensor in (*self._info.inputs, *self._info.outputs):
            shape = self._shape(tensor)
            if min(shape, default=1) < 0:
                raise ModelError(
                    f"{self._name}: the size of {tensor} depends on values, not sizes. Export the "
                    "graph with a fixed number of results."
                )
            buffer = Buffer(self._cuda, shape, tensor.dtype)
            self._held.buffers[tensor.name] = buffer
            if not self._held.context.set_tensor_address(tensor.name, buffer.address):
                raise ModelError(
                    f"{self._name}: TensorRT refused the memory for {tensor}. {SEE_LOG}"
                )

    def _check_batch(self, inputs: Mapping[str, AnyArray]) -> None:
        for name, array in inputs.items():
            if not 1 <= array.shape[0] <= self._largest[name][0]:
                raise ModelError(
                    f"{self._name} was built for 1 to {self._largest[name][0]} in one call, got "
                    f"{array.shape[0]}. Build it with a larger runtime.max_batch."
                )

    def _set_shapes(self, inputs: Mapping[str, AnyArray]) -> None:
        shapes = tuple(inputs[t.name].shape for t in self._info.inputs)
        if shapes == self._shapes:
            self._repeats += 1
            return
        self._held.forget_graph()
        self._shapes, self._repeats = (), 0
        for tensor, shape in zip(self._info.inputs, shapes, strict=True):
            self._set_shape(tensor, shape)
        self._shapes = shapes

    def _set_shape(self, tensor: TensorInfo, shape: tuple[int, ...]) -> None:
        if not self._held.context.set_input_shape(tensor.name, shape):
            raise ModelError(f"{self._name}: TensorRT refused {shape} for {tensor}. {SEE_LOG}")

    def _execute(self) -> None:
        """Queue copies and the engine, recorded or one by one."""
        held = self._held
        if held.graph is None and self._use_graphs and self._repeats >= REPEATS_BEFORE_GRAPH:
            held.graph = self._recorded()
        if held.graph is not None:
            held.graph.launch()
        else:
            self._enqueue()

    def _recorded(self) -> CudaGraph | None:
        """Return the work for the current shape as a graph; None from now on if that fails."""
        graph = CudaGraph(self._held.stream.handle)
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
        held = self._held
        for tensor, shape in zip(self._info.inputs, self._shapes, strict=True):
            held.buffers[tensor.name].upload(int(np.prod(shape)), held.stream)
        if not held.context.execute_async_v3(held.stream.handle):
            raise ModelError(f"{self._name}: TensorRT refused to run it. {SEE_LOG}")
        for tensor in self._info.outputs:
            count = int(np.prod(self._shape(tensor)))
            held.buffers[tensor.name].download(count, held.stream)

    def _shape(self, tensor: TensorInfo) -> tuple[int, ...]:
        return tuple(self._held.context.get_tensor_shape(tensor.name))


SEE_LOG = "The reason is in a line with [TRT] in this output, or in the service's log."
"""TensorRT's own logger writes there; one written in Python could wait for a lock for ever."""


def _deserialise(trt: TensorRt, plan: bytes, name: str) -> Any:
    engine = make_runtime(trt).deserialize_cuda_engine(plan)
    if engine is None:
        raise ModelError(
            f"{name}: {trt.name} {trt.version} cannot load this engine: it was built by another "
            f"version or for another GPU, or the GPU's memory is full. {SEE_LOG} Build it again: "
            "edge-app engine build --again --config FILE."
        )
    return engine


def _records_itself(trt: TensorRt) -> bool:
    """Tell whether TensorRT makes CUDA graphs on its own: TensorRT-RTX does from 1.2 on.

    It compiles kernels for a shape during the first runs, so only it knows when to record.
    """
    return hasattr(trt.module, "CudaGraphStrategy")


def _recording_config(trt: TensorRt, engine: Any) -> Any:
    config = engine.create_runtime_config()
    config.cuda_graph_strategy = trt.module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
    return config


def _make_context(held: _Held, name: str) -> Any:
    """Return the execution context; what it was configured with must outlive it."""
    config = () if held.config is None else (held.config,)
    context = held.engine.create_execution_context(*config)
    if context is None:
        raise ModelError(
            f"{name}: no execution context, usually because the GPU's memory is full. {SEE_LOG} "
            "Stop what else uses the GPU, or lower runtime.max_batch and build the engines again."
        )
    return context


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
