"""`rtsp:` and `rtsps:`: network cameras, in an isolated process.

The question mark and what follows it belong to the camera's own server; our options stand behind
a `#`, which RTSP never sends: `rtsp://host/stream?channel=1#transport=udp`.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from edge_app.cameras.isolation.camera import IsolatedCamera, IsolatedDriver
from edge_app.errors import ConfigError, nearest_of
from edge_app.secret_text import shown_address, split_login

OPTIONS = ("transport",)

TRANSPORTS = ("tcp", "udp")

_AUTHORITY = re.compile(r"(rtsps?://)([^/?#]*)", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"[^:\s]*(:[0-9]*)?|\[[0-9A-Fa-f:.]*\](:[0-9]*)?")


def from_url(url: str, *, name: str) -> IsolatedCamera:
    """Return the camera of `rtsp://user:password@host:554/stream#transport=tcp`.

    Raises:
        ConfigError: no host, an unknown option or a wrong value.
    """
    address, _, fragment = with_quoted_login(url).partition("#")
    if not re.match(r"rtsps?://[^/\s]+", address, re.IGNORECASE):
        raise ConfigError(f"Camera {name}: {url!r} names no host. Write 'rtsp://host/stream'.")
    scheme, colon, rest = address.partition(":")
    address = scheme.lower() + colon + rest  # FFmpeg knows the small letters only
    shown = shown_address(address)
    settings = {"url": address, "shown_url": shown, "transport": _transport(fragment, shown)}
    driver = IsolatedDriver(shown, "edge_app.cameras.drivers.rtsp", settings, is_local=False)
    return IsolatedCamera(driver, name)


def with_quoted_login(url: str) -> str:
    """Return an address whose login is percent-encoded where its password holds `/`, `?` or `#`.

    Only where nothing else can be meant: what stands before the first of these signs is then
    no host and port.
    """
    found = _AUTHORITY.match(url)
    if found is None or "@" in found[2] or _HOST_AND_PORT.fullmatch(found[2]):
        return url
    login, rest = split_login(url)
    if not login:
        return url
    user, colon, password = login.partition(":")
    start = len(found[1])
    quoted = f"{quote(user, safe='%')}{colon}{quote(password, safe='%')}@"
    return f"{rest[:start]}{quoted}{rest[start:]}"


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
