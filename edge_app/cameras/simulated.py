"""The simulated line as a camera: `sim:tapered?seed=44&parts=500&mode=live&fps=5`.

Modes and what they stand for:

    live       a free-running camera in real time; late readers get the frame of now
    file       the same pictures as fast as the reader reads; stamps advance by 1/fps a frame
    triggered  one part per trigger in real time; triggers nobody waited for are lost
    numbered   the triggered pictures as fast as the reader reads; can resume at a number
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from edge_app.cameras.protocol import CameraInfo, CameraMode
from edge_app.cameras.source_url import SourceUrl, parse_source_url
from edge_app.errors import CameraUnavailable, ConfigError, EndOfStream, FrameTimeout, nearest_of
from edge_app.host.clock import SteadyWall
from edge_app.records import Frame
from edge_app.simulator.config import SimulatorConfig, as_product
from edge_app.simulator.fixture import FIXTURES, in_fixture
from edge_app.simulator.scene import SimulatedLine
from edge_app.simulator.truth import FrameTruth

SimulatedMode = Literal["live", "file", "triggered", "numbered"]
_MODES: tuple[SimulatedMode, ...] = get_args(SimulatedMode)
BY_TRIGGER: tuple[SimulatedMode, ...] = ("triggered", "numbered")
OPTIONS = ("seed", "parts", "mode", "fps", "rate", "epoch", "defect_rate", "kinds",
           "height", "width", "advance", "spots", "fixture")  # fmt: skip
MAX_PER_SECOND = 1000.0

TRUTHS_KEPT = 2000
BUFFERED_TRIGGERS = 16
"""Triggered pictures a slow reader still gets, as a camera's own buffer holds; older are lost."""


@dataclass(frozen=True, slots=True)
class SimulatedSettings:
    """How the line's pictures reach the reader.

    Attributes:
        mode: see the module's head.
        fps: frames per second of `live` and `file`.
        rate: triggers per second of `triggered` and `numbered`.
        epoch_s: when trigger 0 fell, Unix seconds; None means when the camera is first opened.
        has_fixture: each triggered picture is one part in a fixture (simulator/fixture.py).
    """

    mode: SimulatedMode = "live"
    fps: float = 5.0
    rate: float = 2.0
    epoch_s: float | None = None
    has_fixture: bool = False


class SimulatedCamera:
    """A `Camera` that films a `SimulatedLine`.

    Args:
        name: the camera's name in the configuration.
        line: what it films.
        settings: mode and speed.
        url: the address it was made from, for people; None writes a short one.
        now_s, sleep_s: the clock (Unix seconds) and how to wait; passed in by tests. Without it
            the line follows the monotonic clock: setting the machine's clock moves no part.
    """

    def __init__(
        self,
        name: str,
        line: SimulatedLine,
        settings: SimulatedSettings,
        *,
        url: str | None = None,
        now_s: Callable[[], float] | None = None,
        sleep_s: Callable[[float], None] = time.sleep,
    ) -> None:
        self.line = line
        self._name = name
        self._url = url or f"sim:{line.config.product}?seed={line.config.seed}"
        self._settings = settings
        self._now_s: Callable[[], float] = now_s or SteadyWall()
        self._sleep_s = sleep_s
        self._started_s: float | None = settings.epoch_s
        self._next = 0
        self._is_open = False
        self._truths: OrderedDict[int, FrameTruth] = OrderedDict()
        self._parts_seen = 0
        self._newest_seen = 0

    @property
    def parts_seen_total(self) -> int:
        """Return how many different parts the pictures delivered so far showed whole."""
        return self._parts_seen

    def truth(self, frame_id: int) -> FrameTruth:
        """Return the ground truth of one of the last TRUTHS_KEPT delivered frames.

        Raises:
            KeyError: the frame was never delivered, or too long ago.
        """
        return self._truths[frame_id]

    def open(self, resume_after: int | None = None) -> None:
        """Start, or go on: a belt or a trigger source has not waited, a numbered one has."""
        if self._started_s is None:
            self._started_s = self._now_s() - self._recorded_s()
        self._is_open = True
        if self._settings.mode == "numbered":
            self._next = 1 if resume_after is None else resume_after + 1
        elif self._settings.mode == "triggered":
            self._next = max(1, self._count_at(self._now_s(), self._settings.rate) + 1)

    def read(self, timeout_s: float) -> Frame:
        """Return the next frame as the mode has it; see `Camera.read`."""
        if not self._is_open:
            raise CameraUnavailable(f"camera {self._name}: read before open; call open() first")
        if self._settings.mode in BY_TRIGGER:
            return self._read_part(timeout_s)
        return self._read_frame(timeout_s)

    def close(self) -> None:
        """Stop delivering; the belt runs on."""
        self._is_open = False

    def describe(self) -> CameraInfo:
        """Return what this source is."""
        mode = self._settings.mode
        is_numbered = mode in BY_TRIGGER
        public_mode: CameraMode = "file" if mode == "numbered" else mode
        frame_hw = self.line.config.frame_hw
        if self._settings.has_fixture:
            frame_hw = FIXTURES[self.line.config.product].crop_hw
        return CameraInfo(self._url, public_mode, frame_hw, is_numbered, mode == "numbered")

    def _read_frame(self, timeout_s: float) -> Frame:
        if self._settings.mode == "live":
            newest = self._count_at(self._now_s(), self._settings.fps)
            self._next = max(self._next, newest)
            self._wait_for(self._next, self._settings.fps, timeout_s)
        count = self.line.frame_count
        if count is not None and self._next >= count:
            raise EndOfStream(f"camera {self._name}: all {self.line.config.parts} parts have left")
        pixels, truth = self.line.frame(self._next)
        at_ns = self._stamp_ns(self._next, self._settings.fps)
        frame = Frame(self._name, self._next, pixels, at_ns, monotonic_ns=self._monotonic_ns(at_ns))
        return self._delivered(frame, truth)

    def _read_part(self, timeout_s: float) -> Frame:
        if self._settings.mode == "triggered":
            fired = self._count_at(self._now_s(), self._settings.rate)
            self._next = max(self._next, fired - BUFFERED_TRIGGERS + 1)
        number, parts = self._next, self.line.config.parts
        if parts is not None and number > parts:
            raise EndOfStream(f"camera {self._name}: all {parts} parts were shown")
        if self._settings.mode == "triggered":
            self._wait_for(number, self._settings.rate, timeout_s)
        pixels, truth = self.line.single(number)
        if self._settings.has_fixture:
            pixels, truth = in_fixture(pixels, truth)
        at_ns = self._stamp_ns(number, self._settings.rate)
        steady_ns = self._monotonic_ns(at_ns)
        frame = Frame(
            self._name, number, pixels, at_ns, f"T{number}", number, monotonic_ns=steady_ns
        )
        return self._delivered(frame, truth)

    def _delivered(self, frame: Frame, truth: FrameTruth) -> Frame:
        self._next = frame.frame_id + 1
        self._truths[frame.frame_id] = truth
        if len(self._truths) > TRUTHS_KEPT:
            self._truths.popitem(last=False)
        for part in truth.parts:
            if part.is_whole and part.number > self._newest_seen:
                self._parts_seen, self._newest_seen = self._parts_seen + 1, part.number
        return frame

    def _wait_for(self, count: int, per_second: float, timeout_s: float) -> None:
        missing_s = self._start_s() + count / per_second - self._now_s()
        if missing_s > timeout_s:
            self._sleep_s(timeout_s)
            raise FrameTimeout(
                f"camera {self._name}: no frame within {timeout_s:g} s; the next is due in "
                f"{missing_s:.2f} s ({per_second:g} per second)"
            )
        if missing_s > 0:
            self._sleep_s(missing_s)

    def _recorded_s(self) -> float:
        """Return how long a recording lasts: it ends now, so that no stamp lies in the future."""
        settings, parts, frames = self._settings, self.line.config.parts, self.line.frame_count
        if settings.mode == "file" and frames is not None:
            return frames / settings.fps
        if settings.mode == "numbered" and parts is not None:
            return parts / settings.rate
        return 0.0

    def _count_at(self, now_s: float, per_second: float) -> int:
        """Return the newest frame's or trigger's number at a time."""
        return math.floor((now_s - self._start_s()) * per_second + 1e-6)

    def _stamp_ns(self, count: int, per_second: float) -> int:
        return round((self._start_s() + count / per_second) * 1e9)

    def _monotonic_ns(self, at_ns: int) -> int | None:
        """Return a stamp on the monotonic clock; None for recordings and on a test's clock."""
        is_real_time = self._settings.mode in ("live", "triggered")
        if not is_real_time or not isinstance(self._now_s, SteadyWall):
            return None
        return self._now_s.monotonic_ns(at_ns / 1e9)

    def _start_s(self) -> float:
        if self._started_s is None:
            raise CameraUnavailable(f"camera {self._name}: not opened yet; call open() first")
        return self._started_s


def from_url(url: str, *, name: str) -> SimulatedCamera:
    """Return the camera a `sim:` address describes.

    Raises:
        ConfigError: unknown product, option or mode (the nearest known one is named), or a value
            that is no number or out of range.
    """
    source = parse_source_url(url).allow_options(OPTIONS)
    line = SimulatedLine(_config(source))
    return SimulatedCamera(name, line, _settings(source), url=url)


def _settings(source: SourceUrl) -> SimulatedSettings:
    mode = source.options.get("mode", "live")
    if mode not in _MODES:
        raise ConfigError(
            f"Camera {source.url!r}: unknown mode {mode!r}{nearest_of(mode, _MODES)}. "
            f"Known: {', '.join(_MODES)}."
        )
    fps, rate = source.number("fps", 5.0), source.number("rate", 2.0)
    for key, value in (("fps", fps), ("rate", rate)):
        if not 0 < value <= MAX_PER_SECOND:
            raise ConfigError(
                f"Camera {source.url!r}: {key} must be above 0 and at most {MAX_PER_SECOND:g} "
                f"per second, got {value:g}."
            )
    epoch_s = source.number("epoch", 0.0) if "epoch" in source.options else None
    return SimulatedSettings(mode, fps, rate, epoch_s, _has_fixture(source, mode))


def _has_fixture(source: SourceUrl, mode: SimulatedMode) -> bool:
    value = source.options.get("fixture", "0")
    if value not in ("0", "1"):
        raise ConfigError(f"Camera {source.url!r}: fixture must be 0 or 1, got {value!r}.")
    if value == "1" and mode not in BY_TRIGGER:
        raise ConfigError(
            f"Camera {source.url!r}: a fixture holds one part for each trigger; name "
            f"mode=triggered or mode=numbered with fixture=1, not {mode}."
        )
    return value == "1"


def _config(source: SourceUrl) -> SimulatorConfig:
    plain = SimulatorConfig()
    parts = _whole(source, "parts", 0) if "parts" in source.options else None
    seed, advance = _whole(source, "seed", plain.seed), _whole(source, "advance", plain.advance_px)
    defect_rate = source.number("defect_rate", plain.defect_rate)
    spot_rate = source.number("spots", plain.spot_rate)
    height, width = plain.frame_hw
    frame_hw = (_whole(source, "height", height), _whole(source, "width", width))
    kinds = tuple(source.options["kinds"].split(",")) if "kinds" in source.options else None
    try:
        product = as_product(source.path)
        return SimulatorConfig(
            product, seed, defect_rate, parts, frame_hw, kinds, advance, spot_rate=spot_rate
        )
    except ConfigError as error:
        raise ConfigError(f"Camera {source.url!r}: {error}") from error


def _whole(source: SourceUrl, key: str, default: int) -> int:
    value = source.number(key, default)
    if value != int(value):
        raise ConfigError(
            f"Camera {source.url!r}: {key} must be a whole number, got {source.options[key]!r}."
        )
    return int(value)
