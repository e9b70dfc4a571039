"""What a device is: hardware, versions and cameras, for its retained `info`."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from edge_app.bundle.manifest import FEATURES, FORMATS
from edge_app.cameras.protocol import Camera
from edge_app.config.model import AppConfig
from edge_app.mqtt.messages import CameraDescription, DeviceInfo

REPORTED_PACKAGES = (
    "cropliq-edge-device", "cropliq-edge", "onnxruntime", "opencv-python-headless",
    "opencv-python", "numpy", "paho-mqtt",
)  # fmt: skip
"""Whose versions `info` tells; a device has the first of each pair, a workstation the second."""


def device_info(sources: dict[str, Camera], config: AppConfig) -> DeviceInfo:
    """Return what the device is, before its models."""
    infos = {name: camera.describe() for name, camera in sources.items()}
    slot_of = {camera.name: camera.slot for camera in config.cameras}
    return DeviceInfo(
        hardware=f"{platform.system()} {platform.machine()}",
        versions=_versions(),
        bundle_formats=FORMATS,
        bundle_features=FEATURES,
        cameras=tuple(
            CameraDescription(name=name, url=i.url, mode=i.mode, slot=slot_of[name])
            for name, i in infos.items()
        ),
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in REPORTED_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
