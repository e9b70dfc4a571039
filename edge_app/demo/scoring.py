"""The line's verdicts against the ground truth: per part, by defect class and by size."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from edge_app.records import (
    AlarmEvent,
    EventKind,
    FrameReport,
    JsonObject,
    PartVerdict,
    VerdictState,
)
from edge_app.simulator.truth import (
    RESERVED_KIND,
    SIZE_BINS,
    DefectTruth,
    FrameTruth,
    PartTruth,
    size_bin,
)

MATCH_SHARE = 0.5
"""A tracked part is matched to the true part whose centre is within this share of its longer
side."""


@dataclass(slots=True)
class _Seen:
    """One true part and the line's verdicts. It may have several ids if tracking lost it."""

    defect: DefectTruth | None
    part_ids: set[str] = field(default_factory=set)
    states: list[VerdictState] = field(default_factory=list)
    is_located: bool = False
    is_suspect: bool = False


class Scoreboard:
    """Collects verdicts and compares them with the ground truth.

    A true part counts as NG if any of its verdicts is NG, as inspected if any is OK or NG.

    Args:
        truth_of: frame id → ground truth of that frame.

    Attributes:
        alarms: NG parts that were announced.
    """

    def __init__(self, truth_of: Callable[[int], FrameTruth]) -> None:
        self._truth_of = truth_of
        self._parts: dict[int, _Seen] = {}
        self._number_of: dict[str, int] = {}
        self._phantoms = 0
        self.frames = 0
        self.alarms = 0

    def take(self, report: FrameReport) -> None:
        """Add one frame's outcome; called in the inspection thread."""
        self.frames += 1
        self.alarms += sum(_is_alarm(event) for event in report.events)
        truth = self._truth_of(report.frame.frame_id)
        for part in truth.parts:
            self._parts.setdefault(part.number, _Seen(part.defect))
        for view in report.views:
            box = view.detection.box_cxcywhr
            nearest = _nearest(truth.parts, box[0], box[1])
            if nearest is not None:
                self._number_of.setdefault(view.part_id, nearest.number)
                self._parts[nearest.number].part_ids.add(view.part_id)
        for part in truth.parts:
            self._note_location(part, report)
        for verdict in report.finished:
            self._close(verdict)

    def number_of(self, part_id: str) -> int | None:
        """Return the true part behind an id, None for a detection of nothing."""
        return self._number_of.get(part_id)

    def defect_of(self, number: int) -> DefectTruth | None:
        """Return a true part's defect."""
        return self._parts[number].defect

    def _note_location(self, part: PartTruth, report: FrameReport) -> None:
        """Remember whether a reported defect box overlaps the true one in this frame."""
        seen = self._parts[part.number]
        if part.defect is None:
            return
        for part_id in seen.part_ids & report.anomalies.keys():
            verdict = report.verdicts.get(part_id)
            if verdict and verdict.frame_id == report.frame.frame_id:
                boxes = [d.box_xyxy for d in verdict.defects]
                seen.is_located |= any(_overlap(b, part.defect.box_xyxy) for b in boxes)

    def _close(self, verdict: PartVerdict) -> None:
        number = self._number_of.get(verdict.part_id)
        if number is None:
            self._phantoms += verdict.state is VerdictState.NG
            return
        self._parts[number].states.append(verdict.state)
        self._parts[number].is_suspect |= verdict.is_suspect

    def summary(self) -> JsonObject:
        """Return the counts; parts that never got a verdict (still on the belt) are left out."""
        done = [p for p in self._parts.values() if p.states]
        bad = [p for p in done if p.defect]
        good = [p for p in done if not p.defect]
        caught = [p for p in bad if _is_ng(p)]
        alarmed = sum(_is_ng(p) for p in good) + self._phantoms
        known = [p for p in bad if p.defect and p.defect.kind != RESERVED_KIND]
        reserved = [p for p in bad if p.defect and p.defect.kind == RESERVED_KIND]
        return {
            "parts": len(done),
            "defective": len(bad),
            "caught": len(caught),
            "recall": _share(len(caught), len(bad)),
            "false_alarms": alarmed,
            "false_alarm_rate": _share(alarmed, len(good)),
            "not_inspected": sum(not _is_inspected(p) for p in done),
            "suspect": sum(p.is_suspect and not _is_ng(p) for p in done),
            "suspect_defective": sum(p.is_suspect and not _is_ng(p) for p in bad),
            "located": sum(p.is_located for p in caught),
            "recall_by_kind": _recall_by(known, lambda d: d.kind),
            "recall_by_size": _recall_by(
                bad, lambda d: size_bin(d.area_fraction), [name for name, _ in SIZE_BINS]
            ),
            "reserved_kind": {
                "kind": RESERVED_KIND,
                "parts": len(reserved),
                "caught": sum(_is_ng(p) for p in reserved),
            },
        }


def _is_alarm(event: AlarmEvent) -> bool:
    verdict = event.verdict
    is_ng = verdict is not None and verdict.state is VerdictState.NG
    return is_ng and event.kind is EventKind.NEW


def _is_ng(part: _Seen) -> bool:
    return VerdictState.NG in part.states


def _is_inspected(part: _Seen) -> bool:
    return any(s is not VerdictState.NOT_INSPECTED for s in part.states)


def _share(count: int, total: int) -> float | None:
    return round(count / total, 4) if total else None


def _recall_by(
    parts: Iterable[_Seen], key: Callable[[DefectTruth], str], order: Iterable[str] = ()
) -> dict[str, JsonObject]:
    total: Counter[str] = Counter()
    caught: dict[str, int] = defaultdict(int)
    for part in parts:
        if part.defect is not None:
            name = key(part.defect)
            total[name] += 1
            caught[name] += _is_ng(part)
    names = [n for n in order if n in total] or sorted(total)
    return {
        n: {"parts": total[n], "caught": caught[n], "recall": _share(caught[n], total[n])}
        for n in names
    }


def _nearest(parts: Iterable[PartTruth], x: float, y: float) -> PartTruth | None:
    best: PartTruth | None = None
    best_px = math.inf
    for part in parts:
        box = part.box_cxcywhr
        distance = math.hypot(box[0] - x, box[1] - y)
        if distance < best_px and distance <= MATCH_SHARE * max(box[2], box[3]):
            best, best_px = part, distance
    return best


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
