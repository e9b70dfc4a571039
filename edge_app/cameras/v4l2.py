"""`v4l2:`: a USB or built-in camera under Linux, in an isolated process.

Not run on a real device where this was written (docs/hardware.md): there is no camera here, and
its kernel offers no virtual one.
"""

from __future__ import annotations

from edge_app.cameras.isolation.camera import IsolatedCamera, IsolatedDriver
from edge_app.cameras.source_url import parse_source_url

OPTIONS = ("width", "height", "fps")

DEFAULT_DEVICE = "/dev/video0"


def from_url(url: str, *, name: str) -> IsolatedCamera:
    """Return the camera of `v4l2:/dev/video0?width=1280&height=1024&fps=30`.

    Raises:
        ConfigError: an unknown option or a value that is no number.
    """
    return IsolatedCamera(driver_of(url), name)


def driver_of(url: str) -> IsolatedDriver:
    """Return what runs in the child for an address.

    Raises:
        ConfigError: as `from_url`.
    """
    source = parse_source_url(url).allow_options(OPTIONS)
    wanted = [source.number(option, 0) for option in OPTIONS]
    device = source.path or DEFAULT_DEVICE
    settings = {"device": device, "wanted": wanted}
    return IsolatedDriver(f"v4l2:{device}", "edge_app.cameras.drivers.v4l2", settings)
