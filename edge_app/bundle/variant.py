"""One precision of a bundle and what a device must reproduce with it, as in manifest.json."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edge_app.bundle.strict import Finite, StrictModel
from edge_app.bundle.thresholds import Thresholds


class GoldenPart(StrictModel):
    """The expected outcome of one part in a golden picture.

    Attributes:
        box_cxcywhr: in frame pixels and radians, direction included.
    """

    box_cxcywhr: tuple[Finite, Finite, Finite, Finite, Finite]
    score: Finite
    verdict: Literal["OK", "NG"]


class GoldenPicture(StrictModel):
    file: str
    parts: tuple[GoldenPart, ...]


class GoldenRegions(StrictModel):
    """Regions of known defects and their expected classes.

    Attributes:
        file: a picture of them, one below the other.
        kinds: per region, from the top.
    """

    file: str
    kinds: Annotated[tuple[str, ...], Field(min_length=1)]


class Tolerances(StrictModel):
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


class ParityFigures(StrictModel):
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


class Parity(StrictModel):
    """How a variant was made and how closely it follows fp32.

    Attributes:
        ranges: rule that set the int8 ranges, per graph; empty for fp16.
        int8_nodes, fp16_nodes: nodes computed so, per graph; everything else stays fp32.
        weight_share: bytes of those nodes' weights as a share of fp32, per precision.
        calibration: on the parts that set the variant's thresholds.
        held_out: on parts not used for calibration; None without such a source.
    """

    ranges: dict[str, str] = Field(default_factory=dict)
    int8_nodes: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    fp16_nodes: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    weight_share: dict[str, Finite] = Field(default_factory=dict)
    calibration: ParityFigures
    held_out: ParityFigures | None = None


class Variant(StrictModel):
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
