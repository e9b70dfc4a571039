"""Carries what people have changed on the page to inspection, which writes the audit."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from edge_app.accounts.directory import Actor, Directory
from edge_app.accounts.people import Note
from edge_app.errors import AccountError, ConfigError, OrderError
from edge_app.ipc.order_client import OrderClient
from edge_app.ipc.order_schema import Author, Record
from edge_app.page.api.giving import author_of

_log = logging.getLogger(__name__)

EVERY_S = 1.0
AGAIN_S = 15.0
"""After inspection was not there, or refused a record."""

CONSOLE = Author(kind="machine", name="edge-app users")
"""The page cannot prove that root was there, and does not say so: the reason names the console."""


class AuditCourier:
    """Hands over one change after the other, each until it is recorded.

    Args:
        directory: keeps the changes.
        orders: to inspection.
        clock_s: monotonic seconds.
    """

    def __init__(
        self,
        directory: Directory,
        orders: OrderClient,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory, self._orders, self._clock_s = directory, orders, clock_s
        self._stop = threading.Event()
        self._problem = ""
        self._thread = threading.Thread(target=self._run, name="audit-courier", daemon=True)

    def start(self) -> None:
        """Carry until stopped, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Carry no more; what was not handed over is kept."""
        self._stop.set()

    def turn(self) -> bool:
        """Hand over what waits; False if some of it still does."""
        try:
            handed = [self._hand_over(note) for note in self._directory.notes()]
        except (AccountError, ConfigError, OrderError) as error:
            self._say(str(error))
            return False
        return all(handed)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                is_done = self.turn()
            except Exception:  # one change must not hold up the others for good
                _log.exception("the audit is not told of a change; it is tried again")
                is_done = False
            self._stop.wait(EVERY_S if is_done else AGAIN_S)

    def _hand_over(self, note: Note) -> bool:
        if self._stop.is_set():
            return False
        is_root = note.kind == "root"
        record = Record(
            author=CONSOLE if is_root else author_of(Actor(note.kind, note.name, note.role)),
            order_id=note.order_id,
            event=note.event,
            old=note.old,
            new=note.new,
            why=f"root's console, {note.name}" if is_root else note.why,
        )
        answer = self._orders.send(record)
        if answer.is_done:
            self._directory.audited(note.order_id)
            self._problem = ""
            return True
        self._say(answer.text)
        return False

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            _log.warning("the audit has not taken a change by a person yet: %s", problem)
