"""A simulated device: real MQTT client, puller, downloader and store, a pretended installation.

Bundles that are named as bad fail the pretended golden check; all others are committed.
"""

from __future__ import annotations

import hashlib
import ssl
import threading
import time
from collections.abc import Collection
from pathlib import Path

from edge_app.agent.pull.download import Downloader
from edge_app.agent.pull.download_rules import DownloadRules
from edge_app.agent.pull.wiring import PushSide
from edge_app.mqtt.deploy_messages import DeployState, Reported
from edge_app.mqtt.settings import MqttSettings
from edge_app.mqtt.timestamps import rfc3339
from edge_app.mqtt.topics import DeviceName
from edge_app.store.bundle_store import Card, Store

WAY: tuple[DeployState, ...] = ("verifying", "self_check", "shadow", "switching", "probation")


class SimulatedDevice:
    """A device that takes pushes.

    Args:
        folder: its store.
        step_s: how long each state of an installation lasts.
        bad: digests of bundles that fail.

    Attributes:
        installs: digests of the files that were handed over, in order.
    """

    def __init__(
        self,
        who: DeviceName,
        settings: MqttSettings,
        folder: Path,
        rules: DownloadRules,
        tls: ssl.SSLContext | None = None,
        step_s: float = 0.0,
        slots: tuple[str, ...] = ("main",),
        bad: Collection[str] = (),
    ) -> None:
        self.who = who
        self.installs: list[str] = []
        self._asked_by: dict[Path, str] = {}
        self.store = Store(folder)
        self.store.prepare(slots)
        self._step_s = step_s
        self._bad = bad
        downloader = Downloader(self.store.incoming, rules, tls)
        self.side = PushSide(settings, who, self.store, downloader, slots, self._install)

    def start(self) -> None:
        """Connect."""
        self.side.start()

    def stop(self) -> None:
        """Say goodbye."""
        self.side.stop()

    def _install(self, file: Path, slot: str, origin: str, *, desired_id: str) -> None:  # noqa: ARG002
        self._asked_by[file] = desired_id
        threading.Thread(target=self._pretend, args=(file, slot), daemon=True).start()

    def _pretend(self, file: Path, slot: str) -> None:
        desired_id = self._asked_by[file]
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        self.installs.append(sha256)
        for state in WAY:
            self._report(slot, state, sha256, desired_id)
            time.sleep(self._step_s)
            if state == "self_check" and sha256 in self._bad:
                file.unlink()
                self._report(slot, "refused", sha256, desired_id, "golden set: 3 verdicts differ")
                return
        if not self.store.has(sha256):
            self.store.admit(file, sha256, Card(product="screws", serial=1))
        self.store.set_active(slot, sha256)
        self._report(slot, "committed", sha256, desired_id)

    def _report(
        self, slot: str, state: DeployState, sha256: str, desired_id: str, reason: str = ""
    ) -> None:
        self.side.report(
            Reported(
                slot=slot,
                state=state,
                sha256=sha256,
                reason=reason,
                desired_id=desired_id,
                at=rfc3339(time.time_ns()),
            )
        )
