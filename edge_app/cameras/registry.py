"""From a camera's address to the camera: the table of our address schemes, and the plug-ins'."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from typing import cast

from edge_app.cameras.plugins import CAMERAS, PluginReport, open_plugin, report_of
from edge_app.cameras.protocol import Camera
from edge_app.cameras.source_url import scheme_of
from edge_app.errors import ConfigError, nearest_of
from edge_app.host.plugins import Plugin, find_plugins


@dataclass(frozen=True, slots=True)
class CameraFamily:
    """One scheme.

    Attributes:
        scheme: before the colon.
        module: has `from_url(url, *, name)`; imported when first used.
        example: a whole address.
        meaning: one sentence for `--help` and the docs.
        path_is_file: the path names something in the file system (relative ones are anchored).
    """

    scheme: str
    module: str
    example: str
    meaning: str
    path_is_file: bool = False


FAMILIES = (
    CameraFamily(
        "sim",
        "edge_app.cameras.simulated",
        "sim:tapered",
        "The simulated factory line: tapered, square or round parts.",
    ),
    CameraFamily(
        "folder",
        "edge_app.cameras.folder",
        "folder:/srv/pictures?loop=0&recursive=1&interval_s=0",
        "A folder of jpg, png, bmp and tif files; each picture is one part.",
        path_is_file=True,
    ),
    CameraFamily(
        "video",
        "edge_app.cameras.video",
        "video:/srv/line1.mkv?parts=0",
        "A video file; with parts=1 each frame is one part.",
        path_is_file=True,
    ),
    CameraFamily(
        "v4l2",
        "edge_app.cameras.v4l2",
        "v4l2:/dev/video0?width=1280&height=1024&fps=30",
        "A USB or built-in camera under Linux.",
    ),
    CameraFamily(
        "watch",
        "edge_app.cameras.watch",
        "watch:/srv/drop?settle_s=0.3&give_up_s=10",
        "A folder into which another system writes pictures; each is one part.",
        path_is_file=True,
    ),
    CameraFamily(
        "basler",
        "edge_app.cameras.basler",
        "basler:24411234?exposure_us=5000&pixel_format=Mono8&trigger=Line1",
        "Basler cameras through pylon; without a serial number the first one found.",
    ),
    CameraFamily(
        "aravis",
        "edge_app.cameras.aravis",
        "aravis:192.168.10.5?fps=20&region=0,0,1280,1024&pixel_format=BayerRG8",
        "GigE Vision and USB3 Vision cameras of any maker.",
    ),
    CameraFamily(
        "rtsp",
        "edge_app.cameras.rtsp",
        "rtsp://user:password@host:554/stream#transport=tcp",
        "Network cameras; our own option comes after the #.",
    ),
    CameraFamily(
        "rtsps",
        "edge_app.cameras.rtsp",
        "rtsps://user:password@host:322/stream",
        "The same over TLS.",
    ),
    CameraFamily(
        "gstreamer",
        "edge_app.cameras.gstreamer",
        "gstreamer:v4l2src device=/dev/video0 ! video/x-raw,width=1280,height=720",
        "Any GStreamer pipeline, without its sink.",
    ),
    CameraFamily(
        "csi",
        "edge_app.cameras.gstreamer",
        "csi:0?width=1920&height=1080&fps=30",
        "A Jetson's CSI cameras.",
    ),
)


SCHEMES = tuple(family.scheme for family in FAMILIES)


def open_camera(url: str, name: str) -> Camera:
    """Return the camera of an address, not yet opened (`Camera.open` does that).

    A plug-in's camera runs its driver in a child; where the plug-in cannot be used it is an
    UnusableCamera, so that the other cameras are inspected.

    Raises:
        ConfigError: unknown scheme (the nearest known one is named), an unknown option or a wrong
            value.
    """
    plugin = plugin_of(url)
    if plugin is not None:
        return open_plugin(plugin, url, name)
    from_url = importlib.import_module(family_of(url).module).from_url
    return cast("Camera", from_url(url, name=name))


def plugin_of(url: str) -> Plugin | None:
    """Return the plug-in that an address asks for; None: one of our own. Imports nothing.

    Raises:
        ConfigError: there is no such scheme.
    """
    scheme = scheme_of(url)
    if scheme in SCHEMES:
        return None
    found = [plugin for plugin in _plugins() if plugin.name == scheme]
    if not found:
        usable = (p.name for p in _plugins() if not p.why_unusable)
        known = tuple(dict.fromkeys((*SCHEMES, *usable)))
        raise ConfigError(
            f"Camera address {url!r}: unknown scheme {scheme!r}{nearest_of(scheme, known)}. "
            f"Known: {', '.join(known)}."
        )
    return found[0]


def family_of(url: str) -> CameraFamily:
    """Return the family of an address; imports nothing.

    Raises:
        ConfigError: there is no such scheme.
    """
    plugin = plugin_of(url)
    if plugin is None:
        return FAMILIES[SCHEMES.index(scheme_of(url))]
    meaning = f"A plug-in of {plugin.package}."
    return CameraFamily(plugin.name, plugin.value, f"{plugin.name}:", meaning)


def plugin_reports() -> list[PluginReport]:
    """Return what every plug-in is; each is imported, and one that fails says why. Never raises."""
    return [report_of(plugin) for plugin in _plugins()]


def describe_schemes() -> str:
    """Return one line per scheme, for `--help`; plug-ins that cannot be used are left out."""
    reports = [report for report in plugin_reports() if not report.problem]
    lines = [(family.example, family.meaning) for family in FAMILIES]
    lines += [(r.example, f"{r.meaning} ({r.plugin.package})") for r in reports]
    width = max(len(example) for example, _ in lines)
    return "\n".join(f"{example:<{width}}  {meaning}" for example, meaning in lines)


@cache
def _plugins() -> tuple[Plugin, ...]:
    """What is installed; looked for once, and only when an address or a person asks."""
    return find_plugins(CAMERAS, SCHEMES)
