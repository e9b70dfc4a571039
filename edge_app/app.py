"""The composition root of `edge-app run`: the one file that names concrete classes.

grabbers → inspection thread → outbox → publisher → broker
                    ↘ page state → feed → the page's process    ↘ evidence worker (pictures,
                                                                  after their alerts)
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from edge_app.activation.model_loader import Ready
from edge_app.activation.slot_models import Cause
from edge_app.activation.slots import (
    ModelSlots,
    degraded_text,
    describe_slot,
    page_facts,
    weaknesses_of,
)
from edge_app.alerts.alarm_sink import AlarmSink
from edge_app.alerts.alert_drafts import AlertDrafts
from edge_app.alerts.clock_file import machine_clock
from edge_app.alerts.evidence_worker import EvidenceWorker
from edge_app.cameras.protocol import Camera
from edge_app.config.camera import CameraConfig
from edge_app.config.model import AppConfig
from edge_app.errors import ConfigError
from edge_app.history.writer import HistoryWriter
from edge_app.host.clock import clock_is_synchronised
from edge_app.host.sd_notify import ServiceNotifier
from edge_app.model.loaded_model import LoadedModel
from edge_app.mqtt.messages import (
    DeviceInfo,
)
from edge_app.mqtt.outbox import Outbox
from edge_app.mqtt.outbox_losses import loss_alerts
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.timestamps import uuid7
from edge_app.mqtt.topics import DeviceName
from edge_app.orders.device_orders import DeviceOrders, limits_of_device
from edge_app.orders.review_orders import reviews_since
from edge_app.page.door import PageChild, PageDoor, PageListener
from edge_app.page.feed import PageFeed
from edge_app.page.settings import page_url, settings_of
from edge_app.page.state import PageState
from edge_app.records import (
    AlarmEvent,
    Evidence,
    FrameReport,
    JsonObject,
    KeepReason,
    PartVerdict,
)
from edge_app.runtime.camera_assembly import (
    geometry_of,
    make_grabber,
    make_trigger_port,
    open_configured,
)
from edge_app.runtime.device_info import device_info
from edge_app.runtime.evidence_setup import open_evidence, warn_of_local_evidence
from edge_app.runtime.history_setup import make_history, numbered
from edge_app.runtime.inspection_thread import CameraPipeline, GapWatch, InspectionThread
from edge_app.runtime.recorded_sink import RecordedSink
from edge_app.runtime.service import Service, loops_of
from edge_app.runtime.status_report import StatusReport

_log = logging.getLogger(__name__)

TICK_S = 0.2

DRAIN_S = 30.0
"""After a finite source has ended: how long the broker may take for what still waits."""

Observer = Callable[[FrameReport], None]


class EdgeApp:
    """Everything that runs on the device, wired together.

    Args:
        config: checked.
        cameras: name → source, in place of opening the configured URLs (the demo's simulator).
        observers: called with every frame's report in the inspection thread; must be quick.
        stop: when set, `run` returns; made before the app, it serves a signal during start-up.
        notifier: tells systemd how the app stands; None where there is none.
        page_socket: where the page's service comes in; None: the page is a child of this process.
    """

    def __init__(
        self,
        config: AppConfig,
        cameras: dict[str, Camera] | None = None,
        observers: Sequence[Observer] = (),
        stop: threading.Event | None = None,
        notifier: ServiceNotifier | None = None,
        page_socket: Path | None = None,
    ) -> None:
        self._config = config
        self._observers = list(observers)
        self._stop = stop or threading.Event()
        self._history: HistoryWriter | None = None
        self._configuration_fault = ""
        self._audit_head = ""
        self._who = DeviceName(config.device.site, config.device.line, config.device.device)
        own_limits = limits_of_device(config.device.state_dir)
        self._slots = ModelSlots(config, self._who, own_limits)
        self.outbox = Outbox(
            config.device.state_dir / "outbox.sqlite",
            config.outbox.max_messages,
            config.outbox.reserve_mb << 20,
            loss_alert=loss_alerts(
                self._who, config.cameras[0].name, _new_alarm_id, _is_clock_synchronised
            ),
            holds=lambda: self._history is not None and self._history.holds_alerts(),
        )
        sources = cameras or {c.name: open_configured(c) for c in config.cameras}
        self.page_state = PageState()
        self._is_safe = True
        self._clock = machine_clock(config.device.state_dir)
        self._evidence = open_evidence(config, self._clock)
        geometries = {c.name: g for c in config.cameras if (g := geometry_of(c)) is not None}
        self._pictures = (
            EvidenceWorker(self._evidence, geometries=geometries) if self._evidence else None
        )
        self._info = device_info(sources, config)
        self._publisher = self._make_publisher()
        self._status = StatusReport(
            config,
            self._who,
            self.outbox,
            self._publisher,
            self.page_state,
            geometries,
            self._evidence,
            self._clock,
        )
        self._pipelines = [self._make_pipeline(c, sources[c.name]) for c in config.cameras]
        ports = (make_trigger_port(c, sources[c.name]) for c in config.cameras)
        self._trigger_ports = [port for port in ports if port is not None]
        self._status.watch(self._pipelines)
        self._history = make_history(
            config, sources, self.outbox, self._clock,
            lambda why: self._status.set_trouble(why, "history"),
            lambda head: reviews_since(config.device.state_dir, head),
        )  # fmt: skip
        self._sink = AlarmSink(
            AlertDrafts(self._who, _is_clock_synchronised, geometries),
            self.outbox,
            self._publisher,
            {c.name: c.alarm_debounce_s for c in config.cameras},
            self._pictures,
            self._picture_kept,
        )
        recorded = RecordedSink(self._sink, self._history) if self._history else self._sink
        self._thread = InspectionThread(self._pipelines, recorded, self._show)
        self._products = {slot: _product_of(ready) for slot, ready in self._slots.ready.items()}
        self._slots.join(self._thread, self._model_changed)
        self._orders = DeviceOrders(
            config, self._slots, own_limits, self._thread, self._status, page_socket,
            self._audit_grew, self._history,
        )  # fmt: skip
        self._status.watch_figures("history", self._history_figures)
        self._status.watch_figures("agent", self._slots.agent_figures)
        self._orders.record_gaps(numbered(sources))
        self._feed = PageFeed(self.page_state, settings_of(config, page_socket))
        self._door = self._page_door(page_socket)
        self._show_model_on_page()
        self._status.set_slots(self._info_with_models())
        for slot, ready in self._slots.ready.items():
            self._status.set_shortfall(slot, degraded_text(slot, ready))
        self._service = self._make_service(notifier or ServiceNotifier())

    @property
    def model(self) -> LoadedModel:
        """The first slot's model.

        Raises:
            ConfigError: nothing judges there yet.
        """
        model = self._slots.model
        if model is None:
            raise ConfigError("no bundle is installed yet: there is no model.")
        return model

    def add_observer(self, observer: Observer) -> None:
        """Have every further report shown to `observer` too; before `start` only."""
        self._observers.append(observer)

    @property
    def page_url(self) -> str | None:
        """Where the live page is, or None; its process may still be starting."""
        page = self._config.page
        is_tls = page.tls_certificate is not None
        return page_url(page.host, page.port, is_tls) if page.enabled else None

    def use_last_good_configuration(self, fault: str) -> None:
        """Say that the file cannot be used, and that this app was made with an earlier one."""
        _log.error("the last configuration that started is used: %s", fault)
        self._status.set_trouble(
            f"the configuration cannot be used, the last one that started is: {fault}",
            "configuration",
        )
        self._configuration_fault = fault

    def start(self) -> None:
        """Start every thread; returns once status is on its way."""
        warn_of_local_evidence(self._config)
        if self._publisher:
            self._publisher.start()
        if self._pictures:
            self._pictures.start()
        if self._history:
            self._history.start()
        self._start_page()
        self._orders.start(self.outbox.store_id, self._configuration_fault)
        for pipeline in self._pipelines:
            pipeline.grabber.start()
        self._thread.start()
        self._slots.start()
        for port in self._trigger_ports:
            port.start()

    def _start_page(self) -> None:
        """Let the page in or start it; inspection neither waits for it nor ends because of it."""
        if self._door is None:
            return
        self._feed.start()
        try:
            self._door.start()
        except ConfigError as error:
            _log.warning("no live page: %s", error)

    def stop(self) -> None:
        """Ask `run` to return; may be called from any thread, but not from a signal handler."""
        self._stop.set()

    def run(self) -> int:
        """Run until stopped or until every source has ended; return the exit code.

        0: stopped, or all parts judged and published. 1: inspection failed. 3: finite sources
        ended, but alerts still wait, in the outbox for the broker or in memory for the disk.
        """
        self.start()
        try:
            self._tend()
        finally:
            self._shut_down()
        if self._thread.failure is not None:
            return 1
        return 0 if self._stop.is_set() or self._is_safe else 3

    def _tend(self) -> None:
        """The main thread's loop: levels, health, and noticing the end."""
        ended_s: float | None = None
        while not self._stop.wait(TICK_S):
            self._sink.tick()
            for slot, update in self._slots.updates().items():
                self._status.set_update(slot, update)
            self._status.tick()
            self._service.tend(self._status_line)
            if self._thread.is_alive():
                continue
            now_s = time.monotonic()
            ended_s = ended_s or now_s
            if self._is_delivered() or now_s - ended_s > DRAIN_S or self._thread.failure:
                return

    def _is_delivered(self) -> bool:
        if self._sink.pending or (self._pictures and not self._pictures.is_idle):
            return False
        return self._publisher is None or self.outbox.depth() == 0

    def _shut_down(self) -> None:
        self._service.stopping()
        for port in self._trigger_ports:
            port.stop()
        self._slots.stop(is_planned=self._thread.failure is None)
        for pipeline in self._pipelines:
            pipeline.grabber.stop()
        self._thread.stop()
        self._orders.stop()
        if self._pictures:
            self._pictures.stop()
        if self._history:
            self._history.close()
        self._sink.tick()
        self._sink.close()
        if self._publisher:
            self._publisher.stop()
        self._is_safe = self._is_delivered()
        if self._door is not None:
            self._feed.stop()
            self._door.stop()
        self.outbox.close()

    def _show(self, report: FrameReport) -> None:
        if self._history:
            self._history.finished(report.finished)
        self._status.frame_judged(report)
        if self._pictures:
            self._pictures.offer_kept(report, self._part_kept)
        self._slots.observe(report)
        for observer in self._observers:
            observer(report)

    def _picture_kept(self, event: AlarmEvent) -> None:
        self.page_state.add_picture(event)
        if self._history:
            self._history.kept(event)

    def _part_kept(
        self, verdict: PartVerdict, reasons: tuple[KeepReason, ...], evidence: Evidence
    ) -> None:
        if self._history:
            self._history.kept_part(verdict, reasons, evidence)

    def _history_figures(self) -> JsonObject:
        history = self._history
        return {"is_kept": False} if history is None else asdict(history.health())

    def _make_service(self, notifier: ServiceNotifier) -> Service:
        publisher, deadlines = self._publisher, self._config.watchdog
        loops = loops_of(
            self._pipelines,
            self._thread,
            publisher,
            inspection_deadline_s=deadlines.inspection_deadline_s,
            camera_deadline_s=deadlines.camera_deadline_s,
        )
        return Service(notifier, loops, lambda: publisher is None or publisher.has_tried_broker)

    def _status_line(self) -> str:
        model = self._slots.model
        return self._status.line(None if model is None else model.identity)

    def _make_pipeline(self, config: CameraConfig, camera: Camera) -> CameraPipeline:
        info = camera.describe()
        last = self.outbox.last_finished(config.name) if info.is_numbered else None
        grabber = make_grabber(
            config,
            camera,
            last,
            lambda state, why: self._status.camera_changed(config.name, state.value, why),
        )
        prefix = f"{config.name}-{self.outbox.session}"
        camera_line = self._slots.camera_line(config, info, prefix, _new_alarm_id)
        line = camera_line.line_for(self._slots.model_for(config.slot))
        return CameraPipeline(config.name, grabber, line, GapWatch(last), info.can_resume)

    def _make_publisher(self) -> Publisher | None:
        if not self._config.mqtt.enabled:
            return None
        return Publisher(
            self._config.mqtt.settings(), self._who, self.outbox, self._info_with_models()
        )

    def _info_with_models(self) -> DeviceInfo:
        slots = tuple(describe_slot(slot, ready) for slot, ready in self._slots.ready.items())
        return self._info.model_copy(update={"slots": slots, "audit_head": self._audit_head})

    def _audit_grew(self, head: str) -> None:
        self._audit_head = head
        self._status.set_slots(self._info_with_models())

    def _model_changed(self, slot: str, ready: Ready | None, cause: Cause) -> None:
        """Say what judges now; called after a change of model, outside the inspection thread."""
        self._orders.model_changed(slot, ready, cause)
        product = _product_of(ready)
        if product != self._products.get(slot):
            self._products[slot] = product
            names = {c.name for c in self._config.cameras if c.slot == slot}
            for pipeline in self._pipelines:
                if pipeline.name in names:
                    pipeline.grabber.learn_anew()
        self._status.set_slots(self._info_with_models())
        self._status.set_shortfall(slot, degraded_text(slot, ready))
        self._show_model_on_page()

    def _page_door(self, socket_path: Path | None) -> PageDoor | None:
        """Return how the page's process comes in: a service even to learn that none is wanted."""
        if socket_path is not None:
            return PageListener(socket_path, self._feed)
        if not self._config.page.enabled:
            return None
        return PageChild(self._feed, self._config.runtime.log_level)

    def _show_model_on_page(self) -> None:
        first = next(iter(self._slots.ready.values()))
        self.page_state.set_bundle(page_facts(first))
        self.page_state.set_map_threshold(first.model.limits.map_threshold if first else None)
        weaknesses = weaknesses_of(self._slots.ready)
        self.page_state.set_weaknesses(weaknesses)
        self._status.set_weaknesses(weaknesses)


def _product_of(ready: Ready | None) -> str | None:
    return None if ready is None else ready.model.identity.product


def _is_clock_synchronised() -> bool:
    return bool(clock_is_synchronised())


def _new_alarm_id() -> str:
    return uuid7(time.time_ns(), secrets.randbits)
