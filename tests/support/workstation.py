"""A workstation at a real broker: places pointers, remembers what devices report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.fleet_device import SimulatedDevice
from edge_app.agent.pull.download_rules import DownloadRules
from edge_app.mqtt.deploy_messages import Desired
from edge_app.mqtt.topics import Topics
from support.alert_drafts import WHO
from support.brokers import HOST, Listener, wait_until
from support.deploy_pointers import PAYLOAD

RULES = DownloadRules(
    allowed_hosts=(HOST,),
    max_bytes=len(PAYLOAD) + 16,
    give_up_after_s=5.0,
    retry_min_s=0.02,
    retry_max_s=0.1,
)
Start = Callable[..., SimulatedDevice]


class Station:
    """A workstation: places pointers, remembers every report."""

    def __init__(self, port: int) -> None:
        self._listener = Listener(port, WHO.root + "/#")

    def place(self, desired: Desired | None, slot: str = "main") -> None:
        self.place_text("" if desired is None else desired.payload().decode(), slot)

    def place_text(self, text: str, slot: str = "main") -> None:
        self._listener.publish(Topics(WHO).desired(slot), text, retain=True)

    def reports(self, slot: str = "main") -> list[dict[str, Any]]:
        return self._listener.bodies(f"/deploy/{slot}/reported")

    def states(self) -> list[str]:
        """Return the states in order, repeated percentages counted once."""
        states = [report["state"] for report in self.reports()]
        return [s for i, s in enumerate(states) if i == 0 or s != states[i - 1]]

    def wait_for(self, state: str, desired: Desired | None = None) -> dict[str, Any]:
        """Return the newest report once it has this state (and answers this pointer)."""

        def has_come() -> bool:
            newest = self.reports()[-1:]
            return bool(newest) and newest[0]["state"] == state and (
                desired is None or newest[0]["desired_id"] == desired.message_id
            )  # fmt: skip

        wait_until(has_come, 60.0, state)  # beside others on a loaded machine
        return self.reports()[-1]

    def agent_states(self) -> list[str]:
        return [body["state"] for body in self._listener.bodies("/agent/status")]

    def close(self) -> None:
        self._listener.close()


def incoming(device: SimulatedDevice) -> list[str]:
    return sorted(path.name for path in device.store.incoming.iterdir())
