"""The state of the running device, reported to the broker, the page and systemd's status line."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Protocol

from edge_app.alerts.evidence import EvidenceStore
from edge_app.config.model import AppConfig
from edge_app.device_state import SubjectHealth, device_health
from edge_app.host.age_clock import AgeClock
from edge_app.host.clock import clock_is_synchronised
from edge_app.imaging.camera_calibration import Geometry
from edge_app.mqtt.messages import (
    Attention,
    AuditFigures,
    DeviceInfo,
    Health,
    OutboxHealth,
    result_from_verdict,
)
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.topics import DeviceName
from edge_app.records import FrameReport, JsonObject, ModelIdentity
from edge_app.runtime.device_facts import facts_from
from edge_app.runtime.foreign_letters import ForeignLetters
from edge_app.runtime.health import CameraCounter, read_health
from edge_app.runtime.inspection_thread import CameraPipeline
from edge_app.runtime.service import status_line
from edge_app.secret_text import mask
from edge_app.shown_state import CameraFacts, CaptureFact, ShownState, shown_state

HEALTH_EVERY_S = 5.0


class StatusScreen(Protocol):
    """Where people on the line see how the device stands: the live page's state."""

    def show(self, report: FrameReport) -> None: ...

    def set_broker(self, text: str, is_good: bool | None = None, state: str = "") -> None: ...

    def set_camera(self, camera: str, shown: ShownState) -> None: ...

    def set_health(self, health: JsonObject) -> None: ...


class StatusReport:
    """Collects what the parts of the app say of themselves and passes it on.

    Args:
        publisher: None where no broker is used.
        geometries: camera → calibration, for results in millimetres.
        evidence: None where no pictures are kept.
        clock: whose state is published.
    """

    def __init__(
        self,
        config: AppConfig,
        who: DeviceName,
        outbox: Outbox,
        publisher: Publisher | None,
        screen: StatusScreen,
        geometries: Mapping[str, Geometry],
        evidence: EvidenceStore | None,
        clock: AgeClock,
    ) -> None:
        self._clock = clock
        self._config, self._who = config, who
        self._outbox, self._publisher, self._screen = outbox, publisher, screen
        self._geometries, self._evidence = geometries, evidence
        self._started_s = time.monotonic()
        self._next_health_s = 0.0
        self._pipelines: Sequence[CameraPipeline] = ()
        self._counters = {c.name: CameraCounter() for c in config.cameras}
        self._troubled: set[str] = set()
        take = publisher.take_foreign if publisher else lambda: None
        self._letters = ForeignLetters(config.device.state_dir, take)
        self._lock = threading.Lock()
        self._facts = {c.name: CameraFacts(slot=c.slot) for c in config.cameras}
        self._shown: dict[str, ShownState] = {}
        self._read_audit: Callable[[], AuditFigures] | None = None
        self._read_figures: dict[str, Callable[[], JsonObject]] = {}
        self._products: dict[str, str] = {}
        self._figures: JsonObject = {}
        self._weaknesses: tuple[str, ...] = ()
        self._broker = "" if publisher else "not used"
        self._show_cameras()

    def watch(self, pipelines: Sequence[CameraPipeline]) -> None:
        """Take the cameras whose figures are read from now on; before any of them is started."""
        self._pipelines = pipelines

    def camera_changed(self, name: str, state: CaptureFact, why: str) -> None:
        """Pass on a camera's state; called from its grabber's thread."""
        with self._lock:
            self._facts[name] = replace(self._facts[name], capture=state, reason=mask(why))
        self._show_cameras()

    def shown(self) -> dict[str, ShownState]:
        """Return every configured camera's state, in the configured order."""
        with self._lock:
            return dict(self._shown)

    def set_update(self, slot: str, text: str) -> None:
        """Say what is being done with a new bundle of a slot; "" when nothing is."""
        self._change_slot(slot, update=text)

    def set_paused(self, camera: str, is_paused: bool, text: str = "") -> None:
        """Say that a person has paused a camera, until when and why; or that it inspects again."""
        with self._lock:
            facts = self._facts[camera]
            self._facts[camera] = replace(facts, is_paused=is_paused, pause=mask(text))
        self._show_cameras()

    def watch_audit(self, read: Callable[[], AuditFigures]) -> None:
        """Take what tells the audit's figures for `health`."""
        self._read_audit = read

    def watch_figures(self, name: str, read: Callable[[], JsonObject]) -> None:
        """Take what tells figures for the page that are not in `health`."""
        self._read_figures[name] = read

    def set_weaknesses(self, sentences: Sequence[str]) -> None:
        """Say what the models in use see too little of, one sentence each."""
        self._weaknesses = tuple(sentences)

    def subjects(self) -> tuple[SubjectHealth, ...]:
        """Return how the device is, subject by subject, in words; any thread may ask."""
        return device_health(
            facts_from(self._figures, self.shown().items(), self._broker, self._weaknesses)
        )

    def _slot_figures(self) -> list[JsonObject]:
        with self._lock:
            slots = {facts.slot: facts for facts in self._facts.values()}
        return [
            {
                "slot": slot,
                "product": self._products.get(slot, ""),
                "has_bundle": facts.has_bundle,
                "shortfall": facts.engine_missing,
                "update": facts.update,
            }
            for slot, facts in slots.items()
        ]

    def _disk_figures(self) -> JsonObject:
        try:
            return {"total_bytes": shutil.disk_usage(self._config.device.state_dir).total}
        except OSError:
            return {}

    def _change_slot(self, slot: str, **changes: Any) -> None:
        with self._lock:
            for name, facts in self._facts.items():
                if facts.slot == slot:
                    self._facts[name] = replace(facts, **changes)
        self._show_cameras()

    def _show_cameras(self) -> None:
        """Tell everybody what has changed of any camera; a changed reason is news as well."""
        with self._lock:
            for name, facts in self._facts.items():
                shown = shown_state(facts)
                if shown == self._shown.get(name):
                    continue
                self._shown[name] = shown
                self._screen.set_camera(name, shown)
                if self._publisher:
                    self._publisher.set_camera_state(name, shown.wire, shown.reason)
                    is_bad = shown.level == "bad" and not shown.is_inspecting
                    text = f"camera {name} {shown.state.replace('_', ' ')}: {shown.reason}"
                    self._publisher.set_degraded(text if is_bad else None, f"camera {name}")

    def frame_judged(self, report: FrameReport) -> None:
        """Count and show one frame's outcome; called from the inspection thread."""
        self._counters[report.frame.camera].count(report)
        self._report_detector(report)
        self._screen.show(report)
        if self._publisher and self._config.mqtt.publish_results:
            self._publish_results(self._publisher, report)

    def set_slots(self, info: DeviceInfo) -> None:
        """Publish what judges now."""
        if self._publisher:
            self._publisher.set_info(info)
        self._products = {s.slot: s.model.product for s in info.slots if s.model is not None}
        for found in info.slots:
            self._change_slot(found.slot, has_bundle=found.model is not None)

    def set_shortfall(self, slot: str, text: str | None) -> None:
        """Say `degraded` while a model lacks an engine, or a safer variant stands in."""
        self._change_slot(slot, engine_missing=text or "")
        if self._publisher:
            self._publisher.set_degraded(text, f"engines of {slot}")

    def set_trouble(self, text: str | None, source: str) -> None:
        """Say `degraded` for a reason of the device's own; None withdraws it."""
        if self._publisher:
            self._publisher.set_degraded(None if text is None else mask(text), source)

    def tick(self) -> None:
        """Pass on what is due; called by the main loop a few times a second."""
        now_s = time.monotonic()
        if now_s >= self._next_health_s:
            self._next_health_s = now_s + HEALTH_EVERY_S
            self._report_health()
            self._letters.keep()
        self._report_broker()

    def line(self, model: ModelIdentity | None) -> str:
        """Return the one line of `systemctl status`."""
        broker = self._publisher.state if self._publisher else "not used"
        return status_line(self.shown(), model, broker, self._outbox.depth())

    def _publish_results(self, publisher: Publisher, report: FrameReport) -> None:
        for verdict in report.finished:
            publisher.publish_result(
                result_from_verdict(
                    verdict,
                    self._who,
                    clock_synchronised=bool(clock_is_synchronised()),
                    published_at_ns=time.time_ns(),
                    geometry=self._geometries.get(verdict.camera),
                )
            )

    def _report_detector(self, report: FrameReport) -> None:
        """Say `degraded` while a detector fails: on a belt nobody knows what passes unseen."""
        camera = report.frame.camera
        if not report.timings_ms or bool(report.trouble) == (camera in self._troubled):
            return
        self._troubled ^= {camera}
        why = f"{camera}: the detector fails, parts pass unseen" if report.trouble else None
        if self._publisher:
            self._publisher.set_degraded(why, f"detector of {camera}")

    def _report_health(self) -> None:
        health = self._read_health()
        self._report_store(health.outbox)
        figures = health.model_dump(mode="json", exclude={"attention"})
        if self._evidence:
            figures["evidence"] = asdict(self._evidence.stats())
        figures |= {name: read() for name, read in self._read_figures.items()}
        figures |= {"slots": self._slot_figures(), "disk": self._disk_figures()}
        self._figures = figures
        if self._publisher:
            attention = tuple(_attention(subject) for subject in self.subjects() if subject.is_off)
            self._publisher.publish_health(health.model_copy(update={"attention": attention}))
        self._screen.set_health(figures)

    def _report_store(self, store: OutboxHealth | None) -> None:
        """Say `degraded` where damage has cost stored alerts since the start."""
        if store is not None and store.lost:
            self.set_trouble(
                f"damage has cost {store.lost} stored alerts, each told as a gap; "
                f"{store.dead_letters} damaged ones are kept in the outbox: look at the disk",
                "alarm store",
            )

    def _read_health(self) -> Health:
        self._clock.may_expire()  # a look: a jump is seen by comparing
        health = self._counted()
        shown = self.shown()
        cameras = (
            camera.model_copy(update={"state": now.state, "reason": now.reason})
            for camera in health.cameras
            if (now := shown[camera.camera])
        )
        audit = None if self._read_audit is None else self._read_audit()
        return health.model_copy(update={"cameras": tuple(cameras), "audit": audit})

    def _counted(self) -> Health:
        return read_health(
            self._pipelines,
            self._counters,
            self._outbox,
            self._config.device.state_dir,
            self._started_s,
            self._publisher.messages_dropped if self._publisher else 0,
            self._clock,
            self._publisher.counts(self._letters.kept) if self._publisher else None,
        )

    def _report_broker(self) -> None:
        if self._publisher is None:
            self._broker = "not used"
            self._screen.set_broker("not used", None)
            return
        state, waiting = self._publisher.state, self._outbox.depth()
        text = state
        if state == "connecting" and self._publisher.last_error:
            text = f"connecting: {self._publisher.last_error}"
        self._broker = plain = text
        if waiting and state != "connected":
            in_memory = self._outbox.health().in_memory
            text += f" - alerts that wait safely on disk: {waiting - in_memory}"
            text += f", {in_memory} in memory only" if in_memory else ""
        self._screen.set_broker(text, state == "connected", plain)


def _attention(subject: SubjectHealth) -> Attention:
    return Attention(
        subject=subject.subject,
        level="bad" if subject.level == "bad" else "warn",
        key=subject.headline.key,
        text=subject.headline.text,
        what_to_do=subject.what_to_do.text,
    )
