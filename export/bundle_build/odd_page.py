"""Odd good parts as HTML: cards for report.html, and the page on which a person decides on them."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from edge_app.imaging.overlay import blend_map
from edge_app.model.loaded_model import LoadedModel
from edge_app.records import U8Array
from export import charts
from export.bundle_build.odd_parts import OddPart
from export.data.review import CHOICES, Choice, Decision, told_name

WIDTH_PX = 300
"""Of a crop on a card; larger ones are shrunk."""

MEANINGS: dict[Choice, tuple[str, str]] = {
    "good": (
        "good",
        "a good part like any other. It stays, and is not shown here again.",
    ),
    "defective": (
        "defective",
        "not a good part: it slipped in among the pictures. The next build leaves it out, and the "
        "limit no longer forgives its defect.",
    ),
    "harmless": (
        "harmless dirt",
        "a good part with dust, a hair or a drop on it which the line shall let pass. It stays, "
        "and is not shown here again.",
    ),
}

STYLE = (
    "<style>.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));gap:1rem;"
    "padding:0}.card{list-style:none;border:1px solid #ccd;border-radius:6px;padding:.8rem}"
    ".card h3{margin:0 0 .5rem;font-size:1rem;overflow-wrap:anywhere}.card p{margin:.4rem 0}"
    ".pair{display:flex;gap:.4rem}.pair img{flex:1;min-width:0;object-fit:contain}"
    ".card fieldset{border:0;padding:0;margin:.5rem 0 0;display:flex;flex-wrap:wrap;gap:.2rem 1rem}"
    ".card label{padding:.35rem 0}"
    "#command{display:block;background:#eef1f4;padding:.8rem;white-space:pre-wrap;"
    "overflow-wrap:anywhere;user-select:all}code{background:#eef1f4;padding:0 .2rem}</style>"
)

SCRIPT = """<script>
const quoted = (text) => "'" + text.replaceAll("'", "'\\\\''") + "'";
const command = document.getElementById("command");
const start = command.textContent;
document.addEventListener("change", () => {
  const said = [...document.querySelectorAll("input:checked")].filter((i) => i.value);
  command.textContent = start + said.map((i) => ` --${i.value}=${quoted(i.name)}`).join("");
});
</script>"""


def odd_views(shown: Sequence[OddPart], model: LoadedModel) -> list[tuple[U8Array, U8Array]]:
    """Return each part's crop, and the crop with the anomaly map over it; both uint8 (h, w, 3).

    The map is that of a model which had not seen the part.
    """
    if not shown:
        return []
    crops = [odd.part.crop for odd in shown]
    h, w = crops[0].shape[:2]
    corners = ((0.0, 0.0), (float(w), 0.0), (float(w), float(h)), (0.0, float(h)))
    shipped = [anomaly.map_hw for anomaly in model.inspector.score(crops)]
    maps = [
        own if odd.part.map_hw is None else odd.part.map_hw
        for odd, own in zip(shown, shipped, strict=True)
    ]
    return [
        (_shrunk(crop), _shrunk(blend_map(crop, seen, corners, model.limits.map_threshold)))
        for crop, seen in zip(crops, maps, strict=True)
    ]


def _shrunk(pixels: U8Array) -> U8Array:
    h, w = pixels.shape[:2]
    if w <= WIDTH_PX:
        return pixels
    size = (WIDTH_PX, max(1, round(h * WIDTH_PX / w)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def odd_cards(
    shown: Sequence[OddPart], views: Sequence[tuple[U8Array, U8Array]], has_choices: bool = False
) -> str:
    """Return one card for each odd part, with three choices if asked for."""
    cards = (_card(odd, view, has_choices) for odd, view in zip(shown, views, strict=True))
    return f'{STYLE}<ul class="cards">{"".join(cards)}</ul>'


def _card(odd: OddPart, view: tuple[U8Array, U8Array], has_choices: bool) -> str:
    name = html.escape(told_name(odd.name), quote=True)
    crop, over = (charts.jpeg_address(pixels) for pixels in view)
    more = [told_name(p.name) for p in odd.part.pictures[1:]]
    same = f"<p>The same part: {html.escape(', '.join(more))}</p>" if more else ""
    return (
        f'<li class="card"><h3>{name}</h3><div class="pair">'
        f'<img alt="the part" src="{crop}"><img alt="what is odd about it" src="{over}"></div>'
        f"<p>{html.escape(told_score(odd))}</p><p>{html.escape(told_without(odd))}</p>{same}"
        f"{_choices(name) if has_choices else ''}</li>"
    )


def told_score(odd: OddPart) -> str:
    """Return how far up the part is, e.g. "134 % of the limit: it would be stopped."."""
    stopped = "it would be stopped" if odd.is_alarmed else "it would pass"
    far = ", far above the rest" if odd.is_far else ""
    return f"{odd.percent:.0f} % of the limit{far}: {stopped}."


def told_without(odd: OddPart) -> str:
    """Return where the limit would be if the part were not among the good ones."""
    there = round(odd.percent_without)
    if there == 100:
        return "Without it the limit would stay where it is."
    moves = "sink" if there < 100 else "rise"
    return f"Without it the limit would {moves} to {there} % of today's."


def _choices(escaped_name: str) -> str:
    radios = "".join(
        f'<label><input type="radio" name="{escaped_name}" value="{choice}"> '
        f"{MEANINGS[choice][0]}</label>"
        for choice in CHOICES
    )
    undecided = (
        f'<label><input type="radio" name="{escaped_name}" value="" checked> not decided</label>'
    )
    return f"<fieldset>{radios}{undecided}</fieldset>"


def review_page(
    product: str,
    command: str,
    shown: Sequence[OddPart],
    views: Sequence[tuple[U8Array, U8Array]],
    decided: Iterable[Decision],
) -> str:
    """Return the page on which a person decides on odd parts.

    Args:
        command: `edge-export review BUNDLE`, which records the decisions.
        decided: what was said before.
    """
    if shown:
        ask = [
            "<p>These are the pictures of good parts that the bundle finds most unlike the others. "
            "The most unlike comes first. Some of it is chance: of any parts, some are the most "
            "unlike. Left the part, right where it is unlike the others: the redder the more. Only "
            "a person can tell. Say for each:</p><ul>",
            *(f"<li><b>{word}</b>: {html.escape(said)}</li>" for word, said in MEANINGS.values()),
            "</ul><p>Nothing is left out without your word. A part you say nothing of stays.</p>",
            "<p>Choose below, then copy this command into a terminal. Or write your choices into "
            f"<code>review.csv</code> beside this page and run the command as it is: "
            f'</p><code id="command">{html.escape(command)}</code>',
            odd_cards(shown, views, has_choices=True),
            SCRIPT,
        ]
    else:
        ask = [STYLE, "<p>No good part is left to decide on.</p>"]
    rows = [[d.name, MEANINGS[d.choice][0]] for d in sorted(decided, key=lambda d: d.name)]
    before = ["<h2>Decided before</h2>", charts.table(["Picture", "Choice"], rows)] if rows else []
    return charts.page(f"Odd good parts: {product}", [*ask, *before])
