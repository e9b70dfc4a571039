"""The composition root of `edge-app agent`: the one file that names its concrete classes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from edge_app.agent.agent import Agent
from edge_app.agent.install.candidate import Checks
from edge_app.agent.install.slot_worker import FlowTimes
from edge_app.agent.install.state_reports import Report
from edge_app.agent.install.trial_process import CheckLimits, CheckResult, self_check
from edge_app.agent.pull.wiring import PushSide, push_side
from edge_app.bundle.admission_rules import check_admissible
from edge_app.bundle.trusted_keys import TrustPolicy
from edge_app.bundle.verify import VerifiedBundle, verify_bundle
from edge_app.config.model import AppConfig
from edge_app.errors import BundleError, ConfigError
from edge_app.host.date_clock import DateClock
from edge_app.host.sd_notify import ServiceNotifier
from edge_app.model.open_for_device import limits_of, trust_of
from edge_app.mqtt.deploy_messages import Reported
from edge_app.mqtt.topics import DeviceName
from edge_app.store.bundle_store import Store

_log = logging.getLogger(__name__)

PREPARE_SLACK_S = 60.0
"""Beyond the trial's own time: the inspection process gives way to its line while it prepares."""


def run_agent(
    config: AppConfig,
    stop: threading.Event,
    fault: str = "",
    started: Callable[[], None] = lambda: None,
) -> int:
    """Run the agent until `stop` is set; return the exit code, 0.

    Args:
        fault: what is wrong with the configuration's file, if the last one that started is used.
        started: called once the agent runs.

    Raises:
        ConfigError: the configuration has no agent or no trusted keys, or the store or the socket
            cannot be made.
    """
    store = Store(config.agent.store_dir)
    push_sides: list[PushSide] = []

    def report(reported: Reported) -> None:
        for side in push_sides:
            side.report(reported)

    trouble = ""
    if fault:
        _log.error("the last configuration that started is used: %s", fault)
        trouble = f"the configuration cannot be used, the last one that started is: {fault}"

    def order_of(slot: str, sha256: str) -> str | None:
        return next((i for s in push_sides if (i := s.order_of(slot, sha256)) is not None), None)

    clock = DateClock()
    agent = make_agent(config, store, report, stop, order_of, clock)
    push_sides.append(push_side(config, store, agent.install, agent.select, trouble, clock))

    def is_alive() -> bool:
        clock.look()
        return agent.is_alive()

    try:
        for side in push_sides:
            side.start()
        agent.start()
        started()
        ServiceNotifier.from_environment().serve_until(stop, is_alive)
    except OSError as error:
        raise ConfigError(
            f"The store {store.root} cannot be used: {error.strerror}. Give the agent's user the "
            "right to write there, or set agent.store_dir."
        ) from error
    finally:
        agent.stop()
        for side in push_sides:
            side.stop()
    return 0


def make_agent(
    config: AppConfig,
    store: Store,
    report: Report,
    stop: threading.Event,
    order_of: Callable[[str, str], str | None] = lambda _slot, _sha256: None,
    clock: DateClock | None = None,
) -> Agent:
    """Return the agent that a configuration describes.

    Args:
        order_of: see `Agent`.
        clock: decides what a date ends; None: the machine's.

    Raises:
        ConfigError: the configuration has no agent, or no trusted keys.
    """
    if not config.agent.enabled:
        raise ConfigError("the agent is off; set [agent] enabled = true to bring bundles in.")
    return Agent(
        store,
        make_checks(config, stop, clock),
        {name: config.slot(name) for name in config.slot_names},
        FlowTimes(config.agent.inspection_wait_s, config.agent.check_wall_s + PREPARE_SLACK_S),
        config.agent.keep_releases,
        config.agent.socket,
        report,
        order_of,
    )


def make_checks(config: AppConfig, stop: threading.Event, clock: DateClock | None = None) -> Checks:
    """Return what a bundle has to pass on this device.

    Args:
        clock: decides what a date ends; None: the machine's.

    Raises:
        ConfigError: no trusted keys are configured, or they cannot be read.
    """
    if trust_of(config.bundle) is None:
        raise ConfigError(
            "the agent installs signed bundles only: name the folder of trusted public keys in "
            "[bundle] trusted_keys_dir."
        )
    limits = limits_of(config.bundle)
    device = DeviceName(config.device.site, config.device.line, config.device.device)
    trial = CheckLimits(
        limits.max_bytes,
        config.agent.check_memory_mb << 20,
        config.agent.check_cpu_s,
        config.agent.check_wall_s,
    )

    dates = clock or DateClock()

    def admit(bundle: VerifiedBundle, high_water: int | None) -> None:
        check_admissible(
            bundle.manifest,
            device,
            high_water,
            bundle.allow_back,
            now=dates.now(),
            expiry=bundle.expiry,
            doubt=dates.doubt(),
        )

    def try_out(file: Path) -> CheckResult:
        return self_check(file, trial, stop.is_set)

    def verify(file: Path) -> VerifiedBundle:
        return verify_bundle(file, _trust_now(config, file), limits)

    return Checks(
        verify=verify,
        admit=admit,
        try_out=try_out,
        min_free=config.agent.min_free_mb << 20,
    )


def _trust_now(config: AppConfig, file: Path) -> TrustPolicy:
    """Return the trusted keys as they are on disk now: a key revoked a moment ago counts no more.

    Raises:
        BundleError: they cannot be read, or none is left.
    """
    try:
        trust = trust_of(config.bundle)
    except ConfigError as error:
        raise BundleError(f"Bundle {file.name} refused: {error}") from error
    assert trust is not None  # checked at the start; the configuration does not change
    return trust
