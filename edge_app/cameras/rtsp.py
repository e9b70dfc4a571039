"""`rtsp:` and `rtsps:`: network cameras, in an isolated process.

The question mark and what follows it belong to the camera's own server; our options stand behind
a `#`, which RTSP never sends: `rtsp://host/stream?channel=1#transport=udp`.
"""

from __future__ import annotations

import re

from edge_app.cameras.isolation.camera import IsolatedCamera, IsolatedDriver
from edge_app.errors import ConfigError, nearest_of

OPTIONS = ("transport",)

TRANSPORTS = ("tcp", "udp")


def from_url(url: str, *, name: str) -> IsolatedCamera:
    """Return the camera of `rtsp://user:password@host:554/stream#transport=tcp`.

    Raises:
        ConfigError: no host, an unknown option or a wrong value.
    """
    address, _, fragment = url.partition("#")
    if not re.match(r"rtsps?://[^/\s]+", address, re.IGNORECASE):
        raise ConfigError(f"Camera {name}: {url!r} names no host. Write 'rtsp://host/stream'.")
    scheme, colon, rest = address.partition(":")
    address = scheme.lower() + colon + rest  # FFmpeg knows the small letters only
    shown = without_password(address)
    settings = {"url": address, "shown_url": shown, "transport": _transport(fragment, shown)}
    driver = IsolatedDriver(shown, "edge_app.cameras.drivers.rtsp", settings, is_local=False)
    return IsolatedCamera(driver, name)


def without_password(url: str) -> str:
    """Return an address without name and password."""
    return re.sub(r"//[^/]*@", "//", url)


def _transport(fragment: str, shown: str) -> str:
    name, _, value = fragment.partition("=")
    if fragment and name not in OPTIONS:
        raise ConfigError(
            f"Camera {shown!r}: unknown option {name!r} behind the #{nearest_of(name, OPTIONS)}. "
            f"Known: {', '.join(OPTIONS)}."
        )
    if fragment and value not in TRANSPORTS:
        raise ConfigError(f"Camera {shown!r}: transport must be tcp or udp, got {value!r}.")
    return value or "tcp"
