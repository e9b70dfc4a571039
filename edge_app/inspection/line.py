"""The whole path of one frame, top-down: from pixels to alarm events.

    camera → frame → product boxes → parts → upright crops → scores + maps → verdicts → alarm events

`InspectionLine.inspect` is that path; `runtime/inspection_thread.py` feeds it from a grabber and
hands its events to the outbox. Everything a stage needs is passed in, so the same line judges live
frames, files, golden pictures and calibration parts. Nothing here touches a disk: an event carries
its frame, and `alerts/` writes the picture once the alert is safe.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from edge_app.errors import ModelError
from edge_app.imaging.oriented_box import corners_of
from edge_app.imaging.upright_crop import crop_corners
from edge_app.inspection.defect_classifier import Classified, DefectNamer
from edge_app.inspection.judge import Limits, find_defects, is_seen, is_suspect, judge_score
from edge_app.inspection.part_ledger import PartLedger, ShownView, ViewResult
from edge_app.inspection.plausibility import IMPLAUSIBLE, Plausibility
from edge_app.inspection.stages import Stages
from edge_app.inspection.station import MISSING, Station
from edge_app.inspection.tracker import Sighting, Tracker
from edge_app.records import (
    AlarmEvent,
    Anomaly,
    BoxCxcywhr,
    Detection,
    Frame,
    FrameReport,
    JudgedView,
    KeptPart,
    PartVerdict,
    PartView,
    U8Array,
    UprightCrop,
    VerdictState,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The products of one frame, before anything is known of them.

    Attributes:
        detections: as the detector sees them, most confident first.
        trouble: "model_error" where it failed, else "".
        took_ms: from the call to the answer.
    """

    detections: tuple[Detection, ...]
    trouble: str = ""
    took_ms: float = 0.0


class InspectionLine:
    """Judges every part of one camera. Not thread-safe: one thread owns it; where it `finds_ahead`
    another may call `find`, one at a time.

    Args:
        stages: the model's way from a picture to scores.
        tracker: gives products identities.
        limits: thresholds in force.
        max_views: a part seen more often is judged in its first `max_views` whole views.
        ledger: verdicts and events.
        defect_classifier: names the defects of NG views; None leaves them "unknown".
        station: where a numbered picture without its product is NG, if it looks like those of
            training; None: it is NOT_INSPECTED.
        plausibility: what a crop must look like for its part to be good; None: nothing is known.
    """

    def __init__(
        self,
        *,
        stages: Stages,
        tracker: Tracker,
        limits: Limits,
        max_views: int,
        ledger: PartLedger,
        defect_classifier: DefectNamer | None = None,
        station: Station | None = None,
        plausibility: Plausibility | None = None,
    ) -> None:
        self._stages = stages
        self._tracker = tracker
        self._limits = limits
        self._max_views = max_views
        self._ledger = ledger
        self._defect_classifier = defect_classifier
        self._station = station
        self._plausibility = plausibility
        self._implausible_told = ""
        self._is_blind = False

    @property
    def tracker(self) -> Tracker:
        """What follows the parts; a successor on the same belt goes on with it."""
        return self._tracker

    @property
    def ledger(self) -> PartLedger:
        """What is known of the parts in the picture; a successor goes on with it."""
        return self._ledger

    @property
    def finds_ahead(self) -> bool:
        """`find` may run in another thread while this one inspects the frame before."""
        return self._stages.finds_ahead

    def find(self, frame: Frame) -> Found:
        """Return a frame's products; nothing here remembers it.

        Raises:
            ShapeError: the frame is not uint8 (h, w, 3).
        """
        began_s, trouble = perf_counter(), ""
        try:
            detections = self._stages.find(frame.pixels_hwc)
        except ModelError as error:
            _log.error("Detector failed on frame %d of %s: %s", frame.frame_id, frame.camera, error)
            detections, trouble = [], "model_error"
        return Found(tuple(detections), trouble, (perf_counter() - began_s) * 1e3)

    def inspect(self, frame: Frame, found: Found | None = None) -> FrameReport:
        """Take one frame through the whole path.

        A graph that fails makes its parts NOT_INSPECTED; nothing is raised for it.

        Args:
            found: what `find` has found in it; None: it is called here.

        Raises:
            ShapeError: the frame is not uint8 (h, w, 3).
        """
        found = found or self.find(frame)
        trouble = found.trouble
        clock = _StageClock({"detect": found.took_ms})
        sighting = self._tracker.follow(frame, found.detections)
        for view in sighting.views:
            self._ledger.sight(view.part_id, frame, corners_of(view.detection.box_cxcywhr))
        posed = _whole_first([self._posed(frame, v) for v in sighting.views])
        views = [view for view, _ in posed]
        due = [view for view, crop in posed if crop is not None]
        crops = [crop for _, crop in posed if crop is not None]
        clock.mark("crop")
        anomalies = self._score(crops)
        clock.mark("inspect")
        events: list[AlarmEvent] = []
        unclassified = 0
        judged: dict[int, tuple[ViewResult, Anomaly]] = {}
        for view, crop, anomaly in zip(due, crops, anomalies, strict=True):
            result, failed = self._judge(frame, view, crop, anomaly)
            unclassified += failed
            if result is not None:
                judged[id(view)] = (result, anomaly)
                events += self._record(result, frame)
        shown = _highest_scoring(due, anomalies)
        verdicts = {v.part_id: self._ledger.verdict(v.part_id) for v in views}
        several = self._each_by_itself(views, judged)
        departed = (*sighting.departed, *self._blind_spot(frame, sighting, trouble))
        unseen = trouble or self._why_unseen(frame, sighting)
        finished, last_events, kept = self._close(departed, frame, unseen)
        clock.mark("judge")
        spec = self._stages.spec
        return FrameReport(
            frame=frame,
            views=tuple(views),
            anomalies={v.part_id: a for v, a in shown},
            crop_corners_xy={
                v.part_id: crop_corners(v.detection.box_cxcywhr, spec) for v, _ in shown
            },
            verdicts={**verdicts, **{v.part_id: v for v in finished}},
            finished=finished,
            events=(*events, *last_events),
            timings_ms=clock.timings_ms,
            trouble=trouble,
            unclassified=unclassified,
            kept=kept,
            several=several,
        )

    def miss(self, frame: Frame, reason: str) -> FrameReport:
        """Report a part that was asked for and never judged (overload, unreadable picture).

        Args:
            frame: number, trigger and time of the part; its picture may have no channels (h, w, 0).
        """
        finished, events, kept = self._close((self._tracker.part_id(frame),), frame, reason)
        verdicts = {v.part_id: v for v in finished}
        return FrameReport(frame, (), {}, {}, verdicts, finished, events, kept=kept)

    def finish(self, frame: Frame) -> FrameReport:
        """Close every part still in the picture: the source has ended after `frame`."""
        finished, events, kept = self._close(self._tracker.finish(), frame, "")
        verdicts = {v.part_id: v for v in finished}
        return FrameReport(frame, (), {}, {}, verdicts, finished, events, kept=kept)

    def gap(self, first_number: int, last_number: int, reason: str) -> AlarmEvent:
        """Return the event for numbered parts that passed without being inspected."""
        return self._ledger.gap(first_number, last_number, reason)

    def _blind_spot(self, frame: Frame, sighting: Sighting, trouble: str) -> tuple[str, ...]:
        """Return an id for what a failing detector may have overlooked, once per outage.

        A numbered frame has its part's id already; on a belt nobody knows what passed unseen.
        """
        is_new = bool(trouble) and not self._is_blind
        self._is_blind = bool(trouble)
        return (self._tracker.part_id(frame),) if is_new and not sighting.departed else ()

    def _why_unseen(self, frame: Frame, sighting: Sighting) -> str:
        """Return "missing" where a sound picture shows that no product is there, else ""."""
        if self._station is None or sighting.views or not sighting.departed:
            return ""
        return MISSING if self._station.is_sound(frame.pixels_hwc) else ""

    def _is_due(self, view: PartView) -> bool:
        if not self._ledger.is_open(view.part_id):
            return False
        return self._ledger.views_judged(view.part_id) < self._max_views

    def _posed(self, frame: Frame, view: PartView) -> tuple[PartView, U8Array | None]:
        """Return a view that is due with its pose and its crop; any other as it is, with None."""
        if not self._is_due(view):
            return view, None
        cut = self._stages.cut_view(frame.pixels_hwc, view, self._tracker.border_margin_px)
        if cut is None:
            return view, None
        posed = replace(view.detection, box_cxcywhr=cut.box_cxcywhr)
        return replace(view, detection=posed, is_whole=cut.is_whole), cut.crop

    def _score(self, crops: list[U8Array]) -> list[Anomaly]:
        try:
            return self._stages.score(crops)
        except ModelError as error:
            _log.error("Inspector failed on %d crops: %s", len(crops), error)
            return [Anomaly(math.nan, np.zeros((0, 0), np.float32)) for _ in crops]

    def _judge(
        self, frame: Frame, view: PartView, crop: U8Array, anomaly: Anomaly
    ) -> tuple[ViewResult | None, int]:
        """Return what a view shows, and on how many defects the classifier failed.

        None: what is not in the picture is not known to be good or bad.
        """
        box = view.detection.box_cxcywhr
        state, reason = judge_score(anomaly.score, self._limits)
        if state is VerdictState.OK and self._is_implausible(frame, crop):
            state, reason = VerdictState.NOT_INSPECTED, IMPLAUSIBLE
        found = self._defects(frame, box, anomaly) if state is VerdictState.NG else Classified(())
        if not view.is_whole and not any(is_seen(d, frame.hw) for d in found.defects):
            return None, found.failed
        score = anomaly.score if state is not VerdictState.NOT_INSPECTED else None
        is_ok = state is VerdictState.OK
        suspect = is_ok and is_suspect(anomaly.score, self._limits)
        near_miss = is_ok and self._ledger.keep.is_near_miss(anomaly.score, self._limits)
        seen = UprightCrop(crop, crop_corners(box, self._stages.spec))
        result = ViewResult(
            view.part_id, state, reason, score, corners_of(box), found.defects, suspect, near_miss,
            seen,
        )  # fmt: skip
        return result, found.failed

    def _record(self, result: ViewResult, frame: Frame) -> list[AlarmEvent]:
        """Return the events that a view causes."""
        kind = self._ledger.record(result, frame)
        return (
            [] if kind is None else [self._ledger.publish(result.part_id, kind, frame, result.crop)]
        )

    def _each_by_itself(
        self, views: Sequence[PartView], judged: Mapping[int, tuple[ViewResult, Anomaly]]
    ) -> tuple[JudgedView, ...]:
        """Return every view with its own verdict, where several of this picture are one part.

        Args:
            judged: id() of a view → what it shows.
        """
        if len({view.part_id for view in views}) == len(views):
            return ()
        return tuple(self._by_itself(view, judged.get(id(view))) for view in views)

    def _by_itself(self, view: PartView, found: tuple[ViewResult, Anomaly] | None) -> JudgedView:
        about, box = self._ledger.verdict(view.part_id), view.detection.box_cxcywhr
        own = replace(
            about,
            state=VerdictState.NOT_INSPECTED,
            reason="never_whole",
            score=None,
            product_corners_xy=corners_of(box),
            defects=(),
            views_judged=0,
            is_suspect=False,
        )
        if found is None:
            return JudgedView(view, own)
        result, anomaly = found
        own = replace(
            own,
            state=result.state,
            reason=result.reason,
            score=result.score,
            defects=result.defects,
            views_judged=int(result.state is not VerdictState.NOT_INSPECTED),
            is_suspect=result.is_suspect,
        )
        return JudgedView(view, own, anomaly, crop_corners(box, self._stages.spec))

    def _is_implausible(self, frame: Frame, crop: U8Array) -> bool:
        """Tell whether a crop cannot show such a part; say why when the reason is a new one."""
        why = "" if self._plausibility is None else self._plausibility.why_not(crop)
        if why and why != self._implausible_told:
            name = frame.source_name or f"frame {frame.frame_id}"
            _log.warning("%s: %s can be no picture of this part: %s", frame.camera, name, why)
        self._implausible_told = why
        return bool(why)

    def _defects(self, frame: Frame, box: BoxCxcywhr, anomaly: Anomaly) -> Classified:
        defects = find_defects(anomaly, box, self._stages.spec, self._limits)
        if self._defect_classifier is None:
            return Classified(defects)
        return self._defect_classifier.name(frame.pixels_hwc, box, defects)

    def _close(
        self, part_ids: Sequence[str], frame: Frame, trouble: str
    ) -> tuple[tuple[PartVerdict, ...], tuple[AlarmEvent, ...], tuple[KeptPart, ...]]:
        finished, events, kept = [], [], []
        for part_id in part_ids:
            is_sighted = self._ledger.is_sighted(part_id)
            shown = self._ledger.shown(part_id) if is_sighted else ShownView(frame)
            verdict, last_events = self._ledger.leave(part_id, frame, trouble)
            finished.append(verdict)
            events += last_events
            part = self._ledger.kept(verdict, shown)
            kept += [] if part is None else [part]
        return tuple(finished), tuple(events), tuple(kept)


def _whole_first(
    posed: list[tuple[PartView, U8Array | None]],
) -> list[tuple[PartView, U8Array | None]]:
    """Return views and crops; beside a whole part those of cut neighbours are left out."""
    if not any(view.is_whole and crop is not None for view, crop in posed):
        return posed
    return [(view, crop if view.is_whole else None) for view, crop in posed]


def _highest_scoring(
    views: Sequence[PartView], anomalies: Sequence[Anomaly]
) -> list[tuple[PartView, Anomaly]]:
    """Return each part's highest-scoring view of this frame; a NaN counts as the highest."""
    found: dict[str, tuple[PartView, Anomaly]] = {}
    for view, anomaly in zip(views, anomalies, strict=True):
        known = found.get(view.part_id)
        if known is None or _rank(anomaly) > _rank(known[1]):
            found[view.part_id] = (view, anomaly)
    return list(found.values())


def _rank(anomaly: Anomaly) -> float:
    return anomaly.score if math.isfinite(anomaly.score) else math.inf


class _StageClock:
    """Milliseconds between marks."""

    def __init__(self, timings_ms: dict[str, float]) -> None:
        self.timings_ms = timings_ms
        self._last = perf_counter()

    def mark(self, stage: str) -> None:
        now = perf_counter()
        self.timings_ms[stage] = (now - self._last) * 1e3
        self._last = now
