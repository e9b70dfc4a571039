"""`video:`: a video file as a camera, through OpenCV's decoder."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edge_app.cameras.protocol import CameraInfo
from edge_app.cameras.source_url import parse_source_url
from edge_app.cameras.video_container import has_frame_count, missing_bytes
from edge_app.errors import CameraUnavailable, ConfigError, EndOfStream, FrameCorrupt
from edge_app.records import Frame

OPTIONS = ("parts",)

ASSUMED_FPS = 25.0
"""For files that state no frame rate; PAL's, and the middle of what factory recordings have."""

MISSING_SHARE = 0.02
"""Of a container's own count of frames: a decoder may skip single ones. More than 2 % (at least 1)
below it mean that the file was cut."""


class VideoCamera:
    """Shows a video's frames in order.

    `captured_at_ns` follows the recording's own time stamps, laid so that the recording ends at
    the moment of opening: differences are true, and no capture lies in the future. Frames are
    not parts, unless `parts` says that each frame shows one. Implements `protocol.Camera`.
    """

    def __init__(
        self,
        path: Path | str,
        name: str,
        *,
        parts: bool = False,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._path = Path(path)
        self._name = name
        self._parts = parts
        self._wall_ns = wall_ns
        self._capture: cv2.VideoCapture | None = None
        self._hw: tuple[int, int] | None = None
        self._fps = ASSUMED_FPS
        self._promised = 0
        self._position = 0
        self._skipped_to = 0
        self._starts_at_ns = 0
        self._last_ns = 0
        self._damage_told = False

    def open(self, resume_after: int | None = None) -> None:
        self.close()
        self._capture = self._opened()
        self._fps = _sane(self._capture.get(cv2.CAP_PROP_FPS), 0.1, 10_000.0) or ASSUMED_FPS
        self._promised = int(_sane(self._capture.get(cv2.CAP_PROP_FRAME_COUNT), 1, 1e9) or 0)
        self._starts_at_ns = self._wall_ns() - round(self._promised / self._fps * 1e9)
        self._last_ns = self._starts_at_ns - 1
        self._position, self._damage_told = 0, False
        self._skip(resume_after if self._parts and resume_after else 0)

    def read(self, timeout_s: float) -> Frame:
        del timeout_s  # a file answers at once
        if self._capture is None:
            raise CameraUnavailable(f"Camera {self._name} is closed. Open it before reading.")
        is_read, pixels_hwc = self._capture.read()
        if not is_read or pixels_hwc is None:
            raise self._ending()
        self._position += 1
        self._last_ns = max(self._last_ns + 1, self._starts_at_ns + self._offset_ns())
        self._hw = int(pixels_hwc.shape[0]), int(pixels_hwc.shape[1])
        return Frame(
            camera=self._name,
            frame_id=self._position - self._skipped_to,
            pixels_hwc=np.ascontiguousarray(pixels_hwc, dtype=np.uint8),
            captured_at_ns=self._last_ns,
            source_number=self._position if self._parts else None,
            source_name=f"{self._path.name}#{self._position}",
        )

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def describe(self) -> CameraInfo:
        return CameraInfo(
            url=f"video:{self._path}",
            mode="file",
            frame_hw=self._hw,
            is_numbered=self._parts,
            can_resume=self._parts,
        )

    def _opened(self) -> cv2.VideoCapture:
        if not self._path.is_file():
            raise CameraUnavailable(f"Video {self._path} is not there. Name an existing file.")
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened():
            raise CameraUnavailable(
                f"Video {self._path} ({self._path.stat().st_size} bytes) cannot be opened: not a "
                "video OpenCV can decode, or cut off before its index was written (mp4 keeps the "
                "index at the end). Copy it again or convert it to mkv."
            )
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # as stored, like pictures.py
        return capture

    def _skip(self, count: int) -> None:
        """Step over frames that are finished; seeking would land on a key frame."""
        assert self._capture is not None
        while self._position < count and self._capture.grab():
            self._position += 1
        self._skipped_to = self._position

    def _offset_ns(self) -> int:
        """Return the frame's time since the recording's start, by its stamp or by its number."""
        assert self._capture is not None
        by_number_ms = (self._position - 1) * 1000.0 / self._fps
        stamp_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        return round((stamp_ms if stamp_ms > 0 else by_number_ms) * 1e6)

    def _ending(self) -> EndOfStream | FrameCorrupt:
        """Return what the end means: damage is reported once, then the stream has ended."""
        why = "" if self._damage_told else self._why_too_early()
        if not why:
            return EndOfStream(f"Video {self._path}: all {self._position} frames shown.")
        self._damage_told = True
        return FrameCorrupt(
            f"Video {self._path} is damaged: it ends after frame {self._position}, {why}. "
            "Copy it again from the recorder.",
            self._position + 1 if self._parts else None,
            f"{self._path.name}#{self._position + 1}",
        )

    def _why_too_early(self) -> str:
        """Return by what the file should be longer; "" where nothing says so."""
        try:
            missing, is_counted = missing_bytes(self._path), has_frame_count(self._path)
        except OSError as error:
            return f"and cannot be read any more: {error.strerror}"
        allowed = max(1, round(self._promised * MISSING_SHARE))
        is_short = is_counted and self._position < self._promised - allowed
        if is_short or self._position == 0:
            return f"its header promises {self._promised}"
        return f"{missing} bytes are missing at its end" if missing else ""


def _sane(value: float, low: float, high: float) -> float | None:
    """Return the value if it lies in the range; containers report 0, -1 or NaN for unknown."""
    return value if low <= value <= high else None


def from_url(url: str, *, name: str) -> VideoCamera:
    """Return the camera of `video:PATH?parts=0`.

    Raises:
        ConfigError: no path, an unknown option or a wrong value.
    """
    parsed = parse_source_url(url).allow_options(OPTIONS)
    if not parsed.path:
        raise ConfigError(f"Camera {name}: {url!r} names no file. Write 'video:/srv/line1.mkv'.")
    return VideoCamera(Path(parsed.path), name, parts=parsed.flag("parts", False))
