"""What reaches a slot's thread: jobs, what inspection says, its coming and going, the end."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_app.errors import EdgeError
from edge_app.ipc.protocol import (
    Building,
    Failed,
    Golden,
    Loaded,
    Probation,
    RolledBack,
    Shadow,
    Switched,
)

Answered = Callable[[bool, str], None]
"""Tells who asked whether it was done, and in words what was."""

News = Building | Loaded | Golden | Shadow | Switched | Probation | RolledBack | Failed


@dataclass(frozen=True, slots=True)
class Install:
    """A file to install; `origin` says who brought it, `begun` hears when its turn comes."""

    file: Path
    origin: str
    begun: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Select:
    """A changeover to an installed product; one that is late when its turn comes is refused."""

    product: str
    answer: Answered
    is_late: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Decide:
    """A person's word on a compared candidate."""

    promote: bool
    answer: Answered


@dataclass(frozen=True, slots=True)
class Came:
    """The inspection process is there; `active` judges in this slot, or nothing does."""

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
    """The agent ends; what is unfinished is taken up at the next start."""


class Interrupted(EdgeError):
    """Another order came first; it is carried out once this one is given up."""

    def __init__(self, by: Select | Install, words: str) -> None:
        super().__init__(words)
        self.by = by


class InspectionGone(EdgeError):
    """The inspection process ended in the middle."""

    def __init__(self, is_planned: bool) -> None:
        how = "was stopped" if is_planned else "ended without a goodbye (crash, kill or watchdog)"
        super().__init__(f"edge-app run {how}")
        self.is_planned = is_planned


class Inbox:
    """One slot's items, in order. Any thread puts, the slot's thread takes.

    Installations that come in the middle of another order wait until it is over.
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

    def postpone(self, item: Install | Select) -> None:
        """Have it done after the order in hand."""
        self._later.append(item)

    def postpone_first(self, item: Install | Select) -> None:
        """Have it done next."""
        self._later.appendleft(item)

    def waiting(self, *kinds: type[Install] | type[Select]) -> Install | Select | None:
        """Return the first postponed job of these kinds, which waits no longer; None: none."""
        for item in self._later:
            if isinstance(item, Install | Select) and isinstance(item, kinds):
                self._later.remove(item)
                return item
        return None

    def until_inspection(self, timeout_s: float) -> bool:
        """Wait for the inspection process; False when it does not come in time.

        Raises:
            Stopping: the agent ends.
        """
        while (item := self._take(0.0)) is not None:  # what came while nobody looked
            self._put_off(item)
        end_s = self._now_s() + timeout_s
        while not self.is_inspection_there:
            left_s = end_s - self._now_s()
            if left_s <= 0:
                return False
            self._put_off(self.next_busy(left_s))
        return True

    def answer(self, sha256: str, *kinds: type[News], timeout_s: float) -> News:
        """Wait for inspection's word on one bundle.

        Raises:
            EdgeError: it failed there, or no answer came in time.
            InspectionGone: the process ended.
            Stopping: the agent ends.
        """
        end_s = self._now_s() + timeout_s
        while True:
            item = self.next_busy(max(0.0, end_s - self._now_s()))
            if item is None:
                names = " or ".join(kind.__name__.lower() for kind in kinds)
                raise EdgeError(f"edge-app run did not answer ({names}) within {timeout_s:g} s")
            if isinstance(item, Gone):
                raise InspectionGone(item.is_planned)
            if isinstance(item, Failed) and item.sha256 == sha256:
                raise EdgeError(item.reason)
            if isinstance(item, kinds) and item.sha256 == sha256:
                return item
            self._put_off(item)

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

    def _put_off(self, item: Item | None) -> None:
        """Keep a job for later, and that inspection is to be greeted; what it says of something
        else is of yesterday."""
        if isinstance(item, Install | Select):
            self.postpone(item)
        elif isinstance(item, Came):
            self._later.append(item)
        elif isinstance(item, Decide):
            item.answer(False, "nothing waits for a decision in this slot")
