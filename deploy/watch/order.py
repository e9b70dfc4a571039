"""Each alert once and in order, as every consumer of these messages has to do. No IO."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, TypeVar

MAX_SEEN = 100_000
"""Ids remembered: a day of one alert a second in about 10 MB. Older ones are forgotten first."""
HOLD_S = 2.0
"""How long a later alert waits for an earlier one that is missing."""

T = TypeVar("T")


class SeenIds:
    """Remembers the newest ids."""

    def __init__(self, max_ids: int = MAX_SEEN) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._max = max_ids

    def is_new(self, message_id: str) -> bool:
        """Return whether this id was not seen before, and remember it as the newest."""
        was_seen = message_id in self._ids
        self._ids[message_id] = None
        self._ids.move_to_end(message_id)
        if len(self._ids) > self._max:
            self._ids.popitem(last=False)
        return not was_seen


@dataclass(frozen=True, slots=True)
class Ordered(Generic[T]):
    """One item in the order of `seq`.

    Attributes:
        missing: first and last number that did not arrive before it, None if none is missing.
        is_late: its number was already passed.
    """

    item: T
    missing: tuple[int, int] | None = None
    is_late: bool = False


@dataclass(slots=True)
class _Device(Generic[T]):
    expected: int
    held: dict[int, tuple[T, float]] = field(default_factory=dict)
    passed: set[int] = field(default_factory=set)  # came, with an item that is not shown again


class SeqOrder(Generic[T]):
    """Puts each device's items in the order of their `seq`, waiting a little for missing ones."""

    def __init__(self, hold_s: float = HOLD_S) -> None:
        self._hold_s = hold_s
        self._devices: dict[str, _Device[T]] = {}

    def offer(self, device: str, seq: int, item: T, now_s: float) -> list[Ordered[T]]:
        """Take one item; return what can be shown now. A device's first item is shown at once."""
        state = self._devices.setdefault(device, _Device(expected=seq))
        if seq < state.expected:
            return [Ordered(item, is_late=True)]
        state.held[seq] = (item, now_s)
        return self._in_order(state)

    def pass_over(self, device: str, seq: int) -> list[Ordered[T]]:
        """Note a number whose item was shown before; return what can be shown now.

        An alert that was told from memory comes again under the disk's number once it is stored.
        """
        state = self._devices.setdefault(device, _Device(expected=seq))
        if seq >= state.expected and seq not in state.held and len(state.passed) < MAX_SEEN:
            state.passed.add(seq)
        return self._in_order(state)

    def overdue(self, now_s: float) -> list[Ordered[T]]:
        """Return what has waited too long for missing numbers; the first after a gap names it."""
        ready: list[Ordered[T]] = []
        for state in self._devices.values():
            late = [seq for seq, (_, at_s) in state.held.items() if at_s + self._hold_s <= now_s]
            if late:
                ready += self._up_to(state, max(late))
        return ready

    def _up_to(self, state: _Device[T], last: int) -> list[Ordered[T]]:
        """Release everything up to a number, past all gaps, and what follows it without one."""
        ready: list[Ordered[T]] = []
        for seq in sorted(seq for seq in state.held if seq <= last):
            item, _ = state.held.pop(seq)
            first, final = state.expected, seq - 1
            while first in state.passed:
                first += 1
            while final in state.passed:
                final -= 1
            ready.append(Ordered(item, missing=(first, final) if first <= final else None))
            state.expected = seq + 1
        return ready + self._in_order(state)

    @staticmethod
    def _in_order(state: _Device[T]) -> list[Ordered[T]]:
        ready: list[Ordered[T]] = []
        while state.expected in state.held or state.expected in state.passed:
            if state.expected in state.held:
                item, _ = state.held.pop(state.expected)
                ready.append(Ordered(item))
            state.expected += 1
        state.passed = {seq for seq in state.passed if seq >= state.expected}
        return ready
