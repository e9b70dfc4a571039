"""`manifest.json` as typed models. docs/bundle_format.md is the specification."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from edge_app.imaging.defect_region import UNKNOWN, RegionSpec
from edge_app.imaging.registration import Registration
from edge_app.imaging.upright_crop import CropSpec, Shrink

FORMAT: Literal["cropliq-bundle/1"] = "cropliq-bundle/1"

ANGLE_CONVENTION = "radians, clockwise on screen (x right, y down), w along (cos, sin)"
"""Repeated in every manifest; `edge_app/imaging/oriented_box.py` is the definition."""

Hw = tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Member(_Strict):
    """One file of the bundle: its digest and its length in bytes."""

    sha256: Sha256
    length: Annotated[int, Field(ge=0)]


class DetectorSpec(_Strict):
    """How to use detector.onnx.

    Attributes:
        input_hw: letterbox size in pixels.
        min_confidence: detections below it are dropped, 0..1.
        max_iou: rotated NMS drops a box that overlaps a better one by more.
        product_classes: names by class index.
        shrink: how frames were downscaled in its training, `area` or `pyramid`.
    """

    input_hw: Hw
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.5
    max_iou: Annotated[float, Field(ge=0, le=1)] = 0.3
    product_classes: tuple[str, ...] = ("product",)
    shrink: Shrink = "area"


PRODUCT_PATTERN = r"^[A-Za-z0-9_.-]{1,64}$"
"""What a product may be called: a level of topics, part of file names."""

KindName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,64}$")]


class ClassifierSpec(_Strict):
    """How to use classifier.onnx; see `edge_app/inspection/defect_classifier.py`.

    Attributes:
        kinds: the known defect classes, in the order of the logits.
        region_hw: the graph's input size in pixels.
        window_px: least extent of what a region shows, in frame pixels.
        margin: share of a defect's extent added on each side.
    """

    kinds: Annotated[tuple[KindName, ...], Field(min_length=2, max_length=64)]
    region_hw: Hw
    window_px: Annotated[float, Field(gt=0, le=1e5)]
    margin: Annotated[float, Field(ge=0, le=10)]

    @field_validator("kinds")
    @classmethod
    def _are_distinct(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        if UNKNOWN in kinds or len(set(kinds)) != len(kinds):
            raise ValueError(f"must be distinct and none {UNKNOWN!r}, got {list(kinds)}")
        return kinds

    def to_spec(self) -> RegionSpec:
        return RegionSpec(self.region_hw, self.window_px, self.margin)


class OrientationSpec(_Strict):
    """How a crop's direction is resolved.

    fixed: as the camera sees it. two_way: the long axis is known, the cue tells 0° from 180°.
    four_way: a square part, the cue chooses among four. free: no axis, the crop is not turned.

    Attributes:
        cue: member name of the cue's template picture; None if the direction does not matter.
    """

    kind: Literal["fixed", "two_way", "four_way", "free"]
    cue: str | None = None


class AlignmentSpec(_Strict):
    """How a box is registered to the product; see `edge_app/inspection/alignment.py`.

    Attributes:
        template: member name of the mean good part, a small grey picture.
        product_wh: the product's box (w, h) inside a crop, in crop pixels.
        size_px: the typical product's (w, h) in frame pixels.
        size_tolerance: how far good parts deviate from it, as a share; 0: all have the same size.
        registration: method used for the training crops; "ecc" where the key is missing.
    """

    template: str
    product_wh: tuple[Finite, Finite]
    size_px: tuple[Finite, Finite] | None = None
    size_tolerance: Annotated[float, Field(ge=0, le=1)] = 0.0
    registration: Registration = "ecc"


class CropModel(_Strict):
    """The upright crop; see `edge_app/imaging/upright_crop.py`."""

    crop_hw: Hw
    margin: Annotated[float, Field(ge=0, le=1)]
    stretch: bool = False

    def to_spec(self) -> CropSpec:
        return CropSpec(self.crop_hw, self.margin, self.stretch)


class ViewRule(_Strict):
    """A part seen several times: its score is the largest over at most `max_views` views."""

    rule: Literal["max"] = "max"
    max_views: Annotated[int, Field(ge=1, le=100)] = 3


class Normalisation(_Strict):
    """The monotone map from scores to the 0..1 axis of the threshold grid, fixed at calibration.

    `normalised = (score - low) / (high - low)`, clipped to 0..1.
    """

    low: Finite
    high: Finite


Promise = Literal["guaranteed", "extrapolated, not guaranteed"]
"""How a false-alarm budget is backed: enough good parts for 95 % confidence, or a tail fit."""


class Thresholds(_Strict):
    """The thresholds. Not part of the graph: adjustable on the device, with an audit trail.

    Attributes:
        score_threshold: a part with `score >= score_threshold` is NG.
        map_threshold: areas of the map above it become defect polygons.
        threshold_id: names this set in every alert, e.g. "calibrated-1".
        false_alarm_rate: the budget, as a fraction of good parts.
        calibration_scores: one per hold-out good part, ascending.
        defects_from: the defects used in calibration ("pseudo-anomalies", "3 real defects").
        promise: how the budget is backed.
        softmax_threshold: a defect class below it is "unknown".
    """

    score_threshold: Finite
    map_threshold: Finite
    threshold_id: str
    normalisation: Normalisation
    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)]
    calibration_scores: tuple[Finite, ...]
    defects_from: str
    promise: Promise = "extrapolated, not guaranteed"
    softmax_threshold: Annotated[float, Field(ge=0, le=1)] = 0.5

    @field_validator("calibration_scores")
    @classmethod
    def _is_calibrated(cls, scores: tuple[float, ...]) -> tuple[float, ...]:
        if not scores:
            raise ValueError("is empty: an uncalibrated bundle is refused; run edge-calibrate")
        if list(scores) != sorted(scores):
            raise ValueError("must be ascending")
        return scores


class GoldenPart(_Strict):
    """The expected outcome of one part in a golden picture.

    Attributes:
        box_cxcywhr: in frame pixels and radians, direction included.
    """

    box_cxcywhr: tuple[Finite, Finite, Finite, Finite, Finite]
    score: Finite
    verdict: Literal["OK", "NG"]


class GoldenPicture(_Strict):
    file: str
    parts: tuple[GoldenPart, ...]


class GoldenRegions(_Strict):
    """Regions of known defects and their expected classes.

    Attributes:
        file: a picture of them, one below the other.
        kinds: per region, from the top.
    """

    file: str
    kinds: Annotated[tuple[str, ...], Field(min_length=1)]


class Tolerances(_Strict):
    """How far a device may differ from the golden expectations in its self-check.

    Attributes:
        score_relative: |score − expected| over the larger of |expected| and |score_threshold|.
        box_min_iou: rotated intersection over union with the expected box.
        latency_ms: limit for the median golden picture on a device; None: only the device's own
            limit applies.
    """

    score_relative: Finite = 0.02
    box_min_iou: Finite = 0.9
    latency_ms: Finite | None = None


class ParityFigures(_Strict):
    """One variant compared with fp32, part by part, through the whole line.

    Attributes:
        source: the parts' source, without paths.
        parts: judged by both.
        flips: parts with another verdict, each variant under its own threshold.
        unmatched: parts that only one of the two judged.
        score_difference_median: of |variant − fp32| after the thresholds are aligned, in units of
            the fp32 threshold.
        score_difference_largest: likewise, the largest.
    """

    source: str
    parts: Annotated[int, Field(ge=1)]
    flips: Annotated[int, Field(ge=0)]
    unmatched: Annotated[int, Field(ge=0)]
    score_difference_median: Finite
    score_difference_largest: Finite


class Parity(_Strict):
    """How a variant was made and how closely it follows fp32.

    Attributes:
        ranges: rule that set the int8 ranges, per graph; empty for fp16.
        int8_nodes, fp16_nodes: nodes computed so, per graph; everything else stays fp32.
        weight_share: bytes of those nodes' weights as a share of fp32, per precision.
        calibration: on the parts that set the variant's thresholds.
        held_out: on parts not used for calibration; None without such a source.
    """

    ranges: dict[str, str] = {}
    int8_nodes: dict[str, tuple[str, ...]] = {}
    fp16_nodes: dict[str, tuple[str, ...]] = {}
    weight_share: dict[str, Finite] = {}
    calibration: ParityFigures
    held_out: ParityFigures | None = None


class Variant(_Strict):
    """One precision of the same model: its files, thresholds and golden expectations.

    Attributes:
        classifier: the defect classifier; fp32 in every variant.
        golden_regions: its expected outcome; None without a classifier.
        parity: against the fp32 variant; None for fp32 itself.
    """

    precision: Literal["fp32", "fp16", "int8"]
    detector: str | None
    inspector: str
    thresholds: Thresholds
    golden: tuple[GoldenPicture, ...]
    tolerances: Tolerances = Tolerances()
    classifier: str | None = None
    golden_regions: GoldenRegions | None = None
    parity: Parity | None = None


class Provenance(_Strict):
    """Where the bundle comes from. Holds no times and no paths: the same inputs, the same bytes.

    Attributes:
        training_sha256: digest of every picture used for training.
        calibration_sha256: digest of every picture used for thresholds.
    """

    method: str
    data: str
    seed: int
    versions: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    training_sha256: tuple[Sha256, ...] = ()
    calibration_sha256: tuple[Sha256, ...] = ()
    measured: dict[str, float] = {}


class Manifest(_Strict):
    """The whole of manifest.json.

    Attributes:
        serial: only grows, per product.
        targets: SITE/LINE/DEVICE patterns that may use it, `*` and `?` within a level; "*" alone
            matches every device.
        variants: preferred first.
        members: every file but manifest.json and bundle.sig.
    """

    format: Literal["cropliq-bundle/1"] = FORMAT
    product: Annotated[str, Field(pattern=PRODUCT_PATTERN)]
    serial: Annotated[int, Field(ge=0)]
    targets: tuple[str, ...] = ("*",)
    angle_convention: str = ANGLE_CONVENTION
    detector: DetectorSpec | None
    orientation: OrientationSpec
    crop: CropModel
    alignment: AlignmentSpec | None = None
    classifier: ClassifierSpec | None = None
    views: ViewRule = ViewRule()
    variants: Annotated[tuple[Variant, ...], Field(min_length=1)]
    provenance: Provenance
    members: dict[str, Member] = {}

    @field_validator("targets")
    @classmethod
    def _are_patterns(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checked_target(pattern) for pattern in targets)


def checked_target(pattern: str) -> str:
    """Return a pattern of devices.

    Raises:
        ValueError: it does not have three levels and can match no device.
    """
    if pattern != "*" and len(pattern.split("/")) != 3:
        raise ValueError(f"{pattern!r} matches no device: expected SITE/LINE/DEVICE or *")
    return pattern


def normalise(score: float, normalisation: Normalisation) -> float:
    """Return a score on the 0..1 axis of the threshold grid; NaN stays NaN."""
    if math.isnan(score):
        return score
    span = normalisation.high - normalisation.low
    if span <= 0:
        return float(score >= normalisation.high)
    return min(1.0, max(0.0, (score - normalisation.low) / span))
