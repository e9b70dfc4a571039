"""After a switch: does the new model do worse than the old one did on the same line?

Counts of parts are compared by an exact binomial test, because after a switch parts are few: the
old model's share, with Laplace's rule for the few it may have seen, is taken as the truth, and the
new one is rolled back when its count would be as high by chance once in 1 / MAX_CHANCE switches.
Fewer alarms are no reason: the comparison before the switch judged the same parts and is the better
evidence.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence

from edge_app.records import PartVerdict, VerdictState
from edge_app.store.intent import Figures

MAX_CHANCE = 1e-4
"""The test is made after every part, so that a bad model does not stay for the whole probation.
benchmarks/activation.py measures how often a model that is no worse is rolled back by it."""

MIN_LATENCIES = 100
"""A 95th percentile of fewer parts rests on fewer than five of them: a few delays on a busy device
would roll a good model back."""

KEPT_PARTS = 500
"""Latest parts a model is judged by."""


class PartCounter:
    """Counts one model's parts; the latest KEPT_PARTS count. Used by one thread."""

    def __init__(self) -> None:
        self._parts: deque[tuple[VerdictState, float | None]] = deque(maxlen=KEPT_PARTS)

    def take(self, finished: Sequence[PartVerdict]) -> None:
        """Take the parts that left with one frame."""
        for verdict in finished:
            latency_ms = verdict.latency_ms if verdict.views_judged else None
            self._parts.append((verdict.state, latency_ms))

    def figures(self) -> Figures:
        """Return the counts."""
        states = [state for state, _ in self._parts]
        times = sorted(ms for _, ms in self._parts if ms is not None)
        p95 = times[math.ceil(0.95 * len(times)) - 1] if len(times) >= MIN_LATENCIES else None
        return Figures(
            parts=len(states),
            ng=states.count(VerdictState.NG),
            not_inspected=states.count(VerdictState.NOT_INSPECTED),
            latency_ms_p95=None if p95 is None else round(p95, 2),
        )


def worse_than(new: Figures, old: Figures, max_latency_ratio: float) -> str:
    """Return in words why the new model does worse than the old; "" when it does not."""
    for what, new_count, old_count in (
        ("were not inspected", new.not_inspected, old.not_inspected),
        ("raised an alarm", new.ng, old.ng),
    ):
        share = (old_count + 1) / (old.parts + 2)
        if at_least(new_count, new.parts, share) < MAX_CHANCE:
            return (
                f"{new_count} of {new.parts} parts {what}; with the model before it were "
                f"{old_count} of {old.parts}"
            )
    if new.latency_ms_p95 and old.latency_ms_p95:
        allowed_ms = max_latency_ratio * old.latency_ms_p95
        if new.latency_ms_p95 > allowed_ms:
            return (
                f"its p95 latency is {new.latency_ms_p95:.0f} ms; with the model before it was "
                f"{old.latency_ms_p95:.0f} ms, and {allowed_ms:.0f} ms are allowed"
            )
    return ""


def at_least(count: int, parts: int, share: float) -> float:
    """Return the probability of `count` or more of `parts` when each has the chance `share`."""
    if count <= 0:
        return 1.0
    return math.fsum(
        math.comb(parts, k) * share**k * (1 - share) ** (parts - k) for k in range(count, parts + 1)
    )


class ProbationWatch:
    """Watches one model after its switch. Used by the inspection thread.

    Args:
        baseline: what the old model did; None where there was none to compare with.
        parts: it has passed after so many.
        max_s: or after so long, but not before the first part.
    """

    def __init__(
        self,
        baseline: Figures | None,
        parts: int,
        max_s: float,
        max_latency_ratio: float,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._baseline = baseline or Figures()
        self._parts = parts
        self._now_s = monotonic_s
        self._end_s = monotonic_s() + max_s
        self._ratio = max_latency_ratio
        self._counter = PartCounter()
        self._seen = 0
        self.first_part: str | None = None

    def take(self, finished: Sequence[PartVerdict]) -> None:
        """Take the parts that left with one frame."""
        if finished and self.first_part is None:
            self.first_part = finished[0].part_id
        self._seen += len(finished)
        self._counter.take(finished)

    def figures(self) -> Figures:
        """Return what it has done so far."""
        return self._counter.figures()

    def failure(self) -> str:
        """Return why it is to be rolled back; "" while it does well."""
        return worse_than(self.figures(), self._baseline, self._ratio)

    def has_passed(self) -> bool:
        """Tell whether it has been watched long enough."""
        return self._seen >= self._parts or (self._seen > 0 and self._now_s() >= self._end_s)
