"""`edge-app camera test`: reads a camera for some seconds and reports what it found."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from edge_app.cameras.picture_figures import Sharpness, grey, grey_range, sharpness, sparse_grey
from edge_app.cameras.picture_health import PictureHealth
from edge_app.cameras.protocol import Camera
from edge_app.errors import EndOfStream, FrameCorrupt, FrameTimeout
from edge_app.records import Frame, U8Array

READ_SLICE_S = 0.5


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of a camera test.

    Attributes:
        opened_ms: how long opening took.
        first_ms: from then to the first picture; None if none came.
        frames, missed, corrupt: pictures that came, numbers missing between them, unreadable ones.
        per_second: over the time from the first picture to the last; None with fewer than two.
        longest_gap_ms: between two pictures.
        frame_hw: (height, width) of the last picture.
        grey_levels: darkest and brightest, of 255, in the last picture.
        sharp: of the last picture.
        faults: picture fault → how often (repeated, black, white).
    """

    url: str
    mode: str
    opened_ms: float
    first_ms: float | None
    frames: int
    missed: int
    corrupt: int
    per_second: float | None
    longest_gap_ms: float | None
    frame_hw: tuple[int, int] | None
    grey_levels: tuple[int, int] | None
    sharp: Sharpness | None
    faults: dict[str, int]

    @property
    def problems(self) -> list[str]:
        """One sentence per problem; empty when the camera is ready."""
        problems = []
        if self.frames == 0:
            problems.append("no picture came; a triggered camera needs its trigger during the test")
        for fault, count in self.faults.items():
            problems.append(f"{count} of {self.frames} pictures: {fault.replace('_', ' ')}")
        if self.missed:
            problems.append(f"{self.missed} pictures were lost between camera and device")
        if self.corrupt:
            problems.append(f"{self.corrupt} pictures could not be read")
        return problems


class _Seen:
    """Adds up the frames."""

    def __init__(self) -> None:
        self.arrived_s: list[float] = []
        self.missed = self.corrupt = 0
        self.faults: Counter[str] = Counter()
        self.pixels: U8Array | None = None
        self._health = PictureHealth()
        self._last_id: int | None = None

    def take(self, frame: Frame, now_s: float, is_live: bool) -> None:
        if is_live and self._last_id is not None:
            self.missed += max(0, frame.frame_id - self._last_id - 1)
        self._last_id, self.pixels = frame.frame_id, frame.pixels_hwc
        self.arrived_s.append(now_s)
        finding = self._health.look(frame.pixels_hwc, round(now_s * 1e9))
        if finding is not None:
            self.faults[finding.fault.value] += 1


def try_camera(
    camera: Camera, seconds: float, monotonic_s: Callable[[], float] = time.monotonic
) -> Trial:
    """Open a camera, read it for some seconds, close it.

    Raises:
        CameraUnavailable: it cannot be opened, or goes away meanwhile.
    """
    info, seen = camera.describe(), _Seen()
    began_s = monotonic_s()
    camera.open()
    try:
        opened_s = monotonic_s()
        while monotonic_s() - opened_s < seconds:
            try:
                frame = camera.read(READ_SLICE_S)
            except FrameTimeout:
                continue
            except FrameCorrupt:
                seen.corrupt += 1
                continue
            except EndOfStream:
                break
            seen.take(frame, monotonic_s(), info.mode == "live")
    finally:
        camera.close()
    return _trial_of(seen, info.url, info.mode, began_s, opened_s)


def _trial_of(seen: _Seen, url: str, mode: str, began_s: float, opened_s: float) -> Trial:
    at_s, pixels = seen.arrived_s, seen.pixels
    gaps_s = [b - a for a, b in itertools.pairwise(at_s)]
    whole_s = at_s[-1] - at_s[0] if len(at_s) > 1 else 0.0
    return Trial(
        url=url,
        mode=mode,
        opened_ms=round((opened_s - began_s) * 1e3, 1),
        first_ms=round((at_s[0] - opened_s) * 1e3, 1) if at_s else None,
        frames=len(at_s),
        missed=seen.missed,
        corrupt=seen.corrupt,
        per_second=round(len(gaps_s) / whole_s, 2) if whole_s > 0 else None,
        longest_gap_ms=round(max(gaps_s) * 1e3, 1) if gaps_s else None,
        frame_hw=None if pixels is None else (pixels.shape[0], pixels.shape[1]),
        grey_levels=None if pixels is None else grey_range(sparse_grey(pixels)),
        sharp=None if pixels is None else sharpness(grey(pixels)),
        faults=dict(seen.faults),
    )


def lines_of(trial: Trial) -> list[str]:
    """Return the trial as lines for a terminal."""
    first = "none" if trial.first_ms is None else f"after {trial.first_ms:.0f} ms"
    lines = [
        f"address        {trial.url} ({trial.mode})",
        f"opened         in {trial.opened_ms:.0f} ms, first picture {first}",
        f"pictures       {trial.frames} ({trial.missed} lost, {trial.corrupt} unreadable)",
    ]
    if trial.per_second is not None:
        gap = f"longest gap {trial.longest_gap_ms:.0f} ms"
        lines.append(f"rate           {trial.per_second:.1f} per second, {gap}")
    if trial.frame_hw is not None and trial.grey_levels is not None and trial.sharp is not None:
        darkest, brightest = trial.grey_levels
        lines.append(f"size           {trial.frame_hw[1]} x {trial.frame_hw[0]} pixels")
        lines.append(f"grey levels    {darkest} to {brightest} of 255")
        lines.append(f"steepest edge  {trial.sharp.acuity:.2f} of the contrast per pixel")
    return [*lines, *(f"PROBLEM        {text}" for text in trial.problems)]
