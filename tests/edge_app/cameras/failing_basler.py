"""The Basler driver with its camera told to fail: pylon's emulation breaks a buffer on demand."""

from __future__ import annotations

from typing import Any

from edge_app.cameras.drivers.basler import BaslerSource
from edge_app.cameras.genicam_settings import GenicamSettings
from edge_app.cameras.isolation.raw import RawFrame


class FailingBasler(BaslerSource):
    """Asks for a failed buffer before every fourth frame."""

    reads = 0

    def read(self, timeout_s: float) -> RawFrame:
        self.reads += 1
        if self.reads % 4 == 0:
            self._camera.ForceFailedBufferCount.Value = 1
            self._camera.ForceFailedBuffer.Execute()
        return super().read(timeout_s)


def make_source(settings: dict[str, Any]) -> FailingBasler:
    return FailingBasler(GenicamSettings.from_json(settings))
