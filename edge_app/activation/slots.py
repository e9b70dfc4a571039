"""The slots of a running app: the model each starts with, and its changes by the agent.

Without `[agent]` there is one bundle, the configured one, and nothing ever changes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from edge_app.activation.agent_client import AgentConnection
from edge_app.activation.camera_line import CameraLine
from edge_app.activation.controller import Activation
from edge_app.activation.model_loader import Loader, Ready
from edge_app.activation.own_limits import LIMITS_FILE, OwnLimits
from edge_app.activation.slot_models import ActiveSlot, Cause, OnActive
from edge_app.bundle.archive import Bundle
from edge_app.bundle.thresholds import weakness
from edge_app.cameras.protocol import CameraInfo
from edge_app.config.camera import CameraConfig
from edge_app.config.model import AppConfig
from edge_app.errors import BundleError, ConfigError, ModelError
from edge_app.inspection.judge import Limits
from edge_app.inspection.worth_keeping import KeepRule
from edge_app.ipc.protocol import Hello
from edge_app.model.load_for_device import engine_builder, load_for_device
from edge_app.model.loaded_model import LoadedModel
from edge_app.model.open_for_device import open_bundle
from edge_app.mqtt.messages import SlotDescription, model_body
from edge_app.mqtt.topics import DeviceName
from edge_app.records import FrameReport, JsonObject
from edge_app.runtime.inspection_thread import InspectionThread
from edge_app.store.bundle_store import Store

_log = logging.getLogger(__name__)

MAX_SHORTFALL_CHARS = 300
"""A builder may name every layer; the journal has it whole."""


class ModelSlots:
    """Every slot's model. Made before the cameras; the agent is first told which bundle is about
    to be loaded, so that a bundle that kills the process at its start is counted against it.

    Args:
        config: checked.
        who: this device.
        own: limits that people have set here; None: those of the state folder.

    Attributes:
        ready: slot → what judges; None where nothing does.

    Raises:
        BundleError, ModelError: without an agent, the one bundle cannot be used.
    """

    def __init__(self, config: AppConfig, who: DeviceName, own: OwnLimits | None = None) -> None:
        self._config, self._who = config, who
        self._own = own or OwnLimits(config.device.state_dir / LIMITS_FILE)
        self._active: dict[str, ActiveSlot] = {}
        self._changing = threading.Lock()
        self._on_active: OnActive = lambda _slot, _ready, _cause: None
        self._store = Store(config.agent.store_dir)
        self._camera_lines: list[CameraLine] = []
        self._activation: Activation | None = None
        self._connection: AgentConnection | None = None
        self.ready: dict[str, Ready | None] = {}
        if not config.agent.enabled:
            configured = self._configured()
            self.ready = {slot: self._own.applied(slot, configured) for slot in config.slot_names}
            return
        choices = {slot: self._store.choices(slot) for slot in config.slot_names}
        self._first = {slot: next(iter(digests), None) for slot, digests in choices.items()}
        self._connection = AgentConnection(config.agent.socket, self._hello)
        self._connection.greet()
        self.ready = {
            slot: None
            if (first := self._load_first(slot, found)) is None
            else self._own.applied(slot, first)
            for slot, found in choices.items()
        }

    @property
    def model(self) -> LoadedModel | None:
        """The first slot's model; None while nothing judges there."""
        first = next(iter(self.ready.values()))
        return None if first is None else first.model

    def camera_line(
        self,
        config: CameraConfig,
        info: CameraInfo,
        part_prefix: str,
        new_alarm_id: Callable[[], str],
    ) -> CameraLine:
        """Return what makes a camera's lines, with `line_for` and `hand_over`."""
        camera_line = CameraLine(
            config.name,
            config.slot,
            info,
            part_prefix,
            config.belt_px_per_s_xy,
            new_alarm_id,
            _keep_rule(self._config),
        )
        self._camera_lines.append(camera_line)
        return camera_line

    def model_for(self, slot: str) -> LoadedModel | None:
        """Return what judges in a slot."""
        ready = self.ready[slot]
        return None if ready is None else ready.model

    def join(self, thread: InspectionThread, on_active: OnActive) -> None:
        """Let the agent change models, and people limits, in this thread."""
        self._on_active = on_active
        self._active = {
            slot: ActiveSlot(
                slot,
                [line for line in self._camera_lines if line.slot == slot],
                ready,
                thread,
                self._own.applied,
            )
            for slot, ready in self.ready.items()
        }
        connection = self._connection
        if connection is None:
            return
        self._activation = Activation(
            self._active,
            thread,
            Loader(
                self._read,
                self._load,
                self._budget_ms,
                thread.is_caught_up,
                engines=engine_builder(self._config),
            ),
            lambda slot: self._config.slot(slot).standby_models,
            self._config.device.state_dir,
            connection.tell,
            self._changed,
        )

    def follow_limits(self, slot: str, timeout_s: float) -> bool:
        """Judge with the limits that are set now, from the slot's next part on.

        Returns:
            False: the line has not come to it within the time; it will before its next part.
        """
        done = self._active[slot].follow_limits()
        if done.wait(timeout_s):
            self._changed(slot, None, Cause())
            return True

        def late() -> None:
            done.wait()
            self._changed(slot, None, Cause())

        threading.Thread(target=late, name="late-limit", daemon=True).start()
        return False

    def _changed(self, slot: str, _ready: Ready | None, cause: Cause) -> None:
        """Tell what judges now: what it is then, as agent and people may change it at once."""
        with self._changing:
            self.ready[slot] = self._active[slot].active
            self._on_active(slot, self.ready[slot], cause)

    def start(self) -> None:
        """Begin to take the agent's orders."""
        if self._connection is None or self._activation is None:
            return
        self._activation.start()
        self._connection.start(self._activation.handle, self._activation.agent_lost)

    def stop(self, is_planned: bool) -> None:
        """End; a planned end is announced, so that it does not count as a crash."""
        if self._connection is not None:
            self._connection.stop(is_planned)
        if self._activation is not None:
            self._activation.stop()

    def updates(self) -> dict[str, str]:
        """Return what is being done with each slot's new bundle; "" where nothing is."""
        return self._activation.updates() if self._activation is not None else {}

    def agent_figures(self) -> JsonObject:
        """Return whether bundles come over an agent, and whether it is there."""
        connection = self._connection
        is_there = connection is not None and connection.is_connected
        return {"is_enabled": connection is not None, "is_connected": is_there}

    def observe(self, report: FrameReport) -> None:
        """Take a judged frame in; called by the inspection thread, returns at once."""
        if self._activation is not None:
            self._activation.observe(report)

    def _hello(self) -> Hello:
        if self._activation is not None:
            return self._activation.hello()
        slots = {s: r.sha256 if r else None for s, r in self.ready.items()} or self._first
        return Hello(pid=os.getpid(), slots=slots)

    def _configured(self) -> Ready:
        """Return the model of `[bundle] path`, with the device's own thresholds.

        Raises:
            BundleError, ModelError: it cannot be used.
        """
        path = self._config.bundle.path
        if path is None:
            raise ConfigError("[bundle] path is missing: there is nothing to judge with.")
        bundle = open_bundle(path, self._config.bundle, self._who)
        model = self._load(bundle)
        return Ready.of(bundle, with_overrides(model, self._config))

    def _load_first(self, slot: str, digests: list[str]) -> Ready | None:
        """Return the best of a slot's bundles that can be used, else the configured one, or none.

        Each that fails is logged: a device that can still judge something must do so.
        """
        for sha256 in digests:
            try:
                bundle = self._read(sha256)
                return Ready.of(bundle, self._load(bundle))
            except (BundleError, ModelError) as error:
                _log.error("slot %s: %s cannot be used: %s", slot, sha256[:12], error)
        if self._config.bundle.path is not None:
            try:
                return self._configured()
            except (BundleError, ModelError) as error:
                _log.error("slot %s: [bundle] path cannot be used: %s", slot, error)
        _log.error("slot %s has no bundle: its parts are NOT_INSPECTED until one comes", slot)
        return None

    def _load(self, bundle: Bundle) -> LoadedModel:
        return load_for_device(bundle, self._config)

    def _read(self, sha256: str) -> Bundle:
        """Return a release, verified with this process' own keys.

        Raises:
            BundleError: see `open_bundle`; or the file is not the one that was named.
        """
        path: Path = self._store.release(sha256)
        bundle = open_bundle(path, self._config.bundle, self._who)
        if bundle.sha256 != sha256:
            raise BundleError(
                f"Bundle {path.name} refused: its sha256 is {bundle.sha256[:12]}…, so it is not "
                "what was committed. Install it again."
            )
        return bundle

    def _budget_ms(self, slot: str) -> float | None:
        """Return the shortest time a triggered camera of the slot leaves for a verdict."""
        triggered = {
            c.camera for c in self._camera_lines if c.slot == slot and c.info.mode == "triggered"
        }
        return min(
            (c.verdict_deadline_ms for c in self._config.cameras if c.name in triggered),
            default=None,
        )


def describe_slot(slot: str, ready: Ready | None) -> SlotDescription:
    """Return a slot as `info` publishes it."""
    if ready is None:
        return SlotDescription(slot=slot)
    return SlotDescription(
        slot=slot,
        model=model_body(ready.model.identity),
        threshold_id=ready.model.limits.threshold_id,
    )


def page_facts(ready: Ready | None) -> dict[str, str]:
    """Return what the page shows of a model: label → text."""
    if ready is None:
        return {"Model": "none: parts are not inspected until a bundle is installed"}
    identity, limits = ready.model.identity, ready.model.limits
    short = ready.model.shortfall
    return {
        "Product": identity.product,
        "Serial": str(identity.serial),
        "Precision": identity.precision,
        **({"Engine": short} if short else {}),
        "Threshold": f"{limits.score_threshold:.3f} ({limits.threshold_id})",
        **_suspect_fact(limits),
        "Signed": ready.signed,
        "SHA-256": ready.sha256[:16],
    }


def weaknesses_of(ready: Mapping[str, Ready | None]) -> tuple[str, ...]:
    """Return a sentence for each slot's model that misses most clearly visible defects."""
    found = ((slot, weakness(r.model.limits.clear_recall)) for slot, r in ready.items() if r)
    named = len(ready) > 1
    return tuple(f"Slot {slot}: {said}" if named else said for slot, said in found if said)


def _suspect_fact(limits: Limits) -> dict[str, str]:
    suspect = limits.suspect_threshold
    return {} if suspect is None else {"Suspect from": f"{suspect:.3f}"}


def degraded_text(slot: str, ready: Ready | None) -> str | None:
    """Return what `status` says of a model that runs degraded; None where it does not."""
    if ready is None or not ready.model.shortfall:
        return None
    text = ready.model.shortfall
    short = text if len(text) <= MAX_SHORTFALL_CHARS else f"{text[:MAX_SHORTFALL_CHARS]}…"
    return f"slot {slot} judges, but not as it was meant to: {short}"


def with_overrides(model: LoadedModel, config: AppConfig) -> LoadedModel:
    """Return the model with the device's own thresholds, if the configuration has any."""
    own = config.threshold
    if not own.is_overridden:
        return model
    old = model.limits
    score = own.score_threshold if own.score_threshold is not None else old.score_threshold
    suspect = old.suspect_threshold
    area = own.map_threshold if own.map_threshold is not None else old.map_threshold
    suspect = None if suspect is None or suspect > score else suspect
    limits = Limits(score, area, _override_id(score, area, suspect), suspect)
    _log.warning("thresholds overridden: %s instead of %s; reason: %s", limits, old, own.reason)
    return model.with_limits(limits)


def _keep_rule(config: AppConfig) -> KeepRule | None:
    """Return whose pictures are worth keeping; None where none is kept."""
    e = config.evidence
    return KeepRule(e.near_miss_percent / 100, e.sample_percent / 100) if e.enabled else None


def _override_id(score: float, area: float, suspect: float | None) -> str:
    """Return a name that other thresholds do not have."""
    digest = hashlib.sha256(repr((score, area, suspect)).encode()).hexdigest()
    return f"device-override-{digest[:8]}"
