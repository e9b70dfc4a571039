"""The inbox of a slot's thread: orders, inspection's messages, its connections, the end.

`event_of` and `event_of_error` say which event of the table an item or an error is.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_app.agent.install.state_reports import NOBODY, AskedBy
from edge_app.agent.install.transitions import Event, Move, Queue, Refusal, State, outcome
from edge_app.errors import EdgeError
from edge_app.ipc.protocol import (
    THE_AGENT,
    Building,
    Failed,
    Golden,
    Loaded,
    Probation,
    Requester,
    RolledBack,
    Shadow,
    Switched,
)

Answered = Callable[[bool, str], None]
"""Answers an order: whether it was done, and a sentence for people."""

News = Building | Loaded | Golden | Shadow | Switched | Probation | RolledBack | Failed


@dataclass(frozen=True, slots=True)
class Install:
    """A file to install.

    Attributes:
        origin: where it came from.
        asked_by: whose its reports are.
        sha256: its digest, where it was verified before its turn.
        by: who asked; the agent stands for whoever signed what was pushed.
    """

    file: Path
    origin: str
    asked_by: AskedBy = NOBODY
    sha256: str | None = None
    by: Requester = THE_AGENT


@dataclass(frozen=True, slots=True)
class Select:
    """A changeover to an installed product; one that is late when its turn comes is refused."""

    product: str
    answer: Answered
    is_late: Callable[[], bool] = lambda: False
    by: Requester = THE_AGENT


@dataclass(frozen=True, slots=True)
class Decide:
    """A person's decision on a compared candidate."""

    promote: bool
    answer: Answered
    by: Requester = THE_AGENT


@dataclass(frozen=True, slots=True)
class Came:
    """The inspection process is connected; `active` is this slot's bundle, None: it has none."""

    active: str | None


@dataclass(frozen=True, slots=True)
class Gone:
    """It has ended; unplanned: it crashed, was killed, or hung until the watchdog killed it."""

    is_planned: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """The agent is to end."""


Item = Install | Select | Decide | Came | Gone | Stop | News


class Stopping(EdgeError):
    """The agent ends; what is unfinished is resumed at the next start."""


class OrderFailed(EdgeError):
    """An order does not go on; `event` says by which event of the table, the message why, `author`
    who did not want it to."""

    def __init__(self, event: Event, reason: str, author: Requester = THE_AGENT) -> None:
        super().__init__(reason)
        self.event, self.author = event, author


class Interrupted(OrderFailed):
    """Another order takes precedence; it is executed once this one is cancelled."""

    def __init__(self, by: Select | Install, reason: str) -> None:
        event = Event.SELECT if isinstance(by, Select) else Event.INSTALL
        super().__init__(event, reason, by.by)
        self.by = by


class InspectionGone(OrderFailed):
    """The inspection process ended in the middle."""

    def __init__(self, is_planned: bool) -> None:
        how = "was stopped" if is_planned else "ended unexpectedly (crash, kill or watchdog)"
        super().__init__(Event.GONE if is_planned else Event.CRASHED, f"edge-app run {how}")
        self.is_planned = is_planned


def event_of_error(error: Exception) -> Event:
    """Return the event that an error in the middle of an order is."""
    if isinstance(error, OrderFailed):
        return error.event
    return Event.DISK_FULL if isinstance(error, OSError) else Event.ERROR


def event_of(item: Item | None, sha256: str) -> Event | None:
    """Return the event that an item is for the order of a bundle; None: nothing to this order."""
    if isinstance(item, Install | Select):
        return Event.SELECT if isinstance(item, Select) else Event.INSTALL
    if isinstance(item, Decide):
        return Event.PROMOTE if item.promote else Event.REJECT
    if isinstance(item, Came):
        return Event.CAME_WITH_NEW if item.active == sha256 else Event.CAME_WITH_OTHER
    if isinstance(item, Gone):
        return Event.GONE if item.is_planned else Event.CRASHED
    if item is None or isinstance(item, Stop) or item.sha256 != sha256:
        return None
    if isinstance(item, Probation):
        outcomes = {"watching": Event.WATCHING, "passed": Event.PASSED, "failed": Event.WORSE}
        return outcomes[item.state]
    return _NEWS[type(item)]


_NEWS: dict[type[News], Event] = {
    Building: Event.BUILDING,
    Loaded: Event.LOADED,
    Golden: Event.GOLDEN,
    Shadow: Event.COUNTED,
    Switched: Event.SWITCHED,
    RolledBack: Event.ROLLED_BACK,
    Failed: Event.FAILED,
}


class Inbox:
    """One slot's items, in order. Any thread puts, the slot's thread takes.

    Installations that arrive during another order wait until it has ended.
    """

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._items: queue.Queue[Item] = queue.Queue()
        self._later: deque[Install | Select | Came] = deque()
        self._now_s = monotonic_s
        self.active: str | None = None
        self.is_inspection_there = False

    def put(self, item: Item) -> None:
        self._items.put(item)

    def next_idle(self, timeout_s: float) -> Item | None:
        """Return what is to be done next, None when nothing came in time.

        Raises:
            Stopping: the agent ends.
        """
        return self._later.popleft() if self._later else self._take(timeout_s)

    def next_busy(self, timeout_s: float) -> Item | None:
        """Return what came in the middle of an order, None when nothing did in time.

        Raises:
            Stopping: the agent ends.
        """
        return self._take(timeout_s)

    def put_off(self, item: Item | None, state: State, sha256: str = "") -> None:
        """Keep an order, or a hello, that the table has wait; a decision that it refuses is
        answered. What inspection says of something else is out of date."""
        event = event_of(item, sha256)
        found = None if event is None else outcome(state, event)
        if isinstance(item, Decide) and isinstance(found, Refusal):
            item.answer(False, found.reason)
        elif isinstance(item, Install | Select | Came) and isinstance(found, Move) and found.queue:
            self._later.append(item)

    def enqueue(self, item: Install | Select, queue: Queue | None) -> None:
        """Queue an order behind the others, or in front of them."""
        if queue is Queue.NEXT:
            self._later.appendleft(item)
        elif queue is Queue.LATER:
            self._later.append(item)

    def waiting(self, *kinds: type[Install] | type[Select]) -> Install | Select | None:
        """Remove and return the first postponed order of these kinds; None when there is none."""
        for item in self._later:
            if isinstance(item, Install | Select) and isinstance(item, kinds):
                self._later.remove(item)
                return item
        return None

    def until_inspection(self, timeout_s: float, state: State) -> bool:
        """Wait for the inspection process; False when it does not come in time.

        Args:
            state: the order's, which says what waits.

        Raises:
            Stopping: the agent ends.
        """
        while (item := self._take(0.0)) is not None:  # what came during the order's own steps
            self.put_off(item, state)
        end_s = self._now_s() + timeout_s
        while not self.is_inspection_there:
            left_s = end_s - self._now_s()
            if left_s <= 0:
                return False
            self.put_off(self.next_busy(left_s), state)
        return True

    def answer(self, sha256: str, *kinds: type[News], timeout_s: float, state: State) -> News:
        """Wait for inspection's message about one bundle.

        Args:
            state: the order's, which says what waits.

        Raises:
            OrderFailed: it failed there, or no answer came in time.
            InspectionGone: the process ended.
            Stopping: the agent ends.
        """
        end_s = self._now_s() + timeout_s
        while True:
            item = self.next_busy(max(0.0, end_s - self._now_s()))
            if item is None:
                names = " or ".join(kind.__name__.lower() for kind in kinds)
                why = f"edge-app run did not answer ({names}) within {timeout_s:g} s"
                raise OrderFailed(Event.NO_ANSWER, why)
            if isinstance(item, Gone):
                raise InspectionGone(item.is_planned)
            if isinstance(item, Failed) and item.sha256 == sha256:
                raise OrderFailed(Event.FAILED, item.reason)
            if isinstance(item, kinds) and item.sha256 == sha256:
                return item
            self.put_off(item, state, sha256)

    def _take(self, timeout_s: float) -> Item | None:
        try:
            item = self._items.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(item, Stop):
            raise Stopping("the agent ends")
        if isinstance(item, Came):
            self.is_inspection_there, self.active = True, item.active
        elif isinstance(item, Gone):
            self.is_inspection_there = False
        return item
