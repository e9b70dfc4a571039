"""Reports of one small line, for the tests of the page."""

from __future__ import annotations

import cv2
import numpy as np

from edge_app.imaging.oriented_box import corners_of
from edge_app.records import (
    AlarmEvent,
    Anomaly,
    BoxCxcywhr,
    Defect,
    Detection,
    EventKind,
    Evidence,
    Frame,
    FrameReport,
    PartVerdict,
    PartView,
    VerdictState,
)

BOX: BoxCxcywhr = (160.0, 100.0, 150.0, 60.0, 0.3)


def make_verdict(
    state: VerdictState,
    part_id: str = "belt-1-1-000001",
    reason: str = "",
    camera: str = "belt-1",
    is_suspect: bool = False,
) -> PartVerdict:
    is_judged = state is not VerdictState.NOT_INSPECTED
    scores = {VerdictState.OK: 4.25, VerdictState.NG: 13.5, VerdictState.NOT_INSPECTED: None}
    defect = Defect(((190, 100), (200, 100), (200, 108)), (190, 100, 200, 108), 3.0)
    return PartVerdict(
        camera=camera,
        part_id=part_id,
        state=state,
        reason=reason,
        score=scores[state],
        threshold=7.9,
        threshold_id="calibrated-1",
        frame_id=1,
        frame_hw=(200, 320),
        captured_at_ns=1_767_268_800_000_000_000,
        model=None,
        product_corners_xy=corners_of(BOX),
        defects=(defect,) if state is VerdictState.NG else (),
        views_judged=int(is_judged),
        latency_ms=31.0,
        is_suspect=is_suspect,
    )


def make_report(
    *,
    seen: tuple[PartVerdict, ...] = (),
    finished: tuple[PartVerdict, ...] = (),
    events: tuple[AlarmEvent, ...] = (),
    camera: str = "belt-1",
    frame_hwc: tuple[int, int, int] = (200, 320, 3),
) -> FrameReport:
    pixels = np.full(frame_hwc, 120, np.uint8)
    if pixels.size > 3:
        cv2.ellipse(pixels, (160, 100), (70, 25), 17, 0, 360, (190, 190, 190), -1)
    hot = np.zeros((12, 30), np.float32)
    hot[4:8, 20:26] = 3.0
    return FrameReport(
        frame=Frame(camera, 1, pixels, 0),
        views=tuple(PartView(v.part_id, 0, Detection(BOX, 0.9), True) for v in seen),
        anomalies={v.part_id: Anomaly(v.score or 0.0, hot) for v in seen},
        crop_corners_xy={v.part_id: corners_of(BOX) for v in seen},
        verdicts={v.part_id: v for v in (*seen, *finished)},
        finished=finished,
        events=events,
    )


def make_event(
    kind: EventKind, verdict: PartVerdict, evidence: Evidence | None = None
) -> AlarmEvent:
    return AlarmEvent(kind, verdict.camera, f"alarm-{verdict.part_id}", verdict, evidence=evidence)
