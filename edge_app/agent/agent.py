"""The agent: one thread per slot installs bundles, one socket serves inspection and commands.

`install`, `select` and `decide` may be called from any thread and return at once; `report`
is called with every state that an order reaches.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import IO

from edge_app.agent.install.candidate import Checks, candidate_of
from edge_app.agent.install.inbox import Answered, Came, Decide, Gone, Install, News, Select
from edge_app.agent.install.slot_worker import FlowTimes, SlotFlow
from edge_app.agent.install.socket_server import PeerServer, Respond
from edge_app.agent.install.state_reports import AskedBy, StateReporter
from edge_app.config.model import SlotConfig
from edge_app.ipc.protocol import (
    THE_AGENT,
    Answer,
    DecideCommand,
    Hello,
    InstallCommand,
    PeerMessage,
    Progress,
    Release,
    Requester,
    SelectCommand,
    SlotEntry,
)
from edge_app.mqtt.deploy_messages import FINAL_STATES, Reported
from edge_app.store.bundle_store import Store

_log = logging.getLogger(__name__)

JOIN_S = 3.0
"""A slot's thread ends within its poll; one in a disk operation may take longer, and is left."""


class Agent:
    """Installs bundles and changes slots over.

    Args:
        store: the bundles; its folders are made.
        checks: what a bundle has to pass.
        slots: slot → how a bundle is accepted there.
        times: how long inspection is waited for.
        keep_releases: kept beside the needed ones.
        socket_path: where inspection and commands come in.
        report: called with every state of every order; must return at once.
        order_of: slot, digest → id of the pointer by which that bundle is being installed.
    """

    def __init__(
        self,
        store: Store,
        checks: Checks,
        slots: dict[str, SlotConfig],
        times: FlowTimes,
        keep_releases: int,
        socket_path: Path,
        report: Callable[[Reported], None],
        order_of: Callable[[str, str], str | None] = lambda _slot, _sha256: None,
    ) -> None:
        self._store = store
        self._report = report
        self._listeners: list[Callable[[Reported], None]] = []
        self._keep = keep_releases
        self._lock: IO[bytes] | None = None
        self._server = PeerServer(socket_path, self)
        self._reporters = {
            slot: StateReporter(slot, self._tell, order_of=functools.partial(order_of, slot))
            for slot in slots
        }
        self._flows = {
            slot: SlotFlow(
                slot,
                rules,
                store,
                checks,
                self._server.order,
                self._reporters[slot],
                times,
                keep_releases,
            )
            for slot, rules in slots.items()
        }

    @property
    def incoming(self) -> Path:
        """Where files to install are put: the store's folder for them."""
        return self._store.incoming

    def start(self) -> None:
        """Resume what was unfinished at the last stop, then take orders.

        Raises:
            OSError: the store's folders cannot be made.
            ConfigError: another agent has the store, or the socket cannot be made.
        """
        self._store.prepare(self._flows)
        self._lock = self._store.lock()
        self._store.sweep()
        self._store.prune(self._keep)
        for flow in self._flows.values():
            flow.start()
        self._server.start()

    def stop(self, timeout_s: float = JOIN_S) -> None:
        """End after the current step; what is unfinished is resumed at the next start."""
        for flow in self._flows.values():
            flow.stop()
        self._server.stop()
        for flow in self._flows.values():
            flow.join(timeout_s / len(self._flows))
        if self._lock is not None:
            self._lock.close()

    def is_alive(self) -> bool:
        """Tell whether every slot still has its thread, for systemd's watchdog."""
        return all(flow.is_alive() for flow in self._flows.values())

    def listen(self, report: Callable[[Reported], None]) -> None:
        """Call `report` with every further report too."""
        self._listeners.append(report)

    def install(
        self,
        file: Path,
        slot: str,
        origin: str,
        desired_id: str | None = None,
        tell: Callable[[Reported], None] | None = None,
        by: Requester = THE_AGENT,
    ) -> None:
        """Have a file verified, tried and switched to; returns at once, see `report`.

        Args:
            file: below `incoming` it is moved into the store, from elsewhere it is copied.
            slot: the cameras it is for.
            origin: where it came from, for the log: "push", "file".
            desired_id: of the pointer that asks for it; its reports carry it.
            tell: called with every report about this very order, up to the final one.
            by: who asked; the agent stands for whoever signed the file.

        Raises:
            KeyError: there is no such slot.
        """
        _log.info("slot %s: %s: install %s", slot, origin, file.name)
        self._flows[slot].inbox.put(Install(file, origin, AskedBy(desired_id, tell), by=by))

    def select(
        self,
        slot: str,
        product: str,
        answer: Answered,
        is_late: Callable[[], bool] = lambda: False,
        by: Requester = THE_AGENT,
    ) -> None:
        """Have a slot changed over to an installed product.

        Args:
            is_late: asked when its turn comes; True refuses it.
            by: who asked.

        Raises:
            KeyError: there is no such slot.
        """
        self._flows[slot].inbox.put(Select(product, answer, is_late, by))

    def decide(self, slot: str, promote: bool, answer: Answered, by: Requester = THE_AGENT) -> None:
        """Pass on a person's decision on a compared candidate.

        Raises:
            KeyError: there is no such slot.
        """
        self._flows[slot].inbox.put(Decide(promote, answer, by))

    def slots(self) -> tuple[SlotEntry, ...]:
        """Return what each slot has."""
        return tuple(self._entry(slot) for slot in self._flows)

    # -- ConnectionHandler: called in the connections' threads ---------------------------------

    def inspection_came(self, hello: Hello) -> None:
        """Tell every slot which bundle is active there."""
        for slot, flow in self._flows.items():
            flow.inbox.put(Came(hello.slots.get(slot)))

    def inspection_said(self, news: PeerMessage) -> None:
        """Give a slot its news."""
        if isinstance(news, News) and news.slot in self._flows:
            self._flows[news.slot].inbox.put(news)

    def inspection_gone(self, is_planned: bool) -> None:
        """Tell every slot."""
        for flow in self._flows.values():
            flow.inbox.put(Gone(is_planned))

    def commanded(self, command: PeerMessage, respond: Respond) -> None:
        """Execute a person's command, or answer why not."""
        slot = getattr(command, "slot", None)
        if slot is not None and slot not in self._flows:
            known = ", ".join(self._flows)
            respond(Answer(is_ok=False, text=f"there is no slot {slot!r}; there are: {known}"))
        elif isinstance(command, InstallCommand):
            self._follow(command, respond)
        elif isinstance(command, SelectCommand):
            by = command.by or THE_AGENT
            self.select(command.slot, command.product, _answering(respond), by=by)
        elif isinstance(command, DecideCommand):
            by = command.by or THE_AGENT
            self.decide(command.slot, command.promote, _answering(respond), by)
        else:
            respond(Answer(is_ok=True, text="", slots=self.slots()))

    def _follow(self, command: InstallCommand, respond: Respond) -> None:
        """Install a file and send every state of it up to the final one, and of no other order."""
        has_ended = False

        def tell(report: Reported) -> None:
            nonlocal has_ended
            if has_ended:
                return
            try:
                respond(Progress(reported=report))
                if report.state in FINAL_STATES:
                    has_ended = True
                    is_ok = report.state == "committed"
                    respond(Answer(is_ok=is_ok, text=report.reason or report.state))
            except OSError:  # the caller has disconnected; the installation continues
                has_ended = True

        by = command.by or THE_AGENT
        self.install(Path(command.path), command.slot, "file", tell=tell, by=by)

    def _tell(self, report: Reported) -> None:
        self._report(report)
        for listener in list(self._listeners):
            listener(report)

    def _entry(self, slot: str) -> SlotEntry:
        latest = self._reporters[slot].latest
        installed = self._store.installed(slot)
        return SlotEntry(
            slot=slot,
            active=self._release(self._store.active(slot)),
            previous=self._release(self._store.previous(slot)),
            installed=tuple(r for s in installed.values() if (r := self._release(s)) is not None),
            state=latest.state if latest else "",
            reason=latest.reason if latest else "",
        )

    def _release(self, sha256: str | None) -> Release | None:
        if sha256 is None:
            return None
        found = candidate_of(self._store, sha256)
        return Release(sha256=sha256, product=found.product, serial=found.serial)


def _answering(respond: Respond) -> Answered:
    def answer(is_ok: bool, text: str) -> None:
        try:
            respond(Answer(is_ok=is_ok, text=text))
        except OSError:
            _log.info("the caller disconnected before the answer: %s", text)

    return answer
