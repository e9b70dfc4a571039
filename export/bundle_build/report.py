"""report.html inside the bundle: what a person looks at before trusting it."""

from __future__ import annotations

import html
from collections.abc import Sequence

import cv2
import numpy as np

from edge_app.imaging.overlay import blend_map, contact_sheet
from edge_app.model.loaded_model import LoadedModel
from edge_app.records import U8Array
from export import charts
from export.augment import pseudo_anomaly
from export.bundle_build.odd_parts import calibrated_parts
from export.bundle_build.records import CutParts, InspectorFacts, Labelled
from export.calibrate.thresholds import Calibration
from export.pose.step import Cutting

SHEET_CROPS = 50
SHEET_MAPS = 12


def write_report(
    product: str,
    labelled: Labelled,
    cut: CutParts,
    found: Calibration,
    model: LoadedModel,
    facts: InspectorFacts,
    warnings: Sequence[str],
    sections: Sequence[str] = (),
) -> str:
    """Return the page. It holds no time and no path: the same inputs give the same bytes.

    Args:
        sections: further pieces of HTML, shown after the facts.
    """
    crops = cut.crops
    choice, grid, source = found.choice, found.grid, found.thresholds.defects_from
    body = [
        "".join(f'<p class="warning">{html.escape(w)}</p>' for w in warnings),
        charts.table(["What", "Found"], _facts(labelled, cut.cutting, found, facts)),
        *sections,
        "<h2>The product, cut out and turned upright</h2>",
        charts.picture(_sheet(crops), f"{min(len(crops), SHEET_CROPS)} of {len(crops)} crops"),
        f"<h2>Scores of hold-out good parts and of {html.escape(source)}</h2>",
        charts.histogram(
            [
                ("good parts", charts.GOOD, found.good.scores.tolist()),
                (source, charts.BAD, found.bad.scores.tolist()),
            ],
            [("threshold", choice.threshold)],
        ),
        "<h2>Threshold grid (normalised score)</h2>",
        charts.curves(
            [p.threshold for p in grid.points],
            [
                ("regions found", charts.BAD, [float(p.regions_found) for p in grid.points]),
                ("false positives", charts.GOOD, [float(p.false_positives) for p in grid.points]),
            ],
            grid.chosen.threshold,
        ),
        "<h2>The hold-out good parts with the highest scores: are they good?</h2>",
        charts.picture(
            _highest_scoring(calibrated_parts(labelled, cut).crops, found, model),
            "crop above, the map over it below",
        ),
        "<h2>What the map shows on synthetic anomalies</h2>",
        charts.picture(
            _maps(crops, cut.mask, model), "crop with the anomaly above, the map over it below"
        ),
    ]
    return charts.page(f"Bundle report: {product}", body)


def _facts(
    labelled: Labelled,
    cutting: Cutting,
    found: Calibration,
    facts: InspectorFacts,
) -> list[list[str]]:
    choice = found.choice
    h, w = cutting.spec.crop_hw
    return [
        ["Good pictures", str(len(labelled.good.pictures))],
        ["Product in the picture", labelled.labels.reason],
        ["Orientation", f"{cutting.kind}: {cutting.reason}"],
        ["Crop", f"{w} × {h} pixels"],
        ["False-alarm budget", f"{choice.budget_rate:.3%} of good parts"],
        [
            "Threshold",
            f"{choice.threshold:.4g}: {choice.false_alarms} of {choice.good_count} hold-out good "
            f"parts above it; true rate at most {choice.rate_bound:.2%} (95 % confidence); the "
            f"budget is {choice.promise}",
        ],
        ["Threshold chosen with", found.thresholds.defects_from],
        ["Of these caught", f"{found.recall:.1%}"],
        *([str(k), str(v)] for k, v in facts.rows() if k != "fp32_nodes"),
    ]


def _sheet(crops: Sequence[U8Array]) -> U8Array:
    picks = np.linspace(0, len(crops) - 1, min(SHEET_CROPS, len(crops))).astype(int)
    columns = 5 if crops[0].shape[1] > 1.5 * crops[0].shape[0] else 10
    return _shrunk(contact_sheet([crops[i] for i in picks], columns), 1200)


def _maps(crops: Sequence[U8Array], mask: U8Array | None, model: LoadedModel) -> U8Array:
    rng = np.random.default_rng(5)
    picks = np.linspace(0, len(crops) - 1, min(SHEET_MAPS, len(crops))).astype(int)
    changed = [pseudo_anomaly(rng, crops[i], mask).crop_hwc for i in picks]
    return _with_maps(changed, model)


def _highest_scoring(crops: Sequence[U8Array], found: Calibration, model: LoadedModel) -> U8Array:
    order = np.argsort(found.good.scores)[::-1][: SHEET_MAPS // 2]
    return _with_maps([crops[i] for i in order], model)


def _with_maps(crops: Sequence[U8Array], model: LoadedModel) -> U8Array:
    h, w = crops[0].shape[:2]
    corners = ((0.0, 0.0), (float(w), 0.0), (float(w), float(h)), (0.0, float(h)))
    shown = []
    for crop, anomaly in zip(crops, model.inspector.score(crops), strict=True):
        over = blend_map(crop, anomaly.map_hw, corners, model.limits.map_threshold)
        shown.append(np.vstack([crop, over]))
    return _shrunk(contact_sheet(shown, 3 if w > 1.5 * h else 6), 1200)


def _shrunk(picture: U8Array, width_px: int) -> U8Array:
    h, w = picture.shape[:2]
    if w <= width_px:
        return picture
    size = (width_px, round(h * width_px / w))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
