"""The wheels a device installs: our own, and those of its dependencies for offline devices."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path

from edge_app.errors import DataError

EXTRAS = ("basler", "heic", "openvino", "rtsp")
"""What a device may have beyond its dependencies: each has wheels for both machines. pycuda, the
extra `jetson`, is compiled on the device: docs/tensorrt.md."""

OLDEST_PYTHON = "3.10"
"""JetPack 6's; the device's wheel asks for it."""

ROOT = Path(__file__).resolve().parents[2]
OLDEST_GLIBC, NEWEST_GLIBC = 17, 28
"""manylinux_2_17 to 2_28: pip takes no range. Every supported system is newer (Ubuntu 22.04 and
JetPack 6 have glibc 2.35), and all dependencies have such wheels (`make check-arm64-wheels`)."""

_EXTRA = re.compile(r"""extra == ['"]([\w-]+)['"]""")

OLDEST_ZIP_TIME = "315532800"
"""1980-01-01, Unix seconds: the time stamp of the wheel's members, for reproducible builds."""


@dataclass(frozen=True, slots=True)
class Target:
    """The device that offline wheels are for.

    Attributes:
        python: "3.10".
        machine: as `uname -m` prints it: "aarch64" or "x86_64".
    """

    python: str
    machine: str

    def __str__(self) -> str:
        return f"python {self.python} {self.machine}"

    @property
    def pip_platforms(self) -> list[str]:
        """Every platform tag whose wheels the device can load."""
        glibcs = range(NEWEST_GLIBC, OLDEST_GLIBC - 1, -1)
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in glibcs]
        return [*tags, f"manylinux2014_{self.machine}", f"linux_{self.machine}"]


def build_device_wheel(folder: Path) -> Path:
    """Build edge_app's wheel into a folder and return it; the same sources give the same bytes.

    Raises:
        DataError: this is not a checkout of the project, or the build failed.
    """
    script = ROOT / "packaging" / "device_wheel.py"
    if not script.is_file():
        raise DataError(
            f"`edge-deploy package` builds from the project's checkout, but {script} is not there; "
            "run it from a clone of the repository."
        )
    with tempfile.TemporaryDirectory() as scratch:
        _run([sys.executable, str(script), scratch], "building the device's wheel")
        (wheel,) = Path(scratch).glob("*.whl")
        return Path(shutil.copy(wheel, folder))


def pin_dependencies(
    wheel: Path, extras: Sequence[str], target: Target | None, constraints: Path, out: Path
) -> None:
    """Write one version of each library that the device's wheel needs, with its files' sha256.

    Args:
        extras: of `EXTRAS`; their libraries too.
        target: the device; None: any (lines then carry environment markers).

    Raises:
        DataError: there is no such set of versions, or no index was reached.
    """
    if target is None:
        where = ["--universal", "--python-version", OLDEST_PYTHON]
        what = "choosing the dependencies' versions"
    else:
        # pip itself would evaluate environment markers for this machine instead of the target
        where = ["--only-binary", ":all:", "--python-version", target.python,
                 "--python-platform", f"{target.machine}-manylinux_2_{NEWEST_GLIBC}"]  # fmt: skip
        what = f"choosing the dependencies' versions for {target}"
    with tempfile.TemporaryDirectory() as scratch:
        needed = Path(scratch) / "requirements.in"
        needed.write_text("".join(f"{line}\n" for line in requirements_of(wheel, extras)))
        _run(
            [str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet", "--no-header",
             "--no-annotate", "--no-emit-index-url", "--generate-hashes", *where,
             "--constraint", str(constraints), "--output-file", str(out), str(needed)],
            what,
        )  # fmt: skip


def download_dependencies(pins: Path, target: Target, folder: Path) -> None:
    """Download the target's wheels of everything that `pin_dependencies` listed.

    Raises:
        DataError: a dependency has no wheel for the target, or no index was reached.
    """
    platforms = [f"--platform={tag}" for tag in target.pip_platforms]
    _run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps",
         "--only-binary=:all:", "--implementation=cp", f"--python-version={target.python}",
         *platforms, "--require-hashes", "--dest", str(folder), "--requirement", str(pins)],
        f"downloading the dependencies' wheels for {target}",
    )  # fmt: skip


def requirements_of(wheel: Path, extras: Sequence[str] = ()) -> list[str]:
    """Return what a wheel needs, alone or with extras, as a requirements file's lines."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(name))
    found = []
    for line in metadata.get_all("Requires-Dist", []):
        of_extra = _EXTRA.search(line)
        if of_extra is None:
            found.append(line)
        elif of_extra[1] in extras:
            found.append(line.partition(";")[0].strip())
    return found


def _run(command: list[str], what: str) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": OLDEST_ZIP_TIME}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        output = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise DataError(f"{what[0].upper()}{what[1:]} failed:\n{output}")
