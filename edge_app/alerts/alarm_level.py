"""One camera's alarm level, for lamps and PLCs: debounced, which events never are."""

from __future__ import annotations

from collections.abc import Callable

from edge_app.records import AlarmEvent, EventKind, VerdictState


class AlarmLevel:
    """One camera's level: on from a bad part's alarm until `debounce_s` after its end."""

    def __init__(self, debounce_s: float, monotonic_s: Callable[[], float]) -> None:
        self._debounce_s = debounce_s
        self._now_s = monotonic_s
        self._open: set[str] = set()
        self._off_at_s: float | None = None
        self._part_id: str | None = None
        self._is_on = False
        self._returned: tuple[bool, str | None] = (False, None)

    def take(self, event: AlarmEvent) -> None:
        """Follow one event. Gaps and parts that were not inspected do not raise the level."""
        if event.verdict is None or event.verdict.state is not VerdictState.NG:
            return
        if event.kind is EventKind.END:
            self._open.discard(event.alarm_id)
            if not self._open:
                self._off_at_s = self._now_s() + self._debounce_s
            return
        self._open.add(event.alarm_id)
        self._is_on, self._off_at_s = True, None
        self._part_id = event.verdict.part_id

    def change(self) -> tuple[bool, str | None] | None:
        """Return (is_on, part) when it differs from what was returned last, else None."""
        was_on = self._returned[0] or not self._is_on  # a lamp that was to be on is on first
        if was_on and self._off_at_s is not None and self._now_s() >= self._off_at_s:
            self._is_on, self._off_at_s, self._part_id = False, None, None
        now = (self._is_on, self._part_id)
        if now == self._returned:
            return None
        self._returned = now
        return now
