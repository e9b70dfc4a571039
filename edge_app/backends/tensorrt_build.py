"""ONNX → TensorRT engine, on the machine that will run it, or ahead of time for a named GPU.

Networks are strongly typed: precision is baked into the ONNX (fp16 casts, Q/DQ), because TensorRT
11 no longer has builder flags for it, while 10.3 (JetPack 6) supports both."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_app.backends.tensorrt_library import TensorRt, cannot_start, load_tensorrt
from edge_app.errors import ModelError

Progress = Callable[[str, float], None]
"""Called with (phase, share of that phase done, 0..1)."""

OPTIMAL_BATCH = 2
"""Crops per call the engine is tuned for: the demo's belt has one or two due parts in a frame."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine is built.

    Attributes:
        max_batch: most crops in one call; the first axis of an input without a fixed one.
        allow_tf32: let fp32 convolutions round their inputs to 10 bits. Off for the fp32 variant:
            it is the reference and the last resort.
        compute_capability: e.g. "SM86": build for that GPU without having it (TensorRT-RTX only);
            None builds for the GPU of this machine.
        workspace_mb: most scratch memory a layer may use; None: TensorRT's default.
    """

    max_batch: int = 8
    allow_tf32: bool = False
    compute_capability: str | None = None
    workspace_mb: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BuiltEngine:
    """A finished engine.

    Attributes:
        plan: the serialised engine.
        timing_cache: the builder's measurements on this GPU; makes the next build faster. Empty for
            TensorRT-RTX, which does not time kernels when it builds.
        layers: of the network, before fusion.
    """

    plan: bytes
    timing_cache: bytes
    layers: int


def build_engine(
    model: bytes,
    options: EngineOptions,
    timing_cache: bytes = b"",
    progress: Progress | None = None,
) -> BuiltEngine:
    """Build an engine.

    Args:
        model: the ONNX file's bytes.
        timing_cache: of an earlier build on this GPU with this TensorRT, or empty.

    Raises:
        ModelError: no TensorRT, an operator it does not know (named), too little memory, or a GPU
            it cannot build for.
    """
    trt = load_tensorrt()
    log = _make_log(trt.module)
    try:
        builder = trt.module.Builder(log)
    except TypeError as error:
        raise cannot_start(trt, error) from error
    typed = 1 << int(trt.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(typed)
    _parse(trt, network, log, model)
    config = builder.create_builder_config()
    _configure(trt, builder, network, config, options)
    cache = _timing_cache(trt, config, timing_cache)
    if progress is not None:
        monitor = _make_monitor(trt.module, progress)
        config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ModelError(_why_not_built(trt, log.problems))
    learnt = bytes(cache.serialize()) if cache is not None else b""
    return BuiltEngine(bytes(plan), learnt, int(network.num_layers))


def _parse(trt: TensorRt, network: Any, log: Any, model: bytes) -> None:
    parser = trt.module.OnnxParser(network, log)
    if parser.parse(model):
        if network.num_outputs == 0:  # a file that is not ONNX is "parsed" to an empty network
            raise ModelError(
                "TensorRT found no graph in the file: it is not an ONNX model, or has no outputs. "
                "Compare its sha256 with the manifest."
            )
        return
    causes = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        node = f"{error.node_operator()} node `{error.node_name()}`: " if error.node_name() else ""
        causes.append(f"{node}{error.desc()}")
    raise ModelError(
        f"TensorRT {trt.version} cannot read this graph: {'; '.join(causes) or 'no reason given'}. "
        "Export it again with operators of docs/tensorrt.md's list, or run it on ONNX Runtime."
    )


def _configure(
    trt: TensorRt, builder: Any, network: Any, config: Any, options: EngineOptions
) -> None:
    flag = trt.module.BuilderFlag.TF32
    (config.set_flag if options.allow_tf32 else config.clear_flag)(flag)
    if options.workspace_mb is not None:
        pool = trt.module.MemoryPoolType.WORKSPACE
        config.set_memory_pool_limit(pool, options.workspace_mb << 20)
    if options.compute_capability is not None:
        _aim(trt, config, options.compute_capability)
    profile = builder.create_optimization_profile()
    is_dynamic = False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shape = tuple(tensor.shape)
        if -1 not in shape:
            continue
        if -1 in shape[1:]:
            raise ModelError(
                f"Input `{tensor.name}` has shape {shape}; only its first axis, the number of "
                "crops, may be open. Export the graph for one crop size."
            )
        best = min(OPTIMAL_BATCH, options.max_batch)
        sizes = [(count, *shape[1:]) for count in (1, best, options.max_batch)]
        profile.set_shape(tensor.name, *sizes)
        is_dynamic = True
    if is_dynamic:
        config.add_optimization_profile(profile)


def _aim(trt: TensorRt, config: Any, compute_capability: str) -> None:
    """Configure the build for a GPU that need not be present."""
    known = getattr(trt.module, "ComputeCapability", None)
    target = getattr(known, compute_capability, None)
    if target is None:
        raise ModelError(
            f"{trt.name} {trt.version} cannot build for {compute_capability!r} ahead of time. "
            "Build on the device itself: edge-app engine build."
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(target, 0)


def _timing_cache(trt: TensorRt, config: Any, content: bytes) -> Any | None:
    """Return the cache the builder fills; a damaged or foreign one is replaced by an empty one."""
    if trt.is_rtx:
        return None
    cache = config.create_timing_cache(content)
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


MEMORY_WORDS = re.compile(r"out ?of ?memory|insufficient (memory|workspace)|error allocating", re.I)
"""How TensorRT 8 to 11 put it: "OutOfMemory", "Cuda Runtime (out of memory)", "User allocator error
allocating" (NVIDIA/TensorRT #2643, #4258)."""

MOST_REASONS = 3
"""Errors in a message: the last ones name the node and the step; all of them fill a page."""


def _why_not_built(trt: TensorRt, problems: list[str]) -> str:
    """Return the reason from the builder's log; the line about memory may be far up."""
    causes = problems[-MOST_REASONS:]
    memory = [p for p in problems if MEMORY_WORDS.search(p)]
    if memory and not any(p in causes for p in memory):
        causes = [memory[-1], *causes]
    if memory:
        advice = (
            "Too little memory: stop what else uses the GPU, lower runtime.max_batch, or set "
            "--workspace-mb."
        )
    else:
        advice = "Inspection continues on ONNX Runtime; send this message with the bundle's name."
    reason = "; ".join(causes) or "no reason given"
    return f"TensorRT {trt.version} could not build the engine: {reason}. {advice}"


def _make_log(module: Any) -> Any:
    """Return a TensorRT logger that keeps errors in `problems` and prints nothing."""

    class KeptLog(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.problems: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (module.ILogger.ERROR, module.ILogger.INTERNAL_ERROR):
                self.problems.append(message.strip())

    return KeptLog()


def _make_monitor(module: Any, progress: Progress) -> Any:
    """Return a TensorRT progress monitor that passes on what the outermost phase does."""

    class Monitor(module.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, _parent: str | None, num_steps: int) -> None:
            self._steps[phase_name] = max(1, num_steps)
            progress(phase_name, 0.0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress(phase_name, min(1.0, (step + 1) / self._steps.get(phase_name, 1)))
            return True

        def phase_finish(self, phase_name: str) -> None:
            progress(phase_name, 1.0)

    return Monitor()
