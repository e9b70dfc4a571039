"""A candidate judges live parts beside the current model, without consequences.

It runs in a thread of its own on frames that were judged already. A frame that comes while it is
busy, or while others wait for the line, is skipped and counted: the line never waits for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_app.activation.shadow_report import ShadowReport
from edge_app.cameras.protocol import CameraInfo
from edge_app.errors import EdgeError
from edge_app.imaging.oriented_box import rotated_iou
from edge_app.inspection.judge import Limits, judge_score
from edge_app.inspection.line import InspectionLine
from edge_app.ipc.protocol import Shadow
from edge_app.model.loaded_model import LoadedModel, make_line, make_tracker
from edge_app.mqtt.deploy_messages import Disagreement
from edge_app.records import Anomaly, FrameReport, PartView, VerdictState

_log = logging.getLogger(__name__)

SAME_PART_IOU = 0.3
"""Two models' boxes of one part overlap by far more, two parts on a belt do not overlap at all."""

REPORT_EVERY_S = 5.0
WAIT_S = 0.5
"""How often the time limit is checked when no frame comes."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The verdicts of both models on one part.

    Attributes:
        part_id: the current model's.
        current, candidate: their verdicts; the candidate's is NOT_INSPECTED where it found no
            product or returned NaN.
    """

    part_id: str
    current: VerdictState
    candidate: VerdictState


def compare(
    current: FrameReport, candidate: FrameReport, limits: Limits, candidate_limits: Limits
) -> list[Comparison]:
    """Return one comparison for every part that the current model judged in this frame.

    A numbered frame is one part; on a belt parts belong together by their boxes.
    """
    theirs = list(_judged(candidate))
    found = []
    for view, anomaly in _judged(current):
        state = judge_score(anomaly.score, limits)[0]
        if state is VerdictState.NOT_INSPECTED:
            continue
        if current.frame.source_number is not None:
            other = max(theirs, key=lambda pair: pair[1].score, default=None)
        else:
            other = _same_part(view, theirs)
        their_state = (
            VerdictState.NOT_INSPECTED
            if other is None
            else judge_score(other[1].score, candidate_limits)[0]
        )
        found.append(Comparison(view.part_id, state, their_state))
    return found


def _judged(report: FrameReport) -> list[tuple[PartView, Anomaly]]:
    """Return each judged part's view and anomaly, once."""
    views = {view.part_id: view for view in report.views}
    return [(views[p], a) for p, a in report.anomalies.items() if p in views]


def _same_part(
    view: PartView, others: list[tuple[PartView, Anomaly]]
) -> tuple[PartView, Anomaly] | None:
    box = view.detection.box_cxcywhr
    fits = [(rotated_iou(box, o[0].detection.box_cxcywhr), i) for i, o in enumerate(others)]
    best = max(fits, default=(0.0, -1))
    return others[best[1]] if best[0] >= SAME_PART_IOU else None


@dataclass(frozen=True, slots=True)
class ShadowPlan:
    """How long a comparison lasts.

    Attributes:
        slot: for the messages.
        parts, max_s: it ends after so many parts, or so long, but not before the first part.
    """

    slot: str
    parts: int
    max_s: float


class ShadowRun:
    """Compares one candidate with the current model until enough parts were seen.

    Args:
        plan: how long it lasts.
        candidate: its graphs belong to this run's thread until `stop` returns.
        limits: the current model's.
        infos: camera name → what it is.
        report: keeps pictures of disagreements.
        tell: gets a message every few seconds and the final one; from this run's thread.
        is_caught_up: no frame waits for the line.
    """

    def __init__(
        self,
        plan: ShadowPlan,
        candidate: LoadedModel,
        limits: Limits,
        infos: dict[str, CameraInfo],
        report: ShadowReport,
        tell: Callable[[Shadow], None],
        is_caught_up: Callable[[], bool],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slot, self._candidate, self._limits, self._infos = plan.slot, candidate, limits, infos
        self._parts, self._report, self._tell = plan.parts, report, tell
        self._is_caught_up, self._now_s = is_caught_up, monotonic_s
        self._end_s = monotonic_s() + plan.max_s
        self._mailbox: FrameReport | None = None
        self._changed = threading.Condition()
        self._is_stopping = False
        self._compared: set[str] = set()
        self._only_candidate_ng = self._only_current_ng = self._errors = self._skipped = 0
        self._thread = threading.Thread(target=self._run, name=f"shadow-{plan.slot}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the current frame; the candidate's graphs are free when this returns."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def offer(self, report: FrameReport) -> None:
        """Compare a judged frame, or skip it; returns at once."""
        if not report.anomalies:
            return
        with self._changed:
            if self._mailbox is not None or not self._is_caught_up():
                self._skipped += 1
                return
            self._mailbox = report
            self._changed.notify()

    def _run(self) -> None:
        reported_s = self._now_s()
        while not self._is_over():
            report = self._take()
            if report is not None:
                self._compare_frame(report)
            if self._now_s() - reported_s >= REPORT_EVERY_S:
                reported_s = self._now_s()
                self._tell(self._message(is_final=False))
        if not self._is_stopping:
            self._tell(self._message(is_final=True))

    def _is_over(self) -> bool:
        seen = len(self._compared)
        is_done = seen >= self._parts or (seen > 0 and self._now_s() >= self._end_s)
        return self._is_stopping or is_done

    def _take(self) -> FrameReport | None:
        with self._changed:
            self._changed.wait_for(lambda: self._mailbox is not None or self._is_stopping, WAIT_S)
            report, self._mailbox = self._mailbox, None
            return report

    def _compare_frame(self, report: FrameReport) -> None:
        try:
            theirs = self._line(report.frame.camera).inspect(report.frame)
        except EdgeError as error:
            _log.warning("slot %s: the candidate failed on a live frame: %s", self._slot, error)
            self._errors += 1
            return
        for comparison in compare(report, theirs, self._limits, self._candidate.limits):
            if comparison.part_id in self._compared or len(self._compared) >= self._parts:
                continue
            self._compared.add(comparison.part_id)
            self._count(comparison, report, theirs)

    def _count(self, found: Comparison, mine: FrameReport, theirs: FrameReport) -> None:
        if found.current is found.candidate:
            return
        if found.candidate is VerdictState.NOT_INSPECTED:
            self._errors += 1
        elif found.candidate is VerdictState.NG:
            self._only_candidate_ng += 1
        else:
            self._only_current_ng += 1
        self._report.add(found.part_id, mine, self._limits, theirs, self._candidate.limits)

    def _line(self, camera: str) -> InspectionLine:
        """Return a line for one frame; it tracks no part and raises no alarm."""
        tracker = make_tracker(self._infos[camera], "shadow", self._candidate.fills_frame)
        return make_line(self._candidate, camera, tracker, lambda: "shadow")

    def _message(self, is_final: bool) -> Shadow:
        return Shadow(
            slot=self._slot,
            sha256=self._candidate.identity.bundle_sha256,
            is_final=is_final,
            disagreement=Disagreement(
                parts=len(self._compared),
                only_candidate_ng=self._only_candidate_ng,
                only_current_ng=self._only_current_ng,
                report_url=self._report.write(len(self._compared)) if is_final else None,
            ),
            skipped=self._skipped,
            errors=self._errors,
        )


def report_folder(state_dir: Path, slot: str) -> Path:
    """Return where a slot's latest comparison is kept."""
    return state_dir / "shadow" / slot
