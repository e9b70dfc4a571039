"""The way to the crop, measured: the whole picture, or a detector and the upright crop.

At a fixed station the whole picture is the plainest and safest crop: no detector can lose the part
or turn it wrongly. For parts at any place and angle the upright crop sees far more. Both ways are
judged by the default method on the same synthetic defects, drawn into the pictures, every good
picture by a model that has not seen it. The whole picture stays unless the other way catches
clearly more; a part that the detector loses counts as missed.

The detector is one for all folds, and so are direction and template: they are learnt from labels
and average pictures, not from what is anomalous. What that costs has not been measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from edge_app.errors import DataError
from edge_app.imaging.upright_crop import FrameRegion
from edge_app.inspection.stages import WholeFrame
from edge_app.records import U8Array
from export.augment.defect_like import ABSENT
from export.bundle_build.closer_look import catches_less
from export.bundle_build.records import BuildOptions, CutParts, Found, Labelled, View
from export.data.crops import FoundPart
from export.data.dataset import Picture
from export.defects.evidence import (
    CHOICE_RATE,
    CrossFitted,
    Evidence,
    per_group,
    recall_at,
    with_missing_caught,
)
from export.defects.synthetic import cut_drawn, drawn_pictures
from export.detector.step import detector_step, file_digest, open_finder, parts_step
from export.labels.step import Labels
from export.methods.inspector_record import InspectorRecord
from export.methods.names import DEFAULT
from export.methods.train import cross_fitted_beside, inspector_step
from export.pose.silhouette import product_silhouette
from export.pose.step import Cutting, cut_all, orientation_step
from export.workspace import OnStep, Workspace

ENOUGH = 0.85
"""A whole picture that catches so much of the synthetic defects, small ones included, leaves little
for a detector to gain, which takes minutes and may lose parts."""

CLEAR_GAIN = 0.05
"""Of all synthetic defects: with 217 of them two standard errors of a paired difference."""


REGION_WORTH = 0.6
"""A place that fills a larger share of the picture is hardly seen better than the whole of it."""

WholeName = Literal["whole", "whole-fine", "region"]
"""Ways without a detector; each keeps its work in a folder of that name."""


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """A way to the crop that is tried.

    Attributes:
        space: where what is learnt this way is kept.
        labels: whether the frame counts as the product.
        is_fine: a whole picture at twice as many pixels.
    """

    view: View
    space: Workspace
    labels: Labels
    is_fine: bool = False


@dataclass(frozen=True, slots=True)
class WayFound:
    """One way to the crop and what it catches.

    Attributes:
        recall: share of the synthetic defects above the limit of CHOICE_RATE, cross-fitted.
        lost: share of the good pictures in which it finds no whole part.
        given_up: why it was not measured on everything; "" where it was.
    """

    found: Found
    cut: CutParts
    recall: float
    lost: float
    given_up: str = ""


def choose_view(
    options: BuildOptions, labelled: Labelled, on_step: OnStep
) -> tuple[Found, CutParts]:
    """Return the way to the crop and what it cuts.

    A given detector leaves no choice; `--detector none` only that of the size.

    Raises:
        DataError: a way that was asked for cannot be gone.
    """
    if options.detector not in ("auto", "none"):
        return _as_asked(_upright(options, labelled, on_step), "a detector, as asked for")
    whole, reason = _best_whole(options, labelled, on_step)
    labels = labelled.labels
    if labels.fills_frame or labels.fixed_box is not None or whole.recall >= ENOUGH:
        return _as_asked(whole, reason)
    try:
        upright = _upright(options, labelled, on_step)
    except DataError as error:
        found, cut = _as_asked(whole, reason)
        note = f"the whole picture is inspected, because the part cannot be cut out: {error}"
        return found, replace(cut, warnings=(note,))
    lost = f", losing {upright.lost:.0%} of the good parts" if upright.lost else ""
    reason += f"; the part found and turned upright {upright.recall:.0%}{lost}"
    gain = upright.recall - upright.lost - whole.recall
    return _as_asked(upright if gain >= CLEAR_GAIN else whole, reason)


def _as_asked(way: WayFound, reason: str) -> tuple[Found, CutParts]:
    return way.found, replace(way.cut, reason=reason)


def _best_whole(options: BuildOptions, labelled: Labelled, on_step: OnStep) -> tuple[WayFound, str]:
    """Return the whole picture as it is taken, or what catches clearly more, and why.

    That is the same picture at twice as many pixels, or, where the part always lies at the same
    place, the part of the picture round it.
    """
    best = _whole(options, labelled, "whole", on_step)
    reason = (
        f"at {CHOICE_RATE:.0%} false alarms the whole picture shows {best.recall:.0%} of the "
        "synthetic defects"
    )
    for name, what in _closer(labelled.labels, options.format).items():
        if best.recall >= ENOUGH:
            break
        closer = _whole(options, labelled, name, on_step, best)
        if closer.cut.cutting.spec == best.cut.cutting.spec and closer.cut.cutting.region is None:
            continue
        h, w = closer.cut.cutting.spec.crop_hw
        reason += f", {what} at {w} × {h} pixels {closer.given_up or f'{closer.recall:.0%}'}"
        if closer.recall >= best.recall + CLEAR_GAIN:
            best = closer
    if labelled.labels.fixed_box is not None:
        reason += "; the part always lies at the same place, so no detector is trained"
    return best, reason


def _closer(labels: Labels, bundle_format: int) -> dict[WholeName, str]:
    """Return what is tried besides the whole picture, and how it is called in a sentence.

    Args:
        bundle_format: 1 knows no part of a picture.
    """
    closer: dict[WholeName, str] = {"whole-fine": "the same"}
    box = labels.fixed_box
    if box is not None and bundle_format > 1 and box[2] * box[3] < REGION_WORTH:
        closer["region"] = "the part's place"
    return closer


def _whole(
    options: BuildOptions,
    labelled: Labelled,
    name: WholeName,
    on_step: OnStep,
    beside: WayFound | None = None,
) -> WayFound:
    space = labelled.space.branch(name)
    fixed = labelled.labels.fixed_box if name == "region" else None
    finder = WholeFrame(None if fixed is None else FrameRegion(*fixed))
    labels = replace(labelled.labels, fills_frame=True)
    parts = parts_step(space, finder, str(fixed), _all_pictures(labelled), fills_frame=True)
    way = Way("whole", space, labels, is_fine=name == "whole-fine")
    found = Found(None, None, finder, parts)
    return _measured(options, labelled, found, way, on_step, beside if way.is_fine else None)


def _upright(options: BuildOptions, labelled: Labelled, on_step: OnStep) -> WayFound:
    found = find_with_detector(options, labelled)
    way = Way("upright", labelled.space.branch("upright"), labelled.labels)
    return _measured(options, labelled, found, way, on_step)


def find_with_detector(options: BuildOptions, labelled: Labelled) -> Found:
    """Train the detector and find every product with it."""
    space, labels = labelled.space, labelled.labels
    file, spec = detector_step(
        space, labels, labelled.training, options.detector_source, options.seed, options.device
    )
    finder = open_finder(file, spec, labels.has_axis)
    everything = _all_pictures(labelled)
    parts = parts_step(space, finder, file_digest(file), everything, labels.fills_frame)
    return Found(file, spec, finder, parts)


def _measured(
    options: BuildOptions,
    labelled: Labelled,
    found: Found,
    way: Way,
    on_step: OnStep,
    beside: WayFound | None = None,
) -> WayFound:
    """Cut the parts this way and let the default method judge them by folds.

    Args:
        beside: what it has to be better than, on a sample first.
    """
    cut = _cut(options, labelled, found, way, on_step)
    pictures = len(found.parts.empty) + len(found.parts.cut)
    lost = pictures / max(1, len(_all_pictures(labelled)))

    def recall(crops: CutParts) -> float:
        graph, _ = measuring_step(options, crops)
        judged = judged_by_folds(options, found, graph)
        return 0.0 if judged is None else recall_of(judged)

    given_up = "" if beside is None else catches_less(cut, beside.cut, recall)
    return WayFound(found, cut, 0.0 if given_up else recall(cut), lost, given_up)


def judged_by_folds(options: BuildOptions, found: Found, graph: Path) -> CrossFitted | None:
    """Return how folds judged the crops a graph was trained on; None where they did not.

    Where a missing product is NG by itself, pictures without it count as caught.
    """
    judged = cross_fitted_beside(graph)
    if judged is None or not misses_are_ng(options, found):
        return judged
    return with_missing_caught(judged, ABSENT)


def misses_are_ng(options: BuildOptions, found: Found) -> bool:
    """Return whether a sound picture in which no product is found is NG.

    Only where a detector found the product in every good picture, and not for a belt, on which
    frames without a part are nothing odd.
    """
    is_asked = _may_show_one_part_each(options)
    return found.detector is not None and is_asked and not found.parts.empty


def _may_show_one_part_each(options: BuildOptions) -> bool:
    """Return whether pictures may be taken of one part each, and the bundle may say what follows.

    On a belt other pictures show the rest of a cut part; format 1 knows neither rule.
    """
    return options.detector != "always" and options.format > 1


def measuring_step(options: BuildOptions, cut: CutParts) -> tuple[Path, InspectorRecord]:
    """Fit the default method to the crops; a build with it takes the result as it is."""
    return inspector_step(
        cut.space.branch("measured"),
        cut.crops,
        cut.mask,
        method=DEFAULT,
        seed=options.seed,
        steps=options.steps,
        device=options.device,
        evidence=cut.evidence,
    )


def recall_of(judged: CrossFitted) -> float:
    """Return the share of synthetic defects above the limit of CHOICE_RATE."""
    return recall_at(per_group(judged.good, judged.groups), judged.defects, CHOICE_RATE)


def _cut(
    options: BuildOptions,
    labelled: Labelled,
    found: Found,
    way: Way,
    on_step: OnStep,
) -> CutParts:
    """Find the parts' orientation, and cut every one of them."""
    view, space = way.view, way.space
    training, hold_out = labelled.training, labelled.hold_out
    parts = [p for p in found.parts.parts if p.picture < len(training)]
    hold_out_parts = [
        FoundPart(p.picture - len(training), p.box_cxcywhr)
        for p in found.parts.parts
        if p.picture >= len(training)
    ]

    def on_share(text: str, first: float, last: float) -> Callable[[float], None]:
        return lambda share: on_step(f"{view} crops", text, first + (last - first) * share)

    cutting = orientation_step(
        space, found.finder, way.labels, training, parts, way.is_fine,
        needs_outline=_may_show_one_part_each(options),
    )  # fmt: skip
    crops, _ = cut_all(cutting, training, parts, on_share("good parts", 0.0, 0.4))
    held, _ = cut_all(cutting, hold_out, hold_out_parts, on_share("hold-out", 0.4, 0.5))
    has_mask = not labelled.labels.fills_frame
    drawn = drawn_pictures(training, has_mask, options.seed, patches=labelled.patches)
    defects = cut_drawn(drawn, cutting, on_share("synthetic defects", 0.5, 1.0))
    number = {part: i for i, part in enumerate(sorted({p.part for p in training}))}
    evidence = Evidence(
        np.array([number[training[p.picture].part] for p in parts], np.int64),
        defects.crops,
        defects.defect_of,
        np.array([number[p.part] for p in drawn], np.int64),
        tuple((p.kind, p.size) for p in drawn),
    )
    mask = product_region(cutting, crops)
    return CutParts(cutting, crops, hold_out_parts, held, mask, parts, space, view, evidence)


def product_region(cutting: Cutting, crops: list[U8Array]) -> U8Array | None:
    """Return where in a crop the product is, uint8 (h, w); None where it fills the frame."""
    if cutting.pose.aligner is None:
        return None
    h, w = cutting.spec.crop_hw
    product_w, product_h = cutting.pose.aligner.product_wh
    box = np.zeros((h, w), np.uint8)
    top, left = max(0, round((h - product_h) / 2)), max(0, round((w - product_w) / 2))
    box[top : h - top, left : w - left] = 255
    return product_silhouette(np.stack(crops), box)


def _all_pictures(labelled: Labelled) -> list[Picture]:
    return [*labelled.training, *labelled.hold_out]
