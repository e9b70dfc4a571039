"""A camera whose lens is taken out of every picture before anybody sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edge_app.cameras.protocol import Camera, CameraInfo, FiredCamera, FlowingCamera
from edge_app.errors import FrameCorrupt
from edge_app.records import Frame, U8Array


class StraightenedCamera:
    """Passes another camera on, with straight pictures. Implements `protocol.Camera` and, around
    a FiredCamera, `protocol.FiredCamera`.

    Args:
        camera: the source.
        straighten: e.g. `geometry.Straightener`; may raise FrameCorrupt.
    """

    def __init__(self, camera: Camera, straighten: Callable[[U8Array], U8Array]) -> None:
        self._camera = camera
        self._straighten = straighten

    def open(self, resume_after: int | None = None) -> None:
        self._camera.open(resume_after)

    def read(self, timeout_s: float) -> Frame:
        frame = self._camera.read(timeout_s)
        try:
            return replace(frame, pixels_hwc=self._straighten(frame.pixels_hwc))
        except (FrameCorrupt, MemoryError) as error:
            name = frame.trigger_id or frame.source_name
            why = str(error) or "there is not enough memory to straighten the picture"
            raise FrameCorrupt(why, frame.source_number, name) from error

    def close(self) -> None:
        self._camera.close()

    def describe(self) -> CameraInfo:
        return self._camera.describe()

    def fire(self, trigger_id: str | None = None) -> int:
        assert isinstance(self._camera, FiredCamera)
        return self._camera.fire(trigger_id)

    def data_came_ns(self) -> int | None:
        return self._camera.data_came_ns() if isinstance(self._camera, FlowingCamera) else None
