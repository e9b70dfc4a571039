"""Everything about orders and the audit of a running device, wired together for `app.py`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge_app import __version__
from edge_app.activation.model_loader import Ready
from edge_app.activation.own_limits import LIMITS_FILE, OwnLimits, shown
from edge_app.activation.slot_models import Cause
from edge_app.activation.slots import ModelSlots
from edge_app.audit.log import AuditLog
from edge_app.audit.reader import records_since, remembered
from edge_app.audit.records import AuditEntry, canonical
from edge_app.audit.restored import take_restored
from edge_app.audit.schema import AUDIT_FILE
from edge_app.config.model import AppConfig
from edge_app.errors import ConfigError
from edge_app.history.pseudonyms import KEY_FILE, Pseudonyms
from edge_app.history.schema import HISTORY_FILE
from edge_app.history.writer import HistoryWriter
from edge_app.ipc.order_client import orders_socket
from edge_app.ipc.order_server import OrderServer
from edge_app.ipc.protocol import THE_AGENT
from edge_app.mqtt.messages import AuditFigures
from edge_app.orders.configuration_record import (
    changes_between,
    digest_of,
    flat_configuration,
    parsed,
)
from edge_app.orders.desk import OrderDesk
from edge_app.orders.golden_orders import GoldenOrders
from edge_app.orders.limit_orders import LimitOrders
from edge_app.orders.pause_orders import PauseEffects, PauseOrders
from edge_app.orders.review_orders import ReviewOrders
from edge_app.runtime.inspection_thread import InspectionThread
from edge_app.runtime.pauses import PAUSES_FILE, PauseBook
from edge_app.runtime.status_report import StatusReport

_log = logging.getLogger(__name__)

PAUSE_TICK_S = 0.5
CONFIGURATION = "configuration"
NUMBERING = "numbering"
SETTLED_RECORDS = 500
"""A file that is so many records behind is written again, so that a start reads few of them."""


def limits_of_device(state_dir: Path) -> OwnLimits:
    """Return the limits that people have set, with what a kill cut off."""
    own = OwnLimits(state_dir / LIMITS_FILE)
    _catch_up(own, state_dir, ("limit", "limit_undone"))
    return own


class DeviceOrders:
    """Takes orders, keeps the audit, ends pauses, follows golden parts.

    Args:
        own: see `limits_of_device`; the slots' as well.
        thread: whose cameras are paused.
        page_socket: see `orders_socket`.
        on_head: gets the audit's head, HASH:COUNT, whenever it grows.
        history: has what people say of parts; None: this device keeps none.
    """

    def __init__(
        self,
        config: AppConfig,
        slots: ModelSlots,
        own: OwnLimits,
        thread: InspectionThread,
        status: StatusReport,
        page_socket: Path | None,
        on_head: Callable[[str], None],
        history: HistoryWriter | None = None,
    ) -> None:
        self._config, self._slots, self._own = config, slots, own
        state_dir = config.device.state_dir
        self._audit_path = state_dir / AUDIT_FILE
        self.audit = AuditLog(
            self._audit_path,
            lambda head: on_head(str(head)),
            lambda why: status.set_trouble(why, "audit"),
        )
        status.watch_audit(self._figures)
        names = tuple(camera.name for camera in config.cameras)
        book = PauseBook(state_dir / PAUSES_FILE, names)
        _catch_up(book, state_dir, ("pause", "resumed", "pause_ended"))
        effects = PauseEffects(
            thread.pause,
            status.set_paused,
            self._passed,
            self.audit.note,
            lambda: not self.audit.health().waiting,
        )
        self._pauses = PauseOrders(book, names, effects, time.time_ns)
        self._golden = GoldenOrders(
            state_dir, config.golden_parts, self.audit.note, history, status.set_trouble,
            thread.deliver, lambda: frozenset(book.current()), time.time_ns,
        )  # fmt: skip
        thread.mark_reports(self._golden.watch.seen)
        status.watch_figures("golden", self._golden.watch.figures)
        who = config.device
        desk = OrderDesk(
            f"{who.site}/{who.line}/{who.device}",
            self.audit,
            LimitOrders(slots, own, state_dir / HISTORY_FILE),
            self._pauses,
            ReviewOrders(state_dir / HISTORY_FILE, history, Pseudonyms(state_dir / KEY_FILE)),
            status.subjects,
            self._golden,
        )
        self._server = OrderServer(orders_socket(state_dir, page_socket), desk.execute)
        self._history, self._unnumbered = history, frozenset[str]()
        self._told = {slot: _model_of(ready) for slot, ready in slots.ready.items()}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tend, name="pauses", daemon=True)

    @property
    def socket(self) -> Path:
        """Where orders are taken."""
        return self._server.path

    def record_gaps(self, cameras: Mapping[str, bool]) -> None:
        """Let the history know of pauses of cameras whose parts have no number.

        Args:
            cameras: name → whether its parts have numbers.
        """
        self._unnumbered = frozenset(name for name, numbered in cameras.items() if not numbered)

    def start(self, store_id: str, fault: str) -> None:
        """Record this start, go on with pauses, and take orders; nothing of it is waited for.

        Args:
            store_id: of the alerts' numbering.
            fault: why the last good configuration stands in; "" where it does not.
        """
        self._note_start(store_id, fault)
        self.audit.start()
        self._pauses.start()
        self._golden.start()
        self._thread.start()
        try:
            self._server.start()
        except ConfigError as error:
            _log.warning("no orders: %s", error)

    def stop(self) -> None:
        """Take no more orders, and write what waits."""
        self._server.stop()
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(1.0)
        self.audit.close()

    def model_changed(self, slot: str, ready: Ready | None, cause: Cause) -> None:
        """Record that another model judges, and by whom; a changed limit has its own record."""
        before, after = self._told.get(slot), _model_of(ready)
        self._told[slot] = after
        if _bundle(before) == _bundle(after):
            return
        by = cause.by or THE_AGENT
        is_product = (before or {}).get("product") != (after or {}).get("product")
        self.audit.note(
            AuditEntry(
                "product" if is_product else "model",
                by.kind,
                by.name,
                by.role,
                subject=slot,
                old=before,
                new=after,
                why=cause.why or "handed over by the agent",
                via=by.via or "device",
            )
        )

    def _note_start(self, store_id: str, fault: str) -> None:
        flat = flat_configuration(self._config)
        before = parsed(remembered(self._audit_path, CONFIGURATION))
        self.audit.note(
            AuditEntry(
                CONFIGURATION,
                "machine",
                "inspection",
                old=None if before is None else digest_of(before),
                new={
                    "digest": digest_of(flat),
                    "changes": changes_between(before or {}, flat),
                    "release": __version__,
                    "store_id": store_id,
                    "slots": self._told,
                },
                why=f"start with the last good one: {fault}" if fault else "start",
            )
        )
        self.audit.remember(CONFIGURATION, canonical(flat).decode())
        numbering = remembered(self._audit_path, NUMBERING)
        if numbering not in ("", store_id):
            self.audit.note(
                AuditEntry(
                    NUMBERING, "machine", "inspection", old=numbering, new=store_id,
                    why="alerts are numbered anew: another store, or a restored device",
                )
            )  # fmt: skip
        self.audit.remember(NUMBERING, store_id)
        for entry in take_restored(self._config.device.state_dir):
            self.audit.note(entry)

    def _figures(self) -> AuditFigures:
        health = self.audit.health()
        head = str(health.head) if health.head.count else ""
        return AuditFigures(head=head, waiting=health.waiting, trouble=health.trouble)

    def _passed(self, camera: str, from_ns: int, to_ns: int) -> None:
        if self._history is not None and camera in self._unnumbered:
            self._history.paused(camera, from_ns, to_ns)

    def _tend(self) -> None:
        while not self._stop.wait(PAUSE_TICK_S):
            try:
                self._pauses.tick()
            except Exception:  # one pause that cannot end must not keep the others
                _log.exception("a pause could not be ended")
            try:
                self._golden.watch.tick()
            except Exception:  # pauses have to end all the same
                _log.exception("golden parts could not be followed")


def _catch_up(kept: OwnLimits | PauseBook, state_dir: Path, events: tuple[str, ...]) -> None:
    """Let a file follow the records that are newer than it."""
    records = records_since(state_dir / AUDIT_FILE, kept.head)
    if len(records) > SETTLED_RECORDS or any(r["event"] in events for r in records):
        kept.follow(records)


def _model_of(ready: Ready | None) -> dict[str, Any] | None:
    if ready is None:
        return None
    identity = ready.model.identity
    return {
        "product": identity.product,
        "serial": identity.serial,
        "sha256": ready.sha256,
        "precision": identity.precision,
        "signed": ready.signed,
        **shown(ready.model.limits),
    }


def _bundle(model: dict[str, Any] | None) -> Any:
    return None if model is None else (model["sha256"], model["precision"])
