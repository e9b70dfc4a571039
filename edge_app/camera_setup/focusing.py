"""A camera's latest picture and its figures, for adjusting lens, light and exposure."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_app.cameras.grabber import CameraState, Grabber, Unjudged
from edge_app.cameras.picture_figures import (
    focus_figure,
    grey,
    grey_range,
    histogram,
    sharpness,
    sparse_grey,
)
from edge_app.cameras.protocol import Camera
from edge_app.records import F32Array, Frame, JsonObject, U8Array

BINS = 64
"""Bars of the histogram on the page: four grey levels each."""

CLIPPED_BELOW, CLIPPED_ABOVE = 2, 253
"""Grey levels at which a pixel counts as lost in black or in white: noise moves it by about two."""

RATE_PICTURES = 20


@dataclass(frozen=True, slots=True)
class FocusFigures:
    """What one picture shows of lens and light.

    Attributes:
        focus: see `picture_figures.focus_figure`; compare with `best` only.
        best: the largest since the start or the last `forget_best`.
        acuity: steepest edge over contrast, 1/px.
        grey_levels: darkest and brightest, of 255.
        black_percent, white_percent: share of pixels lost at either end.
        bins: share of pixels in each of BINS equal ranges, darkest first; largest is 1.
        per_second: of the last pictures.
    """

    focus: float
    best: float
    acuity: float
    grey_levels: tuple[int, int]
    black_percent: float
    white_percent: float
    bins: tuple[float, ...]
    per_second: float | None


class FocusWatch:
    """Reads one camera in a thread of its own until stopped; reopens it as the line would.

    Args:
        camera: a frame source, not yet opened.
        name: for its thread and its log lines.
    """

    def __init__(
        self, camera: Camera, name: str, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._grabber = Grabber(camera, name, on_state=self._note_state)
        self._now_s = monotonic_s
        self._lock = threading.Lock()
        self._state, self._why = CameraState.RECONNECTING, ""
        self._pixels: U8Array | None = None
        self._figures: FocusFigures | None = None
        self._sequence = 0
        self._best = 0.0
        self._arrivals_s: deque[float] = deque(maxlen=RATE_PICTURES)
        self._thread = threading.Thread(target=self._run, name=f"focus-{name}", daemon=True)

    def start(self) -> None:
        """Open the camera and start reading."""
        self._grabber.start()
        self._thread.start()

    def stop(self) -> None:
        """Close the camera and end both threads."""
        self._grabber.stop()
        if self._thread.ident is not None:
            self._thread.join()

    def is_finished(self) -> bool:
        """A finite source has ended."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def forget_best(self) -> None:
        """Reset the best figure, after a change of scene or light."""
        with self._lock:
            self._best = 0.0

    def figures(self) -> FocusFigures | None:
        """Return the latest picture's figures; None before the first."""
        with self._lock:
            return self._figures

    def picture(self) -> tuple[int, U8Array] | None:
        """Return the latest picture's number and pixels, uint8 (h, w, 3); None before the first."""
        with self._lock:
            return None if self._pixels is None else (self._sequence, self._pixels)

    def as_json(self) -> JsonObject:
        """Return what the page shows."""
        with self._lock:
            figures, pixels = self._figures, self._pixels
            state: JsonObject = {
                "state": self._state.value,
                "why": self._why,
                "sequence": self._sequence,
            }
        if figures is None or pixels is None:
            return state
        return {
            **state,
            "width": pixels.shape[1],
            "height": pixels.shape[0],
            "focus": figures.focus,
            "best": figures.best,
            "acuity": figures.acuity,
            "darkest": figures.grey_levels[0],
            "brightest": figures.grey_levels[1],
            "black_percent": figures.black_percent,
            "white_percent": figures.white_percent,
            "bins": list(figures.bins),
            "per_second": figures.per_second,
        }

    def _note_state(self, state: CameraState, why: str) -> None:
        with self._lock:
            self._state, self._why = state, why

    def _run(self) -> None:
        while not self._grabber.is_finished():
            item = self._grabber.next(0.5)
            if isinstance(item, Unjudged) or item is None:
                continue
            self._look(item)

    def _look(self, frame: Frame) -> None:
        self._arrivals_s.append(self._now_s())
        grey_hw = grey(frame.pixels_hwc)
        focus = focus_figure(grey_hw)
        share = np.asarray(histogram(grey_hw) / grey_hw.size, np.float32)  # (256,)
        acuity, levels = sharpness(grey_hw).acuity, grey_range(sparse_grey(frame.pixels_hwc))
        with self._lock:
            self._best = max(self._best, focus)
            self._pixels, self._sequence = frame.pixels_hwc, self._sequence + 1
            self._figures = FocusFigures(
                focus=round(focus, 2),
                best=round(self._best, 2),
                acuity=round(acuity, 3),
                grey_levels=levels,
                black_percent=round(100 * float(share[:CLIPPED_BELOW].sum()), 2),
                white_percent=round(100 * float(share[CLIPPED_ABOVE + 1 :].sum()), 2),
                bins=_bars(share),
                per_second=self._rate(),
            )

    def _rate(self) -> float | None:
        at_s = self._arrivals_s
        if len(at_s) < 2 or at_s[-1] <= at_s[0]:
            return None
        return round((len(at_s) - 1) / (at_s[-1] - at_s[0]), 1)


def _bars(share: F32Array) -> tuple[float, ...]:
    bars = share.reshape(BINS, -1).sum(axis=1)
    return tuple(round(float(v), 4) for v in bars / max(float(np.max(bars)), 1e-9))
