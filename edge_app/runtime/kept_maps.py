"""Brings the inspector's maps to the pictures that are kept: of bad and of suspect parts."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from edge_app.records import (
    AlarmEvent,
    F32Array,
    FrameReport,
    KeptPart,
    PointXy,
    UprightCrop,
    VerdictState,
)

MAX_REMEMBERED = 256
"""Parts in the picture whose deciding view's map is remembered; more are without one."""

Corners = tuple[PointXy, ...]


class MapKeeper:
    """Gives the crops of a report the maps over them; one per camera, used by one thread.

    A bad part's picture is taken of the frame in hand; a suspect part's of an earlier one, so that
    the map of each part's deciding view is remembered until the part has left.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[Corners, F32Array]] = OrderedDict()

    def completed(self, report: FrameReport) -> FrameReport:
        """Return a report whose crops of bad and suspect parts have their maps."""
        if not (report.anomalies or report.kept or self._seen):
            return report
        self._remember(report)
        if report.events or report.kept:
            events = tuple(self._with_map(event, report) for event in report.events)
            kept = tuple(self._kept_with_map(part) for part in report.kept)
            report = replace(report, events=events, kept=kept)
        for verdict in report.finished:
            self._seen.pop(verdict.part_id, None)
        return report

    def _remember(self, report: FrameReport) -> None:
        for part_id, anomaly in report.anomalies.items():
            verdict = report.verdicts.get(part_id)
            corners = report.crop_corners_xy.get(part_id)
            is_deciding = verdict is not None and verdict.frame_id == report.frame.frame_id
            if is_deciding and corners:
                self._seen[part_id] = corners, anomaly.map_hw
                self._seen.move_to_end(part_id)
        while len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)

    def _with_map(self, event: AlarmEvent, report: FrameReport) -> AlarmEvent:
        verdict, crop = event.verdict, event.crop
        if verdict is None or crop is None or verdict.state is not VerdictState.NG:
            return event
        anomaly = report.anomalies.get(verdict.part_id)
        if anomaly is None or report.crop_corners_xy.get(verdict.part_id) != crop.corners_xy:
            return event
        return replace(event, crop=replace(crop, map_hw=anomaly.map_hw))

    def _kept_with_map(self, part: KeptPart) -> KeptPart:
        crop, seen = part.crop, self._seen.get(part.verdict.part_id)
        if crop is None or seen is None or not part.verdict.is_suspect:
            return part
        return replace(part, crop=_matched(crop, *seen))


def _matched(crop: UprightCrop, corners: Corners, map_hw: F32Array) -> UprightCrop:
    """Return a crop with a map, if the map is the one over it."""
    return replace(crop, map_hw=map_hw) if crop.corners_xy == corners else crop
