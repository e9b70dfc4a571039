"""Lines and text drawn in place; used by overlay.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge_app.records import PointXy, U8Array

Bgr = tuple[int, int, int]

INK: Bgr = (20, 17, 14)
PAPER: Bgr = (245, 245, 245)

MIN_LABEL_WIDTH_PX = 64
"""A narrower frame has no space for readable text."""


@dataclass(frozen=True, slots=True)
class Pen:
    """Line width in pixels and text scale that suit a frame's size."""

    width: int
    text: float

    @staticmethod
    def for_frame(pixels_hwc: U8Array) -> Pen:
        short = min(pixels_hwc.shape[:2])
        return Pen(max(1, round(short / 320)), min(2.0, max(0.4, short / 900)))


def draw_outline(
    picture: U8Array, corners_xy: Sequence[PointXy], colour: Bgr, width: int, is_dashed: bool
) -> None:
    """Draw a closed outline over a dark halo, so it shows on bright and dark grounds."""
    for under, line_width in ((INK, width + 2), (colour, width)):
        for start, end in zip(corners_xy, [*corners_xy[1:], corners_xy[0]], strict=True):
            for a, b in _dashes(start, end, 6 * width) if is_dashed else [(start, end)]:
                cv2.line(picture, _pixel(a), _pixel(b), under, line_width, cv2.LINE_AA)


def _dashes(start: PointXy, end: PointXy, dash_px: int) -> list[tuple[PointXy, PointXy]]:
    """Return every second piece of a line, at most 200 of them."""
    length = math.dist(start, end)
    pieces = min(400, max(1, round(length / dash_px)))
    ticks = np.linspace(start, end, pieces + 1)
    pairs = zip(ticks[:-1:2], ticks[1::2], strict=False)
    return [((float(a[0]), float(a[1])), (float(b[0]), float(b[1]))) for a, b in pairs]


def _pixel(point_xy: PointXy) -> tuple[int, int]:
    """Return the nearest pixel; distant points are clipped to what cv2 can draw."""
    x, y = (int(min(30_000, max(-30_000, round(v)))) for v in point_xy)
    return x, y


def draw_label(
    picture: U8Array, corners_xy: Sequence[PointXy], lines: list[str], colour: Bgr, pen: Pen
) -> None:
    """Write lines on a label above the outline's top, kept inside the picture."""
    h, w = picture.shape[:2]
    if w < MIN_LABEL_WIDTH_PX:
        return
    font, thick, pad = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(pen.text * 2)), 2 + 2 * pen.width
    sizes = [cv2.getTextSize(line, font, pen.text, thick)[0] for line in lines]
    line_h = max(size[1] for size in sizes) + pad * 2
    plate_w, plate_h = max(size[0] for size in sizes) + 2 * pad, line_h * len(lines)
    top_x, top_y = min(corners_xy, key=lambda p: (p[1], p[0]))
    x = _pixel((min(max(top_x, 0), max(0, w - plate_w)), 0))[0]
    y = _pixel((0, min(max(top_y - plate_h - pad, 0), max(0, h - plate_h))))[1]
    cv2.rectangle(picture, (x, y), (x + plate_w, y + plate_h), colour, cv2.FILLED)
    for i, line in enumerate(lines):
        base = (x + pad, y + line_h * (i + 1) - pad)
        cv2.putText(picture, line, base, font, pen.text, INK, thick, cv2.LINE_AA)
