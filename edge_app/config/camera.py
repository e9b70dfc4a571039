"""One camera's table in the configuration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, ValidationInfo, field_validator, model_validator

from edge_app.cameras.plugins import UnusableCamera
from edge_app.cameras.registry import family_of, open_camera
from edge_app.cameras.source_url import anchor_path, parse_source_url
from edge_app.config.fields import ExistingFile, Table, TopicLevel, is_to_come
from edge_app.errors import EdgeError
from edge_app.imaging.camera_calibration import load_geometry

FaultName = Literal["repeated", "black", "white", "blurred", "moved"]
_LISTEN = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):([0-9]{1,5})")


class CameraConfig(Table):
    """One camera, `[[camera]]`."""

    name: TopicLevel
    url: str
    slot: TopicLevel = "main"
    queue_depth: int = Field(8, ge=1, le=1000)
    verdict_deadline_ms: float = Field(1000.0, gt=0, le=600_000)
    stall_after_s: float = Field(5.0, ge=0.1, le=3600)
    reconnect_max_s: float = Field(10.0, ge=0.5, le=3600)
    calibration_file: ExistingFile | None = None
    picture_faults: Annotated[tuple[FaultName, ...], Field(strict=False)] = get_args(FaultName)
    alarm_debounce_s: float = Field(1.0, ge=0, le=3600)
    belt_px_per_s_xy: Annotated[tuple[float, float], Field(strict=False)] | None = None
    trigger_listen: str | None = None

    @property
    def trigger_address(self) -> tuple[str, int] | None:
        """(host, port) that receives triggers; None if there is none."""
        if self.trigger_listen is None:
            return None
        host, _, port = self.trigger_listen.rpartition(":")
        return host.strip("[]"), int(port)

    @field_validator("trigger_listen")
    @classmethod
    def _check_trigger_listen(cls, text: str | None) -> str | None:
        found = text is None or _LISTEN.fullmatch(text)
        if not found or (found is not True and not 0 < int(found[1]) < 65_536):
            raise ValueError(f"{text!r} is not HOST:PORT; expected e.g. '127.0.0.1:5001'")
        return text

    @field_validator("calibration_file")
    @classmethod
    def _check_calibration(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        """Return the file if it is one that `edge-app camera calibrate` wrote."""
        try:
            if file is not None and (file.is_file() or not is_to_come(file, info)):
                load_geometry(file)
        except EdgeError as error:
            raise ValueError(str(error)) from error
        return file

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str, info: ValidationInfo) -> str:
        """Return the address with its path made absolute; every option is checked."""
        try:
            if family_of(url).path_is_file:
                url = anchor_path(url, (info.context or {}).get("folder", Path()))
            open_camera(_checkable(url, info), "check")
        except EdgeError as error:
            raise ValueError(str(error)) from error
        return url

    @model_validator(mode="after")
    def _check_trigger_source(self, info: ValidationInfo) -> CameraConfig:
        camera = open_camera(_checkable(self.url, info), "check")
        if isinstance(camera, UnusableCamera):
            return self  # how it is triggered only its plug-in knows; the doctor says what is wrong
        awaits_fire = camera.describe().awaits_fire
        if awaits_fire and self.trigger_listen is None:
            raise ValueError(
                "trigger=software needs a port that receives the triggers; give "
                "trigger_listen = '127.0.0.1:5001' (docs/cameras.md)"
            )
        if self.trigger_listen is not None and not awaits_fire:
            raise ValueError(
                "trigger_listen is for a camera with trigger=software; this one is "
                "not fired by the device"
            )
        return self


def _checkable(url: str, info: ValidationInfo) -> str:
    """Return an address without the file of its driver's settings, if that is still to come."""
    parsed = parse_source_url(url) if family_of(url).scheme == "basler" else None
    file = parsed.options.get("features", "") if parsed else ""
    if not file or not is_to_come(Path(file), info):
        return url
    return url.replace(f"features={file}", "").replace("?&", "?").replace("&&", "&")
