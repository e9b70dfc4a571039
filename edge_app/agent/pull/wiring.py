"""Assembles the agent's side of the broker: client, puller, downloader, command handler."""

from __future__ import annotations

import functools
import ssl
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edge_app.agent.commands.feedback import FeedbackDesk, FeedbackHandler
from edge_app.agent.commands.handler import CommandHandler, Orders, SelectSlot
from edge_app.agent.commands.journal import CommandJournal
from edge_app.agent.pull.date_gate import DateGate
from edge_app.agent.pull.download import Downloader
from edge_app.agent.pull.download_rules import DownloadRules
from edge_app.agent.pull.mqtt_client import AgentMqttClient, FromOperators
from edge_app.agent.pull.pointer_journal import PointerJournal
from edge_app.agent.pull.puller import Installer, Puller
from edge_app.bundle.admission_rules import Expiry
from edge_app.bundle.trusted_keys import load_trust
from edge_app.bundle.verify import verify_bundle
from edge_app.config.model import AppConfig
from edge_app.errors import BundleError, ConfigError
from edge_app.host.date_clock import DateClock
from edge_app.host.small_file import plain_file
from edge_app.ipc.order_client import OrderClient, running_socket
from edge_app.ipc.order_schema import MarkPart, OrderAnswer
from edge_app.model.open_for_device import limits_of, trust_of
from edge_app.mqtt.command_messages import CommandAnswer
from edge_app.mqtt.deploy_messages import Reported
from edge_app.mqtt.settings import MqttSettings
from edge_app.mqtt.topics import DeviceName
from edge_app.store.bundle_store import Store

FEEDBACK_FILE = "feedback.json"
"""Which feedback was taken; beside that of the commands."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What is taken of operators, if their keys have signed it.

    Attributes:
        orders: commands to change the product; None: none.
        feedback: words on parts; None: none.
    """

    orders: Orders | None = None
    feedback: FeedbackDesk | None = None


class PushSide:
    """Pointers in, files to `install`, the agent's reports out.

    Args:
        settings: the broker, with the agent's own login; None: no broker, reports go nowhere.
        downloader: fetches into `store.incoming`.
        slots: this device's slots.
        install: `Agent.install`.
        signed: what is taken of operators.
        trouble: said in `agent/status`.
    """

    def __init__(
        self,
        settings: MqttSettings | None,
        who: DeviceName,
        store: Store,
        downloader: Downloader,
        slots: tuple[str, ...],
        install: Installer,
        signed: Signed | None = None,
        trouble: str = "",
    ) -> None:
        self._puller = Puller(
            downloader,
            PointerJournal(store.root / "state"),
            slots,
            install=install,
            publish=self._publish,
            releases=store,
        )
        orders, desk = (signed.orders, signed.feedback) if signed is not None else (None, None)
        state, commands, self._feedback = store.root / "state", None, None
        if orders is not None:
            journal = CommandJournal(state, _now)
            commands = CommandHandler(orders, who, journal, slots, self._answer, time.time_ns)
        if desk is not None:
            journal = CommandJournal(state, _now, FEEDBACK_FILE)
            self._feedback = FeedbackHandler(desk, who, journal, self._answer, time.time_ns)
        operators = FromOperators(commands, self._feedback)
        self._client = (
            AgentMqttClient(
                settings, who, self._puller, _version(), operators=operators, reason=trouble
            )
            if settings is not None
            else None
        )

    def start(self) -> None:
        """Begin; to be called before the agent resumes what was unfinished."""
        self._puller.start()
        if self._feedback is not None:
            self._feedback.start()
        if self._client is not None:
            self._client.start()

    def stop(self) -> None:
        """Cancel downloads and say goodbye."""
        self._puller.stop()
        if self._feedback is not None:
            self._feedback.stop()
        if self._client is not None:
            self._client.stop()

    def report(self, report: Reported) -> None:
        """Publish what the agent reached; returns at once."""
        self._puller.note(report)

    def order_of(self, slot: str, sha256: str) -> str | None:
        """Return the id of the pointer by which a bundle is being installed; None: none is."""
        return self._puller.order_of(slot, sha256)

    def _publish(self, report: Reported) -> None:
        if self._client is not None:
            self._client.publish(report)

    def _answer(self, answer: CommandAnswer) -> None:
        if self._client is not None:
            self._client.answer(answer)


def push_side(
    config: AppConfig,
    store: Store,
    install: Installer,
    select: SelectSlot,
    trouble: str = "",
    clock: DateClock | None = None,
) -> PushSide:
    """Return the push side that a configuration describes; `trouble` is said in `agent/status`.

    Args:
        clock: the device's, which decides what a date ends; None: the machine's.

    Raises:
        ConfigError: `[download] ca_file` cannot be used, or the operators' keys cannot be read.
    """
    rules = DownloadRules(
        allowed_hosts=config.download.allowed_hosts,
        max_bytes=config.bundle.max_bundle_mb << 20,
        min_free_bytes=config.agent.min_free_mb << 20,
        timeout_s=config.download.timeout_s,
        give_up_after_s=config.download.give_up_after_s,
    )
    device = config.device
    clock = clock or DateClock()
    gate = DateGate(clock, functools.partial(_expiry_of, config), rules.give_up_after_s)
    return PushSide(
        agent_settings(config) if config.mqtt.enabled else None,
        DeviceName(device.site, device.line, device.device),
        store,
        Downloader(
            store.incoming, rules, _tls(config), is_clock_right=clock.is_right, hold=gate.wait
        ),
        config.slot_names,
        install,
        _signed(config, select, clock),
        trouble,
    )


def _expiry_of(config: AppConfig, file: Path) -> Expiry | None:
    """Return when a file expires; None: never, or its installation says what else is wrong."""
    try:
        trust = trust_of(config.bundle)
        return (
            None if trust is None else verify_bundle(file, trust, limits_of(config.bundle)).expiry
        )
    except (BundleError, ConfigError):
        return None


def _signed(config: AppConfig, select: SelectSlot, clock: DateClock) -> Signed | None:
    folder = config.agent.operator_keys_dir
    if folder is None:
        return None
    load_trust(folder)  # a mistake in the folder is reported at the start, not at the first command
    keys = functools.partial(load_trust, folder)
    feedback = None
    if config.agent.feedback:
        state_dir = config.device.state_dir
        feedback = FeedbackDesk(functools.partial(_give, state_dir), keys, clock.doubt)
    return Signed(Orders(select, keys, clock.doubt), feedback)


def _give(state_dir: Path, order: MarkPart) -> OrderAnswer:
    return OrderClient(running_socket(state_dir)).send(order)


def _now() -> datetime:
    return datetime.now(timezone.utc)


def agent_settings(config: AppConfig) -> MqttSettings:
    """Return the broker's address with the agent's login in place of inspection's."""
    own, settings = config.agent, config.mqtt.settings()
    if own.mqtt_username is not None:
        settings = replace(
            settings, username=own.mqtt_username, password_file=own.mqtt_password_file
        )
    if own.mqtt_cert_file is not None:
        settings = replace(settings, cert_file=own.mqtt_cert_file, key_file=own.mqtt_key_file)
    return settings


def _tls(config: AppConfig) -> ssl.SSLContext:
    ca_file = config.download.ca_file
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else plain_file(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"[download] ca_file {ca_file} cannot be used: {error}") from error


def _version() -> str:
    """Return this software's version; the device's wheel has a name of its own."""
    for name in ("cropliq-edge-device", "cropliq-edge"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return ""
