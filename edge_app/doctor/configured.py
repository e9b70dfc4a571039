"""The doctor's checks of what one configuration needs; `check-config` makes the same ones.

They open no camera device and no connection.
"""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from edge_app.alerts.keep_limits import Sizes, reach
from edge_app.backends.openvino import has_openvino
from edge_app.backends.tensorrt_library import MODULES
from edge_app.cameras.isolation.process import python_with
from edge_app.cameras.plugins import UnusableCamera
from edge_app.cameras.registry import family_of, open_camera, plugin_of
from edge_app.cameras.source_url import parse_source_url
from edge_app.config.camera import CameraConfig
from edge_app.config.model import AppConfig, is_loopback
from edge_app.config.page_certificate import read_certificate
from edge_app.doctor.checks import Check
from edge_app.errors import CameraError, ConfigError

TYPELIB_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Library:
    """What cameras of one kind need beyond edge_app.

    Attributes:
        why_missing: returns "" where it is here, else why it cannot be used.
        how: what brings it.
    """

    why_missing: Callable[[], str]
    how: str


def _module(name: str) -> Callable[[], str]:
    def why_missing() -> str:
        is_here = importlib.util.find_spec(name) is not None
        return "" if is_here else f"the module {name} is not installed"

    return why_missing


def _typelib(name: str, version: str) -> Callable[[], str]:
    def why_missing() -> str:
        program = f"import gi; gi.require_version({name!r}, {version!r})"
        try:
            done = subprocess.run(
                [python_with("gi"), "-I", "-c", program],
                capture_output=True, text=True, timeout=TYPELIB_TIMEOUT_S, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return (done.stderr.strip().splitlines() or ["it does not load"])[-1] * bool(
            done.returncode
        )

    return why_missing


_EXTRA = "pip install 'cropliq-edge[{0}]', on a device edge-deploy package --extras {0}"

LIBRARIES = {
    "basler": Library(_module("pypylon"), _EXTRA.format("basler")),
    "rtsp": Library(_module("av"), _EXTRA.format("rtsp")),
    "aravis": Library(_typelib("Aravis", "0.8"), "apt install gir1.2-aravis-0.8 python3-gi"),
    "gstreamer": Library(
        _typelib("Gst", "1.0"), "apt install python3-gi gir1.2-gstreamer-1.0 (docs/cameras.md)"
    ),
    "v4l2": Library(_module("cv2"), "pip install opencv-python-headless"),
}
"""The last word of a camera family's module → what its driver imports."""


def check_camera(camera: CameraConfig) -> Check:
    """Whether a camera's library is there, its folder or video opens, its device file exists."""
    name = f"camera {camera.name}"
    family = family_of(camera.url)
    is_own = plugin_of(camera.url) is None
    library = LIBRARIES.get(family.module.rpartition(".")[2]) if is_own else None
    why = library.why_missing() if library is not None else ""
    if library is not None and why:
        detail = f"A {family.scheme} camera cannot be opened on this machine: {why}."
        return Check(name, "fail", detail, f"Install it: {library.how}.")
    if family.scheme == "v4l2" and not Path(parse_source_url(camera.url).path).exists():
        detail = f"{camera.url}: there is no such device now."
        return Check(name, "warning", detail, "Plug it in, or correct its url.")
    source = open_camera(camera.url, camera.name)
    if isinstance(source, UnusableCamera):
        return Check(name, "fail", source.why, "The other cameras are inspected meanwhile.")
    if not family.path_is_file:
        return Check(name, "ok", f"{source.describe().url} is a valid address; it was not opened.")
    try:
        source.open()
    except CameraError as error:
        return Check(name, "fail", str(error), "Correct its url, or put the files there.")
    finally:
        source.close()
    return Check(name, "ok", f"{camera.url} opens.")


def check_backend(config: AppConfig) -> Check:
    """Whether the backend that is asked for is there."""
    name, wanted = "backend", config.runtime.backend
    if wanted == "tensorrt" and not any(importlib.util.find_spec(module) for module in MODULES):
        advice = "On a Jetson it comes with JetPack (docs/tensorrt.md); or set backend = auto."
        return Check(name, "fail", f"backend = {wanted!r}: no TensorRT is installed.", advice)
    if wanted == "openvino" and not has_openvino():
        advice = "Install the extra `openvino`; or set backend = auto."
        return Check(name, "fail", f"backend = {wanted!r}: no OpenVINO is installed.", advice)
    return Check(name, "ok", f"[runtime] backend = {wanted!r}.")


def check_evidence(config: AppConfig) -> Check:
    """Whether those who receive an alert can reach the address of its picture."""
    name = "evidence"
    if not config.evidence.enabled:
        return Check(name, "absent", "[evidence] enabled = false: no pictures are kept.")
    url = config.evidence_base_url
    if not is_loopback(urlsplit(url).hostname or ""):
        return Check(name, "ok", f"Alerts name pictures at {url}.")
    is_shown = config.page.enabled and not is_loopback(config.page.host)
    detail = f"Alerts name pictures at {url}, which every other machine takes for itself."
    advice = "Set [evidence] base_url to the page's address as others reach it."
    if is_shown:
        return Check(name, "fail", f"{detail} The page itself is on {config.page.host}.", advice)
    if config.mqtt.enabled and not is_loopback(config.mqtt.host):
        return Check(name, "warning", detail, f"{advice[:-1]}; [page] serves this machine only.")
    return Check(name, "ok", f"Alerts name pictures at {url}, for this machine only.")


def check_certificate(config: AppConfig) -> Check:
    """Whether the page can be served with its certificate."""
    name, page = "page", config.page
    if not page.enabled:
        return Check(name, "absent", "[page] enabled = false: no page is served.")
    try:
        found = read_certificate(page.tls_certificate, page.tls_key)
    except ConfigError as error:
        return Check(name, "fail", str(error), "Make a pair with: sudo edge-app tls make --renew")
    if found is not None:
        return Check(name, "ok", f"The page is served over TLS, SHA-256 {found.fingerprint}.")
    if is_loopback(page.host):
        return Check(name, "ok", "The page is served over plain HTTP, to this machine only.")
    advice = "Make a certificate with: sudo edge-app tls make"
    return Check(
        name, "warning", "Passwords and tokens for the page cross the network in clear.", advice
    )


PARTS_A_SECOND, BAD_SHARE = 3, 0.01
"""Of the line that `check_pictures` speaks of."""


def check_pictures(config: AppConfig) -> Check:
    """How far back pictures go, on a line of 3 parts a second with 1 % bad ones."""
    name, e = "pictures", config.evidence
    if not e.enabled:
        return Check(name, "absent", "[evidence] enabled = false: no pictures are kept.")
    found = reach(e.max_mb << 20, e.max_age_h, e.limits, PARTS_A_SECOND * BAD_SHARE)
    size = f"{Sizes().frame / 1000:.0f} kB"
    detail = (
        f"{e.max_mb} MB hold pictures of {found.frames:.1f} days at {PARTS_A_SECOND} parts a "
        f"second, {BAD_SHARE:.0%} bad and {size} a picture, and crops of {found.crops:.0f} days."
    )
    return Check(name, "ok", detail)
