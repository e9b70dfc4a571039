"""From a camera's address to the camera: the one table of what can be written into `url`."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import cast

from edge_app.cameras.protocol import Camera
from edge_app.cameras.source_url import nearest_of, parse_source_url
from edge_app.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CameraFamily:
    """One scheme.

    Attributes:
        scheme: before the colon.
        module: has `from_url(url, *, name)`; imported when first used. Empty: not built yet.
        example: a whole address.
        meaning: one sentence for `--help` and the docs.
        path_is_file: the path names something in the file system (relative ones are anchored).
    """

    scheme: str
    module: str
    example: str
    meaning: str
    path_is_file: bool = False


_LATER = "arrives with issue G"

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
    CameraFamily("rtsp", "", "rtsp://host/stream", f"Network cameras; {_LATER}."),
    CameraFamily("basler", "", "basler:SERIAL", f"Basler through pylon; {_LATER}."),
    CameraFamily("gige", "", "gige:SERIAL", f"GigE Vision through Aravis; {_LATER}."),
    CameraFamily("csi", "", "csi:0", f"The Jetson's CSI cameras; {_LATER}."),
)


def open_camera(url: str, name: str) -> Camera:
    """Return the camera of an address, not yet opened (`Camera.open` does that).

    Raises:
        ConfigError: unknown scheme (the nearest known one is named), a scheme that is not built
            yet, an unknown option or a wrong value.
    """
    from_url = importlib.import_module(family_of(url).module).from_url
    return cast("Camera", from_url(url, name=name))


def family_of(url: str) -> CameraFamily:
    """Return the family of an address; imports nothing.

    Raises:
        ConfigError: there is no such scheme, or it is not built yet.
    """
    scheme = parse_source_url(url).scheme
    schemes = tuple(family.scheme for family in FAMILIES)
    if scheme not in schemes:
        raise ConfigError(
            f"Camera address {url!r}: unknown scheme {scheme!r}{nearest_of(scheme, schemes)}. "
            f"Known: {', '.join(schemes)}."
        )
    family = FAMILIES[schemes.index(scheme)]
    if not family.module:
        usable = ", ".join(f"{known.scheme}:" for known in FAMILIES if known.module)
        raise ConfigError(f"Camera address {url!r}: {family.meaning} Usable now: {usable}.")
    return family


def describe_schemes() -> str:
    """Return one line per scheme, for `--help`."""
    width = max(len(family.example) for family in FAMILIES)
    return "\n".join(f"{family.example:<{width}}  {family.meaning}" for family in FAMILIES)
