"""The stages that a picture meets wherever it is judged, on the line or from disk:

picture → product boxes → poses and upright crops → scores + maps
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_app.imaging.upright_crop import CropSpec, FrameRegion, region_box, whole_frame_box
from edge_app.inspection.detector import Detector
from edge_app.inspection.outline import ProductOutline
from edge_app.inspection.pose import PoseFinder
from edge_app.records import Anomaly, BoxCxcywhr, Detection, PartView, U8Array


class ProductFinder(Protocol):
    """Finds the products in a frame: a detector, or the whole frame."""

    def find(self, pixels_hwc: U8Array) -> list[Detection]: ...


class CropScorer(Protocol):
    """Scores upright crops: an inspector graph."""

    def score(self, crops: Sequence[U8Array]) -> list[Anomaly]: ...


class WholeFrame:
    """The finder for products that fill the picture, or a fixed region of it.

    Args:
        region: the product's part of the frame; None: all of it.
    """

    def __init__(self, region: FrameRegion | None = None) -> None:
        self.region = region

    def find(self, pixels_hwc: U8Array) -> list[Detection]:
        h, w = pixels_hwc.shape[:2]
        region = self.region
        box = whole_frame_box((h, w)) if region is None else region_box(region, (h, w))
        return [Detection(box, 1.0)]


@dataclass(frozen=True, slots=True, eq=False)
class CutView:
    """One view of a part, ready to be scored.

    Attributes:
        box_cxcywhr: its pose, in frame pixels.
        crop: uint8 (crop_h, crop_w, 3), upright.
        is_whole: all of the part is in the picture; else it may be NG by what is seen, never OK.
    """

    box_cxcywhr: BoxCxcywhr
    crop: U8Array
    is_whole: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Stages:
    """One model's way from a picture to scores. A graph belongs to one thread at a time.

    Attributes:
        finder: finds products.
        pose: turns them into their own direction and puts the box exactly on them.
        spec: how they are cut out.
        inspector: scores the crops.
        outline: decides whether a part whose box reaches over the border is whole; None: it is not.
    """

    finder: ProductFinder
    pose: PoseFinder
    spec: CropSpec
    inspector: CropScorer
    outline: ProductOutline | None = None

    @property
    def finds_ahead(self) -> bool:
        """`find` may run in one thread while the other stages run in another."""
        return isinstance(self.finder, Detector) and self.finder.may_run_beside

    def find(self, pixels_hwc: U8Array) -> list[Detection]:
        """Return the products in a picture, as the detector sees them.

        Raises:
            ModelError: the detector failed.
        """
        return self.finder.find(pixels_hwc)

    def cut(self, pixels_hwc: U8Array, box_cxcywhr: BoxCxcywhr) -> tuple[BoxCxcywhr, U8Array]:
        """Return a product's pose and its upright crop, uint8 (crop_h, crop_w, 3)."""
        return self.pose.cut(pixels_hwc, box_cxcywhr, self.spec)

    def cut_view(self, pixels_hwc: U8Array, view: PartView, margin_px: float) -> CutView | None:
        """Return a view ready to be scored, or None where it shows too little of its part.

        On a belt (margin_px > 0) another picture shows the rest of a part that the border cuts, so
        only a whole one is scored. Elsewhere this is the only picture of it: a piece broken off or
        a part out of its place reaches over the border too.

        Args:
            view: whole by its box, or by the product's outline where the bundle has one.
            margin_px: as in `ProductOutline.is_inside`.
        """
        hw = (pixels_hwc.shape[0], pixels_hwc.shape[1])
        found = view.detection.box_cxcywhr
        if view.is_whole:
            return CutView(*self.cut(pixels_hwc, found))
        if self.outline is None or not self.outline.may_be_inside(found, hw):
            return None
        box, crop = self.cut(pixels_hwc, found)
        is_whole = self.outline.is_inside(box, hw, margin_px)
        return CutView(box, crop, is_whole) if is_whole or margin_px == 0 else None

    def score(self, crops: Sequence[U8Array]) -> list[Anomaly]:
        """Return one anomaly per crop, in order.

        Raises:
            ModelError: the inspector failed.
        """
        return self.inspector.score(crops)
