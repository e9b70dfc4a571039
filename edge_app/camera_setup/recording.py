"""Good parts from a camera straight into the training layout: DIR/train/good/NAME-000001.png.

With a bundle, only pictures in which its detector finds a whole product are kept, each part of a
belt once; without one, a picture at regular intervals. PNG is lossless."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2

from edge_app.cameras.picture_health import PictureFault, PictureHealth
from edge_app.cameras.protocol import Camera
from edge_app.errors import ConfigError, EndOfStream, FrameCorrupt, FrameTimeout
from edge_app.records import Frame, U8Array

READ_SLICE_S = 0.5
NEVER_TRAINED_ON = ("test", "ground_truth")


class Choice(Protocol):
    """Decides which pictures are worth keeping."""

    def why_not(self, frame: Frame) -> str:
        """Return why a picture is left out, in a few words; "" to keep it."""


class EverySoOften:
    """Keeps a picture when enough time has passed since the last one."""

    def __init__(self, interval_s: float) -> None:
        self._interval_ns = round(interval_s * 1e9)
        self._next_ns: int | None = None

    def why_not(self, frame: Frame) -> str:
        if self._next_ns is not None and frame.steady_ns < self._next_ns:
            return "too soon after the last"
        self._next_ns = frame.steady_ns + self._interval_ns
        return ""


@dataclass(slots=True)
class Recording:
    """What was kept and what was left out.

    Attributes:
        folder: where the pictures are.
        kept: how many.
        left_out: reason → how many.
    """

    folder: Path
    kept: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def good_folder(data: Path) -> Path:
    """Return DATA/train/good, created if missing.

    Raises:
        ConfigError: the name says that nothing in it is trained on, or it cannot be made.
    """
    for part in data.parts:
        if part in NEVER_TRAINED_ON:
            raise ConfigError(
                f"Nothing below a folder named {part!r} is used for training, so none is recorded "
                f"into {data}. Name the data set's folder."
            )
    folder = data / "train" / "good"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}. Name another.") from error
    return folder


def record(
    camera: Camera,
    name: str,
    data: Path,
    count: int,
    choice: Choice,
    show: Callable[[Recording], None] = lambda _: None,
    monotonic_ns: Callable[[], int] = time.monotonic_ns,
) -> Recording:
    """Keep `count` pictures of a camera, or all until a finite source ends.

    Black, white and repeated pictures are never kept; existing pictures are never overwritten.

    Args:
        name: begins every file's name.
        show: called after every picture, kept or not.

    Raises:
        CameraUnavailable: the camera cannot be opened, or goes away.
        ConfigError: the folder cannot be used.
    """
    recording = Recording(good_folder(data))
    number = _last_number(recording.folder, name)
    extremes = (PictureFault.REPEATED, PictureFault.BLACK, PictureFault.WHITE)
    health = PictureHealth(extremes) if camera.describe().mode != "file" else PictureHealth(())
    camera.open()
    try:
        while recording.kept < count:
            try:
                frame = camera.read(READ_SLICE_S)
            except FrameTimeout:
                continue
            except FrameCorrupt:
                recording.left_out["could not be read"] += 1
                continue
            except EndOfStream:
                break
            finding = health.look(frame.pixels_hwc, monotonic_ns())
            why = finding.fault.value.replace("_", " ") if finding else choice.why_not(frame)
            if why:
                recording.left_out[why] += 1
            else:
                number += 1
                _write(recording.folder / f"{name}-{number:06d}.png", frame.pixels_hwc)
                recording.kept += 1
            show(recording)
    finally:
        camera.close()
    return recording


def snapshot(camera: Camera, file: Path, timeout_s: float = 10.0) -> tuple[int, int]:
    """Save a camera's next picture as PNG; return its (height, width).

    Raises:
        CameraUnavailable, FrameTimeout, FrameCorrupt: no usable picture came.
        ConfigError: the file cannot be written, or is no PNG by its name.
    """
    if file.suffix.lower() != ".png":
        raise ConfigError(f"{file} must end in .png: pictures are saved losslessly.")
    camera.open()
    try:
        frame = camera.read(timeout_s)
    finally:
        camera.close()
    _write(file, frame.pixels_hwc)
    return frame.hw


def _last_number(folder: Path, name: str) -> int:
    """Return the highest number this camera's pictures in a folder have."""
    pattern = re.compile(re.escape(name) + r"-(\d{6,})\.png")
    numbers = [int(m[1]) for p in folder.iterdir() if (m := pattern.fullmatch(p.name))]
    return max(numbers, default=0)


def _write(file: Path, pixels_hwc: U8Array) -> None:
    """Write to a temporary name and rename: a picture is there completely or not at all."""
    ok, encoded = cv2.imencode(".png", pixels_hwc)
    if not ok:
        raise ConfigError(f"OpenCV cannot write {file.name} as PNG; its size is {pixels_hwc.shape}")
    part = file.with_suffix(".part")
    try:
        part.write_bytes(encoded.tobytes())
        part.rename(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ConfigError(f"{file} cannot be written: {error.strerror}.") from error
