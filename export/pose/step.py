"""How products are cut out: direction, registration and crop size, learnt once and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from edge_app.bundle.manifest import AlignmentSpec, CropModel, OrientationSpec
from edge_app.imaging.upright_crop import CropSpec, FrameRegion
from edge_app.inspection.alignment import aligner_from_template, small_spec
from edge_app.inspection.orientation import cue_from_template, turned
from edge_app.inspection.outline import ProductOutline, outline_from_silhouette
from edge_app.inspection.pose import PoseFinder
from edge_app.inspection.stages import ProductFinder, WholeFrame
from edge_app.records import BoxCxcywhr, U8Array
from export.data.crops import FoundPart, crop_spec_for, cut_crops
from export.data.dataset import Picture
from export.labels.step import Labels
from export.pose.alignment import (
    TRAINED_REGISTRATION,
    learn_alignment,
    learnt_silhouette,
    template_picture,
)
from export.pose.orientation import learn_orientation
from export.workspace import OnProgress, Workspace

OrientationKind = Literal["fixed", "two_way", "four_way", "free"]


@dataclass(frozen=True, slots=True, eq=False)
class Cutting:
    """How crops are made: everything between a picture and an upright crop."""

    finder: ProductFinder
    fills_frame: bool
    kind: OrientationKind
    pose: PoseFinder
    spec: CropSpec
    reason: str
    outline: ProductOutline | None = None

    @property
    def region(self) -> FrameRegion | None:
        """The part of the frame that is inspected; None for all of it, or a detector's finds."""
        return self.finder.region if isinstance(self.finder, WholeFrame) else None


@dataclass(frozen=True, slots=True)
class OrientationRecord:
    """What was learnt about the product's pose besides the pictures cue.png and align.png.

    Attributes:
        product_wh: the aligned product in crop pixels.
        size_px: the usual box (w, h) in frame pixels, where parts differ in size.
        size_tolerance: how far a part's size may depart from it, as a logarithm.
        has_cue: there is a cue.png.
        has_outline: align.png holds the product's silhouette below template and mask.
    """

    product_wh: tuple[float, float]
    size_px: tuple[float, float] | None
    size_tolerance: float
    kind: OrientationKind
    has_cue: bool
    reason: str
    has_outline: bool = False


ORIENTATION_RECIPE = 3
"""Grows when the same parts give another cue or template: kept results are then learnt anew."""


def orientation_step(
    space: Workspace,
    finder: ProductFinder,
    labels: Labels,
    training: Sequence[Picture],
    parts: Sequence[FoundPart],
    is_fine: bool = False,
    needs_outline: bool = False,
) -> Cutting:
    """Learn the crop's size, the kind of orientation and the cue from the training parts.

    Args:
        needs_outline: the silhouette is learnt even if every part's box lies in its picture, so
            that the device can tell by it what the border cuts.
        is_fine: a product that fills the frame gets a crop of twice as many pixels.
    """
    boxes = [p.box_cxcywhr for p in parts]
    spec = crop_spec_for(boxes, labels.fills_frame, is_fine and labels.fills_frame)
    if labels.fills_frame:
        return Cutting(finder, True, "fixed", PoseFinder(), spec, "the product fills the frame")

    def work(folder: Path, report: OnProgress) -> OrientationRecord:
        readers = [training[p.picture].read for p in parts]
        learnt = learn_orientation(readers, boxes, spec, labels.shape)
        if learnt.template is not None:
            cv2.imwrite(str(folder / "cue.png"), learnt.template)
        turned_boxes = [
            turned(box, learnt.kind, int(turn))
            for box, turn in zip(boxes, learnt.turns, strict=True)
        ]
        is_round = learnt.kind == "free"
        aligner = learn_alignment(readers, turned_boxes, spec, is_round, report)
        silhouette = None
        if needs_outline or any(part.by_outline for part in parts):
            silhouette = learnt_silhouette(aligner, readers, turned_boxes)
        cv2.imwrite(str(folder / "align.png"), template_picture(aligner, silhouette))
        return OrientationRecord(
            product_wh=aligner.product_wh,
            size_px=aligner.size_px,
            size_tolerance=aligner.size_tolerance,
            kind=learnt.kind,
            has_cue=learnt.template is not None,
            reason=learnt.reason,
            has_outline=silhouette is not None,
        )

    key = {"crop_hw": list(spec.crop_hw), "recipe": ORIENTATION_RECIPE, "outline": needs_outline}
    folder, learnt = space.step("orientation", key, OrientationRecord, work)
    cue = None
    if learnt.has_cue:
        template = np.asarray(cv2.imread(str(folder / "cue.png"), cv2.IMREAD_GRAYSCALE), np.uint8)
        cue = cue_from_template(template, learnt.kind, spec)
    template = np.asarray(cv2.imread(str(folder / "align.png"), cv2.IMREAD_GRAYSCALE), np.uint8)
    rows = 2 * small_spec(spec).crop_hw[0]
    aligner = aligner_from_template(
        template[:rows],
        learnt.product_wh,
        spec,
        learnt.kind == "free",
        learnt.size_px,
        learnt.size_tolerance,
        TRAINED_REGISTRATION,
    )
    pose = PoseFinder(cue, aligner)
    outline = None
    if learnt.has_outline:
        outline = outline_from_silhouette(template[rows:], spec, learnt.size_px)
    return Cutting(finder, False, learnt.kind, pose, spec, learnt.reason, outline)


def cut_all(
    cutting: Cutting,
    pictures: Sequence[Picture],
    parts: Sequence[FoundPart],
    progress: Callable[[float], None],
) -> tuple[list[U8Array], list[BoxCxcywhr]]:
    """Return every part's upright crop and directed box."""
    return cut_crops(pictures, parts, cutting.pose, cutting.spec, progress)


def models_of(cutting: Cutting) -> tuple[OrientationSpec, CropModel, AlignmentSpec | None]:
    """Return the manifest's entries for how crops are made."""
    spec = cutting.spec
    orientation = OrientationSpec(kind=cutting.kind, cue="cue.png" if cutting.pose.cue else None)
    crop = CropModel(
        crop_hw=spec.crop_hw,
        margin=spec.margin,
        stretch=spec.stretch,
        whole="box" if cutting.outline is None else "outline",
    )
    aligner = cutting.pose.aligner
    alignment = (
        AlignmentSpec(
            template="align.png",
            product_wh=aligner.product_wh,
            size_px=aligner.size_px,
            size_tolerance=aligner.size_tolerance,
            registration=aligner.registration,
        )
        if aligner
        else None
    )
    return orientation, crop, alignment
