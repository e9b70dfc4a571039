"""RTSP through PyAV (FFmpeg), in the child.

A decoder fills what it did not get with what it has: nothing is good after a lost packet or a
decoder's complaint until the next key frame that decodes without one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from edge_app.cameras.isolation.raw import PictureAwaited, PictureSpoilt, RawFrame, Settings
from edge_app.errors import CameraUnavailable

OPEN_S = 8.0
"""Connecting, DESCRIBE, SETUP, PLAY, and the first key frame for the stream's parameters."""

SILENT_S = 2.5
"""A camera that sends nothing for this long while the connection is open has frozen: said before
the parent would take the silence for a driver that hangs (`isolation.camera.SILENCE_S`)."""

FFMPEG_OPTIONS = {
    "fflags": "nobuffer",
    "flags": "low_delay",
    "analyzeduration": "500000",  # microseconds of stream analysed before the first picture
    "max_delay": "200000",  # microseconds a UDP packet that came out of order is waited for
}

LOSSES = ("missed", "missing", "max delay reached", "dropping", "corrupt", "eoi")
"""In what FFmpeg warns of when packets did not come; a decoder's own errors always count."""


class RtspSource:
    """Implements `raw.RawSource`."""

    def __init__(self, url: str, shown_url: str, transport: str) -> None:
        self._url, self._shown_url, self._transport = url, shown_url, transport
        self._container: Any = None
        self._frames: Iterator[Any] = iter(())
        self._doubt = "the stream's first key frame has not come yet"
        self._bad_pts = -1 << 63
        self._complaints: list[Any] = []

    def open(self) -> None:
        try:
            import av
            import av.logging
        except ImportError as error:
            raise CameraUnavailable(
                "Network cameras need PyAV, which is not installed: "
                "pip install 'cropliq-edge[rtsp]'."
            ) from error
        self._av_error, self._error_level = av.FFmpegError, av.logging.ERROR
        av.logging.set_level(av.logging.WARNING)
        av.logging.set_skip_repeated(False)  # the same complaint of the next picture counts too
        self._capture = av.logging.Capture(local=False)
        self._complaints = self._capture.__enter__()
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
            raise PictureAwaited("a packet held no whole picture")
        if self._doubt:
            raise PictureSpoilt(f"not whole until the next good key frame: {self._doubt}")
        return _raw_of(frame)

    def trigger(self) -> None:
        raise CameraUnavailable("A network camera runs free; it takes no trigger.")

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None
        if self._complaints is not None and hasattr(self, "_capture"):
            self._capture.__exit__(None, None, None)
            del self._capture

    def _decoded(self, stream: Any) -> Iterator[Any]:
        """Yield pictures as they come, and None for a packet without one; keep the doubt."""
        lost_ahead = ""
        for packet in self._container.demux(stream):
            # A picture is complete when the next one begins: what is found missing then may be
            # of either.
            lost, lost_ahead = lost_ahead, self._complaint(LOSSES)
            lost = "a packet came damaged" if packet.is_corrupt else lost or lost_ahead
            try:
                frames = packet.decode()
                wrong = self._complaint()
            except self._av_error as error:
                frames, wrong = [], f"the decoder says: {error.strerror}"
            if lost or wrong or any(frame.is_corrupt for frame in frames):
                self._doubt = lost or wrong or "parts of the picture did not arrive"
                if packet.pts is not None:
                    self._bad_pts = max(self._bad_pts, packet.pts)
            if not frames:
                yield None
            for frame in frames:
                # A decoder may give a picture some packets later: what counts is its own.
                if frame.key_frame and frame.pts is not None and frame.pts > self._bad_pts:
                    self._doubt = ""
                yield frame

    def _complaint(self, words: tuple[str, ...] = ("",)) -> str:
        """Return the first thing FFmpeg has said about missing or wrong data, and forget all.

        Args:
            words: only what has one of these in it. Errors before a picture may be those of the
                pictures before it, which a decoder that came in between could not read.
        """
        said, self._complaints[:] = list(self._complaints), []
        for level, name, text in said:
            plain = text.strip().lower()
            is_wrong = level <= self._error_level or any(word in plain for word in LOSSES)
            if is_wrong and any(word in plain for word in words):
                return f"{name}: {plain}"[:200]
        return ""


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
