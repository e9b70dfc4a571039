"""One camera's figures for the page: parts by verdict, pictures per second, time to verdict."""

from __future__ import annotations

from collections import deque
from statistics import median

from edge_app.records import PartVerdict, VerdictState

RATE_WINDOW_S = 5.0
RATE_MAX_FRAMES = 1000
LATENCY_PARTS = 50
"""The median of the last 50 parts' latencies: one slow part does not change the display."""


class LineCounters:
    """Counts since the page's start. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self.parts: dict[VerdictState, int] = dict.fromkeys(VerdictState, 0)
        self.suspect = 0  # among those that are OK
        self._shown_at_s: deque[float] = deque(maxlen=RATE_MAX_FRAMES)
        self._latency_ms: deque[float] = deque(maxlen=LATENCY_PARTS)

    def frame(self, now_s: float) -> None:
        """Count one frame, at `now_s` of a monotonic clock."""
        self._shown_at_s.append(now_s)
        self._forget(now_s)

    def part(self, verdict: PartVerdict) -> None:
        """Count one part that has left with its final verdict; a golden part is no production."""
        if verdict.golden:
            return
        self.parts[verdict.state] += 1
        self.suspect += verdict.is_suspect
        if verdict.views_judged > 0:
            self._latency_ms.append(verdict.latency_ms)

    def frames_per_second(self, now_s: float) -> float:
        """Return the rate over the last seconds; 0 once no frame has come for that long."""
        self._forget(now_s)
        if len(self._shown_at_s) < 2:
            return 0.0
        return (len(self._shown_at_s) - 1) / max(now_s - self._shown_at_s[0], 1e-3)

    def latency_ms(self) -> float | None:
        """Return the median capture-to-verdict time of the last parts, if any was judged."""
        return median(self._latency_ms) if self._latency_ms else None

    def _forget(self, now_s: float) -> None:
        while self._shown_at_s and self._shown_at_s[0] < now_s - RATE_WINDOW_S:
            self._shown_at_s.popleft()
