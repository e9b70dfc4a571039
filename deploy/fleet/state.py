"""The devices' states as their retained messages report them. No IO."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from edge_app.errors import ConfigError
from edge_app.mqtt.deploy_messages import AgentStatus, Desired, Reported
from edge_app.mqtt.messages import DeviceInfo, DeviceStatus
from edge_app.mqtt.topics import ROOT, DeviceName

T = TypeVar("T", bound=BaseModel)


@dataclass(slots=True)
class SlotView:
    """One slot: the newest pointer, and the agent's newest report."""

    desired: Desired | None = None
    reported: Reported | None = None


@dataclass(slots=True)
class DeviceView:
    """One device: its inspection, its agent, its slots by name."""

    status: DeviceStatus | None = None
    info: DeviceInfo | None = None
    agent: AgentStatus | None = None
    slots: dict[str, SlotView] = field(default_factory=dict)

    def slot(self, name: str) -> SlotView:
        """Return a slot, an empty one if no message about it has arrived."""
        return self.slots.setdefault(name, SlotView())


class Fleet:
    """Devices by name, in the state of the newest message each.

    Attributes:
        messages: how many have arrived.
        unreadable: how many of those were not valid.
    """

    def __init__(self) -> None:
        self.devices: dict[DeviceName, DeviceView] = {}
        self.messages = 0
        self.unreadable = 0

    def device(self, who: DeviceName) -> DeviceView:
        """Return a device, an empty one if no message about it has arrived."""
        return self.devices.setdefault(who, DeviceView())

    def apply(self, topic: str, payload: bytes) -> None:
        """Apply one message; an empty payload removes the earlier one."""
        self.messages += 1
        levels = topic.removeprefix(f"{ROOT}/").split("/")
        try:
            who = DeviceName(*levels[:3])
            self._apply(who, levels[3:], payload or None)
        except (ConfigError, TypeError, ValidationError):
            self.unreadable += 1

    def _apply(self, who: DeviceName, rest: list[str], payload: bytes | None) -> None:
        if rest == ["status"]:
            self.device(who).status = _read(DeviceStatus, payload)
        elif rest == ["info"]:
            self.device(who).info = _read(DeviceInfo, payload)
        elif rest == ["agent", "status"]:
            self.device(who).agent = _read(AgentStatus, payload)
        elif len(rest) == 3 and rest[0] == "deploy" and rest[2] == "desired":
            self.device(who).slot(rest[1]).desired = _read(Desired, payload)
        elif len(rest) == 3 and rest[0] == "deploy" and rest[2] == "reported":
            self.device(who).slot(rest[1]).reported = _read(Reported, payload)


def _read(model: type[T], payload: bytes | None) -> T | None:
    return None if payload is None else model.model_validate_json(payload)


def fleet_filters(who: DeviceName | None = None) -> tuple[str, ...]:
    """Return the subscriptions for one device's state, or for all devices."""
    root = f"{ROOT}/+/+/+" if who is None else who.root
    ends = ("status", "info", "agent/status", "deploy/+/desired", "deploy/+/reported")
    return tuple(f"{root}/{end}" for end in ends)
