"""Runs a roll-out: pointers wave by wave, stopped by failures, resumed after a restart."""

from __future__ import annotations

from collections.abc import Callable

from deploy.fleet.format_rules import why_unable
from deploy.fleet.mqtt_client import FleetMqttClient
from deploy.fleet.pointer import make_pointer
from deploy.fleet.rollout_rules import (
    Limits,
    believed_s,
    figures_of,
    is_over,
    is_replaced,
    next_wave,
    replace_turn,
    update_device,
    why_stop,
)
from deploy.fleet.rollout_state import DeviceRollout, Outcome, RolloutState
from deploy.fleet.state import Fleet, SlotView
from edge_app.host.clock import SteadyWall
from edge_app.mqtt.topics import DeviceName, Topics

CHECK_S = 0.2
"""How often the devices' reports are checked."""


class Rollout:
    """One roll-out of one bundle.

    Args:
        state: its progress; changed in place.
        fleet: the devices' states, kept up to date by `client`.
        save: stores the state; called before a pointer is sent and after each change.
        report: gets one line per change.
        now_s: seconds since the epoch: they go on while the workstation is off. None: the wall
            clock, which a correction while this process runs does not move.
    """

    def __init__(
        self,
        state: RolloutState,
        client: FleetMqttClient,
        fleet: Fleet,
        limits: Limits,
        save: Callable[[RolloutState], None],
        report: Callable[[str], None],
        now_s: Callable[[], float] | None = None,
    ) -> None:
        self._state = state
        self._client = client
        self._fleet = fleet
        self._limits = limits
        self._save = save
        self._report = report
        self._now_s = now_s or SteadyWall()
        self._last_reported: dict[str, str] = {}
        self._last_figures: dict[str, str] = {}

    def run(self) -> Outcome:
        """Run until it is done or stopped; return which.

        Raises:
            BrokerError: the broker refuses a pointer.
        """
        self._send_again()
        self._note_standing()
        self._refuse_unable()
        while self._state.outcome == "running":
            self._send_wave()
            self._client.pump(CHECK_S)
            self._check_devices()
        return self._state.outcome

    def abort(self) -> Outcome:
        """Withdraw the pointers of devices that are not done; a device completes an installation
        that it has started."""
        self._end("aborted", "aborted by hand")
        return self._state.outcome

    def clear_up(self) -> int:
        """Withdraw what a roll-out that has ended left standing: it was cut off while it did so.

        Returns:
            How many pointers stood.
        """
        return self._withdraw_all()

    def send_all(self) -> None:
        """Send every pointer without waiting for answers; not to devices that cannot judge with the
        bundle: they have failed."""
        self._refuse_unable()
        for name in next_wave(self._state):
            self._send(name)

    def _refuse_unable(self) -> None:
        """Count devices as failed that cannot judge with the bundle, before anything is sent."""
        for name, turn in self._state.turns.items():
            info = self._fleet.device(DeviceName.parse(name)).info
            why = why_unable(self._state.offer, info) if turn.state == "pending" else None
            if why is not None:
                turn.state, turn.reason = "failed", why
                self._report_device(name, turn)
        self._conclude()

    # -- sending --------------------------------------------------------------------------------

    def _send_again(self) -> None:
        """Send the pointers that were stored before a restart, and perhaps never sent; one that
        somebody else has replaced since is not put back."""
        if any(turn.state != "pending" for turn in self._state.turns.values()):
            self._report(f"resumed: {self.summary}")
        for name, turn in self._state.turns.items():
            if turn.state != "waiting" or turn.desired is None:
                continue
            turn.sent_at_s = believed_s(turn.sent_at_s, self._now_s())
            standing = self._slot(name).desired
            if is_replaced(turn, standing):
                if self._slot(name).reported_id != turn.desired.message_id:
                    replace_turn(turn)
                    self._report_device(name, turn)
            elif standing != turn.desired:
                self._client.publish(self._topic(name), turn.desired.payload())

    def _send_wave(self) -> None:
        names = next_wave(self._state)
        if names:
            self._report(f"sending to {len(names)} of {len(self._state.turns)}: {_some(names)}")
        for name in names:
            turn = self._state.turns[name]
            if is_replaced(turn, self._slot(name).desired):
                replace_turn(turn)
                self._report_device(name, turn)
            else:
                self._send(name)

    def _note_standing(self) -> None:
        """Remember what stands in each slot now: what comes later is somebody else's order, and is
        not overwritten when the slot's turn comes."""
        turns = [(n, t) for n, t in self._state.turns.items() if t.before is None]
        for name, turn in turns:
            standing = self._slot(name).desired
            turn.before = standing.message_id if standing else ""
        if turns:
            self._save(self._state)

    def _send(self, name: str) -> None:
        now_s, before = self._now_s(), self._state.turns[name].before
        desired = make_pointer(self._state.offer, int(now_s * 1e9))
        turn = DeviceRollout(state="waiting", desired=desired, sent_at_s=now_s, before=before)
        self._state.turns[name] = turn
        self._save(self._state)
        self._client.publish(self._topic(name), desired.payload())

    def _slot(self, name: str) -> SlotView:
        return self._fleet.device(DeviceName.parse(name)).slot(self._state.slot)

    def _topic(self, name: str) -> str:
        return Topics(DeviceName.parse(name)).desired(self._state.slot)

    # -- watching -------------------------------------------------------------------------------

    def _check_devices(self) -> None:
        has_changed = False
        for name, turn in self._state.turns.items():
            if update_device(turn, self._slot(name), self._now_s(), self._limits):
                has_changed = True
                self._report_device(name, turn)
        if has_changed:
            self._save(self._state)
        self._conclude()

    def _conclude(self) -> None:
        """End the roll-out if it must stop or is done."""
        why = why_stop(self._state, self._limits)
        if why is not None:
            self._end("stopped", why)
        elif is_over(self._state):
            self._end("done", self.summary)

    def _report_device(self, name: str, turn: DeviceRollout) -> None:
        """Report a device's state once, without percentages; then its figures, once they are
        whole: what a person decides on."""
        text = turn.reason if turn.state == "failed" else turn.last.state if turn.last else ""
        if self._last_reported.get(name) != text:
            self._last_reported[name] = text
            self._report(f"{name}: {text}")
        figures = figures_of(turn)
        if figures and self._last_figures.get(name) != figures:
            self._last_figures[name] = figures
            self._report(f"{name}: {text}: {figures}")

    def _end(self, outcome: Outcome, why: str) -> None:
        """Store the outcome first: after a crash here a restart must not go on sending."""
        self._state.outcome = outcome
        self._save(self._state)
        if outcome != "done":
            self._withdraw_all()
        self._report(f"{outcome}: {why}")

    def _withdraw_all(self) -> int:
        turns = self._state.turns.items()
        return sum(self._withdraw(n, t) for n, t in turns if t.state in ("waiting", "failed"))

    def _withdraw(self, name: str, turn: DeviceRollout) -> bool:
        """Clear a device's pointer, unless somebody else has sent another one since."""
        desired = self._slot(name).desired
        if desired is None or desired != turn.desired:
            return False
        self._client.publish(self._topic(name), b"")
        return True

    @property
    def summary(self) -> str:
        """How many devices are done, failed and under way."""
        turns = list(self._state.turns.values())
        counts = {s: sum(t.state == s for t in turns) for s in ("reached", "failed", "waiting")}
        return (
            f"{counts['reached']} of {len(turns)} {self._limits.wait_for}, "
            f"{counts['failed']} failed, {counts['waiting']} under way"
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
