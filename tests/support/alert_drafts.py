"""Alerts to send, made the way the line makes them."""

from __future__ import annotations

import random
import time

from edge_app.mqtt.messages import AlertDraft, alert_from_event
from edge_app.mqtt.timestamps import uuid7
from edge_app.mqtt.topics import DeviceName
from edge_app.records import (
    AlarmEvent,
    Defect,
    EventKind,
    Evidence,
    Gap,
    ModelIdentity,
    PartVerdict,
    VerdictState,
)

WHO = DeviceName("graz", "line-2", "press-3")
MODEL = ModelIdentity("screw", 7, "ab" * 32, "fp32")


def bad_part(number: int, camera: str = "cam1", score: float | None = 4.5) -> PartVerdict:
    """Return an NG verdict over one numbered part."""
    return PartVerdict(
        camera=camera,
        part_id=f"{camera}-18f3a2-{number:06d}",
        state=VerdictState.NG,
        reason="",
        score=score,
        threshold=3.0,
        threshold_id="calibrated-1",
        frame_id=number,
        frame_hw=(480, 640),
        captured_at_ns=1_790_000_000_123_456_789 + number,
        model=MODEL,
        product_corners_xy=((10.0, 20.0), (90.0, 20.0), (90.0, 60.0), (10.0, 60.0)),
        defects=(Defect(((12.0, 22.0), (20.0, 22.0), (20.0, 30.0)), (12, 22, 20, 30), 5.5),),
        views_judged=2,
        trigger_id=f"t{number}",
        source_number=number,
        source_name=f"{number:04d}.png",
        latency_ms=12.5,
    )


def new_event(number: int, camera: str = "cam1", evidence: Evidence | None = None) -> AlarmEvent:
    """Return the event `new` of one numbered part."""
    return AlarmEvent(EventKind.NEW, camera, f"alarm-{number}", bad_part(number, camera),
                      evidence=evidence)  # fmt: skip


def gap_event(first: int, last: int, camera: str = "cam1") -> AlarmEvent:
    """Return a gap over numbered parts."""
    gap = Gap(camera, first, last, "restart")
    return AlarmEvent(EventKind.GAP, camera, f"gap-{first}", gap=gap)


def draft(number: int, camera: str = "cam1", evidence: Evidence | None = None) -> AlertDraft:
    """Return the alert of one numbered bad part, not yet stored."""
    return as_draft(new_event(number, camera, evidence))


def as_draft(event: AlarmEvent) -> AlertDraft:
    """Return an event as an alert with a fresh id."""
    message_id = uuid7(time.time_ns(), random.SystemRandom().getrandbits)
    return alert_from_event(event, WHO, message_id=message_id, clock_synchronised=True)
