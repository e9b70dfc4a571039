"""How long to wait before trying again."""

from __future__ import annotations

from collections.abc import Callable

GROWTH = 2.0
"""Doubling reaches the longest wait after a handful of failures."""
JITTER = 0.5
"""Up to this fraction less: devices that lost the same broker must not come back in one instant."""


class Backoff:
    """Waits that double from `min_s` to `max_s`, each shortened by chance.

    Args:
        random: gives a number in [0, 1).
    """

    def __init__(self, min_s: float, max_s: float, random: Callable[[], float]) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self._random = random
        self._next_s = min_s

    def next_s(self, needs_person: bool = False) -> float:
        """Return the next wait in seconds: the longest one after what only a person can repair."""
        wait_s = self._max_s if needs_person else self._next_s
        self._next_s = min(self._max_s, wait_s * GROWTH)
        return wait_s * (1 - JITTER * self._random())

    def reset(self) -> None:
        """Begin with the shortest wait again: it worked."""
        self._next_s = self._min_s
