"""The cameras connected to this machine, one finder per stack; a missing stack is reported."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

V4L2, BASLER = "V4L2 (USB, built-in)", "Basler (pylon)"
ARAVIS = "GigE Vision and USB3 Vision (Aravis)"

V4L2_CLASS = Path("/sys/class/video4linux")
ARV_TOOL = "arv-tool-0.8"
ARV_TIMEOUT_S = 15.0
"""Aravis searches the network for GigE cameras and waits one or two seconds for answers."""


@dataclass(frozen=True, slots=True)
class Stack:
    """One family of cameras as found.

    Attributes:
        name: for people.
        found: (address for `url`, what it is) of every camera.
        note: why nothing can be found; "" if the stack works.
    """

    name: str
    found: tuple[tuple[str, str], ...]
    note: str = ""


def find_cameras() -> list[Stack]:
    """Return the cameras of every stack; takes a few seconds and opens no camera."""
    finders: dict[str, Callable[[], Stack]] = {
        V4L2: find_v4l2,
        BASLER: find_basler,
        ARAVIS: find_aravis,
    }
    return [_found_by(find, name) for name, find in finders.items()]


def _found_by(find: Callable[[], Stack], name: str) -> Stack:
    """Return what a stack finds; one that fails, whatever its library raises, costs itself."""
    try:
        return find()
    except Exception as error:  # e.g. OSError: pylon wants room in /dev/shm
        return Stack(name, (), f"it failed: {type(error).__name__}: {error}")


def find_v4l2(sys_class: Path = V4L2_CLASS) -> Stack:
    """Return the V4L2 capture devices; a camera's further nodes (metadata) are left out."""
    name = V4L2
    if not sys_class.is_dir():
        return Stack(name, (), f"this kernel shows no video devices ({sys_class} does not exist)")
    found = []
    for entry in sorted(sys_class.glob("video*"), key=lambda e: int(e.name[5:])):
        if _first_line(entry / "index") in ("0", ""):
            found.append((f"v4l2:/dev/{entry.name}", _first_line(entry / "name")))
    return Stack(name, tuple(found))


def find_basler() -> Stack:
    """Return the cameras that pylon sees; with PYLON_CAMEMU=N also N emulated ones."""
    try:
        pylon = importlib.import_module("pypylon.pylon")
    except ModuleNotFoundError:
        return Stack(BASLER, (), "pypylon is not installed: pip install pypylon")
    try:
        devices = pylon.TlFactory.GetInstance().EnumerateDevices()
    except Exception as error:  # pypylon's own exception classes
        return Stack(BASLER, (), f"pylon failed: {error}")
    return Stack(
        BASLER,
        tuple((f"basler:{d.GetSerialNumber()}", d.GetFriendlyName()) for d in devices),
    )


def find_aravis() -> Stack:
    """Return the GigE Vision and USB3 Vision cameras that Aravis sees."""
    name = ARAVIS
    tool = shutil.which(ARV_TOOL)
    if tool is None:
        return Stack(name, (), f"{ARV_TOOL} is not installed: apt-get install aravis-tools-cli")
    try:
        done = subprocess.run(
            [tool],
            capture_output=True,
            text=True,
            timeout=ARV_TIMEOUT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        return Stack(name, (), f"{ARV_TOOL} did not answer within {ARV_TIMEOUT_S:g} s")
    return Stack(name, tuple(_aravis_lines(done.stdout)))


def _aravis_lines(text: str) -> list[tuple[str, str]]:
    """Return (address, text) of the tool's lines, e.g. `Aravis-Fake-GV01 (127.0.0.1)`."""
    found = []
    for line in text.splitlines():
        match = re.fullmatch(r"(\S+) \(([^()]+)\)", line.strip())
        if match:
            found.append((f"aravis:{match[1]}", f"at {match[2]}"))
    return found


def _first_line(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
