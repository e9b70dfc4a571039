"""Ground truth beside every simulated frame: which parts, where, and their defects."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, get_args

from edge_app.records import BoxCxcywhr, JsonObject, PointXy

Product = Literal["tapered", "square", "round"]
PRODUCTS: tuple[Product, ...] = get_args(Product)

KINDS = ("scratch", "pit", "stain", "crack", "chip", "scuff", "misprint")
"""Defect classes of every stream."""

RESERVED_KIND = "foreign_fibre"
"""In the test stream only: never used for tuning, calibration or synthetic anomalies."""

SEEDS = {"training": 11, "calibration": 22, "golden": 33, "test": 44}
"""One seed per role, so that no picture is used for two purposes."""

AREA_LIMITS = (0.001, 0.03)
"""Smallest and largest defect area as a fraction of the product's area (frozen)."""

CONTRAST_LIMITS = (6.0, 40.0)
"""Smallest and largest mean local contrast of a defect in grey levels (frozen)."""

SIZE_BINS = (("0.1-0.3%", 0.003), ("0.3-1%", 0.01), ("1-3%", float("inf")))
"""Name and upper limit (fraction of the product's area, exclusive) of each size bin."""


def size_bin(area_fraction: float) -> str:
    """Return the name of the size bin a defect's area falls into."""
    return next(name for name, below in SIZE_BINS if area_fraction < below)


@dataclass(frozen=True, slots=True)
class DefectTruth:
    """One defect in frame pixels, as measured on rendered pixels (with minus without).

    Attributes:
        kind: one of KINDS, or RESERVED_KIND.
        polygon_xy: its outline, at least three points; may leave the frame with its part.
        box_xyxy: axis-aligned box round it: x0, y0, x1, y1.
        area_px: visibly changed pixels under nominal optics.
        area_fraction: area_px over the product's area in pixels, holes excluded.
        contrast: mean absolute change over those pixels, grey levels, nominal lighting.
    """

    kind: str
    polygon_xy: tuple[PointXy, ...]
    box_xyxy: tuple[float, float, float, float]
    area_px: int
    area_fraction: float
    contrast: float


@dataclass(frozen=True, slots=True)
class PartTruth:
    """One part in one frame.

    Attributes:
        number: counts the line's parts from 1; the same in every frame that shows the part.
        product: one of PRODUCTS.
        box_cxcywhr: tight oriented box in frame pixels. Its angle is the part's direction: the
            tapered part points along +x from its wide end (the upright crop's left) to its
            narrow end; the square's notch lies on its +x side; a disc has no axis: always 0.
        is_whole: every corner of the box lies inside the frame.
        defect: what is wrong, or None for a good part.
        pose_rad: how far the part was turned, (−π, π]; differs from the box for discs only.
    """

    number: int
    product: str
    box_cxcywhr: BoxCxcywhr
    is_whole: bool
    defect: DefectTruth | None
    pose_rad: float = 0.0


@dataclass(frozen=True, slots=True)
class FrameTruth:
    """Everything true of one frame; parts come in the order of their numbers."""

    frame_id: int
    parts: tuple[PartTruth, ...]

    def to_json(self) -> JsonObject:
        """Return plain dicts and tuples, ready for `json.dumps`."""
        return asdict(self)
