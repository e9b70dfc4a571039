"""What a camera's pictures were like in the first good minutes, and what has changed since.

Products come and go; the belt's rails, the table and the focus stay. A median over a minute keeps
what stays. Pure, the time is passed in; the figures in the comments were measured on the simulated
line (three products, 160 pictures each, 1024 x 768).
"""

from __future__ import annotations

from collections import deque

import numpy as np

from edge_app.cameras.picture_figures import (
    Likeness,
    Sharpness,
    grey,
    likeness,
    sharpness,
    thumbnail,
)
from edge_app.records import F32Array, U8Array

LOOK_EVERY_NS = 2_000_000_000
"""A look takes 7 ms at 1024 x 768; every 2 s that is 0.4 % of one core."""

LOOKS = 31
"""Looks in one median, about a minute: what stays is seen where products cover it less than half
of the time."""

COMPARE_EVERY = 5
"""Looks between two comparisons of the scene: a median takes longer than a look."""

MIN_BASELINE = 0.7
"""Scenes whose first two minutes are less alike than this have nothing fixed to hold on to, such as
an empty belt's own moving pattern, and are not compared."""

LIKENESS_LOSS = 0.1
"""Unmoved minutes are alike to 0.95 to 0.98; a shift by 1 % of the width leaves 0.76 to 0.78, a
turn by 2 degrees 0.82 to 0.83. Along a direction in which nothing changes, such as a rail's, no
move is seen."""

FOUND_AGAIN = 0.05
"""A place that fits within this of an unmoved scene is where the scene went."""

SHARP_LOOKS = 8
"""Looks in the median that is judged: 16 s, no single odd picture."""

BLURRED_SHARE = 0.7
"""Of the first minutes' acuity. In focus single pictures stay within 7 % of their median; a blur of
1.5 px (sigma) leaves 0.71 of it, of 2 px 0.62."""

CONTRAST_SHARE = 0.5
"""Pictures with less than this share of the first minutes' contrast have no edge to measure."""


class SceneReference:
    """Learns the first two good minutes, then tells a blurred or a moved picture."""

    def __init__(self) -> None:
        self._hw: tuple[int, int] | None = None
        self._next_ns = 0
        self._forget()

    def look(self, pixels_hwc: U8Array, now_ns: int) -> None:
        """Take a usable picture in; most calls return at once."""
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + LOOK_EVERY_NS
        if pixels_hwc.shape[:2] != self._hw:
            self._hw = pixels_hwc.shape[0], pixels_hwc.shape[1]
            self._forget()
        grey_hw = grey(pixels_hwc)
        self._sharp.append(sharpness(grey_hw))
        self._thumbs.append(_evened(thumbnail(grey_hw)))
        self._looks += 1
        if self._looks == LOOKS:
            self._learn_first_minute()
        elif self._looks == 2 * LOOKS:
            self._learn_second_minute()
        elif self._looks > 2 * LOOKS:
            self._judge()

    @property
    def blurred(self) -> str:
        """Why the picture counts as blurred; "" if it does not."""
        return self._blurred

    @property
    def moved(self) -> str:
        """Why the camera counts as moved; "" if it does not."""
        return self._moved

    def _forget(self) -> None:
        """Begin to learn: at the start, and when pictures of another size come."""
        self._looks = 0
        self._sharp: deque[Sharpness] = deque(maxlen=LOOKS)
        self._thumbs: deque[U8Array] = deque(maxlen=LOOKS)
        self._sharp_before = Sharpness(0.0, 0)
        self._scene: F32Array | None = None
        self._baseline = 0.0
        self._blurred = self._moved = ""

    def _learn_first_minute(self) -> None:
        contrast = round(float(np.median([s.contrast for s in self._sharp])))
        acuity = self._acuity(contrast) or 0.0
        self._sharp_before = Sharpness(acuity, contrast)
        self._scene = self._median()

    def _learn_second_minute(self) -> None:
        assert self._scene is not None
        self._baseline = likeness(self._scene, self._median()).in_place

    def _judge(self) -> None:
        self._blurred = self._judge_sharpness()
        if self._scene is not None and self._looks % COMPARE_EVERY == 0:
            self._moved = self._judge_place(likeness(self._scene, self._median()))

    def _judge_sharpness(self) -> str:
        before, now = self._sharp_before, self._acuity(self._sharp_before.contrast)
        if now is None or before.acuity == 0 or now >= BLURRED_SHARE * before.acuity:
            return ""
        share = round(100 * now / before.acuity)
        return (
            f"edges are {share} % as steep as in the first minutes; clean the lens, check its focus"
        )

    def _judge_place(self, found: Likeness) -> str:
        if self._baseline < MIN_BASELINE or found.in_place > self._baseline - LIKENESS_LOSS:
            return ""
        why = "what does not move in the picture is not where it was in the first minutes"
        if found.best < self._baseline - FOUND_AGAIN or self._scene is None or self._hw is None:
            return f"{why}: turned, far away or covered; check the camera's mount"
        scale = self._hw[1] / self._scene.shape[1]
        dx, dy = (round(scale * v) for v in found.shift_xy)
        return f"{why}: {dx:+d} px right, {dy:+d} px down; check the camera's mount"

    def _acuity(self, contrast: int) -> float | None:
        """Return the latest pictures' median acuity; None if too few show an edge."""
        latest = list(self._sharp)[-SHARP_LOOKS:]
        with_edges = [s.acuity for s in latest if s.contrast > CONTRAST_SHARE * contrast]
        return float(np.median(with_edges)) if 2 * len(with_edges) >= SHARP_LOOKS else None

    def _median(self) -> F32Array:
        median_hw = np.median(np.stack(self._thumbs), axis=0)
        return np.asarray(median_hw, dtype=np.float32)


def _evened(thumb_hw: F32Array) -> U8Array:
    """Return a thumbnail whose light is taken out: a lamp that dims in a median's minute would
    else be a mixture of two scenes."""
    middle = np.median(thumb_hw)
    spread = max(float(np.median(np.abs(thumb_hw - middle))), 0.5)
    evened = np.clip(128 + (thumb_hw - middle) * (16 / spread), 0, 255)
    return np.asarray(evened, dtype=np.uint8)
