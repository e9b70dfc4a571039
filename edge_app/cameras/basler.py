"""`basler:`: Basler cameras through pylon (GigE, USB3 and emulated), in an isolated process."""

from __future__ import annotations

from edge_app.cameras.genicam_settings import settings_of
from edge_app.cameras.isolation.camera import IsolatedCamera, IsolatedDriver
from edge_app.cameras.isolation.frame_ids import GVSP_16_BIT_LAST
from edge_app.cameras.source_url import parse_source_url


def from_url(url: str, *, name: str) -> IsolatedCamera:
    """Return the camera of `basler:SERIAL?exposure_us=5000&trigger=Line1`.

    Raises:
        ConfigError: an unknown option or a wrong value.
    """
    return IsolatedCamera(driver_of(url), name)


def driver_of(url: str) -> IsolatedDriver:
    """Return what runs in the child for an address.

    Raises:
        ConfigError: as `from_url`.
    """
    settings = settings_of(parse_source_url(url), has_features=True)
    return IsolatedDriver(
        url,
        "edge_app.cameras.drivers.basler",
        settings.as_json(),
        settings.trigger_kind,
        settings.interval_s,
        settings.trigger_timeout_s,
        GVSP_16_BIT_LAST,
    )
