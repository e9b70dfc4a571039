"""Parts that nobody looked at: those that a pause let pass, and those that waited at a stop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge_app.cameras.frame_queue import Unjudged
from edge_app.records import Frame, FrameReport, PartVerdict, VerdictState

PAUSED = "paused"
"""Reason of parts that pass while a person has paused their camera."""


def without_alerts(report: FrameReport) -> FrameReport:
    """Return the report of parts that a pause let pass: NOT_INSPECTED (paused), without an alert.

    A part that was alerted before keeps its verdict and its end. Of the others no picture is kept:
    people work at the line.
    """
    finished = tuple(_paused(verdict) for verdict in report.finished)
    passed = {v.part_id for v in report.finished if v.state is VerdictState.NOT_INSPECTED}
    verdicts = {k: _paused(v) if k in passed else v for k, v in report.verdicts.items()}
    events = tuple(e for e in report.events if e.verdict is None or e.verdict.part_id not in passed)
    kept = tuple(part for part in report.kept if part.verdict.part_id not in passed)
    return replace(report, finished=finished, verdicts=verdicts, events=events, kept=kept)


def _paused(verdict: PartVerdict) -> PartVerdict:
    is_unseen = verdict.state is VerdictState.NOT_INSPECTED
    return replace(verdict, reason=PAUSED) if is_unseen else verdict


def stopped(frame: Frame) -> Unjudged:
    """Return the record of a part that was waiting when the app was stopped."""
    return Unjudged(
        camera=frame.camera,
        source_number=frame.source_number,
        trigger_id=frame.trigger_id,
        captured_at_ns=frame.captured_at_ns,
        reason="stopped",
        frame_id=frame.frame_id,
        frame_hw=frame.hw,
    )


def unseen(item: Unjudged) -> Frame:
    """Return the frame that stands for a part nobody saw: its picture is empty."""
    return Frame(
        camera=item.camera,
        frame_id=item.frame_id,
        pixels_hwc=np.zeros((*item.frame_hw, 0), np.uint8),
        captured_at_ns=item.captured_at_ns,
        trigger_id=item.trigger_id,
        source_number=item.source_number,
        source_name=item.source_name,
    )
