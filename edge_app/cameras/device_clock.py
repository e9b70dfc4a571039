"""From the camera's clock to the host's: when the light fell, not when the message arrived."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW = 128
"""Frames looked back on: long enough to hold one that came without delay, short enough that two
crystals 100 ppm apart drift by 1.3 ms at 10 frames per second."""

SPAN_NS = 500_000_000
"""The quickest arrival within each such span is compared with the one before."""

WRONG_SPANS = 4
WRONG_RATE = 0.01
WRONG_BY_NS = 250_000_000
"""Spans in a row that drift the same way, each by more than this share of its length, all together
by more than this: no transfer's jitter does that, and a stream that froze goes one way once."""

STEADY_SPANS = 20
STEADY_WITHIN_NS = 100_000_000
"""Ten seconds without drift make a clock believable again."""


class DeviceClock:
    """Maps device times to the host's monotonic clock by the quickest of the latest arrivals.

    The offset between the clocks is the least (arrival - device time) of the last `WINDOW`
    frames: a frame that was held up keeps its true age. The constant part of the way (exposure,
    read-out, the quickest transfer) cannot be seen from here and stays in the figure. A device
    clock that goes back (the camera started anew) begins a new mapping. The host's wall clock
    plays no part, so setting it moves nothing here. A late arrival alone never begins a new
    mapping: a frame that a frozen stream let go seconds later must not look fresh.

    Stamps that stand still, or count in another unit than they are taken for, do not run at the
    host's rate: then the arrival counts, until they do.

    Attributes:
        wrong: what is wrong with the stamps, for people; "" while nothing is.
    """

    def __init__(self) -> None:
        self.wrong = ""
        self._offsets_ns: deque[int] = deque(maxlen=WINDOW)
        self._last_device_ns = -1
        self._rate = _RateWatch()

    def host_ns(self, device_ns: int, arrived_ns: int) -> int:
        """Return when the frame was taken.

        Args:
            device_ns: its stamp by the camera's clock.
            arrived_ns: when it arrived, host monotonic.

        Returns:
            Host monotonic ns, never after `arrived_ns`.
        """
        if device_ns < self._last_device_ns:
            self._offsets_ns.clear()
            self._rate.begin_anew()
        self._last_device_ns = device_ns
        offset_ns = arrived_ns - device_ns
        self._offsets_ns.append(offset_ns)
        self.wrong = self._rate.judge(offset_ns, arrived_ns, self.wrong)
        if self.wrong:
            self._offsets_ns.clear()
            return arrived_ns
        return device_ns + min(self._offsets_ns)


@dataclass(frozen=True, slots=True)
class _Span:
    """When a span began on the host's clock, and its least (arrival - device time)."""

    began_ns: int
    best_ns: int


class _RateWatch:
    """Tells from the quickest arrivals of successive spans whether two clocks run alike."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what was measured: another clock."""
        self._open: _Span | None = None
        self._spans: deque[_Span] = deque(maxlen=STEADY_SPANS)
        self._run_from: _Span | None = None
        self._run_way = self._run_steps = 0
        self._floor_ns: int | None = None

    def judge(self, offset_ns: int, arrived_ns: int, wrong: str) -> str:
        """Take a frame's offset; return what is wrong from now on, given what was so far."""
        span = self._open
        if span is not None and arrived_ns - span.began_ns < SPAN_NS:
            self._open = _Span(span.began_ns, min(span.best_ns, offset_ns))
            return wrong
        self._open = _Span(arrived_ns, offset_ns)
        if span is None:
            return wrong
        if self._spans:
            self._step(self._spans[-1], span)
        self._spans.append(span)
        if wrong:
            return "" if self._is_steady() else wrong
        return self._drift(span)

    def _step(self, before: _Span, span: _Span) -> None:
        """Go on with the run of steps one way, or begin a new one."""
        share = (span.best_ns - before.best_ns) / max(1, span.began_ns - before.began_ns)
        way = 0 if abs(share) < WRONG_RATE else 1 if share > 0 else -1
        if way == 0 or way != self._run_way or self._run_from is None:
            floor_ns = before.best_ns if self._floor_ns is None else self._floor_ns
            self._floor_ns = min(floor_ns, before.best_ns)
            self._run_from, self._run_way, self._run_steps = before, way, 0
        self._run_steps += 1

    def _drift(self, last: _Span) -> str:
        first = self._run_from
        if first is None or self._run_way == 0 or self._run_steps < WRONG_SPANS:
            return ""
        by_ns = last.best_ns - first.best_ns
        if self._run_way < 0:  # a backlog that is worked off comes back to the quickest, not below
            by_ns = last.best_ns - (first.best_ns if self._floor_ns is None else self._floor_ns)
        if by_ns * self._run_way < WRONG_BY_NS:
            return ""
        self._spans.clear()
        host_ns = last.began_ns - first.began_ns
        rate = (host_ns - last.best_ns + first.best_ns) / host_ns
        return f"they advance by {rate:.3g} s in a second of this machine's clock"

    def _is_steady(self) -> bool:
        offsets_ns = [span.best_ns for span in self._spans]
        is_long = len(offsets_ns) == STEADY_SPANS
        return is_long and max(offsets_ns) - min(offsets_ns) < STEADY_WITHIN_NS
