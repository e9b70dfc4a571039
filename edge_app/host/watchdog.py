"""The watchdog: systemd is fed only while every loop makes progress within its own deadline.

Waiting for a trigger, for the broker, or for a camera to be reopened counts as progress: those
loops keep sending heartbeats. If a loop hangs, the feeding stops, and systemd restarts the service.
Where every thread stands is logged when a loop begins to stand still. Where the main loop itself
hangs, nobody is left to log: its stack is written at systemd's SIGABRT (logging_setup.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_app.host.sd_notify import FEEDS_PER_PERIOD
from edge_app.host.thread_stacks import log_stacks

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop that has to make progress.

    Attributes:
        name: for the journal, e.g. "camera cam1".
        deadline_s: longest time between two heartbeats.
        heartbeat_ns: its last heartbeat, on the monotonic clock.
        is_running: False once it has ended normally: then it needs no heartbeat.
        thread: the name of the thread that it runs in, whose stack is told first.
    """

    name: str
    deadline_s: float
    heartbeat_ns: Callable[[], int]
    is_running: Callable[[], bool]
    thread: str = ""


class Watchdog:
    """Feeds systemd's watchdog as long as no loop hangs.

    Args:
        loops: the loops to watch.
        feed: sends the watchdog message to systemd.
        period_s: systemd's `WatchdogSec`; None: no watchdog.
    """

    def __init__(
        self,
        loops: Sequence[Loop],
        feed: Callable[[], None],
        period_s: float | None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._loops = tuple(loops)
        self._feed = feed
        self._every_s = None if period_s is None else period_s / FEEDS_PER_PERIOD
        self._now_ns = monotonic_ns
        self._next_ns = monotonic_ns()
        self._told: tuple[str, ...] = ()

    def tend(self) -> None:
        """Feed if it is time and all loops make progress; call a few times per second."""
        if self._every_s is None or self._now_ns() < self._next_ns:
            return
        still = self.standing_still()
        self._tell(still)
        if not still:
            self._feed()
            self._next_ns = self._now_ns() + round(self._every_s * 1e9)

    def standing_still(self) -> tuple[Loop, ...]:
        """Return the loops whose deadline has passed."""
        return tuple(loop for loop in self._loops if self._silent_s(loop) > loop.deadline_s)

    def _silent_s(self, loop: Loop) -> float:
        if not loop.is_running():
            return 0.0
        return (self._now_ns() - loop.heartbeat_ns()) / 1e9

    def _tell(self, still: tuple[Loop, ...]) -> None:
        """Log what stands still when it begins, with all threads' stacks, and that it moves."""
        names = tuple(loop.name for loop in still)
        if names == self._told:
            return
        more = set(names) - set(self._told)
        self._told = names
        if still:
            what = "; ".join(
                f"{loop.name} has not moved for {self._silent_s(loop):.1f} s "
                f"(allowed: {loop.deadline_s:g} s)"
                for loop in still
            )
            _log.error("systemd's watchdog is not fed, a restart follows: %s", what)
            if more:
                log_stacks([loop.thread for loop in still if loop.name in more])
        else:
            _log.info("every loop moves again; systemd's watchdog is fed")
