"""When a roll-out continues, stops or is done. Pure rules: no broker, no file, no clock.

canary → every device of it reached → next wave → … → done
  └─ one failed                       └─ more than max_failures failed → stopped
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.fleet.rollout_state import DeviceRollout, RolloutState
from deploy.fleet.state import SlotView
from edge_app.errors import ConfigError
from edge_app.host.plain_text import number_of
from edge_app.mqtt.deploy_messages import DeployState, Desired

ORDER: tuple[DeployState, ...] = (
    "downloading",
    "verifying",
    "self_check",
    "building",
    "shadow",
    "switching",
    "probation",
    "committed",
)
"""The states of a bundle that is accepted; a device in a later one has passed the earlier ones."""
MADE_S = 1_700_000_000.0
"""November 2023: no pointer of ours was sent before."""
WITH_FIGURES: tuple[DeployState, ...] = ("shadow", "probation", "committed")
FAILED_STATES = ("refused", "rolled_back")


@dataclass(frozen=True, slots=True)
class Limits:
    """When a device counts as failed, and when that stops everything.

    Attributes:
        wait_for: the state that a device has to reach.
        max_failures: so many devices may fail after the canary; in the canary none may.
        timeout_s: from the pointer to the state.
    """

    wait_for: DeployState = "committed"
    max_failures: int = 0
    timeout_s: float = 4 * 3600.0


def make_waves(devices: Sequence[str], canary: int, then: str) -> list[list[str]]:
    """Return the devices in waves.

    Args:
        canary: size of the first wave; 0: none.
        then: "all" at once, or a number or a percentage at a time.

    Raises:
        ConfigError: `then` is neither.
    """
    head, rest = list(devices[:canary]), list(devices[canary:])
    size = _wave_size(then, len(devices))
    waves = [rest[i : i + size] for i in range(0, len(rest), size)]
    return [wave for wave in [head, *waves] if wave]


def _wave_size(then: str, count: int) -> int:
    found = re.fullmatch(r"([1-9][0-9]*)(%?)", then)
    if then == "all":
        return max(1, count)
    if found is None or (found[2] and number_of(found[1]) > 100):
        raise ConfigError(f"--then {then!r}: expected all, a number, or a percentage like 20%")
    return max(1, count * number_of(found[1]) // 100) if found[2] else number_of(found[1])


def update_device(turn: DeviceRollout, view: SlotView, now_s: float, limits: Limits) -> bool:
    """Update a waiting device from its newest report; return whether anything changed.

    What stands in the slot is ours or somebody else's: ids are compared for being the same only,
    since the clock that makes them may be an hour off.

    Args:
        view: what is known since our pointer was sent and came back.
        now_s: on the clock of `sent_at_s`.
    """
    if turn.state != "waiting" or turn.desired is None:
        return False
    before = turn.model_copy()
    report, ours = view.reported, turn.desired.message_id
    if report is not None and report.desired_id == ours:
        turn.last = report
        if report.state in FAILED_STATES:
            turn.state, turn.reason = "failed", f"{report.state}: {report.reason}"
        elif ORDER.index(report.state) >= ORDER.index(limits.wait_for):
            turn.state = "reached"
    elif view.desired is not None and view.desired.message_id != ours:
        turn.state, turn.reason = "failed", _replaced(turn)
    elif view.was_withdrawn:
        turn.state, turn.reason = "failed", "withdrawn by somebody else before the device had it"
    if turn.state == "waiting" and now_s - (turn.sent_at_s or now_s) > limits.timeout_s:
        last = turn.last.state if turn.last else "no answer"
        turn.state, turn.reason = "failed", f"not in {limits.timeout_s:.0f} s, last: {last}"
    return turn != before


def figures_of(turn: DeviceRollout) -> str:
    """Return what a device's comparison or probation came to, once it is over; else ""."""
    last = turn.last
    if last is None or turn.state == "failed":
        return ""
    is_whole = last.percent == 100 or last.state == "committed"
    return last.reason if is_whole and last.state in WITH_FIGURES else ""


def believed_s(sent_at_s: float | None, now_s: float) -> float:
    """Return when a pointer was sent: now, where a clock that was not right says otherwise.

    Before this software was made, or still to come: patience begins anew then, nobody has failed.
    """
    if sent_at_s is None or not MADE_S <= sent_at_s <= now_s:
        return now_s
    return sent_at_s


def is_replaced(turn: DeviceRollout, standing: Desired | None) -> bool:
    """Tell whether a slot has somebody else's pointer, which came since the roll-out began.

    The one that stood there before may still do so: ours was never sent then.
    """
    if standing is None or turn.before is None:
        return False
    ours = turn.desired.message_id if turn.desired is not None else None
    return standing.message_id not in (ours, turn.before)


def replace_turn(turn: DeviceRollout) -> None:
    """Count a device as failed whose slot has somebody else's pointer."""
    turn.state, turn.reason = "failed", _replaced(turn)


def _replaced(turn: DeviceRollout) -> str:
    last = f" (last: {turn.last.state})" if turn.last is not None else ""
    return f"replaced by another push{last}"


def why_stop(state: RolloutState, limits: Limits) -> str | None:
    """Return why nothing more may be sent, None if the roll-out may continue."""
    failed = state.failed
    canary = state.waves[0]
    if len(state.waves) > 1 and any(name in canary for name in failed):
        return f"the canary failed: {_reason(state, [n for n in failed if n in canary])}"
    if len(failed) > limits.max_failures:
        return f"{len(failed)} failed, {limits.max_failures} allowed: {_reason(state, failed)}"
    return None


def next_wave(state: RolloutState) -> list[str]:
    """Return the devices that get the bundle next; empty while others are still installing it."""
    for wave in state.waves:
        turns = [state.turns[name] for name in wave]
        if any(turn.state == "pending" for turn in turns):
            return [name for name in wave if state.turns[name].state == "pending"]
        if any(turn.state == "waiting" for turn in turns):
            return []
    return []


def is_over(state: RolloutState) -> bool:
    """Return whether every device is done or has failed."""
    return all(turn.state in ("reached", "failed") for turn in state.turns.values())


def _reason(state: RolloutState, names: Sequence[str]) -> str:
    first = f"{names[0]} ({state.turns[names[0]].reason})"
    return first if len(names) == 1 else f"{first} and {len(names) - 1} more"
