"""The report's charts as SVG: few marks, words beside them, readable in black and white."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from edge_app.report.figures import Counts

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 190, 46, 26, 8
RIGHT = WIDTH - 18
"""Up to here scores go, so that the last tick has room."""
MAX_TICKS = 13


def bars(names: Sequence[str], counts: Sequence[Counts], title: str) -> str:
    """Return stacked bars of good, bad and not inspected parts."""
    most = max([c.parts for c in counts] + [1])
    step, inner = (WIDTH - LEFT) / max(len(counts), 1), HEIGHT - TOP - BOTTOM
    marks = [_axis(f"{most:,}")]
    for number, (name, count) in enumerate(zip(names, counts, strict=True)):
        x, y = LEFT + number * step + step * 0.12, float(HEIGHT - BOTTOM)
        said = f"{name}: {count.ok:,} / {count.ng:,} / {count.not_inspected:,}"
        for kind, value in (("ok", count.ok), ("ng", count.ng), ("not", count.not_inspected)):
            # A single bad part of thousands stays visible.
            height = max(inner * value / most, 2.0) if value else 0.0
            y -= height
            if value:
                marks.append(
                    f'<rect class="{kind}" x="{x:.1f}" y="{max(y, TOP):.1f}" '
                    f'width="{step * 0.76:.1f}" height="{height:.1f}"><title>{escape(said)}</title>'
                    "</rect>"
                )
    return _svg(marks + _ticks(names, step), title)


def shares(names: Sequence[str], counts: Sequence[Counts], title: str) -> str:
    """Return the share of bad parts with what chance allows; hours without parts are left out."""
    spans = [(c.ng_share, c.interval) for c in counts]
    seen = [(share, high) for share, (_, high) in spans if share is not None]
    most = min(1.0, max([max(2 * share, min(high, 3 * share)) for share, high in seen] + [0.01]))
    step, inner = (WIDTH - LEFT) / max(len(counts), 1), HEIGHT - TOP - BOTTOM

    def height(value: float) -> float:
        return HEIGHT - BOTTOM - inner * min(value / most, 1.0)

    marks, points = [_axis(f"{100 * most:.2g} %")], []
    for number, (name, (share, (low, high))) in enumerate(zip(names, spans, strict=True)):
        if share is None:
            continue
        x = LEFT + (number + 0.5) * step
        top, bottom = height(high), height(low)
        marks.append(
            f'<rect class="band" x="{x - step * 0.38:.1f}" y="{top:.1f}" '
            f'width="{step * 0.76:.1f}" height="{max(bottom - top, 1):.1f}">'
            f"<title>{escape(name)}: {100 * share:.2f} %</title></rect>"
        )
        points.append(f"{x:.1f},{height(share):.1f}")
    marks.append(f'<polyline class="line" points="{" ".join(points)}"/>')
    marks += [f'<circle class="dot" cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="3"/>'
              for p in points]  # fmt: skip
    return _svg(marks + _ticks(names, step), title)


def scores(histogram: Sequence[tuple[float, int]], title: str, limit_word: str) -> str:
    """Return the scores' histogram, the limit marked; heights are square roots, so that a few
    parts beyond the limit are seen beside thousands of good ones."""
    low = min([share for share, _ in histogram] + [0.0])
    top = max([count for _, count in histogram] + [1]) ** 0.5
    span = max(3.05 - low, 0.1)
    inner, per = HEIGHT - TOP - BOTTOM, (RIGHT - LEFT) / span
    marks = []
    for share, count in histogram:
        height = max(inner * count**0.5 / top, 2.0)
        kind = "ng" if share >= 1 else "ok"
        marks.append(
            f'<rect class="{kind}" x="{LEFT + (share - low) * per:.1f}" '
            f'y="{HEIGHT - BOTTOM - height:.1f}" width="{0.045 * per:.1f}" '
            f'height="{height:.1f}"><title>{100 * share:.0f} %: {count:,}</title></rect>'
        )
    x = LEFT + (1 - low) * per
    marks.append(f'<path class="limit" d="M{x:.1f} {TOP} V{HEIGHT - BOTTOM}"/>')
    marks.append(f'<text x="{x + 5:.1f}" y="{TOP + 11}">{escape(limit_word)}</text>')
    for share in (0, 0.5, 1, 1.5, 2, 2.5, 3):
        at = LEFT + (share - low) * per
        marks.append(f'<text class="tick" x="{at:.1f}" y="{HEIGHT - 8}">{100 * share:.0f} %</text>')
    return _svg(marks, title)


def pareto(rows: Sequence[tuple[str, int]]) -> str:
    """Return bars from left to right, longest first, as table rows."""
    most = max([count for _, count in rows] + [1])
    return "".join(
        f"<tr><th>{escape(name)}</th><td class=n>{count:,}</td><td class=bar>"
        f'<svg viewBox="0 0 100 6" preserveAspectRatio="none" role="presentation">'
        f'<rect class="ng" width="{100 * count / most:.1f}" height="6"/></svg></td></tr>'
        for name, count in rows
    )


def _axis(text: str) -> str:
    base = HEIGHT - BOTTOM
    return (
        f'<path class="axis" d="M{LEFT} {base} H{WIDTH} M{LEFT} {TOP} H{WIDTH}"/>'
        f'<text class="axis-text" x="{LEFT - 6}" y="{TOP + 9}">{escape(text)}</text>'
        f'<text class="axis-text" x="{LEFT - 6}" y="{base}">0</text>'
    )


def _ticks(names: Sequence[str], step: float) -> list[str]:
    every = -(-len(names) // MAX_TICKS) or 1
    return [
        f'<text class="tick" x="{LEFT + (number + 0.5) * step:.1f}" y="{HEIGHT - 8}">'
        f"{escape(name)}</text>"
        for number, name in enumerate(names)
        if number % every == 0
    ]


def _svg(marks: Sequence[str], title: str) -> str:
    return (
        '<div class="wide" tabindex="0">'
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{"".join(marks)}</svg></div>'
    )
