"""`testcard:`: from its address to what runs in the child process.

Imported by the app when an address asks for it, so it imports nothing that may be missing or hang:
that is the driver's business.
"""

from __future__ import annotations

import re

from edge_app.cameras.isolation.camera import IsolatedDriver
from edge_app.cameras.source_url import parse_source_url
from edge_app.errors import ConfigError

EXAMPLE = "testcard:320x240?fps=20"
MEANING = "A bright square that walks over a grey ground."


def driver_of(url: str) -> IsolatedDriver:
    """Return what runs in the child for `testcard:WIDTHxHEIGHT?fps=20`.

    Raises:
        ConfigError: the size is none, or an option is unknown or no number.
    """
    source = parse_source_url(url).allow_options(("fps",))
    found = re.fullmatch(r"([0-9]{2,4})x([0-9]{2,4})", source.path or "320x240")
    if not found:
        raise ConfigError(f"Camera {url!r}: expected WIDTHxHEIGHT as in {EXAMPLE}.")
    settings = {"hw": [int(found[2]), int(found[1])], "fps": source.number("fps", 20) or 20}
    return IsolatedDriver(url, "testcard_camera.driver", settings)
