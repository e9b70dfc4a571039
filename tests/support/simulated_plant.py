"""A plant in memory: a broker that retains, and devices that move one state per tick.

For roll-outs at every step of which somebody is cut off. What a real agent does with pointers is
kept: the newest one counts, a download gives way to it, an installation ends first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from deploy.fleet.state import Fleet
from edge_app.mqtt.deploy_messages import DeployState, Desired, Reported
from edge_app.mqtt.timestamps import rfc3339
from edge_app.mqtt.topics import DeviceName, Topics

WAY: tuple[DeployState, ...] = ("downloading", "verifying", "shadow", "probation", "committed")


class CutOff(Exception):
    """The workstation's process ends here."""


@dataclass
class PlantDevice:
    """One device.

    Attributes:
        active: digest of the bundle in use.
        ends: (id of the order, final state) of every order, as they came.
    """

    who: DeviceName
    bad: frozenset[str] = frozenset()
    is_online: bool = True
    active: str | None = None
    ends: list[tuple[str, DeployState]] = field(default_factory=list)
    order: Desired | None = None
    step: int = 0

    def tick(self, plant: Plant) -> None:
        """Take up the pointer that stands, or move on by one state."""
        topic = Topics(self.who).desired("main")
        standing = plant.retained.get(topic)
        pointer = Desired.model_validate_json(standing) if standing else None
        if self.order is not None and self.step <= 1 and pointer != self.order:
            self._say(plant, "refused", "Download ended: another pointer, or none")
        if self.order is None and pointer is not None:
            if pointer.message_id in {order for order, _ in self.ends}:
                return
            self.order, self.step = pointer, 0
        if self.order is not None:
            self._move(plant)

    def _move(self, plant: Plant) -> None:
        assert self.order is not None
        state = WAY[self.step]
        self.step += 1
        if state == "shadow" and self.order.sha256 in self.bad:
            self._say(plant, "refused", "golden set: 3 verdicts differ")
            return
        if state == "committed":
            self.active = self.order.sha256
        self._say(plant, state)

    def _say(self, plant: Plant, state: DeployState, reason: str = "") -> None:
        assert self.order is not None
        report = Reported(
            slot="main", state=state, sha256=self.order.sha256, reason=reason, at=rfc3339(0),
            desired_id=self.order.message_id,
        )  # fmt: skip
        if state in ("refused", "committed"):
            self.ends.append((self.order.message_id, state))
            self.order = None
        plant.publish(Topics(self.who).reported("main"), report.payload())


class Plant:
    """Broker and devices. `at_tick`: called before each tick with its number."""

    def __init__(self, devices: list[PlantDevice]) -> None:
        self.devices = devices
        self.retained: dict[str, bytes] = {}
        self.listeners: list[Fleet] = []
        self.ticks = 0
        self.at_tick: Callable[[int], None] = lambda _: None

    def publish(self, topic: str, payload: bytes) -> None:
        """Retain a message, an empty one clears; everybody who listens gets it."""
        if payload:
            self.retained[topic] = payload
        else:
            self.retained.pop(topic, None)
        for fleet in self.listeners:
            fleet.apply(topic, payload)

    def tick(self) -> None:
        """Let every device that is online move."""
        self.ticks += 1
        if self.ticks > 2000:
            raise AssertionError("the roll-out does not come to an end")
        self.at_tick(self.ticks)
        for device in self.devices:
            if device.is_online:
                device.tick(self)


class Station:
    """A workstation's connection, which can be cut off at any of its operations.

    Args:
        cut_at: number of the publish or save at which its process ends, just before it takes
            effect; None: never.
    """

    def __init__(self, plant: Plant, cut_at: int | None = None) -> None:
        self.plant, self.fleet = plant, Fleet()
        self._cut_at, self.operations = cut_at, 0
        for topic, payload in plant.retained.items():
            self.fleet.apply(topic, payload)
        plant.listeners.append(self.fleet)

    def count(self) -> None:
        """Note one operation; the process may end here."""
        if self.operations == self._cut_at:
            self.close()
            raise CutOff
        self.operations += 1

    def publish(self, topic: str, payload: bytes, retain: bool = True) -> None:
        self.count()
        self.plant.publish(topic, payload)

    def pump(self, for_s: float) -> None:
        self.plant.tick()

    def close(self) -> None:
        if self.fleet in self.plant.listeners:
            self.plant.listeners.remove(self.fleet)
