"""Small inline SVG charts for reports: no script, no font, no time, the same bytes every run."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

import cv2
import numpy as np

from edge_app.records import U8Array

WIDTH, HEIGHT, PAD = 560, 220, 34
UNIT = 320
"""Side of a chart of rates, in pixels."""

MOST_DOTS = 60
"""A curve of more points is drawn without dots."""

GOOD, BAD, INK = "#0a7d62", "#c4452d", "#3b4550"


def histogram(
    groups: Sequence[tuple[str, str, Sequence[float]]], marks: Sequence[tuple[str, float]]
) -> str:
    """Return an SVG histogram.

    Args:
        groups: (name, colour, values) drawn over one another, each as shares of its own count.
        marks: (name, value) vertical lines, such as the threshold.
    """
    everything = [v for _, _, values in groups for v in values] + [v for _, v in marks]
    low, high = min(everything), max(everything)
    span = (high - low) or 1.0
    edges = np.linspace(low, low + span, 41)
    bars = []
    for name, colour, values in groups:
        counts, _ = np.histogram(values, edges)
        shares = counts / max(counts.max(), 1)
        for share, left in zip(shares, edges[:-1], strict=True):
            x = PAD + (left - low) / span * (WIDTH - 2 * PAD)
            tall = share * (HEIGHT - 2 * PAD)
            if tall > 0:
                bars.append(
                    f'<rect x="{x:.1f}" y="{HEIGHT - PAD - tall:.1f}" width="11" '
                    f'height="{tall:.1f}" fill="{colour}" fill-opacity="0.55">'
                    f"<title>{html.escape(name)}</title></rect>"
                )
    lines = [_mark(name, PAD + (v - low) / span * (WIDTH - 2 * PAD)) for name, v in marks]
    legend = _legend([(name, colour) for name, colour, _ in groups])
    return _svg([*bars, *lines, _axis(low, low + span), legend])


def curves(
    x: Sequence[float], lines: Sequence[tuple[str, str, Sequence[float]]], mark: float | None = None
) -> str:
    """Return an SVG line chart; every line is scaled to its own maximum, named in the legend."""
    low, high = min(x), max(x)
    span = (high - low) or 1.0
    drawn = []
    for name, colour, values in lines:
        top = max(max(values), 1e-12)
        points = " ".join(
            f"{PAD + (a - low) / span * (WIDTH - 2 * PAD):.1f},"
            f"{HEIGHT - PAD - v / top * (HEIGHT - 2 * PAD):.1f}"
            for a, v in zip(x, values, strict=True)
        )
        drawn.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2">'
            f"<title>{html.escape(name)}</title></polyline>"
        )
    if mark is not None:
        drawn.append(_mark("chosen", PAD + (mark - low) / span * (WIDTH - 2 * PAD)))
    legend = _legend([(f"{n} (max {max(v):g})", c) for n, c, v in lines])
    return _svg([*drawn, _axis(low, low + span), legend])


def unit_curve(
    x: Sequence[float],
    y: Sequence[float],
    names: tuple[str, str],
    mark_xy: tuple[float, float] | None = None,
) -> str:
    """Return an SVG of a curve in the unit square, with quarter lines.

    Args:
        x, y: points, each 0..1.
        names: of the x and the y axis.
        mark_xy: the working point, drawn as a dot.
    """
    points = " ".join("{:.1f},{:.1f}".format(*_in_unit(*p)) for p in zip(x, y, strict=True))
    drawn = [f'<polyline points="{points}" fill="none" stroke="{GOOD}" stroke-width="2"/>']
    if mark_xy is not None:
        cx, cy = _in_unit(*mark_xy)
        drawn.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="5" fill="{BAD}"/>')
    x_name, y_name = (html.escape(name) for name in names)
    return (
        f'<svg viewBox="0 0 {UNIT} {UNIT}" width="{UNIT}" role="img" '
        f'font-family="system-ui,sans-serif" font-size="11">{_quarter_lines()}{"".join(drawn)}'
        f'<text x="{UNIT / 2}" y="{UNIT - 4}" text-anchor="middle">{x_name}</text>'
        f'<text x="{PAD}" y="{PAD - 10}">{y_name}</text></svg>'
    )


def share_curve(
    x: Sequence[float],
    shares: Sequence[float],
    names: tuple[str, str],
    mark_xy: tuple[float, float] | None = None,
) -> str:
    """Return an SVG of shares (0..1) against x >= 0, every point a dot, quarter lines behind.

    Args:
        names: of the x and the y axis.
        mark_xy: the chosen point, drawn larger and named.
    """
    top = max([*x, *([mark_xy[0]] if mark_xy else []), 1e-9])

    def placed(at: float, share: float) -> tuple[float, float]:
        return PAD + at / top * (WIDTH - 2 * PAD), HEIGHT - PAD - share * (HEIGHT - 2 * PAD)

    drawn = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        left, level = placed(0, share)
        drawn.append(
            f'<path d="M{left} {level:.1f}H{WIDTH - PAD}" stroke="{INK}" stroke-opacity="0.2"/>'
            f'<text x="{left - 4}" y="{level + 4:.1f}" text-anchor="end">{share:.0%}</text>'
        )
    points = [placed(at, share) for at, share in zip(x, shares, strict=True)]
    line = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
    drawn.append(f'<polyline points="{line}" fill="none" stroke="{GOOD}" stroke-width="2"/>')
    if len(points) <= MOST_DOTS:
        drawn += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.5" fill="{GOOD}"/>'
                  for px, py in points]  # fmt: skip
    if mark_xy is not None:
        cx, cy = placed(*mark_xy)
        drawn.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="5" fill="{BAD}"/>')
        drawn.append(_beside("chosen", cx, cy))
    x_name, y_name = (html.escape(name) for name in names)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
        f'font-family="system-ui,sans-serif" font-size="11">{"".join(drawn)}'
        f'<text x="{PAD}" y="{HEIGHT - PAD + 16}">0</text>'
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">{x_name}</text>'
        f'<text x="{WIDTH - PAD}" y="{HEIGHT - PAD + 16}" text-anchor="end">{top:.4g}</text>'
        f'<text x="{PAD}" y="{PAD - 18}">{y_name}</text></svg>'
    )


def _beside(name: str, x: float, y: float) -> str:
    """Return a dot's name below it, to its right or, near the right edge, to its left."""
    at, anchor = (x - 8, "end") if x > WIDTH - 2.5 * PAD else (x + 8, "start")
    return f'<text x="{at:.1f}" y="{y + 14:.1f}" text-anchor="{anchor}">{html.escape(name)}</text>'


def _in_unit(x: float, y: float) -> tuple[float, float]:
    side = UNIT - 2 * PAD
    return PAD + x * side, UNIT - PAD - y * side


def _quarter_lines() -> str:
    side, drawn = UNIT - 2 * PAD, []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        (left, level), (upright, top) = _in_unit(0, share), _in_unit(share, 1)
        drawn.append(
            f'<path d="M{left:.1f} {level:.1f}h{side}M{upright:.1f} {top:.1f}v{side}" '
            f'stroke="{INK}" stroke-opacity="0.2"/>'
            f'<text x="{left - 4:.1f}" y="{level + 4:.1f}" text-anchor="end">{share:g}</text>'
            f'<text x="{upright:.1f}" y="{UNIT - PAD + 14}" text-anchor="middle">{share:g}</text>'
        )
    return "".join(drawn)


def picture(pixels: U8Array, caption: str, quality: int = 80) -> str:
    """Return an inline figure."""
    text = html.escape(caption)
    return (
        f'<figure><img alt="{text}" src="{jpeg_address(pixels, quality)}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def jpeg_address(pixels: U8Array, quality: int = 80) -> str:
    """Return a picture, uint8 (h, w, 3) BGR, as the data: address of a JPEG."""
    ok, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    data = base64.b64encode(encoded.tobytes()).decode() if ok else ""
    return f"data:image/jpeg;base64,{data}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an HTML table; every cell is escaped."""
    head = "".join(f"<th>{html.escape(c)}</th>" for c in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        "</div>"
    )


def page(title: str, body: Sequence[str]) -> str:
    """Return a whole HTML page."""
    style = (
        "body{font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere;"
        "max-width:70rem;margin:2rem auto;padding:0 1rem;"
        f"color:{INK}}}h1,h2{{font-weight:600}}img{{max-width:100%}}figure{{margin:1rem 0}}"
        "table{border-collapse:collapse}td,th{border-bottom:1px solid #ccd;padding:.2rem .8rem;"
        "text-align:left;vertical-align:top}.wide{overflow-x:auto}svg{max-width:100%;height:auto}"
        ".warning,.answer{background:#fff3d6;padding:.5rem 1rem;border-left:4px solid #c80;"
        "overflow-wrap:anywhere}"
        f".answer{{background:#e6f4f0;border-color:{GOOD}}}"
        f".answer.weak{{background:#fbe6e2;border-color:{BAD}}}"
        ".answer p{margin:.3rem 0}.answer p:first-child{font-weight:600;font-size:1.1rem}"
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{style}</style>"
        f"<h1>{html.escape(title)}</h1>{''.join(body)}</html>\n"
    )


def _svg(parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
        f'font-family="system-ui,sans-serif" font-size="11">{"".join(parts)}</svg>'
    )


def _axis(low: float, high: float) -> str:
    y = HEIGHT - PAD
    return (
        f'<line x1="{PAD}" y1="{y}" x2="{WIDTH - PAD}" y2="{y}" stroke="{INK}"/>'
        f'<text x="{PAD}" y="{y + 16}">{low:.4g}</text>'
        f'<text x="{WIDTH - PAD}" y="{y + 16}" text-anchor="end">{high:.4g}</text>'
    )


def _mark(name: str, x: float) -> str:
    is_near_right_edge = x > WIDTH - 2.5 * PAD  # the name then stands left of its line
    at, anchor = (x - 4, "end") if is_near_right_edge else (x + 4, "start")
    return (
        f'<line x1="{x:.1f}" y1="{PAD / 2}" x2="{x:.1f}" y2="{HEIGHT - PAD}" stroke="{INK}" '
        f'stroke-dasharray="4 3"/><text x="{at:.1f}" y="{PAD - 4}" text-anchor="{anchor}">'
        f"{html.escape(name)}</text>"
    )


def _legend(names: Sequence[tuple[str, str]]) -> str:
    return "".join(
        f'<rect x="{PAD + 180 * i}" y="2" width="10" height="10" fill="{colour}"/>'
        f'<text x="{PAD + 14 + 180 * i}" y="11">{html.escape(name)}</text>'
        for i, (name, colour) in enumerate(names)
    )
