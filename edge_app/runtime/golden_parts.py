"""Golden parts on the running line: known rejects that show that rejects are still found.

Such a part is known by its trigger id or file name, or a person announces that it comes next. It is
judged, alarmed and recorded like any other, and marked as what it is, so that nobody counts it as
production. What became of it is recorded; one that was not recognised, or not shown in its time, is
an alarm of its own, which ends when the same golden part is recognised.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from edge_app.config.golden import GoldenPartConfig
from edge_app.errors import OrderError
from edge_app.mqtt.timestamps import rfc3339, uuid7
from edge_app.records import (
    AlarmEvent,
    EventKind,
    FrameReport,
    GoldenCheck,
    GoldenOutcome,
    JsonObject,
    PartVerdict,
    VerdictState,
)
from edge_app.runtime.golden_book import GoldenBook
from edge_app.runtime.unseen_parts import PAUSED

ANNOUNCED_S = 120.0
"""So long after it was announced the next part is taken for the golden part."""

REMEMBERED = 256
"""Parts of a camera that were in the picture before an announcement."""


@dataclass(frozen=True, slots=True)
class GoldenEffects:
    """What a check leads to; called with no lock held.

    Attributes:
        record: puts it into audit and history, and says `degraded` or takes that back.
        deliver: gives an alarm that no frame brings to the outbox: camera, event.
        paused: the cameras that a person has paused.
    """

    record: Callable[[GoldenCheck], None]
    deliver: Callable[[str, AlarmEvent], None]
    paused: Callable[[], frozenset[str]]


@dataclass(slots=True)
class _Eye:
    """What one camera has seen.

    Attributes:
        by_serial: trigger id or file name → golden part.
        known: part ids, so that none that was there before is taken for the announced one.
        claimed: part id → golden part, until it has left.
        announced: (golden part, until when, monotonic s).
    """

    by_serial: dict[str, str] = field(default_factory=dict)
    known: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    claimed: dict[str, str] = field(default_factory=dict)
    announced: tuple[str, float] | None = None


class GoldenWatch:
    """Follows every camera's golden parts.

    Args:
        book: their states.
        wall_ns, monotonic_s: clocks.
    """

    def __init__(
        self,
        parts: Sequence[GoldenPartConfig],
        book: GoldenBook,
        effects: GoldenEffects,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts = {part.name: part for part in parts}
        self._book, self._effects = book, effects
        self._wall_ns, self._now_s = wall_ns, monotonic_s
        self._lock = threading.Lock()
        self._ticked_s = monotonic_s()
        self._eyes: dict[str, _Eye] = {}
        for part in parts:
            eye = self._eyes.setdefault(part.camera, _Eye())
            if part.serial is not None:
                eye.by_serial[part.serial] = part.name

    def camera_of(self, name: str) -> str:
        """Return the camera that sees a golden part.

        Raises:
            OrderError: there is no such golden part, or its camera is paused.
        """
        part = self._parts.get(name)
        if part is None:
            known = ", ".join(self._parts) or "none"
            raise OrderError(f"There is no golden part {name!r}; the configuration has: {known}.")
        if part.camera in self._effects.paused():
            raise OrderError(
                f"Camera {part.camera} is paused: golden part {name} would not be judged. Let it "
                "inspect again first."
            )
        return part.camera

    def announce(self, name: str) -> None:
        """Take the next part of the golden part's camera for it, for ANNOUNCED_S."""
        with self._lock:
            eye = self._eyes[self._parts[name].camera]
            eye.announced = (name, self._now_s() + ANNOUNCED_S)

    def seen(self, report: FrameReport) -> FrameReport:
        """Return a frame's report with its golden parts marked, and the alarms they lead to.

        Called by the inspection thread before the report's events are stored.
        """
        eye = self._eyes.get(report.frame.camera)
        if eye is None:
            return report
        with self._lock:
            self._claim(eye, report)
            if not eye.claimed:
                return report
            report = marked(report, eye.claimed)
            checks, events = [], []
            for verdict in report.finished:
                name = eye.claimed.pop(verdict.part_id, None)
                if name is None or verdict.reason == PAUSED:
                    continue
                check = check_of(self._parts[name], verdict, self._book.state(name).due_ns,
                                 self._wall_ns())  # fmt: skip
                checks.append(check)
                events += self._settle(check, verdict)
        for check in checks:
            self._effects.record(check)
        return replace(report, events=(*report.events, *events)) if events else report

    def tick(self) -> None:
        """Open and close windows; called about twice a second, never by the inspection thread."""
        paused = self._effects.paused()
        with self._lock:
            now_s = self._now_s()
            passed_s, self._ticked_s = now_s - self._ticked_s, now_s
            now_ns = self._wall_ns()
            missed = []
            for name in self._book.go_on(now_ns, passed_s, paused):
                due_ns = self._book.state(name).due_ns
                check = not_shown(self._parts[name], due_ns, now_ns)
                missed.append((check, self._settle(check, None)))
            data = self._book.unkept()
        for check, events in missed:
            self._effects.record(check)
            for event in events:
                self._effects.deliver(check.camera, event)
        if data is not None:
            self._book.keep(data)

    def figures(self) -> JsonObject:
        """Return where every golden part stands, for the page."""
        with self._lock:
            return {"parts": [self._figures(part) for part in self._parts.values()]}

    def _figures(self, part: GoldenPartConfig) -> dict[str, Any]:
        state, announced = self._book.state(part.name), self._eyes[part.camera].announced
        is_announced = announced is not None and announced[0] == part.name
        return {
            "name": part.name,
            "camera": part.camera,
            "times": list(part.times),
            "due_at": _time(state.due_ns),
            "left_min": None if state.due_ns is None else max(0.0, round(state.left_s / 60, 1)),
            "is_announced": is_announced and announced is not None and announced[1] > self._now_s(),
            "outcome": state.outcome,
            "outcome_at": _time(state.outcome_ns),
            "part_id": state.part_id,
            "is_alarmed": bool(state.alarm_id),
        }

    def _claim(self, eye: _Eye, report: FrameReport) -> None:
        """Find golden parts among those that this frame shows for the first time."""
        verdicts = {v.part_id: v for v in (*report.verdicts.values(), *report.finished)}
        for part_id in dict.fromkeys((*verdicts, *(view.part_id for view in report.views))):
            if part_id in eye.known or part_id in eye.claimed:
                continue
            eye.known.append(part_id)
            name = self._name_of(eye, verdicts.get(part_id))
            if name is not None:
                eye.claimed[part_id] = name

    def _name_of(self, eye: _Eye, verdict: PartVerdict | None) -> str | None:
        serials = () if verdict is None else (verdict.trigger_id, verdict.source_name)
        for serial in serials:
            if serial is not None and serial in eye.by_serial:
                return eye.by_serial[serial]
        if eye.announced is None or (verdict is not None and verdict.reason == PAUSED):
            return None
        (name, until_s), eye.announced = eye.announced, None
        return name if self._now_s() < until_s else None

    def _settle(self, check: GoldenCheck, verdict: PartVerdict | None) -> list[AlarmEvent]:
        """Note what became of a part; return what is told of it."""
        alarm_id = self._book.state(check.name).alarm_id
        if check.outcome == "passed":
            self._book.settle(check, "")
            return [_alarm(EventKind.END, alarm_id, check, verdict)] if alarm_id else []
        kind = EventKind.UPDATE if alarm_id else EventKind.NEW
        alarm_id = alarm_id or uuid7(self._wall_ns(), secrets.randbits)
        self._book.settle(check, alarm_id)
        return [_alarm(kind, alarm_id, check, verdict)]


def check_of(
    part: GoldenPartConfig, verdict: PartVerdict, due_ns: int | None, now_ns: int
) -> GoldenCheck:
    """Return what became of a golden part that has left with its final verdict.

    Args:
        due_ns: since when it is due; None: it is not.
    """
    classes = tuple(sorted({defect.kind for defect in verdict.defects}))
    outcome: GoldenOutcome = "passed"
    if verdict.state is not VerdictState.NG:
        outcome = "missed"
    elif part.defect_class is not None and part.defect_class not in classes:
        outcome = "wrong_class"
    return GoldenCheck(
        name=part.name,
        camera=part.camera,
        outcome=outcome,
        at_ns=now_ns,
        due_ns=due_ns,
        part_id=verdict.part_id,
        state=verdict.state,
        score=verdict.score,
        expected_class=part.defect_class or "",
        found_classes=classes,
    )


def not_shown(part: GoldenPartConfig, due_ns: int | None, now_ns: int) -> GoldenCheck:
    """Return that a golden part was not shown in its time."""
    return GoldenCheck(
        part.name, part.camera, "not_shown", now_ns, due_ns, expected_class=part.defect_class or ""
    )


def marked(report: FrameReport, names: Mapping[str, str]) -> FrameReport:
    """Return a report in which golden parts are marked.

    Args:
        names: part id → golden part.
    """

    def of(verdict: PartVerdict) -> PartVerdict:
        name = names.get(verdict.part_id)
        return verdict if name is None else replace(verdict, golden=name)

    return replace(
        report,
        verdicts={part_id: of(verdict) for part_id, verdict in report.verdicts.items()},
        finished=tuple(of(verdict) for verdict in report.finished),
        events=tuple(
            event if event.verdict is None else replace(event, verdict=of(event.verdict))
            for event in report.events
        ),
        kept=tuple(replace(part, verdict=of(part.verdict)) for part in report.kept),
    )


def check_words(check: GoldenCheck) -> str:
    """Return a check in words, e.g. for `status`."""
    golden = f"golden part {check.name} (camera {check.camera})"
    if check.outcome == "not_shown":
        return f"{golden} was not shown in its time: whether rejects are found is not known"
    if check.outcome == "passed":
        return f"{golden} was recognised as {check.part_id}"
    found = ", ".join(check.found_classes) or "no class"
    if check.outcome == "wrong_class":
        return f"{golden}, {check.part_id}, is NG as {found}, expected {check.expected_class}"
    state = "not judged" if check.state is None else check.state.value
    return f"{golden}, {check.part_id}, was {state}, expected NG: rejects may pass"


def _alarm(
    kind: EventKind, alarm_id: str, check: GoldenCheck, verdict: PartVerdict | None
) -> AlarmEvent:
    """Return the alarm's event: whoever does not know golden parts reads NOT_INSPECTED, why."""
    told = PartVerdict(
        camera=check.camera,
        part_id=check.part_id or f"golden-{check.name}",
        state=VerdictState.NOT_INSPECTED,
        reason=f"golden_{check.outcome}",
        score=check.score,
        threshold=0.0 if verdict is None else verdict.threshold,
        threshold_id="" if verdict is None else verdict.threshold_id,
        frame_id=0 if verdict is None else verdict.frame_id,
        frame_hw=(0, 0) if verdict is None else verdict.frame_hw,
        captured_at_ns=check.at_ns if verdict is None else verdict.captured_at_ns,
        model=None,  # as all else of the part, in its own alert or row
    )
    return AlarmEvent(kind, check.camera, alarm_id, told, golden=check)


def _time(at_ns: int | None) -> str | None:
    return None if at_ns is None else rfc3339(at_ns)
