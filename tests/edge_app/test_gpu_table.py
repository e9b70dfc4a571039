"""What `make test-gpu` says before and after its tests: with a stand-in of the driver, and without.

Its own tests need a GPU; how they are reported does not.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from ahead_of_time import tensorrt_rtx
from fake_cuda import compile_driver, stand_in_environment

ROOT = Path(__file__).parents[2]

_spec = spec_from_file_location("gpu_ready", ROOT / "tests" / "gpu" / "ready.py")
assert _spec is not None
assert _spec.loader is not None
ready = module_from_spec(_spec)
_spec.loader.exec_module(ready)


def _run(*command: str, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **changes}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.needs("a machine without a GPU")
def test_without_a_gpu_one_sentence_says_what_to_do() -> None:
    """Before anything is installed: no GPU, where to run it, what runs here instead."""
    done = _run("tests/gpu/ready.py")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("No NVIDIA GPU here: libcuda.so.1 is missing")
    assert "`make test`" in done.stderr


@pytest.mark.needs("gcc")
def test_what_is_missing_beside_a_gpu_is_told(tmp_path: Path) -> None:
    """With a GPU its name is printed, and everything that is not there with the way to get it."""
    compile_driver(tmp_path, "libcuda.so.1")
    done = _run("tests/gpu/ready.py", "--installed", LD_LIBRARY_PATH=str(tmp_path))
    assert done.returncode == 1
    assert "Orin (stand-in), compute capability 8.7, memory shared with the CPU" in done.stdout
    assert "pycuda    missing" in done.stdout
    assert "pycuda cannot be imported: ModuleNotFoundError" in done.stderr


@pytest.mark.needs("TensorRT-RTX")
def test_tensorrt_rtx_has_every_call() -> None:
    """Nothing that the product calls is missing in the TensorRT of the ordinary tests."""
    trt = tensorrt_rtx()
    assert ready.missing_calls(trt.module) == []
    assert ready.missing_calls(ModuleType("tensorrt"))[0] == "Builder.create_network"


@pytest.mark.needs("gcc")
def test_gpus_tests_run_on_the_stand_ins_and_end_with_one_table(tmp_path: Path) -> None:
    """Engines built in a child, kept, loaded, recorded and certified; then the machine, each test's
    outcome and figure, and what to send. Kernels the stand-in cannot run: they fail."""
    done = _run(
        "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", "tests/gpu",
        "-k", "built or foreign or recorded or certified or kernels",
        **stand_in_environment(tmp_path),
    )  # fmt: skip
    assert done.returncode == 1
    table = done.stdout[done.stdout.index("on the GPU") :]
    assert "GPU       Orin (stand-in), compute capability 8.7" in table
    assert "TensorRT  tensorrt 10.3.0" in table
    assert "pycuda    stand-in, compiled against CUDA 13.0" in table
    for name, figure in (
        ("engine is built", "with its timings"),
        ("graph is really recorded", "recorded by us"),
        ("foreign plan is refused", ""),
        ("golden set is certified", "IoU ≥ 1.000, score ± 0.0"),  # 0.04 % on some processors
    ):
        assert re.search(rf"{re.escape(name)} +passed +.*{re.escape(figure)}", table), name
    assert re.search("kernels sample as opencv does +FAILED", table)
    assert "Please send us all of this output" in table
