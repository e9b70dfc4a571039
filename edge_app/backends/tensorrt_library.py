"""Which TensorRT this machine has: JetPack's `tensorrt`, or TensorRT-RTX under either of its names.

All three have the same Python interface. Nothing is imported before it is needed.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edge_app.errors import ModelError

MODULES = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")
"""In order of preference; the first that can be imported is used."""

FIRST_VERSION = 10
"""Of `tensorrt`: the first whose networks are strongly typed, with progress and named nodes.
JetPack 6.1 brings 10.3; JetPack 6.0 and 5 bring 8."""

RTX_LIBRARY_PACKAGE = "onnxruntime_ep_nv_tensorrt_rtx"
"""Carries the libraries that `tensorrt_rtx_bindings` needs, in a folder that no loader searches."""

RTX_LIBRARIES = ("libcudart.so.*", "libtensorrt_rtx.so.*", "libtensorrt_onnxparser_rtx.so.*")
"""Loaded in this order, each finds its dependencies already in the process."""


@dataclass(frozen=True, slots=True, eq=False)
class TensorRt:
    """An imported TensorRT.

    Attributes:
        module: the Python module; typed Any because it comes with the device, not with us.
        name: the module's name.
        version: e.g. "10.3.0".
        is_rtx: TensorRT-RTX, which compiles for a named GPU without having one.
        log: writes errors to the standard output. One for the whole process: while any of its
            objects lives TensorRT goes on using the first logger it was given
            (NVIDIA/TensorRT #1475), so that one must outlive every engine.
    """

    module: Any
    name: str
    version: str
    is_rtx: bool
    log: Any


@lru_cache(maxsize=1)
def load_tensorrt() -> TensorRt:
    """Return this machine's TensorRT.

    Raises:
        ModelError: none can be imported; says what was tried.
    """
    tried = []
    for name in MODULES:
        if find_spec(name) is None:
            tried.append(f"{name}: not installed")
            continue
        if name == "tensorrt_rtx_bindings":
            _load_rtx_libraries()
        try:
            module = importlib.import_module(name)
        except (ImportError, OSError) as error:
            tried.append(f"{name}: {error}")
            continue
        version = str(module.__version__)
        if name == "tensorrt" and int(version.split(".")[0]) < FIRST_VERSION:
            tried.append(f"tensorrt {version}: {FIRST_VERSION}.0 or newer is needed (JetPack 6.1)")
            continue
        log = module.Logger(module.Logger.ERROR)
        return TensorRt(module, name, version, name != "tensorrt", log)
    raise ModelError(
        f"No TensorRT can be used here ({'; '.join(tried)}). On a Jetson it comes with JetPack: "
        "make the virtual environment with --system-site-packages. Inspection runs on ONNX "
        'Runtime without it (runtime.backend = "onnxruntime").'
    )


def make_runtime(trt: TensorRt) -> Any:
    """Return a TensorRT runtime; the engines it loads keep it alive.

    Raises:
        ModelError: TensorRT cannot use the GPU.
    """
    try:
        return trt.module.Runtime(trt.log)
    except TypeError as error:
        raise cannot_start(trt, error) from error


def cannot_start(trt: TensorRt, error: TypeError) -> ModelError:
    """Return the error for a TypeError of TensorRT's Python: no builder or runtime was created."""
    return ModelError(
        f"{trt.name} {trt.version} cannot use the GPU ({error}). Usually the driver is older than "
        "the CUDA that this TensorRT was made for, or the GPU's memory is full: compare "
        "`nvidia-smi` with the CUDA in TensorRT's package name, or update JetPack as a whole."
    )


def _load_rtx_libraries() -> None:
    """Load TensorRT-RTX's libraries into the process, if their package is installed."""
    spec = find_spec(RTX_LIBRARY_PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        for pattern in RTX_LIBRARIES:
            for file in sorted(Path(folder).glob(pattern)):
                with contextlib.suppress(OSError):  # the import that follows says what is missing
                    ctypes.CDLL(str(file), mode=ctypes.RTLD_GLOBAL)
