"""How often a password or a code may be tried, decided before anything is computed for it."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from edge_app.errors import AccountError

MAX_KEYS = 2048
"""Names and addresses that are remembered; the longest unused is forgotten first."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many attempts in so many seconds."""

    count: int
    window_s: float


OF_NAME = Limit(8, 300.0)
OF_ADDRESS = Limit(20, 60.0)
OF_ALL = Limit(60, 60.0)


class TooManyAttempts(AccountError):
    """Refused before the password was looked at.

    Attributes:
        wait_s: when it may be tried again.
    """

    def __init__(self, whose: str, wait_s: int) -> None:
        super().__init__(f"Too many attempts {whose}: nothing was checked. Wait {wait_s} s.")
        self.wait_s = wait_s


class Attempts:
    """Counts attempts. Thread-safe.

    Args:
        clock_s: monotonic seconds.
    """

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._made: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def spend(self, name: str, address: str) -> None:
        """Count one attempt.

        Raises:
            TooManyAttempts: of this name, from this address, or in all; it is not counted.
        """
        with self._lock:
            now_s = self._clock_s()
            asked = (
                (("all", ""), OF_ALL, "in all"),
                (("address", address), OF_ADDRESS, "from this address"),
                (("name", name.casefold()), OF_NAME, "for this name"),
            )
            for key, limit, whose in asked:
                wait_s = self._wait_s(key, limit, now_s)
                if wait_s > 0:
                    raise TooManyAttempts(whose, int(wait_s) + 1)
            for key, _, _ in asked:
                self._note(key, now_s)

    def forgive(self, name: str) -> None:
        """Forget a name's attempts: the right password came."""
        with self._lock:
            self._made.pop(("name", name.casefold()), None)

    def _wait_s(self, key: tuple[str, str], limit: Limit, now_s: float) -> float:
        made = self._made.get(key)
        if made is None:
            return 0.0
        while made and made[0] <= now_s - limit.window_s:
            made.popleft()
        return made[0] + limit.window_s - now_s if len(made) >= limit.count else 0.0

    def _note(self, key: tuple[str, str], now_s: float) -> None:
        self._made.setdefault(key, deque(maxlen=OF_ALL.count)).append(now_s)
        self._made.move_to_end(key)
        while len(self._made) > MAX_KEYS:
            self._made.popitem(last=False)
