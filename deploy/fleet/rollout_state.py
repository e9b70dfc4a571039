"""A roll-out's state: the order, the waves, and each device's progress. Stored in a JSON file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from deploy.fleet.pointer import Offer
from edge_app.errors import ConfigError
from edge_app.host.small_file import read_small
from edge_app.mqtt.deploy_messages import DeployState, Desired, Reported
from edge_app.store.output_file import put_in_place

FORMAT: Literal["cropliq-rollout/2"] = "cropliq-rollout/2"
"""Format 1 has no `broker`, `wait_for` and `before`."""
DeviceRolloutState = Literal["pending", "waiting", "reached", "failed"]
MOST_NAMED = 3
"""Devices that are named one by one in a sentence."""
Outcome = Literal["running", "done", "stopped", "aborted"]


class DeviceRollout(BaseModel):
    """One device's progress.

    Attributes:
        desired: its pointer, stored before it is sent.
        sent_at_s: seconds since the epoch.
        before: id of the pointer that stood in the slot when the roll-out began; "" for none.
        last: the newest report that answers the pointer.
        reason: why it failed.
    """

    model_config = ConfigDict(extra="forbid")

    state: DeviceRolloutState = "pending"
    desired: Desired | None = None
    sent_at_s: float | None = None
    before: str | None = None
    last: Reported | None = None
    reason: str = ""


class RolloutState(BaseModel):
    """The whole of the file.

    Attributes:
        waves: device names in the order in which they get the bundle; the canary first.
        turns: by device name.
        broker: HOST:PORT that it is carried out at; None in a file of format 1, so is `wait_for`.
        wait_for: the state that each device has to reach.
    """

    model_config = ConfigDict(extra="forbid")

    format: Literal["cropliq-rollout/1", "cropliq-rollout/2"] = FORMAT
    offer: Offer
    slot: str
    broker: str | None = None
    wait_for: DeployState | None = None
    waves: list[list[str]]
    turns: dict[str, DeviceRollout]
    outcome: Outcome = "running"

    @property
    def failed(self) -> list[str]:
        """Names of the devices that failed."""
        return [name for name, turn in self.turns.items() if turn.state == "failed"]


def new_state(
    offer: Offer,
    slot: str,
    waves: list[list[str]],
    broker: str | None = None,
    wait_for: DeployState | None = None,
) -> RolloutState:
    """Return a roll-out before its first step."""
    turns = {name: DeviceRollout() for wave in waves for name in wave}
    return RolloutState(
        offer=offer, slot=slot, broker=broker, wait_for=wait_for, waves=waves, turns=turns
    )


def differences(asked: RolloutState, stored: RolloutState) -> list[str]:
    """Return in which points of the order two roll-outs differ, in words; empty: the same order.

    What a file of format 1 does not hold is not compared.
    """
    pairs = [
        ("bundle", _bundle_of(asked), _bundle_of(stored)),
        ("--slot", asked.slot, stored.slot),
        ("--url", asked.offer.url, stored.offer.url),
        ("--broker", asked.broker, stored.broker or asked.broker),
        ("--wait", asked.wait_for, stored.wait_for or asked.wait_for),
    ]
    found = [f"{what} {ours}, there {theirs}" for what, ours, theirs in pairs if ours != theirs]
    here, there = set(asked.turns), set(stored.turns)
    if here != there:
        only = [f"{_named(n)} only {where}" for n, where in ((here - there, "here"),
                (there - here, "there")) if n]  # fmt: skip
        found.append(f"devices: {', '.join(only)}")
    elif asked.waves != stored.waves:
        sizes = [" + ".join(str(len(wave)) for wave in s.waves) for s in (asked, stored)]
        found.append(f"waves (--canary, --then, order of devices) {sizes[0]}, there {sizes[1]}")
    return found


def _bundle_of(state: RolloutState) -> str:
    offer = state.offer
    return f"{offer.product} {offer.serial} ({offer.sha256[:12]})"


def _named(names: set[str]) -> str:
    first = sorted(names)[:MOST_NAMED]
    more = f" and {len(names) - len(first)} more" if len(names) > len(first) else ""
    return ", ".join(first) + more


def load_state(path: Path) -> RolloutState | None:
    """Return what a file holds, None if there is no file.

    Raises:
        ConfigError: it cannot be read, or is not a roll-out state.
    """
    try:
        state = RolloutState.model_validate_json(read_small(path))
        return state.model_copy(update={"format": FORMAT})
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
        put_in_place(partial, path)
    except OSError as error:
        raise ConfigError(
            f"Roll-out state {path} cannot be written: {error.strerror}. Name a file in a folder "
            "that can be written with --state."
        ) from error
