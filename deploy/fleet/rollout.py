"""Carrying a roll-out out: pointers wave by wave, stopped by failures, resumed after a restart."""

from __future__ import annotations

import time
from collections.abc import Callable

from deploy.fleet.mqtt_client import FleetMqttClient
from deploy.fleet.pointer import make_pointer
from deploy.fleet.rollout_rules import Limits, is_over, judge_turn, next_wave, why_stop
from deploy.fleet.rollout_state import Outcome, RolloutState, Turn
from deploy.fleet.state import Fleet
from edge_app.mqtt.topics import DeviceName, Topics

LOOK_S = 0.2
"""How often the fleet's answers are looked at."""


class Rollout:
    """One roll-out of one bundle.

    Args:
        state: where it stands; changed in place.
        fleet: what `link` hears.
        save: keeps the state; called before a pointer is sent and after each change.
        say: gets one line per change.
        now_s: wall clock, seconds since the epoch: it counts while the workstation is off.
    """

    def __init__(
        self,
        state: RolloutState,
        link: FleetMqttClient,
        fleet: Fleet,
        limits: Limits,
        save: Callable[[RolloutState], None],
        say: Callable[[str], None],
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._link = link
        self._fleet = fleet
        self._limits = limits
        self._save = save
        self._say = say
        self._now_s = now_s
        self._told: dict[str, str] = {}

    def run(self) -> Outcome:
        """Go on until it is done or stopped; return which.

        Raises:
            BrokerError: the broker does not take a pointer.
        """
        self._send_again()
        while self._state.outcome == "running":
            self._send_wave()
            self._link.pump(LOOK_S)
            self._look()
        return self._state.outcome

    def abort(self) -> Outcome:
        """Take back the pointers of devices that have not reached the end; what a device has
        begun to install it brings to an end by itself."""
        self._end("aborted", "aborted by hand")
        return self._state.outcome

    def place_all(self) -> None:
        """Send every pointer, and wait for no answer."""
        for name in next_wave(self._state):
            self._send(name)

    # -- sending --------------------------------------------------------------------------------

    def _send_again(self) -> None:
        """Place pointers that were written down before a restart, and perhaps never sent."""
        for name, turn in self._state.turns.items():
            if turn.state == "waiting" and turn.desired is not None:
                self._link.publish(self._topic(name), turn.desired.payload())
        if any(turn.state != "pending" for turn in self._state.turns.values()):
            self._say(f"resumed: {self.summary}")

    def _send_wave(self) -> None:
        names = next_wave(self._state)
        if names:
            self._say(f"sending to {len(names)} of {len(self._state.turns)}: {_some(names)}")
        for name in names:
            self._send(name)

    def _send(self, name: str) -> None:
        desired = make_pointer(self._state.offer)
        turn = Turn(state="waiting", desired=desired, sent_at_s=self._now_s())
        self._state.turns[name] = turn
        self._save(self._state)
        self._link.publish(self._topic(name), desired.payload())

    def _topic(self, name: str) -> str:
        return Topics(DeviceName.parse(name)).desired(self._state.slot)

    # -- looking --------------------------------------------------------------------------------

    def _look(self) -> None:
        has_changed = False
        for name, turn in self._state.turns.items():
            view = self._fleet.device(DeviceName.parse(name)).slot(self._state.slot)
            if judge_turn(turn, view, self._now_s(), self._limits):
                has_changed = True
                self._tell(name, turn)
        if has_changed:
            self._save(self._state)
        why = why_stop(self._state, self._limits)
        if why is not None:
            self._end("stopped", why)
        elif is_over(self._state):
            self._end("done", self.summary)

    def _tell(self, name: str, turn: Turn) -> None:
        """Say a device's state once; percentages stay out."""
        text = turn.reason if turn.state == "failed" else turn.last.state if turn.last else ""
        if self._told.get(name) != text:
            self._told[name] = text
            self._say(f"{name}: {text}")

    def _end(self, outcome: Outcome, why: str) -> None:
        """Write the end down first: after a crash here a restart must not go on sending."""
        self._state.outcome = outcome
        self._save(self._state)
        if outcome != "done":
            for name, turn in self._state.turns.items():
                if turn.state in ("waiting", "failed"):
                    self._take_back(name, turn)
        self._say(f"{outcome}: {why}")

    def _take_back(self, name: str, turn: Turn) -> None:
        """Clear a device's pointer, unless somebody else has placed another one since."""
        desired = self._fleet.device(DeviceName.parse(name)).slot(self._state.slot).desired
        if desired is not None and desired == turn.desired:
            self._link.publish(self._topic(name), b"")

    @property
    def summary(self) -> str:
        """How many devices are where."""
        turns = list(self._state.turns.values())
        counts = {s: sum(t.state == s for t in turns) for s in ("reached", "failed", "waiting")}
        return (
            f"{counts['reached']} of {len(turns)} {self._limits.wait_for}, "
            f"{counts['failed']} failed, {counts['waiting']} under way"
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
