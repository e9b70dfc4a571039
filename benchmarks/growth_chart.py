"""The chart of `benchmarks.growth`: four panels, one below the other, as SVG.

One column, so that the words can still be read on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Point = dict[str, float]

WIDTH, PANEL = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 74, 76, 60, 62
FONT = 19
TOTAL, OUTSIDE, LIMIT, INK, GRID = "#0b5fa5", "#b8480e", "#6b7280", "#1f2937", "#d1d5db"

PANELS = {
    "parts": ("Parts in a picture", "parts", (1, 6, 12)),
    "cameras": ("Cameras, one picture of each", "cameras", (1, 4, 8)),
    "picture": ("Pixels of the picture", "megapixels", (1, 10, 20)),
    "crop": ("Square crop, one part in a picture", "pixels of a side", (128, 256, 512)),
}
RATES_PER_S = (50, 20, 10, 5, 2, 1)
"""Pictures a second whose time is drawn as the limit: above the line one core is more than full."""

NEAR_PX = 22
"""Lines nearer than this to one that is drawn are left out: their words would touch."""


def chart(found: dict[str, Any]) -> str:
    """Return the chart of all sweeps that there are figures of."""
    shown = [name for name in PANELS if name in found]
    height = 66 + PANEL * len(shown)
    body = [_text(LEFT - 58, 26, "CPU ms for a picture on one core", "start", INK, "bold")]
    body += _key(LEFT - 58, 52)
    for number, name in enumerate(shown):
        points = [p for p in found[name] if name != "crop" or p["value"] > 1]
        body += _panel(name, sorted(points, key=lambda p: p["value"]), 66 + PANEL * number)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="{FONT}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>', *body, "</svg>", "",
    ])  # fmt: skip


def nice_top(value: float) -> float:
    """Return the end of an axis: the next of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
    return next(step * power for step in steps if step * power >= value * 0.999)


def limits(top_ms: float, height_px: float) -> list[tuple[float, int]]:
    """Return the (ms, pictures a second) that fit below the top, none too near another."""
    kept: list[tuple[float, int]] = []
    for rate in sorted(RATES_PER_S):
        ms = 1000 / rate
        has_room = all(abs(ms - other) / top_ms * height_px >= NEAR_PX for other, _ in kept)
        if ms <= top_ms and has_room and ms / top_ms * height_px >= NEAR_PX:
            kept.append((ms, rate))
    return kept


def _panel(name: str, points: Sequence[Point], y: float) -> list[str]:
    title, unit, marks = PANELS[name]
    top_ms = nice_top(max(p["total_ms"] for p in points))
    top_x = max(points[-1]["value"], marks[-1])
    height = PANEL - TOP - BOTTOM
    width = WIDTH - LEFT - RIGHT
    floor = y + TOP + height

    def at(value: float, ms: float) -> tuple[float, float]:
        return LEFT + value / top_x * width, floor - ms / top_ms * height

    drawn = [_text(LEFT - 58, y + 36, title, "start", INK, "bold")]
    for share in (0, 0.5, 1):
        ms = top_ms * share
        drawn.append(_line((LEFT, at(0, ms)[1]), (LEFT + width, at(0, ms)[1]), GRID))
        drawn.append(_text(LEFT - 8, at(0, ms)[1] + 6, f"{ms:g}", "end"))
    for value in marks:
        drawn.append(_text(at(value, 0)[0], floor + 24, f"{value:g}", "middle"))
    drawn.append(_text(LEFT + width / 2, floor + 48, unit, "middle"))
    for ms, rate in limits(top_ms, height):
        drawn.append(_line((LEFT, at(0, ms)[1]), (LEFT + width, at(0, ms)[1]), LIMIT, "7 5"))
        drawn.append(_text(LEFT + width + 8, at(0, ms)[1] + 6, f"{rate} / s", "start", LIMIT))
    for key, colour in (("total_ms", TOTAL), ("outside_ms", OUTSIDE)):
        places = [at(p["value"], p[key]) for p in points]
        route = " ".join(f"{x:.1f},{v:.1f}" for x, v in places)
        drawn.append(f'<polyline points="{route}" fill="none" stroke="{colour}" stroke-width="3"/>')
        drawn += [f'<circle cx="{x:.1f}" cy="{v:.1f}" r="5" fill="{colour}"/>' for x, v in places]
    return drawn


def _key(x: float, y: float) -> list[str]:
    drawn = []
    words = (
        ("in total", TOTAL, ""),
        ("outside the graphs", OUTSIDE, ""),
        ("core full at", LIMIT, "7 5"),
    )
    for label, colour, dashes in words:
        drawn.append(_line((x, y - 6), (x + 34, y - 6), colour, dashes, 3))
        drawn.append(_text(x + 42, y, label, "start"))
        x += 62 + 10.2 * len(label)
    return drawn


def _line(
    begin: tuple[float, float],
    end: tuple[float, float],
    colour: str,
    dashes: str = "",
    wide: int = 1,
) -> str:
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{begin[0]:.1f}" y1="{begin[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" '
        f'stroke="{colour}" stroke-width="{wide}"{dash}/>'
    )


def _text(
    x: float, y: float, words: str, anchor: str, colour: str = INK, weight: str = "normal"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" '
        f'font-weight="{weight}">{words}</text>'
    )
