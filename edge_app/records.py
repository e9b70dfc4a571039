"""The records of the data path, in the order in which they are made.

camera → Frame → Detection → PartView → crop → Anomaly → PartVerdict → AlarmEvent → outbox → broker

Every record is frozen. Arrays inside are never written to after the record is made.
Sizes are (height, width) and end in `_hw`; points are (x, y) and end in `_xy`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

U8Array = NDArray[np.uint8]
F32Array = NDArray[np.float32]
F64Array = NDArray[np.float64]

BoxCxcywhr = tuple[float, float, float, float, float]
"""cx, cy, w, h in pixels, angle in radians: see `edge_app/imaging/oriented_box.py`."""

PointXy = tuple[float, float]

KeepReason = Literal["ng", "suspect", "near_miss", "not_inspected", "random"]
"""Why a part's picture is kept. `near_miss`: OK, with a score close below the lower limit.
`random`: drawn, whatever verdict and score are; such a part may have another reason as well."""

MAX_DEFECTS = 20
"""Limit on outlines per part; the strongest are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture from one camera.

    Attributes:
        camera: the camera's name in the configuration.
        frame_id: grows by one per frame the source delivered since it was opened.
        pixels_hwc: uint8 (h, w, 3), BGR.
        captured_at_ns: time of exposure, ns since the epoch, UTC: for people. It jumps when the
            machine's clock is set, so nothing is computed with it.
        trigger_id: who asked for this frame; None on a free-running camera.
        source_number: number of the one part this frame stands for, in a source that numbers
            its parts (files, triggers), growing by one; None where frames are not parts.
        source_name: file name or the like, for people; None if there is none.
        monotonic_ns: the same moment on this machine's monotonic clock, which is never set; the
            grabber fills in the arrival where a source does not say. None on a recording.
    """

    camera: str
    frame_id: int
    pixels_hwc: U8Array
    captured_at_ns: int
    trigger_id: str | None = None
    source_number: int | None = None
    source_name: str | None = None
    monotonic_ns: int | None = None

    @property
    def steady_ns(self) -> int:
        """Time for differences between this camera's frames, in ns; no set clock changes it.

        A recording's stamps lie on one scale from its first frame to its last.
        """
        return self.captured_at_ns if self.monotonic_ns is None else self.monotonic_ns

    @property
    def hw(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return int(self.pixels_hwc.shape[0]), int(self.pixels_hwc.shape[1])


@dataclass(frozen=True, slots=True)
class Detection:
    """One product the detector found, in frame pixels.

    Attributes:
        box_cxcywhr: the product's oriented box.
        confidence: 0..1, unitless.
        class_id: index into the bundle's product classes.
    """

    box_cxcywhr: BoxCxcywhr
    confidence: float
    class_id: int = 0


@dataclass(frozen=True, slots=True)
class PartView:
    """One view of one part: the same part has several on a free-running camera.

    Attributes:
        part_id: unique on this device for ever, e.g. "cam1-18f3a2-000042".
        view: 0 for the part's first view, growing by one.
        detection: where it is in this frame.
        is_whole: all of the part is in the frame; a view that is not may be NG, never OK.
    """

    part_id: str
    view: int
    detection: Detection
    is_whole: bool


@dataclass(frozen=True, slots=True, eq=False)
class Anomaly:
    """The inspector's result for one crop.

    Attributes:
        score: larger is more anomalous; the bundle's scale. NaN when the graph failed.
        map_hw: float32 (mh, mw), >= 0, on an absolute scale over the crop.
    """

    score: float
    map_hw: F32Array


class VerdictState(str, Enum):
    """The three possible verdicts on a part."""

    OK = "OK"
    NG = "NG"
    NOT_INSPECTED = "NOT_INSPECTED"


@dataclass(frozen=True, slots=True)
class Defect:
    """One area above the map threshold, in frame pixels.

    Attributes:
        polygon_xy: its outline, at least three points.
        box_xyxy: the axis-aligned box around the outline: x0, y0, x1, y1.
        peak: the map's maximum inside.
        kind: its defect class; "unknown" until the defect classifier names it.
        weak_localisation: nothing passed the map threshold; this is the map's maximum.
    """

    polygon_xy: tuple[PointXy, ...]
    box_xyxy: tuple[float, float, float, float]
    peak: float
    kind: str = "unknown"
    weak_localisation: bool = False


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model judged: enough to find the exact bundle again."""

    product: str
    serial: int
    bundle_sha256: str
    precision: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """A picture kept on the device: its URL and the sha256 of its bytes."""

    url: str
    sha256: str


@dataclass(frozen=True, slots=True)
class PartVerdict:
    """The verdict on one part after the latest view.

    Attributes:
        score: the largest over the judged views; NaN or no view gives None.
        threshold: `score >= threshold` is NG.
        threshold_id: names the threshold's origin and revision, e.g. "calibrated-1".
        reason: why NOT_INSPECTED ("overload", "no_product", "not_finite", ...); "missing" of an NG
            part that is not there, which has no score; "" otherwise.
        product_corners_xy: (4 points) of the box in the deciding view; empty if there is none.
        views_judged: how many views the inspector scored.
        latency_ms: capture to verdict.
        is_suspect: OK, with a score at or above the suspect threshold: worth a person's look, no
            alarm.
        golden: name of the golden part that it is: a test of the line, no production; "" for any
            other.
    """

    camera: str
    part_id: str
    state: VerdictState
    reason: str
    score: float | None
    threshold: float
    threshold_id: str
    frame_id: int
    frame_hw: tuple[int, int]
    captured_at_ns: int
    model: ModelIdentity | None
    product_corners_xy: tuple[PointXy, ...] = ()
    defects: tuple[Defect, ...] = ()
    views_judged: int = 0
    trigger_id: str | None = None
    source_number: int | None = None
    source_name: str | None = None
    latency_ms: float = 0.0
    is_suspect: bool = False
    golden: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class UprightCrop:
    """What the inspector saw of a part.

    Attributes:
        pixels_hwc: uint8 (crop_h, crop_w, 3), BGR, never written to.
        corners_xy: (4 points) its outline in frame pixels, from its top left, clockwise.
        map_hw: float32 (mh, mw), the inspector's map over it; None where it is not kept.
    """

    pixels_hwc: U8Array
    corners_xy: tuple[PointXy, ...]
    map_hw: F32Array | None = None


class EventKind(str, Enum):
    """`new` when a part is judged bad, `update` when another view changes it, `end` when it left.

    `gap`: numbered parts passed without being judged.
    """

    NEW = "new"
    UPDATE = "update"
    END = "end"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbered parts that were not judged: first and last number, both included."""

    camera: str
    first_number: int
    last_number: int
    reason: str

    @property
    def count(self) -> int:
        return self.last_number - self.first_number + 1


GoldenOutcome = Literal["passed", "missed", "wrong_class", "not_shown"]
"""missed: not judged NG. wrong_class: NG, with none of its defects of the class that it has."""


@dataclass(frozen=True, slots=True)
class GoldenCheck:
    """What became of a golden part that was shown, or was to be shown.

    Attributes:
        name: of the golden part.
        part_id: of the part it was taken for; "" where none was shown.
        expected_class: that one of its defects must be given; "": any NG is right.
        found_classes: of its defects.
        due_ns: when it was due, ns since the epoch; None: shown although it was not due.
    """

    name: str
    camera: str
    outcome: GoldenOutcome
    at_ns: int
    due_ns: int | None = None
    part_id: str = ""
    state: VerdictState | None = None
    score: float | None = None
    expected_class: str = ""
    found_classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AlarmEvent:
    """One message to people about one part (or about a gap), before the outbox numbers it.

    Attributes:
        alarm_id: shared by new, update and end of one part; a gap has its own.
        verdict: set for new, update and end.
        gap: set for gap.
        evidence: the kept picture of the view that `verdict` describes; the line sets none.
        frame: what that view was taken from, where a view caused the event: the picture is made of
            it. Whoever keeps events leaves it out, and the crop (`without_pixels`).
        crop: what the inspector saw of that view; None where nothing was scored.
        reasons: why that picture is kept; empty without a frame.
        golden: set for the alarm of a golden part that was not recognised; `verdict` then says
            NOT_INSPECTED, and there is no such part in the history.
    """

    kind: EventKind
    camera: str
    alarm_id: str
    verdict: PartVerdict | None = None
    gap: Gap | None = None
    evidence: Evidence | None = None
    frame: Frame | None = None
    crop: UprightCrop | None = None
    reasons: tuple[KeepReason, ...] = ()
    golden: GoldenCheck | None = None

    def without_pixels(self) -> AlarmEvent:
        """Return the event as it may be kept: a frame is megabytes."""
        return replace(self, frame=None, crop=None)


@dataclass(frozen=True, slots=True, eq=False)
class KeptPart:
    """A part whose picture is to be kept.

    Attributes:
        frame: of the view that decided; of a part that was not inspected, the view of it that is
            nearest to the picture's middle.
        crop: what the inspector saw of that view; None where nothing was cut out.
        reasons: why, the picture's own reason first; never empty.
    """

    verdict: PartVerdict
    frame: Frame
    reasons: tuple[KeepReason, ...]
    crop: UprightCrop | None = None


@dataclass(frozen=True, slots=True, eq=False)
class JudgedView:
    """One of several products in one picture, by itself.

    A file or a trigger is one part for whoever counts, and its verdict is the worst of them; what
    is drawn on each is its own.

    Attributes:
        verdict: of this view alone, with its own score, outline and defects.
        anomaly: None where it was not scored: it is cut off beside a whole one.
        crop_corners_xy: (4 points) of its crop in frame pixels; empty where there is none.
    """

    view: PartView
    verdict: PartVerdict
    anomaly: Anomaly | None = None
    crop_corners_xy: tuple[PointXy, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class FrameReport:
    """The result of one frame: what the page draws and the demo counts.

    Attributes:
        views: every part seen in the frame.
        anomalies: by part id, for the views judged in this frame.
        crop_corners_xy: by part id, the crop's outline in frame pixels (4 points, from the crop's
            top left, clockwise); places the map in the frame.
        verdicts: by part id, the verdict so far of every part in the frame.
        finished: parts that left with this frame, with their final verdict.
        events: alarm events caused by this frame.
        timings_ms: stage name → milliseconds.
        trouble: why the parts in the frame are unknown ("model_error"); "" if all is well.
        unclassified: defects that are "unknown" because the classifier failed on them.
        kept: those of `finished` whose picture is worth keeping although no alert has it.
        several: each product by itself, where more than one makes up a part; empty otherwise.
    """

    frame: Frame
    views: tuple[PartView, ...]
    anomalies: dict[str, Anomaly]
    crop_corners_xy: dict[str, tuple[PointXy, ...]]
    verdicts: dict[str, PartVerdict]
    finished: tuple[PartVerdict, ...]
    events: tuple[AlarmEvent, ...]
    timings_ms: dict[str, float] = field(default_factory=dict)
    trouble: str = ""
    unclassified: int = 0
    kept: tuple[KeptPart, ...] = ()
    several: tuple[JudgedView, ...] = ()


JsonObject = dict[str, Any]
