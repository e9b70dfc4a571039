"""Alerts with many defects and long outlines."""

from __future__ import annotations

from dataclasses import replace

from edge_app.mqtt.messages import AlertDraft
from edge_app.records import AlarmEvent, Defect, EventKind, Evidence
from support.alert_drafts import as_draft, bad_part


def large_draft(number: int, defects: int = 20, points: int = 60) -> AlertDraft:
    """Return an alert of some 20 kB: `defects` outlines of up to `points` points."""
    found = tuple(
        Defect(
            tuple((10.0 + n + k / 7, 20.0 + n + k / 3) for k in range(points - n)),
            (12.0 + n, 22.0, 20.0 + n, 30.0),
            5.5 + n / 10,
        )
        for n in range(defects)
    )
    part = replace(bad_part(number), defects=found, source_name="ordner/" + "x" * 180)
    evidence = Evidence("https://press-3.plant.example/evidence/2026-11-29/" + "y" * 60, "ab" * 32)
    return as_draft(AlarmEvent(EventKind.NEW, "cam1", f"alarm-{number}", part, evidence=evidence))
