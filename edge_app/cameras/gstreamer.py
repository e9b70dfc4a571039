"""`gstreamer:` and `csi:`: any GStreamer pipeline as a camera, in an isolated process."""

from __future__ import annotations

import re

from edge_app.cameras.isolation.camera import IsolatedCamera, IsolatedDriver
from edge_app.cameras.isolation.process import python_with
from edge_app.cameras.source_url import parse_source_url
from edge_app.errors import ConfigError
from edge_app.secret_text import shown_address

CSI_OPTIONS = ("width", "height", "fps")


def from_url(url: str, *, name: str) -> IsolatedCamera:
    """Return the camera of `gstreamer:ELEMENT ! ELEMENT` or `csi:0?width=1920&height=1080`.

    Raises:
        ConfigError: no pipeline, one that ends in an appsink of its own, or a wrong option.
    """
    scheme, _, rest = url.partition(":")
    pipeline = csi_pipeline(url) if scheme.lower() == "csi" else rest.strip()
    if not pipeline or re.search(r"\bappsink\b", pipeline):
        raise ConfigError(
            f"Camera {name}: {url!r} is not usable. Write the pipeline without its end, e.g. "
            "'gstreamer:v4l2src device=/dev/video0': videoconvert and appsink are added."
        )
    driver = IsolatedDriver(
        shown_address(f"{scheme}:{rest}"),
        "edge_app.cameras.drivers.gstreamer",
        {"pipeline": pipeline},
        interpreter=python_with("gi"),
    )
    return IsolatedCamera(driver, name)


def csi_pipeline(url: str) -> str:
    """Return the pipeline of a Jetson's CSI camera; 1920 x 1080 at 30 unless said otherwise.

    The sensor's ISP writes into NVMM memory as NV12; nvvidconv brings it to the CPU as BGRx,
    since it cannot write BGR.

    Raises:
        ConfigError: the address names no sensor number, or has a wrong option.
    """
    source = parse_source_url(url).allow_options(CSI_OPTIONS)
    if not source.path.isdigit():
        raise ConfigError(f"Camera {url!r}: write the sensor's number, e.g. 'csi:0'.")
    width, height = round(source.number("width", 1920)), round(source.number("height", 1080))
    fps = round(source.number("fps", 30))
    caps = f"width={width},height={height},format=NV12,framerate={fps}/1"
    return (
        f"nvarguscamerasrc sensor-id={source.path} ! video/x-raw(memory:NVMM),{caps} ! "
        "nvvidconv ! video/x-raw,format=BGRx"
    )
