"""Settings in a camera's address: what is understood, and how mistakes are told."""

from __future__ import annotations

import json

import pytest

from edge_app.cameras.genicam_settings import GenicamSettings, settings_of
from edge_app.cameras.registry import open_camera
from edge_app.cameras.source_url import parse_source_url
from edge_app.errors import ConfigError


def test_every_setting_is_read_and_crosses_the_process_border() -> None:
    """All options of an address arrive in the child as they were written."""
    url = (
        "basler:24411234?exposure_us=5000.5&gain=0&fps=20&region=8,16,640,480"
        "&pixel_format=BayerRG12p&trigger=interval&interval_s=0.5"
    )
    settings = settings_of(parse_source_url(url))
    assert settings == GenicamSettings(
        "24411234", 5000.5, 0.0, 20.0, (8, 16, 640, 480), "BayerRG12p", "interval", 0.5
    )
    there = GenicamSettings.from_json(json.loads(json.dumps(settings.as_json())))
    assert tuple(there.region_xywh or ()) == settings.region_xywh
    assert there.exposure_us == settings.exposure_us


def test_nothing_said_leaves_the_camera_as_it_is() -> None:
    """An address without options wishes nothing."""
    assert settings_of(parse_source_url("aravis:")) == GenicamSettings("")


@pytest.mark.parametrize(
    ("options", "kind", "mode", "is_numbered"),
    [
        ("", "free", "live", False),
        ("trigger=off", "free", "live", False),
        ("trigger=software", "fired", "triggered", True),
        ("trigger=interval&interval_s=1", "fired", "triggered", True),
        ("trigger=line1", "line", "triggered", True),
    ],
)
def test_trigger_decides_the_mode(options: str, kind: str, mode: str, is_numbered: bool) -> None:
    """Every trigger makes numbered parts; without one the camera runs free."""
    url = f"aravis:X?{options}"
    assert settings_of(parse_source_url(url)).trigger_kind == kind
    info = open_camera(url, "cam1").describe()
    assert (info.mode, info.is_numbered) == (mode, is_numbered)


def test_long_exposure_gets_its_time() -> None:
    """A trigger's time limit contains the exposure."""
    settings = settings_of(parse_source_url("basler:?exposure_us=2500000&trigger=software"))
    assert settings.trigger_timeout_s == 3.5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("exposure=5", r"unknown option 'exposure' .did you mean 'exposure_us'"),
        ("exposure_us=0", "exposure_us must be above 0"),
        ("fps=fast", "fps must be a number >= 0, got 'fast'"),
        ("gain=-1", "gain must be a number >= 0"),
        ("region=0,0,640", "region must be x,y,width,height in pixels"),
        ("region=0,0,0,480", "region must be x,y,width,height in pixels"),
        ("pixel_format=Mono9", r"unknown pixel format 'Mono9' .did you mean 'Mono"),
        ("trigger=lyne1", r"unknown trigger 'lyne1' .did you mean 'Line1'"),
        ("trigger=interval", "trigger=interval and interval_s belong together"),
        ("interval_s=1", "trigger=interval and interval_s belong together"),
        ("trigger=interval&interval_s=0", "interval_s must be above 0"),
    ],
)
@pytest.mark.parametrize("scheme", ["basler", "aravis"])
def test_mistake_is_told_before_anything_is_opened(scheme: str, options: str, said: str) -> None:
    """A wrong option or value is a configuration error that names the right one."""
    with pytest.raises(ConfigError, match=said):
        open_camera(f"{scheme}:123?{options}", "cam1")
