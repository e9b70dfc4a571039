"""Says whether `make test-gpu` can run here, and what is missing; the standard library is enough.

python ready.py              before anything is installed: the GPU and the compiler pycuda needs
python ready.py --installed  in the tests' environment: TensorRT and pycuda too
With --compiled pycuda comes as a wheel, and no compiler is needed.
"""

from __future__ import annotations

import importlib
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from edge_app.backends.cuda_driver import find_gpu
from edge_app.backends.tensorrt_library import load_tensorrt
from edge_app.errors import ModelError

Fact = tuple[str, str, str]
"""What, what was found ("" for nothing), what to do without it."""

CALLS = {
    "Builder": "create_network create_builder_config create_optimization_profile "
    "build_serialized_network",
    "OnnxParser": "parse num_errors get_error",
    "ParserError": "node_name node_operator desc",
    "INetworkDefinition": "num_inputs num_outputs num_layers get_input",
    "IBuilderConfig": "set_flag clear_flag set_memory_pool_limit add_optimization_profile "
    "create_timing_cache set_timing_cache progress_monitor",
    "IOptimizationProfile": "set_shape",
    "ITimingCache": "serialize",
    "IProgressMonitor": "phase_start step_complete phase_finish",
    "ILogger": "ERROR INTERNAL_ERROR",
    "Logger": "ERROR",
    "NetworkDefinitionCreationFlag": "STRONGLY_TYPED",
    "BuilderFlag": "TF32",
    "MemoryPoolType": "WORKSPACE",
    "TensorIOMode": "INPUT",
    "Runtime": "deserialize_cuda_engine",
    "ICudaEngine": "create_execution_context num_io_tensors get_tensor_name get_tensor_shape "
    "get_tensor_dtype get_tensor_mode get_tensor_profile_shape",
    "IExecutionContext": "set_input_shape get_tensor_shape set_tensor_address execute_async_v3",
}
"""What the product calls of TensorRT: all in 10.0.1, 10.3.0, 10.13.3, 11.0.0, 11.4.0, RTX 1.7.1."""

NO_GPU = (
    "No NVIDIA GPU here: libcuda.so.1 is missing or shows no device, so nothing was installed or "
    "tested. Run this on a Jetson or beside an NVIDIA card; `make test` is what runs without one."
)


def gpu_fact() -> Fact:
    """Return the GPU."""
    gpu = find_gpu()
    if gpu is None:
        return "GPU", "", NO_GPU
    where = "memory shared with the CPU" if gpu.is_integrated else "memory of its own"
    return "GPU", f"{gpu.name}, compute capability {gpu.compute_capability}, {where}", ""


def compiler_fact() -> Fact:
    """Return CUDA's compiler, without which pycuda cannot be installed."""
    found = shutil.which("nvcc") or ""
    advice = (
        "CUDA's compiler nvcc is not in PATH, and pycuda cannot be compiled without it. JetPack "
        "has it in /usr/local/cuda/bin: export PATH=/usr/local/cuda/bin:$PATH; if it is not there, "
        "sudo apt install nvidia-jetpack."
    )
    return "nvcc", found, "" if found else advice


def tensorrt_fact() -> Fact:
    """Return TensorRT as the product finds it."""
    try:
        trt = load_tensorrt()
    except ModelError as error:
        return "TensorRT", "", str(error)
    missing = missing_calls(trt.module)
    if missing:
        advice = f"{trt.name} {trt.version} lacks {', '.join(missing)}: please send us this line."
        return "TensorRT", "", advice
    return "TensorRT", f"{trt.name} {trt.version}", ""


def missing_calls(module: Any) -> list[str]:
    """Return what the product calls and this TensorRT does not have."""
    return [
        f"{owner}.{name}"
        for owner, names in CALLS.items()
        for name in names.split()
        if not hasattr(getattr(module, owner, None), name)
    ]


def pycuda_fact() -> Fact:
    """Return pycuda and the CUDA it was compiled against."""
    try:
        pycuda, driver = (importlib.import_module(n) for n in ("pycuda", "pycuda.driver"))
    except Exception as error:  # pycuda raises its own kinds when the driver does not fit
        return "pycuda", "", f"pycuda cannot be imported: {type(error).__name__}: {error}"
    cuda = ".".join(map(str, driver.get_version()[:2]))
    return "pycuda", f"{pycuda.VERSION_TEXT}, compiled against CUDA {cuda}", ""


def system_facts() -> list[Fact]:
    """Return what else we need to know of the machine."""
    release = Path("/etc/nv_tegra_release")
    facts = [("Python", platform.python_version(), ""), ("system", platform.platform(), "")]
    if release.is_file():
        facts.append(("L4T", release.read_text().partition("\n")[0].strip("# "), ""))
    return facts


def main(is_installed: bool, is_compiled: bool = False) -> int:
    """Print every fact, then what is missing; return 1 where something is."""
    gpu = gpu_fact()
    if not gpu[1]:
        print(gpu[2], file=sys.stderr)
        return 1
    facts = [gpu, *([] if is_compiled else [compiler_fact()]), *system_facts()]
    if is_installed:
        facts += [tensorrt_fact(), pycuda_fact()]
    for what, found, _ in facts:
        print(f"{what:<9} {found or 'missing'}")
    missing = [advice for _, found, advice in facts if not found]
    for advice in missing:
        print(advice, file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main("--installed" in sys.argv[1:], "--compiled" in sys.argv[1:]))
