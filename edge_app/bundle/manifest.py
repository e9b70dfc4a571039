"""`manifest.json` as typed models. docs/bundle_format.md is the specification."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from edge_app.bundle.strict import Finite, GrownModel, LowHigh, Sha256, Share, StrictModel
from edge_app.bundle.thresholds import CROSS_FITTED, Normalisation, Promise, Thresholds, normalise
from edge_app.bundle.variant import (
    GoldenPart,
    GoldenPicture,
    GoldenRegions,
    Parity,
    ParityFigures,
    Tolerances,
    Variant,
)
from edge_app.imaging.defect_region import UNKNOWN, RegionSpec
from edge_app.imaging.registration import Registration
from edge_app.imaging.upright_crop import CropSpec, FrameRegion, Shrink

__all__ = [
    "ANGLE_CONVENTION",
    "FEATURES",
    "FORMATS",
    "FORMAT_1",
    "FORMAT_2",
    "AlignmentSpec",
    "ClassifierSpec",
    "CropModel",
    "DetectorSpec",
    "Feature",
    "GoldenPart",
    "GoldenPicture",
    "GoldenRegions",
    "Manifest",
    "Member",
    "Normalisation",
    "OrientationSpec",
    "Parity",
    "ParityFigures",
    "Promise",
    "Provenance",
    "RegionOfFrame",
    "StationSpec",
    "Thresholds",
    "Tolerances",
    "Variant",
    "ViewRule",
    "checked_target",
    "normalise",
    "required_features",
    "stamped",
]

Format = Literal["cropliq-bundle/1", "cropliq-bundle/2"]
FORMAT_1: Literal["cropliq-bundle/1"] = "cropliq-bundle/1"
"""All that release 0.1.0 knows."""
FORMAT_2: Literal["cropliq-bundle/2"] = "cropliq-bundle/2"
"""Format 1 and the features named in `requires`, at least one."""
FORMATS: tuple[Format, ...] = (FORMAT_1, FORMAT_2)

Feature = Literal[
    "cross_fitted_limits", "fixed_region", "missing_product", "outline_whole", "suspect_limit"
]
FEATURES: tuple[Feature, ...] = (
    "cross_fitted_limits",
    "fixed_region",
    "missing_product",
    "outline_whole",
    "suspect_limit",
)
"""Every feature that this release knows, sorted. docs/bundle_format.md says what each means."""

ANGLE_CONVENTION = "radians, clockwise on screen (x right, y down), w along (cos, sin)"
"""Repeated in every manifest; `edge_app/imaging/oriented_box.py` is the definition."""

Hw = tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]]


class Member(StrictModel):
    """One file of the bundle: its digest and its length in bytes."""

    sha256: Sha256
    length: Annotated[int, Field(ge=0)]


class DetectorSpec(StrictModel):
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


class ClassifierSpec(StrictModel):
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


class OrientationSpec(StrictModel):
    """How a crop's direction is resolved.

    fixed: as the camera sees it. two_way: the long axis is known, the cue tells 0° from 180°.
    four_way: a square part, the cue chooses among four. free: no axis, the crop is not turned.

    Attributes:
        cue: member name of the cue's template picture; None if the direction does not matter.
    """

    kind: Literal["fixed", "two_way", "four_way", "free"]
    cue: str | None = None


class AlignmentSpec(StrictModel):
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


class CropModel(GrownModel):
    """The upright crop; see `edge_app/imaging/upright_crop.py`.

    Attributes:
        whole: what must be in the frame for a part to be whole: the corners of its oriented `box`,
            or its `outline` (the silhouette laid into the box).
    """

    SINCE_2: ClassVar[frozenset[str]] = frozenset({"whole"})

    crop_hw: Hw
    margin: Share
    stretch: bool = False
    whole: Literal["box", "outline"] = "box"

    def to_spec(self) -> CropSpec:
        return CropSpec(self.crop_hw, self.margin, self.stretch)


class ViewRule(StrictModel):
    """A part seen several times: its score is the largest over at most `max_views` views."""

    rule: Literal["max"] = "max"
    max_views: Annotated[int, Field(ge=1, le=100)] = 3


class Provenance(StrictModel):
    """Where the bundle comes from. Holds no times and no paths: the same inputs, the same bytes.

    Attributes:
        training_sha256: digest of every picture used for training.
        calibration_sha256: digest of every picture used for thresholds.
    """

    method: str
    data: str
    seed: int
    versions: dict[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    training_sha256: tuple[Sha256, ...] = ()
    calibration_sha256: tuple[Sha256, ...] = ()
    measured: dict[str, float] = Field(default_factory=dict)


class RegionOfFrame(StrictModel):
    """A rectangle of the frame, as shares of its width and height from the top left.

    Without a detector the product is this rectangle instead of the whole frame.
    """

    x: Annotated[float, Field(ge=0, lt=1)]
    y: Annotated[float, Field(ge=0, lt=1)]
    w: Annotated[float, Field(gt=0, le=1)]
    h: Annotated[float, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _is_in_the_frame(self) -> RegionOfFrame:
        if max(self.x + self.w, self.y + self.h) > 1 + 1e-9:
            raise ValueError(f"must lie in the frame (x + w <= 1, y + h <= 1), got {self}")
        return self

    def to_region(self) -> FrameRegion:
        return FrameRegion(self.x, self.y, self.w, self.h)


class StationSpec(StrictModel):
    """A station where every picture shows the product, and how pictures looked in training.

    Each range is (low, high) over the training pictures: a picture outside is not sound, so that
    nothing can be said of a missing product.

    Attributes:
        missing_is_ng: a sound picture without the product is NG, class `missing`.
        grey_mean: of the whole frame's mean grey level, 0..255.
        grey_std: of its standard deviation, grey levels.
        sharpness: of the variance of the Laplacian of the grey picture shrunk to 160 px width.
    """

    missing_is_ng: bool
    grey_mean: LowHigh
    grey_std: LowHigh
    sharpness: LowHigh


class Manifest(GrownModel):
    """The whole of manifest.json.

    `format` and `requires` follow from the rest: left out, they are filled in; given, they must
    agree with it. A copy (`model_copy`) goes through `stamped` before it is written.

    Attributes:
        requires: what a device must know beyond format 1 to judge as meant, sorted.
        serial: only grows, per product.
        targets: SITE/LINE/DEVICE patterns that may use it, `*` and `?` within a level; "*" alone
            matches every device.
        variants: preferred first.
        members: every file but manifest.json and bundle.sig.
        station: a fixed or triggered station; None: a picture without a product says nothing.
        region: the part of the frame that the product fills; None: all of it, or a detector.
    """

    SINCE_2: ClassVar[frozenset[str]] = frozenset({"requires", "station", "region"})

    format: Format = FORMAT_1
    requires: tuple[Feature, ...] = ()
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
    members: dict[str, Member] = Field(default_factory=dict)
    station: StationSpec | None = None
    region: RegionOfFrame | None = None

    @field_validator("targets")
    @classmethod
    def _are_patterns(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checked_target(pattern) for pattern in targets)

    @model_validator(mode="after")
    def _says_what_it_needs(self) -> Manifest:
        if self.region is not None and self.detector is not None:
            raise ValueError("region: a bundle with a detector finds the product itself")
        needs = required_features(self)
        if not {"format", "requires"} & self.model_fields_set:
            object.__setattr__(self, "format", _format_for(needs))
            object.__setattr__(self, "requires", needs)
        if (self.format, self.requires) != (_format_for(needs), needs):
            raise ValueError(
                f"its content needs {_format_for(needs)} with requires {list(needs)}, "
                f"got {self.format} with {list(self.requires)}"
            )
        return self


def required_features(manifest: Manifest) -> tuple[Feature, ...]:
    """Return the features that a device must know to judge as this content means, sorted."""
    limits = [v.thresholds for v in manifest.variants]
    used: dict[Feature, bool] = {
        "cross_fitted_limits": any(
            t.promise == CROSS_FITTED or t.origin is not None for t in limits
        ),
        "fixed_region": manifest.region is not None,
        "missing_product": manifest.station is not None,
        "outline_whole": manifest.crop.whole != "box",
        "suspect_limit": any(t.suspect_threshold is not None for t in limits),
    }
    return tuple(feature for feature in FEATURES if used[feature])


def stamped(manifest: Manifest) -> Manifest:
    """Return the manifest with the format and the features that its content needs."""
    needs = required_features(manifest)
    return manifest.model_copy(update={"format": _format_for(needs), "requires": needs})


def _format_for(needs: tuple[Feature, ...]) -> Format:
    return FORMAT_2 if needs else FORMAT_1


def checked_target(pattern: str) -> str:
    """Return a pattern of devices.

    Raises:
        ValueError: it does not have three levels and can match no device.
    """
    if pattern != "*" and len(pattern.split("/")) != 3:
        raise ValueError(f"{pattern!r} matches no device: expected SITE/LINE/DEVICE or *")
    return pattern
