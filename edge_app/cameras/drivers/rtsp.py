"""RTSP through PyAV (FFmpeg), in the child."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from edge_app.cameras.isolation.raw import RawFrame, Settings
from edge_app.errors import CameraUnavailable, FrameCorrupt, FrameTimeout

OPEN_S = 8.0
"""Connecting, DESCRIBE, SETUP, PLAY, and the first key frame for the stream's parameters."""

SILENT_S = 2.5
"""A camera that sends nothing for this long while the connection is open has frozen: said before
the parent would take the silence for a driver that hangs (`isolation.camera.SILENCE_S`)."""

FFMPEG_OPTIONS = {
    "fflags": "nobuffer+discardcorrupt",
    "flags": "low_delay",
    "analyzeduration": "500000",  # microseconds of stream analysed before the first picture
    "max_delay": "200000",  # microseconds a UDP packet that came out of order is waited for
}


class RtspSource:
    """Implements `raw.RawSource`."""

    def __init__(self, url: str, shown_url: str, transport: str) -> None:
        self._url, self._shown_url, self._transport = url, shown_url, transport
        self._container: Any = None
        self._frames: Iterator[Any] = iter(())

    def open(self) -> None:
        try:
            import av
        except ImportError as error:
            raise CameraUnavailable(
                "Network cameras need PyAV, which is not installed: "
                "pip install 'cropliq-edge[rtsp]'."
            ) from error
        self._av_error = av.FFmpegError
        options = {**FFMPEG_OPTIONS, "rtsp_transport": self._transport}
        try:
            self._container = av.open(self._url, options=options, timeout=(OPEN_S, SILENT_S))
            stream = next(iter(self._container.streams.video), None)
        except av.FFmpegError as error:
            raise CameraUnavailable(
                f"{self._shown_url} cannot be opened: {error.strerror}. Check that the camera is "
                "on, the address and its path are right, and name and password are accepted."
            ) from error
        if stream is None:
            raise CameraUnavailable(f"{self._shown_url} carries no video.")
        stream.thread_type = "SLICE"  # frame threads would hold back one frame each
        self._frames = self._decoded(stream)

    def read(self, timeout_s: float) -> RawFrame:
        del timeout_s  # FFmpeg's own limit is SILENT_S; shorter ones would end the stream
        asked_s = time.monotonic()
        try:
            frame = next(self._frames)
        except StopIteration:
            raise CameraUnavailable(f"{self._shown_url}: the server ended the stream.") from None
        except self._av_error as error:
            raise CameraUnavailable(
                f"{self._shown_url}: the stream broke off, or nothing came for {SILENT_S:g} s: "
                f"{error.strerror}."
            ) from error
        if time.monotonic() - asked_s >= SILENT_S:
            raise CameraUnavailable(  # FFmpeg releases what it buffered: an old picture
                f"{self._shown_url}: nothing came for {SILENT_S:g} s; the stream has frozen."
            )
        if frame is None:
            raise FrameTimeout("a packet held no whole picture")
        if frame.is_corrupt:
            raise FrameCorrupt("parts of the picture did not arrive")
        return _raw_of(frame)

    def trigger(self) -> None:
        raise CameraUnavailable("A network camera runs free; it takes no trigger.")

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    def _decoded(self, stream: Any) -> Iterator[Any]:
        """Yield pictures as they come, and None for a packet without one."""
        for packet in self._container.demux(stream):
            frames = packet.decode()
            yield from frames or [None]


def _raw_of(frame: Any) -> RawFrame:
    bgr = frame.reformat(format="bgr24")
    plane = bgr.planes[0]
    stamp = frame.pts
    return RawFrame(
        data=memoryview(plane),
        hw=(bgr.height, bgr.width),
        stride=plane.line_size,
        pixel_format="BGR8",
        device_ns=None if stamp is None else round(stamp * frame.time_base * 1_000_000_000),
    )


def make_source(settings: Settings) -> RtspSource:
    """Return the driver for `{"url": ..., "shown_url": ..., "transport": "tcp" | "udp"}`."""
    return RtspSource(settings["url"], settings["shown_url"], settings["transport"])
