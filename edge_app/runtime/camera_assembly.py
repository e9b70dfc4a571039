"""From a camera's table in the configuration to its grabber."""

from __future__ import annotations

from collections.abc import Sequence

from edge_app.cameras.capture_state import StateCallback
from edge_app.cameras.grabber import Grabber, GrabberLimits
from edge_app.cameras.picture_health import PictureFault, PictureHealth
from edge_app.cameras.protocol import Camera, FiredCamera
from edge_app.cameras.registry import open_camera
from edge_app.cameras.straightened import StraightenedCamera
from edge_app.config.camera import CameraConfig
from edge_app.imaging.camera_calibration import Geometry, Straightener, load_geometry
from edge_app.runtime.trigger_port import TriggerPort


def open_configured(config: CameraConfig) -> Camera:
    """Return one camera, not yet opened; with straight pictures if its lens is calibrated.

    Raises:
        ConfigError: the calibration cannot be used.
    """
    camera = open_camera(config.url, config.name)
    geometry = geometry_of(config)
    if geometry is None or geometry.lens is None:
        return camera
    return StraightenedCamera(camera, Straightener(geometry, geometry.lens))


def geometry_of(config: CameraConfig) -> Geometry | None:
    """Return one camera's calibration, if it has one.

    Raises:
        ConfigError: the calibration cannot be used.
    """
    return None if config.calibration_file is None else load_geometry(config.calibration_file)


def make_grabber(
    config: CameraConfig, camera: Camera, resume_after: int | None, on_state: StateCallback
) -> Grabber:
    """Return the grabber of one camera, not yet started.

    Args:
        resume_after: last finished source number, of a source that can resume.
        on_state: called on every change of the camera's state.
    """
    return Grabber(
        camera,
        config.name,
        limits=GrabberLimits(
            queue_depth=config.queue_depth,
            verdict_deadline_s=config.verdict_deadline_ms / 1e3,
            stall_after_s=config.stall_after_s,
            reconnect_max_s=config.reconnect_max_s,
        ),
        resume_after=resume_after,
        on_state=on_state,
        health=make_health(config.picture_faults),
    )


def make_trigger_port(config: CameraConfig, camera: Camera) -> TriggerPort | None:
    """Return where a camera's triggers come in, if it is configured to listen; not yet started.

    Raises:
        ConfigError: the port cannot be opened.
    """
    address = config.trigger_address
    if address is None or not isinstance(camera, FiredCamera):
        return None
    return TriggerPort(config.name, address, camera.fire)


def make_health(names: Sequence[str]) -> PictureHealth | None:
    """Return what looks for the named faults; None when there is nothing to look for."""
    faults = [PictureFault[name.upper()] for name in names]
    return PictureHealth(faults) if faults else None
