"""One slot's models in the inspection process: active, candidate, previous, on standby."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_app.activation.camera_line import CameraLine
from edge_app.activation.model_loader import Ready
from edge_app.activation.probation import PartCounter, ProbationWatch
from edge_app.activation.shadow_run import ShadowRun
from edge_app.ipc.protocol import Prepare, Requester, StartProbation
from edge_app.records import Frame, FrameReport
from edge_app.runtime.inspection_thread import Line, LineHandOver

WithOwnLimits = Callable[[str, Ready], Ready]
"""Takes a slot and a model; returns it with the limits that were set for it. Returns at once."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why another model judges.

    Attributes:
        by: who asked for it; None: an earlier agent does not say.
        why: in words; "" where nothing is known.
    """

    by: Requester | None = None
    why: str = ""


OnActive = Callable[[str, "Ready | None", Cause], None]
"""Called with a slot and its new active model; outside the inspection thread."""

EXCHANGE_S = 10.0
"""The inspection thread exchanges lines within one turn, a fraction of a second; one that has not
done it by then is stuck in a graph, and the watchdog says so."""


class InspectionLoop(Protocol):
    """What of the inspection thread is needed to change a model while it runs."""

    def between_parts(self, task: Callable[[], None]) -> None: ...

    def exchange(self, name: str, hand_over: LineHandOver) -> None: ...

    def is_caught_up(self) -> bool:
        """Tell whether no frame waits for the line."""


class ActiveSlot:
    """The state of one slot. Changed by the activation's thread, except for what the exchange
    changes: that happens in the inspection thread, which also calls `observe`.

    Args:
        camera_lines: of its cameras.
        active: what judges at the start.
        loop: exchanges lines between two parts.
        own: see `WithOwnLimits`.
    """

    def __init__(
        self,
        name: str,
        camera_lines: Sequence[CameraLine],
        active: Ready | None,
        loop: InspectionLoop,
        own: WithOwnLimits = lambda _slot, ready: ready,
    ) -> None:
        self.name = name
        self.camera_lines = camera_lines
        self.active = active
        self.own = own
        self.previous: Ready | None = None
        self.candidate: Ready | None = None
        self.wanted: Prepare | None = (
            None  # this order and no other: a bundle may be requested twice
        )
        self.shadow: ShadowRun | None = None
        self.probation: ProbationWatch | None = None
        self.failure = ""
        self.counter = PartCounter()
        self.last_part: str | None = None
        self._standby: OrderedDict[str, Ready] = OrderedDict()
        self._loop = loop

    @property
    def active_sha256(self) -> str | None:
        return None if self.active is None else self.active.sha256

    @property
    def update(self) -> str:
        """What is being done with a new bundle, for people; "" when nothing is."""
        if self.shadow is not None:
            return "a new bundle is being compared on live parts"
        if self.probation is not None:
            return "the bundle is new, on probation"
        return "a new bundle is being made ready" if self.candidate is not None else ""

    def held(self, sha256: str) -> Ready | None:
        """Return a model that is in memory and ready to judge."""
        for ready in (self.active, self.previous, self._standby.get(sha256)):
            if ready is not None and ready.sha256 == sha256:
                return ready
        return None

    def observe(self, report: FrameReport) -> None:
        """Take a judged frame in: counts, and the comparison's share of it."""
        if report.finished:
            self.last_part = report.finished[-1].part_id
        mine = [
            verdict
            for verdict in report.finished
            if verdict.model is not None and verdict.model.bundle_sha256 == self.active_sha256
        ]
        self.counter.take(mine)
        if self.probation is not None:
            self.probation.take(mine)
        shadow = self.shadow
        if shadow is not None:
            shadow.offer(report)

    def exchange_to(self, new: Ready | None) -> bool:
        """Let another model judge, between two parts; False when the line did not take it up."""
        done, lock = threading.Event(), threading.Lock()
        is_off = False

        def exchange_lines() -> None:
            with lock:
                if is_off:
                    return
                ready = None if new is None else self.own(self.name, new)
                self._put_at_lines(ready)
                self.previous, self.active = self.active, ready
                self.counter, self.probation = PartCounter(), None
                done.set()

        self._loop.between_parts(exchange_lines)
        if not done.wait(EXCHANGE_S):
            with lock:
                is_off = not done.is_set()
        if done.is_set():
            self.candidate = None
        return done.is_set()

    def follow_limits(self) -> threading.Event:
        """Let the active model judge with the limits that are set for it now, between two parts;
        return what is set when it does."""
        done = threading.Event()

        def exchange_limits() -> None:
            if self.active is not None:
                ready = self.own(self.name, self.active)
                if ready is not self.active:
                    self._put_at_lines(ready)
                    self.active = ready
            done.set()

        self._loop.between_parts(exchange_limits)
        return done

    def _put_at_lines(self, ready: Ready | None) -> None:
        for line in self.camera_lines:
            self._loop.exchange(line.camera, _hand_over(line, ready))

    def start_probation(self, order: StartProbation) -> None:
        """Begin to watch what judges."""
        self.failure = ""
        self.probation = ProbationWatch(
            order.baseline, order.parts, order.max_min * 60, order.max_latency_ratio
        )

    def commit(self, max_standby: int) -> None:
        """Keep the active model; the previous one, of another product, goes to warm standby."""
        self.probation = None
        before, self.previous = self.previous, None
        if before is not None:
            self.keep_on_standby(before, max_standby)
        if self.active is not None:
            product = self.active.model.identity.product
            for sha256 in [
                s for s, r in self._standby.items() if r.model.identity.product == product
            ]:
                del self._standby[sha256]

    def keep_on_standby(self, ready: Ready, max_standby: int) -> None:
        """Keep a model loaded for a changeover; the least recently used one makes room."""
        self._standby[ready.sha256] = ready
        self._standby.move_to_end(ready.sha256)
        while len(self._standby) > max_standby:
            self._standby.popitem(last=False)

    def stop_shadow(self) -> None:
        """End the comparison; the candidate's graphs are free afterwards."""
        shadow, self.shadow = self.shadow, None
        if shadow is not None:
            shadow.stop()

    def drop_candidate(self) -> None:
        """Drop the candidate and end its comparison."""
        self.stop_shadow()
        self.candidate = self.wanted = None


def _hand_over(camera_line: CameraLine, new: Ready | None) -> LineHandOver:
    model = None if new is None else new.model

    def hand_over(old: Line, latest: Frame | None) -> tuple[Line, FrameReport | None]:
        return camera_line.hand_over(old, model, latest)

    return hand_over
