"""The devices' states as their retained messages report them. No IO."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from deploy.fleet.turns import Turns
from edge_app.errors import ConfigError
from edge_app.host.plain_text import one_line
from edge_app.mqtt.deploy_messages import AgentStatus, Desired, Reported
from edge_app.mqtt.messages import DeviceInfo, DeviceStatus
from edge_app.mqtt.topics import ROOT, DeviceName

MAX_DEVICES = 10_000
MAX_FAULTS = 20
"""More than that is one fault of the broker's users, not of single devices."""

T = TypeVar("T", bound=BaseModel)


@dataclass(slots=True)
class SlotView:
    """One slot: the newest pointer, and the agent's newest report.

    Attributes:
        was_withdrawn: the pointer was cleared while this process was listening.
    """

    desired: Desired | None = None
    reported: Reported | None = None
    was_withdrawn: bool = False

    @property
    def reported_id(self) -> str | None:
        """Id of the pointer that the newest report answers."""
        return self.reported.desired_id if self.reported is not None else None


@dataclass(slots=True)
class DeviceView:
    """One device: its inspection, its agent, its slots by name."""

    status: DeviceStatus | None = None
    info: DeviceInfo | None = None
    agent: AgentStatus | None = None
    slots: dict[str, SlotView] = field(default_factory=dict)
    turns: Turns = field(default_factory=Turns)

    def slot(self, name: str) -> SlotView:
        """Return a slot, an empty one if no message about it has arrived."""
        return self.slots.setdefault(name, SlotView())


class Fleet:
    """Devices by name, in the state of the newest message each.

    Attributes:
        messages: how many have arrived.
        unreadable: how many of those were not valid.
        faults: (topic, why) → how often, of the first MAX_FAULTS kinds.
    """

    def __init__(self) -> None:
        self.devices: dict[DeviceName, DeviceView] = {}
        self.messages = 0
        self.unreadable = 0
        self.faults: dict[tuple[str, str], int] = {}

    def device(self, who: DeviceName) -> DeviceView:
        """Return a device, an empty one if no message about it has arrived."""
        return self.devices.setdefault(who, DeviceView())

    def apply(self, topic: str, payload: bytes) -> None:
        """Apply one message; an empty payload removes the earlier one.

        One that is not valid, or speaks for another slot than its topic, is counted and named in
        `faults`; what was known before stays.
        """
        self.messages += 1
        levels = topic.removeprefix(f"{ROOT}/").split("/")
        try:
            who = DeviceName(*levels[:3])
            if who not in self.devices and len(self.devices) >= MAX_DEVICES:
                raise ConfigError(f"more than {MAX_DEVICES} devices")
            self._apply(who, levels[3:], payload or None)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            self._note_fault(topic, f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}")
        except (ConfigError, TypeError, ValueError, RecursionError) as error:
            self._note_fault(topic, str(error))

    def _note_fault(self, topic: str, why: str) -> None:
        self.unreadable += 1
        key = (one_line(topic, 200), one_line(why, 200))
        if key in self.faults or len(self.faults) < MAX_FAULTS:
            self.faults[key] = self.faults.get(key, 0) + 1

    def _apply(self, who: DeviceName, rest: list[str], payload: bytes | None) -> None:
        if rest == ["status"]:
            status = _read(DeviceStatus, payload)
            self.device(who).status = status
            if status is not None:
                self.device(who).turns.note(status)
        elif rest == ["info"]:
            self.device(who).info = _read(DeviceInfo, payload)
        elif rest == ["agent", "status"]:
            self.device(who).agent = _read(AgentStatus, payload)
        elif len(rest) == 3 and rest[0] == "deploy" and rest[2] == "desired":
            slot = self.device(who).slot(rest[1])
            slot.desired = _read(Desired, payload)
            slot.was_withdrawn = payload is None
        elif len(rest) == 3 and rest[0] == "deploy" and rest[2] == "reported":
            report = _read(Reported, payload)
            if report is not None and report.slot != rest[1]:
                raise ValueError(f"it reports about slot {report.slot!r}, its topic does not")
            self.device(who).slot(rest[1]).reported = report


def _read(model: type[T], payload: bytes | None) -> T | None:
    return None if payload is None else model.model_validate_json(payload)


def fleet_filters(who: DeviceName | None = None) -> tuple[str, ...]:
    """Return the subscriptions for one device's state, or for all devices."""
    root = f"{ROOT}/+/+/+" if who is None else who.root
    ends = ("status", "info", "agent/status", "deploy/+/desired", "deploy/+/reported")
    return tuple(f"{root}/{end}" for end in ends)
