"""report.html inside the bundle: what a person looks at before trusting it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from calibration.thresholds.words import told_rank
from edge_app.imaging.overlay import blend_map, contact_sheet
from edge_app.model.loaded_model import LoadedModel
from edge_app.records import U8Array
from export import charts
from export.augment import pseudo_anomaly
from export.bundle_build.answer import answer
from export.bundle_build.limit_section import curve_section, points_section, sensitivity_section
from export.bundle_build.odd_page import odd_cards
from export.bundle_build.odd_parts import OddParts
from export.bundle_build.records import CutParts, InspectorFacts, Labelled
from export.calibrate.thresholds import Calibration

SHEET_CROPS = 50
SHEET_MAPS = 12


@dataclass(frozen=True, slots=True, eq=False)
class ReportParts:
    """What the report shows.

    Attributes:
        views: of the odd parts shown: crop, and crop with map.
    """

    labelled: Labelled
    cut: CutParts
    found: Calibration
    odd: OddParts
    views: Sequence[tuple[U8Array, U8Array]]
    facts: InspectorFacts


def write_report(
    product: str,
    shown: ReportParts,
    model: LoadedModel,
    warnings: Sequence[str],
    sections: Sequence[str] = (),
) -> str:
    """Return the page. It holds no time and no path: the same inputs give the same bytes.

    Args:
        sections: further pieces of HTML, shown after the facts.
    """
    crops, found = shown.cut.crops, shown.found
    body = [
        _answer(shown),
        "".join(f'<p class="warning">{html.escape(w)}</p>' for w in warnings),
        *_odd(shown),
        *sensitivity_section(found),
        *points_section(found),
        *curve_section(found),
        "<h2>What the bundle rests on</h2>",
        charts.table(["What", "Found"], _facts(shown)),
        *sections,
        "<h2>The product, as it is cut out</h2>",
        charts.picture(_sheet(crops), f"{min(len(crops), SHEET_CROPS)} of {len(crops)} crops"),
        *_scores(found),
        *_grid(found),
        "<h2>What the map shows on synthetic anomalies</h2>",
        charts.picture(
            _maps(crops, shown.cut.mask, model),
            "crop with the anomaly above, the map over it below",
        ),
        *_details(shown.facts),
    ]
    return charts.page(f"Bundle report: {product}", body)


def _answer(shown: ReportParts) -> str:
    said = answer(shown.found, shown.odd, shown.cut, shown.facts)
    weak = " weak" if shown.found.weakness else ""
    sentences = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in said)
    return f'<div class="answer{weak}">{sentences}</div>'


def _odd(shown: ReportParts) -> list[str]:
    if not shown.odd.shown:
        return []
    return [
        "<h2>The most anomalous good parts: are they good?</h2>",
        "<p>The most anomalous comes first. Only a person can tell whether a part is good, "
        "defective or carries harmless dirt; edge-export review asks for it, and nothing is left "
        "out without an answer. Left the part, right where it is unlike the others.</p>",
        odd_cards(shown.odd.shown, shown.views),
    ]


def _scores(found: Calibration) -> list[str]:
    source = found.thresholds.defects_from
    bad = found.bad.scores[np.isfinite(found.bad.scores)]
    missing = len(found.bad.scores) - len(bad)
    note = f"<p>{missing} defects are in no crop and have no score.</p>" if missing else ""
    return [
        f"<h2>Scores of good parts and of {html.escape(source)}</h2>",
        charts.histogram(
            [
                ("good parts", charts.GOOD, found.good.scores.tolist()),
                (source, charts.BAD, bad.tolist()),
            ],
            [("limit", found.choice.threshold)],
        ),
        note,
    ]


def _grid(found: Calibration) -> list[str]:
    """Return the paper's grid search, which decides only where a person gave real defects."""
    if not found.bad_are_real:
        return []
    points = found.grid.points
    return [
        "<h2>Threshold grid (normalised score)</h2>",
        charts.curves(
            [p.threshold for p in points],
            [
                ("regions found", charts.BAD, [float(p.regions_found) for p in points]),
                ("false positives", charts.GOOD, [float(p.false_positives) for p in points]),
            ],
            found.grid.chosen.threshold,
        ),
    ]


def _facts(shown: ReportParts) -> list[list[str]]:
    labelled, cut, found = shown.labelled, shown.cut, shown.found
    h, w = cut.cutting.spec.crop_hw
    held = len(cut.hold_out_crops)
    rows = [
        ["Pictures of good parts", _pictures(labelled)],
        ["Where the part is", labelled.labels.reason],
        ["Way to the crop", cut.reason],
        [
            "Crops",
            f"{len(cut.crops)} of {w} × {h} pixels train"
            + (f", {held} are held back for the limit" if held else ""),
        ],
        ["Orientation", f"{cut.cutting.kind}: {cut.cutting.reason}"],
        ["Limit", _limit(found)],
        ["Suspect from", _suspect(found)],
        ["Tried on", found.thresholds.defects_from],
        ["Of these caught", f"{found.recall:.1%}"],
        ["Chosen by", shown.facts.chosen_by or ""],
        ["Known defects", shown.facts.known_defects or ""],
    ]
    return [row for row in rows if row[1]]


def _pictures(labelled: Labelled) -> str:
    good = labelled.good
    told = str(len(good.pictures))
    if good.parts < len(good.pictures):
        told += f", showing {good.parts} different parts"
    if good.confirmed_defective:
        told += f"; {good.confirmed_defective} more were called defective and left out"
    return told


def _limit(found: Calibration) -> str:
    choice, origin = found.choice, found.thresholds.origin
    rank = f"{told_rank(max(1, choice.false_alarms))} of {choice.good_count}"
    how = "good parts that were held back"
    if origin is not None:
        how = f"good parts, each scored by a model that had not seen it ({origin.folds} models)"
    return f"{choice.threshold:.4g}: {rank} {how}; the rate is {choice.promise}"


def _suspect(found: Calibration) -> str:
    suspect = found.thresholds.suspect_threshold
    if suspect is None:
        return ""
    return f"{suspect:.4g}: about one good part in 20 lies above it; it is OK, and marked"


def _details(facts: InspectorFacts) -> list[str]:
    """Return what the method says of itself, without what only machines read."""
    record = facts.inspector
    rows = [["Method", record.method], ["Graph", f"{record.graph.onnx_bytes / 1e6:.1f} MB"]]
    for name, value in sorted({**record.settings, **record.figures}.items()):
        rows += _rows_of(name.replace("_", " "), value)
    return ["<h2>Details of the inspector</h2>", charts.table(["What", "Value"], rows)]


def _rows_of(name: str, value: object) -> list[list[str]]:
    """Return a row for a value, one for each entry of a dictionary."""
    if isinstance(value, dict):
        named = ((str(key).replace("_", " "), entry) for key, entry in value.items())
        return [row for key, entry in named for row in _rows_of(f"{name}: {key}", entry)]
    return [[name, readable(value)]]


def readable(value: object) -> str:
    """Return a JSON value as people read it: lists with commas, four digits, yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        told = [readable(entry) for entry in value[:MOST_LISTED]]
        more = [f"{len(value) - MOST_LISTED} more"] if len(value) > MOST_LISTED else []
        return ", ".join(told + more)
    return "none" if value is None else str(value)


MOST_LISTED = 12
"""Entries of a list that are shown."""


def _sheet(crops: Sequence[U8Array]) -> U8Array:
    picks = np.linspace(0, len(crops) - 1, min(SHEET_CROPS, len(crops))).astype(int)
    columns = 5 if crops[0].shape[1] > 1.5 * crops[0].shape[0] else 10
    return _shrunk(contact_sheet([crops[i] for i in picks], columns), 1200)


def _maps(crops: Sequence[U8Array], mask: U8Array | None, model: LoadedModel) -> U8Array:
    rng = np.random.default_rng(5)
    picks = np.linspace(0, len(crops) - 1, min(SHEET_MAPS, len(crops))).astype(int)
    changed = [pseudo_anomaly(rng, crops[i], mask).crop_hwc for i in picks]
    h, w = crops[0].shape[:2]
    corners = ((0.0, 0.0), (float(w), 0.0), (float(w), float(h)), (0.0, float(h)))
    shown = []
    for crop, anomaly in zip(changed, model.inspector.score(changed), strict=True):
        over = blend_map(crop, anomaly.map_hw, corners, model.limits.map_threshold)
        shown.append(np.vstack([crop, over]))
    return _shrunk(contact_sheet(shown, 3 if w > 1.5 * h else 6), 1200)


def _shrunk(picture: U8Array, width_px: int) -> U8Array:
    h, w = picture.shape[:2]
    if w <= width_px:
        return picture
    size = (width_px, round(h * width_px / w))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
