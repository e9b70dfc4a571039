"""Changing products from the page: asks the agent over its socket; never touches a line."""

from __future__ import annotations

import threading
from pathlib import Path

from edge_app.errors import EdgeError
from edge_app.ipc.client import ask, features_of
from edge_app.ipc.peers import Role, role_socket
from edge_app.ipc.protocol import (
    Answer,
    Release,
    Requester,
    SelectCommand,
    SlotEntry,
    SlotsCommand,
    known_to,
)
from edge_app.records import JsonObject

LIST_S = 5.0
"""The list is read from the store's links; if it takes longer, the agent hangs."""

SELECT_S = 60.0
"""A product in warm standby takes well under a second, one that has to be loaded a minute."""


class Changeover:
    """Asks the agent. Its calls block, so call them in a thread of the page.

    Args:
        agent_socket: the agent's socket; the page's own lies beside it.
    """

    def __init__(self, agent_socket: Path) -> None:
        self._socket = role_socket(agent_socket, Role.PAGE)
        self._one_at_a_time = threading.Lock()

    def slots_json(self) -> JsonObject:
        """Return every slot with the products it can be changed over to, for the page.

        Raises:
            EdgeError: the agent does not answer; the message says why.
        """
        answer = self._ask(SlotsCommand(), LIST_S)
        return {"slots": [_slot_json(entry) for entry in answer.slots]}

    def select(self, slot: str, product: str, by: Requester) -> tuple[bool, str]:
        """Change a slot over; return whether that product is active now, and the agent's answer.

        Args:
            by: who asks; an earlier agent is not told.

        Raises:
            EdgeError: the agent cannot be asked, or another changeover is running.
        """
        if not self._one_at_a_time.acquire(blocking=False):
            raise EdgeError("Another changeover is running. Wait for it, then try again.")
        try:
            command = SelectCommand(slot=slot, product=product, by=by)
            answer = self._ask(known_to(command, features_of(self._socket)), SELECT_S)
        finally:
            self._one_at_a_time.release()
        return answer.is_ok, answer.text

    def _ask(self, command: SlotsCommand | SelectCommand, timeout_s: float) -> Answer:
        try:
            return ask(self._socket, command, timeout_s)
        except TimeoutError as error:
            raise EdgeError(
                f"The agent has not answered within {timeout_s:g} s; it may still do what was "
                "asked. The top of the page shows the active product."
            ) from error
        except OSError as error:
            raise EdgeError(f"The agent cannot be asked: {error}. See its journal.") from error


def _slot_json(entry: SlotEntry) -> JsonObject:
    active = entry.active.product if entry.active is not None else None
    installed = sorted(entry.installed, key=lambda release: release.product)
    return {
        "slot": entry.slot,
        "active": active,
        "products": [_product_json(release) for release in installed],
    }


def _product_json(release: Release) -> JsonObject:
    return {"product": release.product, "serial": release.serial}
