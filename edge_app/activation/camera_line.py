"""The inspection line of one camera: made for each model, handed over from one to the next.

On a change of model no part is judged by two: on a belt the tracker continues, parts judged so far
keep their verdict and the others are the new model's; elsewhere a part is one frame anyway.
"""

from __future__ import annotations

from collections.abc import Callable

from edge_app.cameras.protocol import CameraInfo
from edge_app.inspection.line import InspectionLine
from edge_app.inspection.part_ledger import PartLedger
from edge_app.inspection.tracker import BeltTracker
from edge_app.inspection.worth_keeping import KeepRule
from edge_app.model.loaded_model import LoadedModel, make_line, make_tracker
from edge_app.records import AlarmEvent, Frame, FrameReport
from edge_app.runtime.inspection_thread import Line

NO_MODEL = "no_model"


class EmptyLine:
    """The line of a slot without a bundle: every part is NOT_INSPECTED (no_model).

    On a belt the parts are unknown, so the outage is reported once and not with every picture.

    Args:
        part_prefix: begins its part ids.
        is_numbered: every frame is one part.
    """

    def __init__(
        self, camera: str, part_prefix: str, is_numbered: bool, new_alarm_id: Callable[[], str]
    ) -> None:
        self._prefix = part_prefix
        self._is_numbered = is_numbered
        self._ledger = PartLedger(camera, None, 0.0, NO_MODEL, new_alarm_id)
        self._reported = 0

    def inspect(self, frame: Frame) -> FrameReport:
        """Return the frame's part as not inspected."""
        if self._reported and not self._is_numbered:
            return FrameReport(frame, (), {}, {}, {}, (), ())
        return self.miss(frame, NO_MODEL)

    def miss(self, frame: Frame, reason: str) -> FrameReport:
        """Report a part that was never judged."""
        self._reported += 1
        number = frame.source_number if frame.source_number is not None else self._reported
        verdict, events = self._ledger.leave(f"{self._prefix}-{number:06d}", frame, reason)
        return FrameReport(frame, (), {}, {}, {verdict.part_id: verdict}, (verdict,), tuple(events))

    def finish(self, frame: Frame) -> FrameReport:
        """Return an empty report: nothing is ever in the picture here."""
        return FrameReport(frame, (), {}, {}, {}, (), ())

    def gap(self, first_number: int, last_number: int, reason: str) -> AlarmEvent:
        """Return the event for numbered parts that passed while nothing was inspected."""
        return self._ledger.gap(first_number, last_number, reason)


class CameraLine:
    """Makes the lines of one camera.

    Args:
        camera: its name.
        slot: whose bundle judges here.
        info: what the camera is.
        part_prefix: begins its part ids; unique per camera and session.
        speed_hint_px_per_s: the belt's, if it is known.
        new_alarm_id: see `PartLedger`.
        keep: whose pictures are worth keeping.
    """

    def __init__(
        self,
        camera: str,
        slot: str,
        info: CameraInfo,
        part_prefix: str,
        speed_hint_px_per_s: tuple[float, float] | None,
        new_alarm_id: Callable[[], str],
        keep: KeepRule | None = None,
    ) -> None:
        self.camera = camera
        self.slot = slot
        self.info = info
        self._prefix = part_prefix
        self._speed_hint = speed_hint_px_per_s
        self._new_alarm_id = new_alarm_id
        self._keep = keep
        self._generation = 0

    def line_for(self, model: LoadedModel | None) -> Line:
        """Return a fresh line; without a model one that inspects nothing and says so."""
        prefix = self._next_prefix()
        if model is None:
            return EmptyLine(self.camera, prefix, self.info.is_numbered, self._new_alarm_id)
        tracker = make_tracker(self.info, prefix, model.fills_frame, self._speed_hint)
        return make_line(model, self.camera, tracker, self._new_alarm_id, keep=self._keep)

    def hand_over(
        self, old: Line, model: LoadedModel | None, latest: Frame | None
    ) -> tuple[Line, FrameReport | None]:
        """Return the line that follows `old`; where open parts cannot be handed over, also the
        report of closing them."""
        if (
            isinstance(old, InspectionLine)
            and isinstance(old.tracker, BeltTracker)
            and model is not None
            and not model.fills_frame
        ):
            return make_line(
                model,
                self.camera,
                old.tracker,
                self._new_alarm_id,
                old.ledger,
            ), None
        report = old.finish(latest) if latest is not None else None
        return self.line_for(model), report

    def _next_prefix(self) -> str:
        """Return the prefix of a new tracker's ids: numbers of parts are unique, a tracker's own
        count begins anew."""
        self._generation += 1
        if self.info.is_numbered or self._generation == 1:
            return self._prefix
        return f"{self._prefix}.{self._generation}"
