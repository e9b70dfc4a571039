"""A roll-out's state: the waves, and the progress of each device. Stored in a JSON file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from deploy.fleet.pointer import Offer
from edge_app.errors import ConfigError
from edge_app.host.small_file import read_small
from edge_app.mqtt.deploy_messages import Desired, Reported

FORMAT: Literal["cropliq-rollout/1"] = "cropliq-rollout/1"
DeviceRolloutState = Literal["pending", "waiting", "reached", "failed"]
Outcome = Literal["running", "done", "stopped", "aborted"]


class DeviceRollout(BaseModel):
    """One device's progress.

    Attributes:
        desired: its pointer, stored before it is sent.
        sent_at_s: seconds since the epoch.
        last: the newest report that answers the pointer.
        reason: why it failed.
    """

    model_config = ConfigDict(extra="forbid")

    state: DeviceRolloutState = "pending"
    desired: Desired | None = None
    sent_at_s: float | None = None
    last: Reported | None = None
    reason: str = ""


class RolloutState(BaseModel):
    """The whole of the file.

    Attributes:
        waves: device names in the order in which they get the bundle; the canary first.
        turns: by device name.
    """

    model_config = ConfigDict(extra="forbid")

    format: Literal["cropliq-rollout/1"] = FORMAT
    offer: Offer
    slot: str
    waves: list[list[str]]
    turns: dict[str, DeviceRollout]
    outcome: Outcome = "running"

    @property
    def failed(self) -> list[str]:
        """Names of the devices that failed."""
        return [name for name, turn in self.turns.items() if turn.state == "failed"]


def new_state(offer: Offer, slot: str, waves: list[list[str]]) -> RolloutState:
    """Return a roll-out before its first step."""
    turns = {name: DeviceRollout() for wave in waves for name in wave}
    return RolloutState(offer=offer, slot=slot, waves=waves, turns=turns)


def load_state(path: Path) -> RolloutState | None:
    """Return what a file holds, None if there is no file.

    Raises:
        ConfigError: it cannot be read, or is not a roll-out state.
    """
    try:
        return RolloutState.model_validate_json(read_small(path))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ConfigError(
            f"Roll-out state {path} cannot be read: {error}. Name another file with --state, or "
            "remove it to start again."
        ) from error


def save_state(path: Path, state: RolloutState) -> None:
    """Replace the file; a power cut leaves the old or the new one.

    Raises:
        ConfigError: it cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(state.model_dump_json(indent=1))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise ConfigError(
            f"Roll-out state {path} cannot be written: {error.strerror}. Name a file in a folder "
            "that can be written with --state."
        ) from error
