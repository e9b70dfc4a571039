"""The inspection process' side of a new model: prepare, compare, switch between two parts, watch.

Executes the agent's messages (ipc/protocol.py) in order, in a thread of its own; loading and the
golden set run in the loader's thread, the comparison in its own, the exchange itself in the
inspection thread. Whatever fails, the active model stays active.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from edge_app.activation.model_loader import Loader, Ready
from edge_app.activation.shadow_report import ShadowReport
from edge_app.activation.shadow_run import ShadowPlan, ShadowRun, report_folder
from edge_app.activation.slot_models import ActiveSlot, Cause, InspectionLoop, OnActive
from edge_app.ipc.protocol import (
    MAX_REASON_CHARS,
    Building,
    Commit,
    Failed,
    Golden,
    Hello,
    Loaded,
    Order,
    PeerMessage,
    Prepare,
    Probation,
    Requester,
    Rollback,
    RolledBack,
    StartProbation,
    StartShadow,
    Switch,
    Switched,
)
from edge_app.model.engine_jobs import Percent
from edge_app.records import FrameReport

_log = logging.getLogger(__name__)

TICK_S = 0.5

INSPECTION = Requester(kind="machine", name="inspection", via="device")


class Activation:
    """Holds each slot's models and executes the agent's messages.

    Args:
        slots: slot → its models.
        loop: the inspection thread.
        loader: makes models ready in the background.
        standby: slot → how many models are kept loaded for a changeover.
        state_dir: reports of comparisons lie below it.
        tell: sends a message to the agent, if it is connected.
        on_active: called from the own thread.
    """

    def __init__(
        self,
        slots: Mapping[str, ActiveSlot],
        loop: InspectionLoop,
        loader: Loader,
        standby: Callable[[str], int],
        state_dir: Path,
        tell: Callable[[PeerMessage], None],
        on_active: OnActive,
    ) -> None:
        self._slots = slots
        self._slot_of = {c.camera: name for name, slot in slots.items() for c in slot.camera_lines}
        self._loop, self._loader, self._standby = loop, loader, standby
        self._state_dir, self._tell, self._on_active = state_dir, tell, on_active
        self._tasks: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="activation", daemon=True)

    def start(self) -> None:
        self._loader.start()
        self._thread.start()

    def stop(self) -> None:
        """Take no further order; comparisons end."""
        self._tasks.put(None)
        self._loader.stop()
        if self._thread.ident is not None:
            self._thread.join(timeout=2.0)

    # -- called by the agent client's thread ----------------------------------------------------

    def hello(self) -> Hello:
        """Return the hello message: the active bundle of each slot."""
        return Hello(pid=os.getpid(), slots={n: s.active_sha256 for n, s in self._slots.items()})

    def handle(self, order: Order) -> None:
        """Queue a message of the agent's; returns at once."""
        self._tasks.put(lambda: self._obey(order))

    def agent_lost(self) -> None:
        """Drop candidates: an agent that reconnects starts over. Probations continue."""
        self._tasks.put(self._drop_candidates)

    def updates(self) -> dict[str, str]:
        """Return what is being done with each slot's new bundle; "" where nothing is. Any thread
        may ask."""
        return {name: slot.update for name, slot in self._slots.items()}

    # -- called by the inspection thread --------------------------------------------------------

    def observe(self, report: FrameReport) -> None:
        """Take a judged frame in; returns at once."""
        slot = self._slots[self._slot_of[report.frame.camera]]
        slot.observe(report)
        if slot.probation is not None and not slot.failure:
            reason = slot.probation.failure()
            if reason:
                slot.failure = reason
                self._tasks.put(lambda: self._roll_back_failed(slot, reason))

    # -- the own thread -------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            try:
                task = self._tasks.get(timeout=TICK_S)
            except queue.Empty:
                task = self._tick
            if task is None:
                break
            try:
                task()
            except Exception:  # the active model stays active
                _log.exception("an order of the agent failed")
        self._drop_candidates()

    def _obey(self, order: Order) -> None:
        slot = self._slots.get(order.slot)
        if slot is None:
            known = ", ".join(self._slots)
            reason = f"no camera belongs to slot {order.slot!r}; there are: {known}"
            self._tell(Failed(slot=order.slot, sha256=order.sha256, reason=reason))
        elif isinstance(order, Prepare):
            self._prepare(slot, order)
        elif isinstance(order, StartShadow):
            self._start_shadow(slot, order)
        elif isinstance(order, Switch):
            self._switch(slot, order)
        elif isinstance(order, StartProbation):
            self._start_probation(slot, order)
        elif isinstance(order, Commit):
            self._commit(slot)
        elif isinstance(order, Rollback):
            self._roll_back(slot, order)

    def _prepare(self, slot: ActiveSlot, order: Prepare) -> None:
        if order.purpose != "standby":
            slot.wanted = order
        held = slot.held(order.sha256)
        if held is not None:
            self._tell(Loaded(slot=slot.name, sha256=order.sha256))
            self._prepared(slot, order, held, "")
            return
        self._loader.prepare(
            slot.name,
            order.sha256,
            order.memory_mb,
            loaded=lambda: self._tell(Loaded(slot=slot.name, sha256=order.sha256)),
            done=lambda ready, why: self._tasks.put(
                lambda: self._prepared(slot, order, ready, why)
            ),
            # A changeover must not wait for a builder; what is missing then runs without engine.
            building=self._tell_building(slot, order) if order.purpose == "candidate" else None,
        )

    def _tell_building(self, slot: ActiveSlot, order: Prepare) -> Percent:
        return lambda percent: self._tell(
            Building(slot=slot.name, sha256=order.sha256, percent=percent)
        )

    def _prepared(self, slot: ActiveSlot, order: Prepare, ready: Ready | None, reason: str) -> None:
        is_wanted = order.purpose == "standby" or slot.wanted is order
        if ready is None:
            if is_wanted:
                self._fail(slot, order.sha256, reason)
            return
        if order.purpose == "standby":
            slot.keep_on_standby(ready, self._standby(slot.name))
        elif is_wanted:
            slot.candidate = slot.own(slot.name, ready)
        else:
            return  # cancelled while it was being loaded
        self._tell(
            Golden(
                slot=slot.name,
                sha256=ready.sha256,
                pictures=ready.pictures,
                latency_ms=ready.latency_ms,
            )
        )

    def _start_shadow(self, slot: ActiveSlot, order: StartShadow) -> None:
        candidate, active = slot.candidate, slot.active
        if candidate is None or candidate.sha256 != order.sha256 or active is None:
            self._fail(slot, order.sha256, "no candidate is prepared for a comparison")
            return
        slot.stop_shadow()
        report = ShadowReport(
            report_folder(self._state_dir, slot.name),
            active.model.identity,
            candidate.model.identity,
        )
        run = ShadowRun(
            ShadowPlan(slot.name, order.parts, order.max_min * 60),
            candidate.model,
            active.model.limits,
            {line.camera: line.info for line in slot.camera_lines},
            report,
            self._tell,
            self._loop.is_caught_up,
        )
        run.start()
        slot.shadow = run

    def _switch(self, slot: ActiveSlot, order: Switch) -> None:
        if slot.candidate is None or slot.candidate.sha256 != order.sha256:
            self._fail(slot, order.sha256, "it is not prepared; prepare it again")
            return
        slot.stop_shadow()
        baseline = slot.counter.figures() if slot.active is not None else None
        if not slot.exchange_to(slot.candidate):
            self._fail(
                slot, order.sha256, "the inspection thread did not exchange the models in time"
            )
            return
        self._on_active(slot.name, slot.active, Cause(order.by, order.why))
        self._tell(
            Switched(
                slot=slot.name,
                sha256=order.sha256,
                after_part=slot.last_part,
                baseline=baseline,
            )
        )

    def _start_probation(self, slot: ActiveSlot, order: StartProbation) -> None:
        if slot.active_sha256 != order.sha256:
            self._fail(slot, order.sha256, "it is not active in this slot")
        elif slot.probation is None:  # an agent that reconnects finds it running, or decided
            slot.start_probation(order)
        elif slot.failure:
            self._roll_back_failed(slot, slot.failure)

    def _tick(self) -> None:
        """Report running probations, so that an agent that reconnects gets the outcome too."""
        for slot in self._slots.values():
            if slot.probation is not None and not slot.failure:
                self._tell_probation(slot, "passed" if slot.probation.has_passed() else "watching")

    def _tell_probation(self, slot: ActiveSlot, state: str, reason: str = "") -> None:
        if slot.probation is None or slot.active_sha256 is None:
            return
        self._tell(
            Probation.model_validate(
                {
                    "slot": slot.name,
                    "sha256": slot.active_sha256,
                    "state": state,
                    "figures": slot.probation.figures(),
                    "first_part": slot.probation.first_part,
                    "reason": reason,
                }
            )
        )

    def _roll_back_failed(self, slot: ActiveSlot, reason: str) -> None:
        """Roll back to the previous model at once, if it is still in memory, and tell the agent."""
        _log.warning("slot %s: the new model is rolled back: %s", slot.name, reason)
        failed = slot.active_sha256
        self._tell_probation(slot, "failed", reason)
        if failed is None or slot.previous is None or not slot.exchange_to(slot.previous):
            return
        slot.previous = None
        self._on_active(slot.name, slot.active, Cause(INSPECTION, f"rolled back: {reason}"))
        self._tell(RolledBack(slot=slot.name, sha256=failed, active=slot.active_sha256))

    def _commit(self, slot: ActiveSlot) -> None:
        slot.commit(self._standby(slot.name))

    def _roll_back(self, slot: ActiveSlot, order: Rollback) -> None:
        if slot.candidate is not None and slot.candidate.sha256 == order.sha256:
            slot.drop_candidate()
        elif slot.wanted is not None and slot.wanted.sha256 == order.sha256:
            slot.wanted = None
            self._loader.give_up(slot.name)
        if slot.active_sha256 == order.sha256 and order.back_to != order.sha256:
            # The store's "nothing" may be the bundle that the configuration names.
            old = slot.previous if order.back_to is None else slot.held(order.back_to)
            if order.back_to is not None and old is None:
                self._fail(slot, order.sha256, "the model before it is not in memory any more")
                return
            if not slot.exchange_to(old):
                self._fail(
                    slot, order.sha256, "the inspection thread did not exchange the models in time"
                )
                return
            slot.previous = None
            why = f"rolled back: {order.reason}" if order.reason else "rolled back"
            self._on_active(slot.name, slot.active, Cause(order.by, why))
        self._tell(RolledBack(slot=slot.name, sha256=order.sha256, active=slot.active_sha256))

    def _drop_candidates(self) -> None:
        self._loader.give_up()
        for slot in self._slots.values():
            slot.drop_candidate()

    def _fail(self, slot: ActiveSlot, sha256: str, reason: str) -> None:
        _log.warning("slot %s: bundle %s: %s", slot.name, sha256[:12], reason)
        self._tell(Failed(slot=slot.name, sha256=sha256, reason=reason[:MAX_REASON_CHARS]))
