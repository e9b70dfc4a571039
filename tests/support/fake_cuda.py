"""NVIDIA's driver library on host memory, for tests where no GPU is; see `fake_cuda_driver.c`."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("fake_cuda_driver.c")


GIVEN = os.environ.get("CROPLIQ_FAKE_CUDA", "")
"""A stand-in that the process was started with (LD_LIBRARY_PATH): the tests then run on the real
pycuda, which was linked with it."""


def compile_driver(folder: Path, name: str = "libcuda_stand_in.so") -> Path:
    """Return the path of the compiled stand-in.

    It does not bear the driver's name: what else is in this process must not take it for one.
    """
    if GIVEN:
        return Path(GIVEN)
    library = folder / name
    command = ["gcc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
    subprocess.run([*command, str(SOURCE), "-o", str(library)], check=True, timeout=120)
    return library


class FakeDriver:
    """What tests ask of a compiled stand-in.

    Args:
        library: as `compile_driver` returned it.
    """

    def __init__(self, library: Path) -> None:
        self.library = ctypes.CDLL(str(library))
        self.library.fake_calls.restype = ctypes.c_char_p

    def calls(self) -> list[str]:
        """Return the names of the calls since the last reset, in order."""
        return [line.split()[0] for line in self.lines()]

    def lines(self) -> list[str]:
        """Return the calls with their numbers, in order."""
        return [line.strip() for line in self.library.fake_calls().decode().splitlines()]

    def reset(self) -> None:
        """Forget the calls; be a Jetson."""
        self.library.fake_be_discrete(0)
        self.library.fake_reset()

    def fail_next(self, name: str, code: int) -> None:
        """Have the next call of a function return an error."""
        self.library.fake_fail(name.encode(), code)

    def be_discrete(self) -> None:
        """Be a card with memory of its own from now on; a Jetson before."""
        self.library.fake_be_discrete(1)

    def live(self) -> int:
        """Return how many allocations, streams and graphs have not been released."""
        return int(self.library.fake_live())

    def stream(self, flags: int = 1) -> int:
        """Return a stream made in a context that is current for this thread."""
        context, stream = ctypes.c_void_p(), ctypes.c_void_p()
        assert self.library.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
        assert self.library.cuCtxPushCurrent_v2(context) == 0
        assert self.library.cuStreamCreate(ctypes.byref(stream), flags) == 0
        assert stream.value is not None
        return stream.value


def stand_in_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a process that finds stand-ins of driver, pycuda and TensorRT."""
    compile_driver(folder, "libcuda.so.1")
    tests = SOURCE.parents[1]
    folders = (tests / "standins", tests, tests.parent)
    return {
        **os.environ,
        "LD_LIBRARY_PATH": str(folder),
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
    }
