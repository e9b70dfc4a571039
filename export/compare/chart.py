"""Image AUROC against frames per second, as one inline SVG."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence

from export.charts import BAD, GOOD, INK

WIDTH, HEIGHT, PAD = 720, 380, 46
LEAST_SPAN = 0.02
"""Of the AUROC axis: differences below it are not blown up to the whole height."""

LABEL_PX = 13
"""Least distance between two names, pixels."""

Point = tuple[str, float, float, float, float]
"""(name, frames per second, image AUROC, lower and upper end of its interval)."""


def speed_chart(points: Sequence[Point], chosen: str | None, needed_fps: float | None) -> str:
    """Return the chart; the speed axis is logarithmic, whiskers are the 95 % intervals.

    Args:
        chosen: the recommended method's name, drawn in its own colour.
        needed_fps: a vertical line where a time per picture was asked for.
    """
    speeds = [p[1] for p in points] + ([needed_fps] if needed_fps else [])
    left, right = math.log10(min(speeds)) - 0.08, math.log10(max(speeds)) + 0.25
    top = min(1.0, max(p[4] for p in points))
    bottom = min(min(p[3] for p in points), top - LEAST_SPAN)

    def xy(speed: float, level: float) -> tuple[float, float]:
        x = PAD + (math.log10(speed) - left) / (right - left) * (WIDTH - 2 * PAD)
        return x, HEIGHT - PAD - (level - bottom) / (top - bottom) * (HEIGHT - 2 * PAD)

    drawn = [_levels(bottom, top, xy(10**left, bottom)[0]), _speeds(left, right, xy)]
    if needed_fps:
        x, _ = xy(needed_fps, bottom)
        drawn.append(
            f'<path d="M{x:.1f} {PAD}V{HEIGHT - PAD}" stroke="{INK}" stroke-dasharray="4 3"/>'
            f'<text x="{x + 4:.1f}" y="{PAD - 6}">asked for</text>'
        )
    taken: list[tuple[float, float]] = []
    for name, speed, level, low, high in sorted(points, key=lambda p: -p[2]):
        (x, y), (_, y_low), (_, y_high) = xy(speed, level), xy(speed, low), xy(speed, high)
        colour = BAD if name == chosen else GOOD
        text_y = _free(taken, x, y)
        drawn.append(
            f'<path d="M{x:.1f} {y_low:.1f}V{y_high:.1f}" stroke="{colour}" stroke-opacity="0.4"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>'
            f'<text x="{x + 8:.1f}" y="{text_y + 4:.1f}">{html.escape(name)}</text>'
        )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
        f'font-family="system-ui,sans-serif" font-size="11">{"".join(drawn)}'
        f'<text x="{PAD}" y="14">image AUROC</text>'
        f'<text x="{WIDTH - PAD}" y="{HEIGHT - 6}" text-anchor="end">frames per second</text></svg>'
    )


def _free(taken: list[tuple[float, float]], x: float, y: float) -> float:
    """Return a height for a name beside (x, y) that no other name has; remember it."""
    while any(abs(x - tx) < 110 and abs(y - ty) < LABEL_PX for tx, ty in taken):
        y += LABEL_PX
    taken.append((x, y))
    return y


def _levels(bottom: float, top: float, x: float) -> str:
    drawn = []
    for quarter in range(5):
        level = bottom + (top - bottom) * quarter / 4
        y = HEIGHT - PAD - quarter / 4 * (HEIGHT - 2 * PAD)
        drawn.append(
            f'<path d="M{x:.1f} {y:.1f}H{WIDTH - PAD}" stroke="{INK}" stroke-opacity="0.2"/>'
            f'<text x="{x - 4:.1f}" y="{y + 4:.1f}" text-anchor="end">{level:.3f}</text>'
        )
    return "".join(drawn)


def _speeds(left: float, right: float, xy: Callable[[float, float], tuple[float, float]]) -> str:

    drawn = []
    for exponent in range(math.floor(left), math.ceil(right) + 1):
        for digit in (1, 2, 5):
            speed = digit * 10.0**exponent
            if left <= math.log10(speed) <= right:
                x, _ = xy(speed, 0.0)
                drawn.append(
                    f'<path d="M{x:.1f} {PAD}V{HEIGHT - PAD}" stroke="{INK}" '
                    f'stroke-opacity="0.1"/><text x="{x:.1f}" y="{HEIGHT - PAD + 16}" '
                    f'text-anchor="middle">{speed:g}</text>'
                )
    return "".join(drawn)
