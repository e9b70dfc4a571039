"""`aravis:`: GigE Vision and USB3 Vision cameras of any maker, in an isolated process."""

from __future__ import annotations

from edge_app.cameras.genicam_settings import settings_of
from edge_app.cameras.isolation.camera import IsolatedCamera, IsolatedDriver
from edge_app.cameras.isolation.frame_ids import GVSP_16_BIT_LAST
from edge_app.cameras.isolation.process import python_with
from edge_app.cameras.source_url import parse_source_url


def from_url(url: str, *, name: str) -> IsolatedCamera:
    """Return the camera of `aravis:SERIAL?pixel_format=BayerRG8&fps=20`.

    Raises:
        ConfigError: an unknown option or a wrong value.
    """
    settings = settings_of(parse_source_url(url))
    driver = IsolatedDriver(
        url,
        "edge_app.cameras.drivers.aravis",
        settings.as_json(),
        settings.trigger_kind,
        settings.interval_s,
        settings.trigger_timeout_s,
        GVSP_16_BIT_LAST,
        python_with("gi"),
    )
    return IsolatedCamera(driver, name)
