"""What can be set on a GenICam camera from its address: the same for Aravis and pylon.

Standard library only: the drivers in the child process read it too.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from edge_app.cameras.pixel_format import PIXEL_FORMATS
from edge_app.cameras.source_url import SourceUrl
from edge_app.errors import ConfigError, nearest_of

OPTIONS = (
    "exposure_us",
    "gain",
    "fps",
    "region",
    "pixel_format",
    "trigger",
    "interval_s",
)

TRIGGERS = ("off", "software", "interval", "Line0", "Line1", "Line2", "Line3")

RegionXywh = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class GenicamSettings:
    """What is wanted of one camera; None leaves what the camera has.

    Attributes:
        device: serial number, user-defined name, IP address or id; "" for the first one found.
        exposure_us: exposure time in microseconds.
        gain: in the camera's own unit (dB on most).
        fps: frames per second while it runs free.
        region_xywh: x, y, width, height in sensor pixels.
        pixel_format: a name of PIXEL_FORMATS.
        trigger: off (free run), software, interval, or the camera's input, e.g. Line1.
        interval_s: seconds between two triggers (interval).
        features_file: pylon's own (.pfs), written into the camera before all else.
    """

    device: str
    exposure_us: float | None = None
    gain: float | None = None
    fps: float | None = None
    region_xywh: RegionXywh | None = None
    pixel_format: str | None = None
    trigger: str = "off"
    interval_s: float = 0.0
    features_file: str | None = None

    @property
    def is_fired(self) -> bool:
        """One frame for each trigger of ours."""
        return self.trigger in ("software", "interval")

    @property
    def trigger_kind(self) -> Literal["free", "fired", "line"]:
        """In the words of `isolation.camera.TriggerKind`."""
        if self.trigger == "off":
            return "free"
        return "fired" if self.is_fired else "line"

    @property
    def trigger_timeout_s(self) -> float:
        """How long a fired frame may take: its exposure and a second for its way here."""
        return 1.0 + (self.exposure_us or 0.0) / 1e6

    def as_json(self) -> dict[str, object]:
        """Return what `from_json` reads on the other side of the process border."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, object]) -> GenicamSettings:
        """Return the settings a parent sent."""
        return cls(**fields)  # type: ignore[arg-type]


def settings_of(source: SourceUrl, has_features: bool = False) -> GenicamSettings:
    """Return the settings in an address's options.

    Args:
        has_features: the driver reads feature files.

    Raises:
        ConfigError: an unknown option, or a value outside what is understood.
    """
    source.allow_options((*OPTIONS, "features") if has_features else OPTIONS)
    trigger = _trigger(source)
    if (trigger == "interval") != ("interval_s" in source.options):
        raise ConfigError(
            f"Camera {source.url!r}: trigger=interval and interval_s belong together, e.g. "
            "'?trigger=interval&interval_s=0.5'."
        )
    return GenicamSettings(
        source.path,
        exposure_us=_positive(source, "exposure_us"),
        gain=source.number("gain", 0) if "gain" in source.options else None,
        fps=_positive(source, "fps"),
        region_xywh=_region(source),
        pixel_format=_pixel_format(source),
        trigger=trigger,
        interval_s=_positive(source, "interval_s") or 0.0,
        features_file=_features(source),
    )


def _positive(source: SourceUrl, name: str) -> float | None:
    if name not in source.options:
        return None
    value = source.number(name, 0)
    if value == 0:
        raise ConfigError(f"Camera {source.url!r}: {name} must be above 0.")
    return value


def _trigger(source: SourceUrl) -> str:
    text = source.options.get("trigger", "off")
    for known in TRIGGERS:
        if text.lower() == known.lower():
            return known
    raise ConfigError(
        f"Camera {source.url!r}: unknown trigger {text!r}{nearest_of(text, TRIGGERS)}. "
        f"Known: {', '.join(TRIGGERS)}."
    )


def _region(source: SourceUrl) -> RegionXywh | None:
    text = source.options.get("region")
    if text is None:
        return None
    if not re.fullmatch(r"\d+,\d+,[1-9]\d*,[1-9]\d*", text):
        raise ConfigError(
            f"Camera {source.url!r}: region must be x,y,width,height in pixels, e.g. "
            f"region=0,0,640,480, got {text!r}."
        )
    x, y, w, h = (int(number) for number in text.split(","))
    return x, y, w, h


def _features(source: SourceUrl) -> str | None:
    file = source.options.get("features")
    if file is not None and not (Path(file).is_absolute() and Path(file).is_file()):
        raise ConfigError(
            f"Camera {source.url!r}: features must be the whole path of an existing file, as "
            f"pylon Viewer saves it, e.g. features=/etc/cropliq-edge/cam1.pfs, got {file!r}."
        )
    return file


def _pixel_format(source: SourceUrl) -> str | None:
    name = source.options.get("pixel_format")
    if name is None or name in PIXEL_FORMATS:
        return name
    known = tuple(PIXEL_FORMATS)
    raise ConfigError(
        f"Camera {source.url!r}: unknown pixel format {name!r}{nearest_of(name, known)}. "
        f"Known: {', '.join(known)}."
    )
