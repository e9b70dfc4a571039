"""The doctor's checks of this machine; each function returns one `Check`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from edge_app.backends.tensorrt_library import MODULES, load_tensorrt
from edge_app.cameras.isolation.process import python_with
from edge_app.cameras.registry import plugin_reports
from edge_app.config.model import AppConfig
from edge_app.errors import BundleError, ConfigError, ModelError
from edge_app.host.age_clock import EPOCH_S
from edge_app.host.clock import clock_is_synchronised
from edge_app.model.open_for_device import how_signed, open_bundle
from edge_app.mqtt.topics import DeviceName
from edge_app.secret_text import mask

CheckState = Literal["ok", "warning", "fail", "absent"]

MB = 1 << 20

LOW_DISK_MB = 200
"""Below this an outbox of 100,000 alerts of about 2 kB no longer fits."""

NVIDIA_SMI_TIMEOUT_S = 2.0
"""nvidia-smi answers in 0.1 to 0.5 s; with a broken driver it hangs."""


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check.

    Attributes:
        name: what was checked.
        state: ok; warning: works, but not as it should; fail: will not work; absent: optional
            and not installed.
        detail: one sentence: what was found.
        advice: one sentence: what to do; "" if nothing.
    """

    name: str
    state: CheckState
    detail: str
    advice: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", mask(self.detail))
        object.__setattr__(self, "advice", mask(self.advice))


def check_opencv() -> Check:
    """Which camera and video backends OpenCV was built with."""
    import cv2

    found = {what: _was_built_with(what, cv2.getBuildInformation()) for what in _VIDEO_STACKS}
    listed = ", ".join(f"{what} {'yes' if here else 'no'}" for what, here in found.items())
    detail = f"OpenCV {cv2.__version__}: {listed}."
    if not found["FFmpeg"]:
        advice = "Without FFmpeg no video file opens: install the package opencv-python."
        return Check("OpenCV", "warning", detail, advice)
    return Check("OpenCV", "ok", detail)


_VIDEO_STACKS = ("FFmpeg", "GStreamer", "V4L2")


def _was_built_with(what: str, build_information: str) -> bool:
    """Find e.g. `    v4l/v4l2:      YES (linux/videodev2.h)` in OpenCV's build report."""
    for line in build_information.splitlines():
        key, _, value = line.strip().partition(":")
        if what.lower() in key.lower().split("/"):
            return value.strip().startswith("YES")
    return False


def check_module(name: str, module: str, package: str, advice: str) -> Check:
    """Whether an optional Python module is installed, without importing it."""
    if importlib.util.find_spec(module) is None:
        return Check(name, "absent", f"The module {module} is not installed.", advice)
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        version = "of unknown version"
    return Check(name, "ok", f"{module} {version} is installed.")


def check_aravis() -> Check:
    """Whether GigE Vision cameras can be reached, from the Python that would run their driver."""
    advice = "For GigE Vision cameras: apt install gir1.2-aravis-0.8 python3-gi."
    python = python_with("gi")
    program = "import gi; gi.require_version('Aravis', '0.8')"
    try:
        done = subprocess.run(
            [python, "-I", "-c", program], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("Aravis", "absent", f"Aravis is not usable: {error}.", advice)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return Check("Aravis", "absent", f"Aravis is not usable: {why}.", advice)
    return Check("Aravis", "ok", f"Aravis 0.8 is installed for {python}.")


def check_camera_plugins() -> Check:
    """Whether every installed camera plug-in can be used."""
    name, reports = "camera plug-ins", plugin_reports()
    if not reports:
        return Check(name, "absent", "No package brings cameras of its own (docs/cameras.md).")
    problems = [report.problem for report in reports if report.problem]
    if problems:
        advice = "Our own cameras and the other plug-ins are not concerned."
        return Check(name, "warning", " ".join(problems), advice)
    usable = ", ".join(f"{r.plugin.name}: ({r.plugin.package})" for r in reports)
    return Check(name, "ok", f"{usable}.")


def check_onnxruntime() -> Check:
    """Which ONNX Runtime is installed, and its providers."""
    try:
        ort = importlib.import_module("onnxruntime")
    except ImportError as error:
        advice = "Install the package onnxruntime; nothing can be judged without it."
        return Check("ONNX Runtime", "fail", f"It cannot be imported: {error}.", advice)
    providers = ", ".join(ort.get_available_providers())
    return Check("ONNX Runtime", "ok", f"ONNX Runtime {ort.__version__} offers {providers}.")


def check_openvino() -> Check:
    """Which OpenVINO is installed; without it ONNX Runtime does the same work."""
    try:
        openvino = importlib.import_module("openvino")
        processor = openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")
    except ModuleNotFoundError:
        advice = "The extra `openvino` runs the graphs faster on many x86 processors."
        return Check("OpenVINO", "absent", "It is not installed.", advice)
    except (ImportError, RuntimeError) as error:
        advice = "Install it again, or remove it: ONNX Runtime does the same work."
        return Check("OpenVINO", "warning", f"It cannot be used: {error}.", advice)
    version = str(openvino.__version__).partition("-")[0]
    return Check("OpenVINO", "ok", f"OpenVINO {version} runs on {processor}.")


def check_tensorrt() -> Check:
    """Whether there is a TensorRT, or TensorRT-RTX, that can be imported and is new enough."""
    if not any(importlib.util.find_spec(module) for module in MODULES):
        advice = "On a Jetson it comes with JetPack: make the venv with --system-site-packages."
        return Check("TensorRT", "absent", f"None of {', '.join(MODULES)} is installed.", advice)
    try:
        trt = load_tensorrt()
    except ModelError as error:
        return Check("TensorRT", "warning", str(error), "docs/tensorrt.md lists what is needed.")
    return Check("TensorRT", "ok", f"{trt.name} {trt.version} works.")


def check_cuda(root: Path = Path("/")) -> Check:
    """Whether there is an NVIDIA GPU, its driver answers, and pycuda can use it.

    Args:
        root: where /dev and /etc are; tests pass their own.
    """
    tegra = root / "etc" / "nv_tegra_release"
    devices = sorted(path.name for path in (root / "dev").glob("nvidia[0-9]*"))
    if not devices and not tegra.is_file():
        advice = "Without a GPU ONNX Runtime runs on the CPU; nothing to do if that is intended."
        return Check("CUDA", "absent", "No NVIDIA GPU (no /dev/nvidia*, not a Jetson).", advice)
    hardware = f"Jetson ({_first_line(tegra)})" if tegra.is_file() else _ask_nvidia_smi()
    if hardware is None:
        detail = f"/dev has {', '.join(devices)}, but nvidia-smi gives no answer."
        return Check("CUDA", "fail", detail, "Install or repair the NVIDIA driver, then reboot.")
    try:
        importlib.import_module("pycuda.driver")
    except Exception as error:  # pycuda raises its own exceptions when the driver does not match
        advice = "For the TensorRT backend: install the extra `jetson` (pycuda)."
        return Check("CUDA", "warning", f"{hardware}; pycuda is not usable: {error}.", advice)
    return Check("CUDA", "ok", f"{hardware}; pycuda works.")


def _ask_nvidia_smi() -> str | None:
    """Return name and driver of the first GPU, or None when it does not answer."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=NVIDIA_SMI_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.partition("\n")[0].strip() or None


def _first_line(path: Path) -> str:
    return path.read_text(errors="replace").partition("\n")[0].strip("# ").partition(",")[0]


def check_clock() -> Check:
    """Whether alarm times can be trusted."""
    is_synchronised = clock_is_synchronised()
    advice = (
        "A time source (NTP) is required: start chrony, ntpd or systemd-timesyncd and let it reach "
        "its server. Until then alarms say `clock not synchronised` and no evidence goes for its "
        "age."
    )
    if time.time() < EPOCH_S:
        detail = f"The clock says {time.strftime('%Y-%m-%d', time.gmtime())}: it was never set."
        return Check("clock", "fail", detail, advice)
    if is_synchronised is None:
        return Check("clock", "warning", "The kernel does not report the clock's status.", advice)
    if not is_synchronised:
        return Check("clock", "warning", "The clock is not synchronised.", advice)
    return Check("clock", "ok", "The clock is synchronised.")


def check_state_dir(config: AppConfig) -> Check:
    """Whether the state folder is writable and has space for what is configured."""
    folder = config.device.state_dir
    if (
        not folder.exists()
    ):  # created by the service: created here it would belong to the current user
        advice = "`edge-app run` creates it; its user needs permission to."
        return Check("disk", "warning", f"{folder} does not exist yet.", advice)
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as probe:
            probe.write(b"x" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        advice = "Give the service's user write permission there, or set another state_dir."
        return Check("disk", "fail", f"{folder} is not writable: {error.strerror}.", advice)
    free_mb = shutil.disk_usage(folder).free // MB
    pictures_mb = config.evidence.max_mb if config.evidence.enabled else 0
    wanted_mb = LOW_DISK_MB + config.outbox.reserve_mb + pictures_mb
    detail = f"{folder} is writable, {free_mb} MB free, at most {wanted_mb} MB needed."
    if free_mb < wanted_mb:
        state: CheckState = "fail" if free_mb < LOW_DISK_MB else "warning"
        return Check("disk", state, detail, "Free space, or lower [evidence] max_mb.")
    return Check("disk", "ok", detail)


def check_bundle(config: AppConfig) -> Check:
    """Whether the bundle can be read and may be used."""
    if config.bundle.path is None:
        return Check("bundle", "absent", "No [bundle] path: the agent installs the bundles.")
    device = DeviceName(config.device.site, config.device.line, config.device.device)
    try:
        bundle = open_bundle(config.bundle.path, config.bundle, device)
    except BundleError as error:
        return Check("bundle", "fail", str(error), "Build, sign or copy the bundle again.")
    except ConfigError as error:
        return Check("bundle", "fail", str(error), "Put the public keys there.")
    manifest = bundle.manifest
    detail = (
        f"{manifest.product} {manifest.serial}, sha256 {bundle.sha256[:12]}, is readable; "
        f"signed: {how_signed(bundle)}."
    )
    if bundle.verified is None:
        advice = "For production: sign it, set trusted_keys_dir and allow_unsigned = false."
        return Check("bundle", "warning", detail, advice)
    return Check("bundle", "ok", detail)


def check_secrets(config: AppConfig) -> Check:
    """Whether secrets can be read by the service only."""
    page, mqtt = config.page, config.mqtt
    secrets = (mqtt.password_file, mqtt.key_file, page.token_file, page.tls_key)
    named = [path for path in secrets if path is not None]
    others = stat.S_IRWXO
    loose = [str(path) for path in named if path.stat().st_mode & others]
    if loose:
        detail = f"Everybody on this machine can read {', '.join(loose)}."
        return Check("secrets", "warning", detail, f"Run: chmod o= {' '.join(loose)}.")
    if not named:
        return Check("secrets", "ok", "No password, key or token file is configured.")
    return Check("secrets", "ok", f"{len(named)} secret files are not readable by others.")
