"""All messages in one import, and the conversion of the line's records into messages.

The models generate docs/schemas and docs/asyncapi.json. Converting never raises on unusual
numbers: an alert must not get lost because a graph returned NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypedDict

from edge_app.imaging.camera_calibration import Geometry, extent_mm
from edge_app.mqtt.device_messages import (
    Attention,
    AuditFigures,
    CameraAlarmLevel,
    CameraDescription,
    CameraHealth,
    CameraState,
    CameraStateName,
    DeviceInfo,
    DeviceStatus,
    Health,
    MessageCounts,
    OutboxHealth,
    SlotDescription,
    StatusName,
)
from edge_app.mqtt.message_base import SCHEMA_VERSION, Message, Rfc3339
from edge_app.mqtt.part_messages import (
    Alert,
    AlertDraft,
    DefectBody,
    EventName,
    EvidenceBody,
    ExtentBody,
    GapBody,
    GoldenCheckBody,
    ModelBody,
    PartResult,
    VerdictName,
)
from edge_app.mqtt.timestamps import rfc3339
from edge_app.mqtt.topics import DeviceName
from edge_app.records import (
    AlarmEvent,
    Defect,
    GoldenCheck,
    ModelIdentity,
    PartVerdict,
    PointXy,
)

__all__ = [
    "SCHEMA_VERSION",
    "Alert",
    "AlertDraft",
    "Attention",
    "AuditFigures",
    "CameraAlarmLevel",
    "CameraDescription",
    "CameraHealth",
    "CameraState",
    "CameraStateName",
    "DefectBody",
    "DeviceInfo",
    "DeviceStatus",
    "EventName",
    "EvidenceBody",
    "ExtentBody",
    "GapBody",
    "GoldenCheckBody",
    "Health",
    "Message",
    "MessageCounts",
    "ModelBody",
    "OutboxHealth",
    "PartResult",
    "SlotDescription",
    "StatusName",
    "VerdictName",
    "alert_from_event",
    "model_body",
    "result_from_verdict",
]

PIXEL_DECIMALS = 2
"""A hundredth of a pixel is far below the resolution of a map, and halves the payload."""


MM_DECIMALS = 3
"""A micrometre: finer than a pixel of any camera that sees a whole part."""


class _Judgement(TypedDict, total=False):
    part_id: str
    trigger_id: str | None
    source_number: int | None
    source_name: str | None
    captured_at: Rfc3339
    verdict: VerdictName
    reason: str
    score: float | None
    threshold: float | None
    threshold_id: str
    views_judged: int
    latency_ms: float | None
    frame_id: int
    frame_hw: tuple[int, int]
    product_corners_xy: tuple[PointXy, ...]
    defects: tuple[DefectBody, ...]
    model: ModelBody | None
    golden: str | None


def alert_from_event(
    event: AlarmEvent,
    who: DeviceName,
    *,
    message_id: str,
    clock_synchronised: bool,
    geometry: Geometry | None = None,
) -> AlertDraft:
    """Return the alert for an event, ready for the outbox.

    Args:
        event: from the line; new, update and end carry a verdict, gap a gap.
        who: this device.
        message_id: a fresh UUIDv7 (`timestamps.uuid7`).
        clock_synchronised: whether the device's clock is disciplined now.
        geometry: the camera's calibration, for millimetres.
    """
    evidence, gap = event.evidence, event.gap
    judgement: _Judgement = _judgement(event.verdict, geometry) if event.verdict else {}
    return AlertDraft(
        site=who.site,
        line=who.line,
        device=who.device,
        camera=event.camera,
        event=event.kind.value,
        alarm_id=event.alarm_id,
        message_id=message_id,
        clock_synchronised=clock_synchronised,
        evidence=EvidenceBody(url=evidence.url, sha256=evidence.sha256) if evidence else None,
        gap=None
        if gap is None
        else GapBody(
            first_number=gap.first_number,
            last_number=gap.last_number,
            count=gap.count,
            reason=gap.reason,
        ),
        golden_check=None if event.golden is None else _golden_body(event.golden),
        **judgement,
    )


def result_from_verdict(
    verdict: PartVerdict,
    who: DeviceName,
    *,
    clock_synchronised: bool,
    published_at_ns: int,
    geometry: Geometry | None = None,
) -> PartResult:
    """Return the message about one finished part, good or bad."""
    return PartResult(
        site=who.site,
        line=who.line,
        device=who.device,
        camera=verdict.camera,
        clock_synchronised=clock_synchronised,
        published_at=rfc3339(published_at_ns),
        is_suspect=verdict.is_suspect,
        **_judgement(verdict, geometry),
    )


def _judgement(verdict: PartVerdict, geometry: Geometry | None) -> _Judgement:
    if geometry is not None and geometry.frame_hw != verdict.frame_hw:
        geometry = None  # made for pictures of another size: no millimetres, rather than wrong ones
    return {
        "part_id": verdict.part_id,
        "trigger_id": verdict.trigger_id,
        "source_number": verdict.source_number,
        "source_name": _as_text(verdict.source_name),
        "captured_at": rfc3339(verdict.captured_at_ns),
        "verdict": verdict.state.value,
        "reason": verdict.reason,
        "score": _finite(verdict.score),
        "threshold": _finite(verdict.threshold),
        "threshold_id": verdict.threshold_id,
        "views_judged": verdict.views_judged,
        "latency_ms": _finite(verdict.latency_ms),
        "frame_id": verdict.frame_id,
        "frame_hw": verdict.frame_hw,
        "product_corners_xy": _points(verdict.product_corners_xy),
        "defects": tuple(_defect(d, geometry) for d in verdict.defects if _is_drawable(d)),
        "model": model_body(verdict.model),
        "golden": verdict.golden or None,
    }


def _golden_body(check: GoldenCheck) -> GoldenCheckBody:
    return GoldenCheckBody(
        name=check.name,
        outcome=check.outcome,
        due_at=None if check.due_ns is None else rfc3339(check.due_ns),
        found=None if check.state is None else check.state.value,
        found_classes=check.found_classes,
        expected_class=check.expected_class or None,
    )


def _as_text(name: str | None) -> str | None:
    """Return a file name as valid UTF-8: Linux allows any bytes, JSON does not."""
    return None if name is None else name.encode("utf-8", "replace").decode()


def model_body(model: ModelIdentity | None) -> ModelBody | None:
    """Return the model's identity in the form that messages use."""
    if model is None:
        return None
    return ModelBody(
        product=model.product,
        serial=model.serial,
        bundle_sha256=model.bundle_sha256,
        precision=model.precision,
    )


def _defect(defect: Defect, geometry: Geometry | None) -> DefectBody:
    x0, y0, x1, y1 = (round(float(v), PIXEL_DECIMALS) for v in defect.box_xyxy)
    return DefectBody(
        kind=defect.kind,
        box_xyxy=(x0, y0, x1, y1),
        polygon_xy=_points(defect.polygon_xy),
        peak=_finite(defect.peak),
        weak_localisation=defect.weak_localisation,
        extent=_extent(defect, geometry) if geometry is not None else None,
    )


def _extent(defect: Defect, geometry: Geometry) -> ExtentBody | None:
    extent = extent_mm(defect, geometry)
    if extent is None:
        return None
    (x, y), (length, width) = extent.centre_mm, extent.size_mm
    return ExtentBody(
        centre_mm=(round(x, MM_DECIMALS), round(y, MM_DECIMALS)),
        size_mm=(round(length, MM_DECIMALS), round(width, MM_DECIMALS)),
        area_mm2=round(extent.area_mm2, MM_DECIMALS),
    )


def _is_drawable(defect: Defect) -> bool:
    return all(math.isfinite(v) for v in defect.box_xyxy)


def _points(points_xy: Iterable[PointXy]) -> tuple[PointXy, ...]:
    return tuple(
        (round(float(x), PIXEL_DECIMALS), round(float(y), PIXEL_DECIMALS))
        for x, y in points_xy
        if math.isfinite(x) and math.isfinite(y)
    )


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
