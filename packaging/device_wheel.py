"""Build the device's wheel: edge_app alone, with `edge-app` as its only console command.

Run as `python packaging/device_wheel.py OUT_DIR`. The project's pyproject is the one source of
name, version and dependencies; what a device must not have is left out of a copy of it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DROPPED_COMMANDS = ("edge-export", "edge-calibrate", "edge-deploy")
KEPT_EXTRAS = ("basler", "demo", "heic", "jetson", "openvino", "rtsp")
WINDOWLESS = ('"opencv-python>=', '"opencv-python-headless>=')
"""A device shows no windows: the same OpenCV without libGL and libxcb, which a bare system lacks.
The workstation keeps the other, because Ultralytics asks for it and the two exclude each other."""


def device_pyproject(text: str) -> str:
    """Return the project's pyproject.toml reduced to the device."""
    lines = [line for line in text.splitlines() if not line.startswith(tuple(DROPPED_COMMANDS))]
    reduced = "\n".join(lines)
    reduced = reduced.replace('name = "cropliq-edge"', 'name = "cropliq-edge-device"')
    reduced = reduced.replace(
        'include = ["edge_app*", "export*", "calibration*", "deploy*"]', 'include = ["edge_app*"]'
    )
    reduced = reduced.replace(*WINDOWLESS)
    expected = ('name = "cropliq-edge-device"', WINDOWLESS[1])
    if "export*" in reduced or not all(text in reduced for text in expected):
        raise SystemExit("pyproject.toml has changed: adapt packaging/device_wheel.py")
    return _without_extras(reduced)


def _without_extras(text: str) -> str:
    """Drop every optional dependency group a device has no use for."""
    kept: list[str] = []
    section = ""
    dropping = False
    for line in text.splitlines():
        if line.startswith("["):
            section = line
            dropping = False
        elif section == "[project.optional-dependencies]" and "=" in line and line[0].isalpha():
            dropping = line.split("=")[0].strip() not in KEPT_EXTRAS
        if not dropping:
            kept.append(line)
    return "\n".join(kept) + "\n"


def build(out: Path) -> None:
    """Copy what the device needs into an empty folder and build the wheel there."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copytree(
            ROOT / "edge_app", work / "edge_app", ignore=shutil.ignore_patterns("__pycache__")
        )
        for name in ("README.md", "LICENSE"):
            shutil.copy(ROOT / name, work / name)
        (work / "pyproject.toml").write_text(
            device_pyproject((ROOT / "pyproject.toml").read_text())
        )
        uv = Path(sys.executable).with_name("uv")
        subprocess.run(
            [str(uv), "build", "--quiet", "--wheel", "--out-dir", str(out.resolve()), str(work)],
            check=True,
        )


if __name__ == "__main__":
    build(Path(sys.argv[1]))
