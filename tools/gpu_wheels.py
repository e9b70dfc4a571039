"""Everything that `make test-gpu` and `make bench-gpu` install, as wheels in one folder.

    python tools/gpu_wheels.py FOLDER [--extras calibrate,demo,device-test,tensorrt-rtx]

`make gpu-wheels` calls it, where there is a network, with a Python of the version that the machine
with the GPU has. The folder is taken there, and `make bench-gpu WHEELS=FOLDER` needs no network.
pycuda has no wheels of its own: it is compiled here against NVIDIA's headers from PyPI and a
driver's library without content, since no driver is needed to compile. Needs gcc. On a Jetson
(aarch64) this has to run on the Jetson itself, or on another one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
HEADERS = ("nvidia-cuda-runtime", "nvidia-cuda-nvcc", "nvidia-cuda-crt", "nvidia-cuda-profiler-api",
           "nvidia-cuda-cccl")  # fmt: skip
"""What pycuda is compiled with."""
AT_RUN_TIME = ("mako", "platformdirs", "pytools")
"""What pycuda needs beside it."""
SITE = "CUDA_ENABLE_CURAND = False\n"
"""pycuda's own switch: nothing of ours draws random numbers, and its library would be needed."""
TOOLS = ("pip", "setuptools", "uv", "wheel")
EXTRAS = "calibrate,demo,device-test,tensorrt-rtx"


def main() -> int:
    """Fill the folder; return 0, or 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the wheels go")
    parser.add_argument("--extras", default=EXTRAS, help="of pyproject.toml, with commas")
    args = parser.parse_args()
    if shutil.which("gcc") is None:
        print("pycuda is compiled here: this needs gcc (apt-get install g++).", file=sys.stderr)
        return 1
    args.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gpu-wheels-") as work:
        python = made_environment(Path(work) / "env")
        said("what the device needs")
        wheels = ("-m", "pip", "wheel", "--quiet", "--constraint", str(CONSTRAINTS))
        run(python, *wheels, "--wheel-dir", str(args.folder), f"{ROOT}[{args.extras}]",
            *TOOLS, *AT_RUN_TIME)  # fmt: skip
        said("pycuda, compiled in one to two minutes")
        compile_pycuda(python, Path(work), args.folder)
    for own in args.folder.glob("cropliq_edge-*.whl"):
        own.unlink()  # installed from the checkout
    count = len(list(args.folder.glob("*.whl")))
    size_mb = sum(f.stat().st_size for f in args.folder.glob("*.whl")) / 1e6
    print(
        f"{count} wheels, {size_mb:.0f} MB, in {args.folder}: make bench-gpu WHEELS={args.folder}"
    )
    return 0


def made_environment(folder: Path) -> Path:
    """Return the Python of a new environment that has what pycuda is compiled with."""
    said("NVIDIA's headers")
    run(Path(sys.executable), "-m", "venv", str(folder))
    python = folder / "bin" / "python"
    quiet = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(python, *quiet, "--constraint", str(CONSTRAINTS), "numpy", "setuptools", "wheel", *HEADERS)
    return python


def compile_pycuda(python: Path, work: Path, folder: Path) -> None:
    """Compile pycuda's wheel into the folder.

    Raises:
        SystemExit: NVIDIA's packages lie elsewhere than they did, or it does not compile.
    """
    found = list((python.parents[1] / "lib").glob("python3*/site-packages/nvidia/cu1*"))
    if len(found) != 1:
        raise SystemExit(f"One folder nvidia/cu1* with CUDA's headers was expected, got {found}.")
    (cuda,) = found
    stubs = work / "stubs"
    stubs.mkdir()
    (work / "empty.c").write_text("")
    run(Path("gcc"), "-shared", "-Wl,-soname,libcuda.so.1", "-o", str(stubs / "libcuda.so"),
        str(work / "empty.c"))  # fmt: skip
    for library in (cuda / "lib").glob("lib*.so.*"):
        (stubs / library.name.partition(".so")[0]).with_suffix(".so").symlink_to(library)
    environment = os.environ | {
        "CUDA_ROOT": str(cuda),
        "PATH": os.pathsep.join([str(cuda / "bin"), os.environ["PATH"]]),
        "LIBRARY_PATH": str(stubs),
        "CFLAGS": f"-I{cuda / 'include'}",
        "CXXFLAGS": f"-I{cuda / 'include'}",
        "LDFLAGS": "-Wl,--no-as-needed",  # else a driver without content is no driver to need
    }
    plain = ("--quiet", "--no-deps", "--no-build-isolation", "--no-cache-dir")
    run(python, "-m", "pip", "download", *plain, "--no-binary", ":all:", "--constraint",
        str(CONSTRAINTS), "--dest", str(work), "pycuda", environment=environment)  # fmt: skip
    (archive,) = work.glob("pycuda-*.tar.gz")
    shutil.unpack_archive(archive, work)
    source = work / archive.name.removesuffix(".tar.gz")
    (source / "siteconf.py").write_text(SITE)
    run(python, "-m", "pip", "wheel", *plain, "--wheel-dir", str(folder), str(source),
        environment=environment)  # fmt: skip


def run(program: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
    """Run a program.

    Raises:
        SystemExit: it failed; what it said stands above.
    """
    done = subprocess.run([str(program), *arguments], env=environment, check=False)
    if done.returncode != 0:
        raise SystemExit(
            f"{program.name} {' '.join(arguments[:3])} ... ended with {done.returncode}."
        )


def said(what: str) -> None:
    """Say what is being done."""
    print(f"{what} ...", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
