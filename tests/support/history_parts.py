"""Verdicts and alarms as inspection hands them to the history."""

from __future__ import annotations

from dataclasses import replace

from edge_app.history.retention import Retention
from edge_app.host.age_clock import AgeClock
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

MODEL = ModelIdentity("demo", 3, "ab" * 32, "fp32")
START_NS = 1_790_000_000 * 10**9
CRACK = Defect(((0.0, 0.0), (9.0, 0.0), (9.0, 9.0)), (0.0, 0.0, 9.0, 9.0), 3.0, "crack")


def verdict(
    number: int | None,
    state: str = "OK",
    score: float | None = 1.0,
    name: str = "",
    camera: str = "c",
) -> PartVerdict:
    """Return a part's verdict; the limit is 2, parts are a second apart."""
    return PartVerdict(
        camera=camera,
        part_id=name or f"{camera}-{number}",
        state=VerdictState(state),
        reason="",
        score=score,
        threshold=2.0,
        threshold_id="calibrated-1",
        frame_id=number or 0,
        frame_hw=(48, 64),
        captured_at_ns=START_NS + (number or 0) * 10**9,
        model=MODEL,
        product_corners_xy=((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0)),
        defects=(CRACK,) if state == "NG" else (),
        views_judged=1,
        source_number=number,
        latency_ms=12.3456,
    )


def alarm(part: PartVerdict, kind: str = "new") -> AlarmEvent:
    """Return an alarm of a part."""
    return AlarmEvent(EventKind(kind), part.camera, f"alarm-{part.part_id}", part)


def kept(event: AlarmEvent) -> AlarmEvent:
    """Return an alarm with its picture."""
    return replace(
        event, evidence=Evidence("http://d/evidence/1.jpg", "cd" * 32), reasons=("ng", "random")
    )


def gap(first: int, last: int, camera: str = "c") -> AlarmEvent:
    """Return a gap of numbered parts."""
    return AlarmEvent(EventKind.GAP, camera, "gap", gap=Gap(camera, first, last, "lost"))


def keeping_all() -> Retention:
    """Return what lets nothing go for its age: its clock is never synchronised."""
    return Retention(1e6, 1 << 30, AgeClock(is_synchronised=lambda: False))
