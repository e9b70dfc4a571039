"""Messages about parts: the alert, before and after it is numbered, and the result."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge_app.mqtt.message_base import Body, Count, Message, Rfc3339, Sha256, Uuid7

PointXy = tuple[float, float]
VerdictName = Literal["OK", "NG", "NOT_INSPECTED"]
EventName = Literal["new", "update", "end", "gap"]


class ExtentBody(Body):
    """A defect on the plane the products lie on, in millimetres."""

    centre_mm: PointXy = Field(description="(x, y) from the checkerboard's first inner corner")
    size_mm: tuple[float, float] = Field(description="length, width of the smallest rectangle")
    area_mm2: float = Field(description="inside the outline")


class DefectBody(Body):
    """One area above the map threshold, in frame pixels."""

    kind: str = Field(description="name of the defect, or 'unknown'")
    box_xyxy: tuple[float, float, float, float] = Field(description="x0, y0, x1, y1 in pixels")
    polygon_xy: tuple[PointXy, ...] = Field(description="outline, (x, y) in pixels")
    peak: float | None = Field(description="the anomaly map's maximum inside")
    weak_localisation: bool = Field(
        description="no area passed the map threshold; the box marks the map's maximum"
    )
    extent: ExtentBody | None = Field(
        default=None, description="in millimetres; null unless the camera is calibrated"
    )


class ModelBody(Body):
    """Which model judged."""

    product: str
    serial: int
    bundle_sha256: str
    precision: str


class EvidenceBody(Body):
    """A picture that can be fetched; its bytes must hash to `sha256`."""

    url: str
    sha256: Sha256


class GapBody(Body):
    """Parts that nobody judged, or alerts that a full outbox could only count."""

    first_number: int | None = Field(description="first source number lost; null if unnumbered")
    last_number: int | None = Field(description="last source number lost, included")
    count: int = Field(
        ge=1,
        description="parts lost; alerts if reason is 'outbox_full', 'stored_alert_damaged' or "
        "'stored_alerts_lost'",
    )
    reason: str = Field(description="'restart', 'corrupt_frame', 'outbox_full', ...")
    first_seq: int | None = Field(
        default=None, description="stored alerts lost by damage: the first number that may be gone"
    )
    last_seq: int | None = Field(default=None, description="the last one, included")


class NumberBody(Body):
    """A number that an alert has had."""

    store_id: str
    seq: int = Field(ge=1)


class GoldenCheckBody(Body):
    """A golden part that was not recognised or not shown; at the alarm's end, that it was."""

    name: str = Field(description="of the golden part, as configured")
    outcome: Literal["passed", "missed", "wrong_class", "not_shown"]
    due_at: Rfc3339 | None = Field(description="null: it was not due when it was shown")
    found: VerdictName | None = Field(description="its verdict; null: not shown")
    found_classes: tuple[str, ...] = Field(description="of its defects")
    expected_class: str | None = Field(description="null: any NG is right")


class PartReference(Message):
    """The device and camera that send the message, and the part it is about."""

    site: str
    line: str
    device: str
    camera: str
    part_id: str | None = Field(default=None, description="null for a gap")
    trigger_id: str | None = None
    source_number: int | None = Field(default=None, description="the part's number in its source")
    source_name: str | None = Field(default=None, description="file name or the like")


class JudgedPart(PartReference):
    """When, what, where and by which model: shared by alerts and results."""

    captured_at: Rfc3339 | None = Field(default=None, description="null for a gap")
    clock_synchronised: bool = Field(description="whether the device's clock was synchronised then")
    verdict: VerdictName | None = Field(default=None, description="null for a gap")
    reason: str = Field(
        default="", description="why NOT_INSPECTED; 'missing': NG, there is no product"
    )
    score: float | None = Field(
        default=None, description="larger is more anomalous; null if nothing was scored"
    )
    threshold: float | None = Field(default=None, description="score >= threshold is NG")
    threshold_id: str | None = None
    views_judged: Count = 0
    latency_ms: float | None = Field(default=None, description="capture to verdict")
    frame_id: int | None = None
    frame_hw: tuple[int, int] | None = Field(default=None, description="height, width in pixels")
    product_corners_xy: tuple[PointXy, ...] = Field(
        default=(), description="the product's four corners in frame pixels; empty if none"
    )
    defects: tuple[DefectBody, ...] = ()
    model: ModelBody | None = None
    golden: str | None = Field(
        default=None,
        description="name of the golden part that it is: a test of the line, to be counted as no "
        "part of production",
    )


class AlertDraft(JudgedPart):
    """An alert before the outbox has numbered it."""

    event: EventName
    alarm_id: str = Field(description="shared by new, update and end of one part")
    message_id: Uuid7 = Field(description="unique; drop what you have seen before")
    evidence: EvidenceBody | None = None
    gap: GapBody | None = Field(default=None, description="set if event is 'gap'")
    golden_check: GoldenCheckBody | None = Field(
        default=None,
        description="set if the alert is about a golden part's check and about no part: "
        "`verdict` is NOT_INSPECTED and `reason` golden_ and the outcome",
    )


class ShortenedBody(Body):
    """What an alert lacks because the broker takes no larger packet."""

    polygons: Count = Field(description="outlines left out; the defects' boxes are still there")
    defects: Count = Field(description="defects left out, the weakest ones")
    others: tuple[str, ...] = Field(default=(), description="fields left out or cut")


class Alert(AlertDraft):
    """`cam/{c}/alert`: one NG part, or a gap.

    Order by (`store_id`, `seq`), drop duplicates by `message_id`.
    """

    seq: int = Field(
        ge=1, description="per device and store_id, survives restarts, never used twice"
    )
    store_id: str | None = Field(
        default=None,
        description="the numbering that `seq` belongs to; another one begins when the device has "
        "lost its records. Null: a device of 0.1.0",
    )
    skipped_from: int | None = Field(
        default=None,
        ge=1,
        description="numbers from here to this one were left out after a power cut, because they "
        "may have been used",
    )
    is_from_memory: bool = Field(
        default=False,
        description="told from memory, under a store_id of its own, because the device's disk "
        "does not take it: a power cut before it arrives would lose it",
    )
    told_as: NumberBody | None = Field(
        default=None, description="the number under which it may have arrived from memory before"
    )
    session: int = Field(ge=1, description="the session (start of the app) that stored it")
    published_at: Rfc3339
    replayed: bool = Field(
        description="stored before this connection: after an outage or a restart"
    )
    shortened: ShortenedBody | None = Field(
        default=None, description="null: complete; else the broker takes no larger packet"
    )


class PartResult(JudgedPart):
    """`cam/{c}/result`: every part, good or bad. QoS 0 and opt-in."""

    published_at: Rfc3339
    is_suspect: bool = Field(
        default=False, description="OK, but close to the threshold: worth a person's look"
    )
