"""What is known of every part in the picture, and the alarm events that follow from it.

The rule over a part's views: its score is the largest of them, so it is NG as soon as one view is
NG and stays so. It is OK when it leaves with at least one judged view and none NG, and then suspect
when one of them is. It is NOT_INSPECTED when it leaves without one. A numbered part that a sound
picture does not show is NG, "missing", where the bundle says so.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from edge_app.inspection.station import MISSING, missing_defect
from edge_app.inspection.worth_keeping import KeepRule
from edge_app.records import (
    AlarmEvent,
    Defect,
    EventKind,
    Frame,
    Gap,
    KeptPart,
    ModelIdentity,
    PartVerdict,
    PointXy,
    UprightCrop,
    VerdictState,
)

UPDATE_GAIN = 0.05
"""A further view causes an `update` when its score exceeds the last published by this fraction
of the threshold: people want news, not every jitter of the same defect."""


@dataclass(frozen=True, slots=True)
class ViewResult:
    """One judged (or failed) view of a part.

    Attributes:
        reason: why a view that should have been judged was not; "" if it was.
        is_suspect: OK with a score in the suspect band.
        is_near_miss: OK with a score close below the lower limit.
        crop: what was scored.
    """

    part_id: str
    state: VerdictState
    reason: str
    score: float | None
    product_corners_xy: tuple[PointXy, ...]
    defects: tuple[Defect, ...]
    is_suspect: bool = False
    is_near_miss: bool = False
    crop: UprightCrop | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ShownView:
    """The view of a part that can be kept as its picture.

    Attributes:
        crop: what was scored; None where nothing was cut out.
        is_near_miss: OK with a score close below the lower limit.
        off_middle: pixels from the frame's middle, of a view that was not judged.
    """

    frame: Frame
    crop: UprightCrop | None = None
    is_near_miss: bool = False
    off_middle: float = 0.0


@dataclass(slots=True)
class _Entry:
    verdict: PartVerdict
    shown: ShownView | None = None  # the deciding view, while its picture is worth keeping
    alarm_id: str | None = None
    published_score: float = 0.0
    failed_frame: int | None = None
    failed_reason: str = ""
    is_sealed: bool = False


class PartLedger:
    """Turns view results into part verdicts and alarm events. One per camera; no IO.

    Args:
        camera: its name.
        model: who judges.
        threshold: the score threshold in force, for the record.
        threshold_id: its name.
        new_alarm_id: gives a fresh id; passed in so that tests are deterministic.
        now_ns: the wall clock, ns since the epoch, for a recording's latency.
        monotonic_ns: the clock nobody sets, for everybody else's.
        keep: whose pictures are worth keeping.
    """

    def __init__(
        self,
        camera: str,
        model: ModelIdentity | None,
        threshold: float,
        threshold_id: str,
        new_alarm_id: Callable[[], str],
        now_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        keep: KeepRule | None = None,
    ) -> None:
        self._camera = camera
        self._model = model
        self._threshold = threshold
        self._threshold_id = threshold_id
        self._new_alarm_id = new_alarm_id
        self.keep = keep or KeepRule()
        self._now_ns = now_ns
        self._monotonic_ns = monotonic_ns
        self._entries: dict[str, _Entry] = {}

    def verdict(self, part_id: str) -> PartVerdict:
        """Return what is known of a part that is still in the picture."""
        return self._entries[part_id].verdict

    def views_judged(self, part_id: str) -> int:
        """Return how many of a part's views were judged; 0 for an unknown part."""
        entry = self._entries.get(part_id)
        return entry.verdict.views_judged if entry else 0

    def is_open(self, part_id: str) -> bool:
        """Tell whether further views of a part may be judged; a new model leaves the old one's
        verdicts alone, because their scores have another scale."""
        entry = self._entries.get(part_id)
        return entry is None or not entry.is_sealed

    def hand_over(self, model: ModelIdentity, threshold: float, threshold_id: str) -> None:
        """Let another model judge from now on: judged parts keep their verdict, the others are
        the new model's."""
        self._model, self._threshold, self._threshold_id = model, threshold, threshold_id
        for entry in self._entries.values():
            if entry.verdict.views_judged:
                entry.is_sealed = True
            else:
                entry.verdict = replace(
                    entry.verdict, model=model, threshold=threshold, threshold_id=threshold_id
                )

    def is_sighted(self, part_id: str) -> bool:
        """Tell whether a part has been in the picture and has not left."""
        return part_id in self._entries

    def sight(self, part_id: str, frame: Frame, corners_xy: tuple[PointXy, ...]) -> None:
        """Note that a part is in the picture; it is NOT_INSPECTED until a view is judged."""
        entry = self._entries.get(part_id)
        if entry is None:
            entry = _Entry(self._blank(part_id, frame, "never_whole", corners_xy))
            self._entries[part_id] = entry
        if entry.verdict.views_judged == 0:
            off_middle = _off_middle(corners_xy, frame.hw)
            shown = entry.shown
            if shown is None or (shown.crop is None and off_middle < shown.off_middle):
                entry.shown = ShownView(frame, off_middle=off_middle)

    def record(self, result: ViewResult, frame: Frame) -> EventKind | None:
        """Take one view's result in; return the kind of event it calls for, if any."""
        entry = self._entries[result.part_id]
        before = entry.verdict
        if result.state is VerdictState.NOT_INSPECTED:
            entry.failed_frame, entry.failed_reason = frame.frame_id, result.reason
            if before.views_judged == 0:
                entry.shown = ShownView(frame, result.crop)
                entry.verdict = replace(before, reason=result.reason)
            return None
        score = result.score if result.score is not None else 0.0
        if before.score is None or score > before.score:
            entry.verdict = replace(
                self._blank(result.part_id, frame, "", result.product_corners_xy),
                state=result.state,
                score=score,
                defects=result.defects,
                latency_ms=self._latency_ms(frame),
                is_suspect=result.is_suspect,
            )
            is_worth_it = result.is_suspect or result.is_near_miss
            is_worth_it = is_worth_it or self.keep.is_drawn(result.part_id)
            shown = ShownView(frame, result.crop, result.is_near_miss)
            entry.shown = shown if is_worth_it else None
        entry.verdict = replace(entry.verdict, views_judged=before.views_judged + 1)
        return self._called_for(entry)

    def _latency_ms(self, frame: Frame) -> float:
        is_recorded = frame.monotonic_ns is None
        now_ns = self._now_ns() if is_recorded else self._monotonic_ns()
        return max(0.0, (now_ns - frame.steady_ns) / 1e6)

    def _called_for(self, entry: _Entry) -> EventKind | None:
        if entry.verdict.state is not VerdictState.NG or entry.verdict.score is None:
            return None
        if entry.alarm_id is None:
            return EventKind.NEW
        gain = entry.verdict.score - entry.published_score
        return EventKind.UPDATE if gain > UPDATE_GAIN * abs(self._threshold) else None

    def publish(
        self, part_id: str, kind: EventKind, frame: Frame, crop: UprightCrop | None = None
    ) -> AlarmEvent:
        """Return the `new` or `update` event for a part as it stands now.

        Args:
            frame: the one that the deciding view was taken from.
            crop: what was scored of it.
        """
        entry = self._entries[part_id]
        entry.alarm_id = entry.alarm_id or self._new_alarm_id()
        entry.published_score = entry.verdict.score or 0.0
        return self._pictured(self._event(kind, entry), frame, crop)

    def _pictured(self, event: AlarmEvent, frame: Frame, crop: UprightCrop | None) -> AlarmEvent:
        reasons = () if event.verdict is None else self.keep.reasons(event.verdict, False)
        return replace(event, frame=frame, crop=crop, reasons=reasons)

    def shown(self, part_id: str) -> ShownView | None:
        """Return the view of a part in the picture that can be kept; None: it need not be."""
        entry = self._entries.get(part_id)
        return entry.shown if entry else None

    def kept(self, verdict: PartVerdict, shown: ShownView | None) -> KeptPart | None:
        """Return a part that has left, if its picture is worth keeping without an alert.

        A bad part's belongs to its alert.

        Args:
            shown: of before it left.
        """
        if shown is None or verdict.state is VerdictState.NG or 0 in shown.frame.pixels_hwc.shape:
            return None
        reasons = self.keep.reasons(verdict, shown.is_near_miss)
        return KeptPart(verdict, shown.frame, reasons, shown.crop) if reasons else None

    def leave(
        self, part_id: str, frame: Frame, trouble: str = ""
    ) -> tuple[PartVerdict, list[AlarmEvent]]:
        """Close a part: return its final verdict and its last events.

        Args:
            frame: the latest frame; the record of a part that was never sighted points to it.
            trouble: why it was never sighted, if that is known; "no_product" otherwise. Of a part
                that is "missing" the verdict is NG.
        """
        entry = self._entries.pop(part_id, None)
        if entry is None and trouble == MISSING:
            return self._missing(part_id, frame)
        if entry is None:
            entry = _Entry(self._blank(part_id, frame, trouble or "no_product", ()))
        if entry.verdict.state is VerdictState.OK and entry.failed_frame == entry.verdict.frame_id:
            # Two boxes in one picture, one of them not judged: the picture's part is not good.
            entry.verdict = replace(
                entry.verdict,
                state=VerdictState.NOT_INSPECTED,
                reason=entry.failed_reason,
                is_suspect=False,
            )
        events = []
        if entry.verdict.state is VerdictState.NOT_INSPECTED:
            entry.alarm_id = self._new_alarm_id()
            events.append(self._event(EventKind.NEW, entry))
        if entry.alarm_id is not None:
            events.append(self._event(EventKind.END, entry))
        return entry.verdict, events

    def _missing(self, part_id: str, frame: Frame) -> tuple[PartVerdict, list[AlarmEvent]]:
        """Return the verdict and both events of a part that should be in a frame and is not."""
        verdict = replace(
            self._blank(part_id, frame, MISSING, ()),
            state=VerdictState.NG,
            defects=(missing_defect(frame.hw),),
            latency_ms=self._latency_ms(frame),
        )
        entry = _Entry(verdict, alarm_id=self._new_alarm_id())
        new = self._pictured(self._event(EventKind.NEW, entry), frame, None)
        return verdict, [new, self._event(EventKind.END, entry)]

    def gap(self, first_number: int, last_number: int, reason: str) -> AlarmEvent:
        """Return the event for numbered parts that were lost unjudged (both ends included)."""
        gap = Gap(self._camera, first_number, last_number, reason)
        return AlarmEvent(EventKind.GAP, self._camera, self._new_alarm_id(), gap=gap)

    def _event(self, kind: EventKind, entry: _Entry) -> AlarmEvent:
        return AlarmEvent(kind, self._camera, entry.alarm_id or "", entry.verdict)

    def _blank(
        self, part_id: str, frame: Frame, reason: str, corners_xy: tuple[PointXy, ...]
    ) -> PartVerdict:
        return PartVerdict(
            camera=self._camera,
            part_id=part_id,
            state=VerdictState.NOT_INSPECTED,
            reason=reason,
            score=None,
            threshold=self._threshold,
            threshold_id=self._threshold_id,
            frame_id=frame.frame_id,
            frame_hw=frame.hw,
            captured_at_ns=frame.captured_at_ns,
            model=self._model,
            product_corners_xy=corners_xy,
            trigger_id=frame.trigger_id,
            source_number=frame.source_number,
            source_name=frame.source_name,
        )


def _off_middle(corners_xy: tuple[PointXy, ...], frame_hw: tuple[int, int]) -> float:
    """Return how far a box is from the frame's middle, in pixels."""
    h, w = frame_hw
    count = max(1, len(corners_xy))
    x, y = sum(p[0] for p in corners_xy) / count, sum(p[1] for p in corners_xy) / count
    return math.hypot(x - (w - 1) / 2, y - (h - 1) / 2)
