"""The comparison as a folder with one page: every part that changes, old model left, new right."""

from __future__ import annotations

from html import escape
from pathlib import Path

import cv2
import numpy as np

from edge_app.records import U8Array
from edge_app.replay.comparison import CHANGES, Comparison, Pair

PAGE = "report.html"
HEIGHT_PX, WIDTH_PX = 320, 640
JPEG_QUALITY = 85
BAD = ("defect_lost", "good_alarmed")

STYLE = """
body{font:16px/1.45 system-ui,sans-serif;color:#1a1f26;max-width:1100px;margin:24px auto;padding:0
20px}h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:32px}
.lead{font-weight:650;font-size:1.15rem;border-left:5px solid #1b8a62;padding-left:10px}
.lead.bad{border-color:#c62f26}p.soft{color:#5a6675}
figure{display:grid;grid-template-columns:1fr 1fr;gap:8px;margin:16px 0;border-top:1px solid
#d5dbe3;padding-top:10px;break-inside:avoid}figure img{max-width:100%;height:auto;display:block}
figcaption{grid-column:1/-1}figure div{font-size:.95rem}
table{border-collapse:collapse}td{padding:3px 14px 3px 0;border-bottom:1px solid #d5dbe3}
td.n{text-align:right}@media(max-width:600px){figure{grid-template-columns:1fr}}
"""


def write_report(
    folder: Path, found: Comparison, old: str, new: str, notes: tuple[str, ...]
) -> Path:
    """Write the page and its pictures into a folder that is there; return the page.

    Args:
        old, new: the models, for people.
        notes: sentences on what was left out.

    Raises:
        OSError: it cannot be written.
    """
    rows: list[str] = []
    for number, pair in enumerate(found.pairs, start=1):
        names = write_pictures(folder, number, pair)
        rows.append(figure(pair, names))
    sections = []
    for change, text in CHANGES.items():
        own = [row for row, p in zip(rows, found.pairs, strict=True) if p.change == change]
        if own:
            count = found.counts[change]
            shown = "" if count == len(own) else f"; {len(own)} are shown"
            sections.append(f"<h2>{count} {escape(text)}{shown}</h2>{''.join(own)}")
    page = folder / PAGE
    page.write_text(_page(found, (old, new), notes, "".join(sections)), encoding="utf-8")
    return page


def write_pictures(folder: Path, number: int, pair: Pair) -> tuple[str, str]:
    """Write both models' pictures of a part into a folder that is there; return their names."""
    names = (f"{number:03d}-old.jpg", f"{number:03d}-new.jpg")
    for name, judged in zip(names, (pair.old, pair.new), strict=True):
        (folder / name).write_bytes(_jpeg(judged.view_hwc))
    return names


def lead(found: Comparison) -> str:
    """Return the outcome in one sentence."""
    lost, alarmed = found.counts["defect_lost"], found.counts["good_alarmed"]
    if lost:
        return f"Do not use the new model as it is: {lost} {CHANGES['defect_lost']}."
    if not found.parts:
        return "There is no kept part to judge."
    gone = found.counts["false_alarm_gone"]
    tail = f"; {gone} {CHANGES['false_alarm_gone']}" if gone else ""
    tail += f"; {alarmed} {CHANGES['good_alarmed']}" if alarmed else ""
    if not found.marked["defect"]:
        return f"No kept part is a confirmed defect, so that none can be lost{tail}."
    return f"No confirmed defect of {found.marked['defect']} would be lost{tail}."


def _page(found: Comparison, names: tuple[str, str], notes: tuple[str, ...], sections: str) -> str:
    old, new = (escape(name) for name in names)
    bad = " bad" if any(found.counts[change] for change in BAD) else ""
    table = "".join(
        f"<tr><td class=n>{found.counts[change]}</td><td>{escape(text)}</td></tr>"
        for change, text in CHANGES.items()
    )
    soft = "".join(f"<p class=soft>{escape(note)}</p>" for note in (found.sample.words(), *notes))
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>{old} and {new}</title><style>{STYLE}</style>"
        f"<h1>{old} (today, left) and {new} (new, right) over kept parts</h1>"
        f"<p class='lead{bad}'>{escape(lead(found))}</p>"
        f"<p>{found.parts} kept parts were judged by both models, {found.same} alike.</p>"
        f"<table>{table}</table>{soft}{sections or '<p>No verdict changes.</p>'}</html>\n"
    )


def figure(pair: Pair, names: tuple[str, str], more: str = "") -> str:
    """Return one part with both models' pictures as HTML.

    Args:
        names: of the two pictures, beside the page.
        more: said of the part besides.
    """
    part = pair.part
    said = {"good": "people say: good", "defect": "people say: defect"}.get(part.mark, part.mark)
    named = (part.part_id, part.captured_at, part.camera, said, more)
    caption = " · ".join(filter(None, named))
    cells = "".join(
        f"<div><img src='{name}' alt='{side} model'>{side}: {escape(judged.words())}</div>"
        for name, side, judged in zip(
            names, ("today's", "the new"), (pair.old, pair.new), strict=True
        )
    )
    return f"<figure><figcaption>{escape(caption)}</figcaption>{cells}</figure>"


def _jpeg(view_hwc: U8Array) -> bytes:
    h, w = view_hwc.shape[:2]
    scale = min(HEIGHT_PX / h, WIDTH_PX / w)
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(view_hwc, size, interpolation=how)
    _, data = cv2.imencode(".jpg", np.asarray(small), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(data)
