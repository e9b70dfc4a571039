"""A fetched bundle that has expired by a clock that may be wrong waits for one that is right.

Handed over it would be refused, and a pointer that came to its end is not taken again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from edge_app.agent.pull.download import Progress
from edge_app.bundle.admission_rules import Expiry
from edge_app.errors import DownloadCancelled
from edge_app.host.date_clock import DateClock

LOOK_S = 2.0
"""How often the clock is looked at; people who set it wait for that long."""


class DateGate:
    """Holds back what only a date speaks against. Thread-safe.

    Args:
        clock: the device's.
        expiry_of: when a file may no longer be installed; None: never, or something else is wrong
            with it, which its installation says.
        patience_s: how long to wait where nobody knows whether the clock is right.
        look_s: how often to look.
    """

    def __init__(
        self,
        clock: DateClock,
        expiry_of: Callable[[Path], Expiry | None],
        patience_s: float,
        look_s: float = LOOK_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._expiry_of = clock, expiry_of
        self._patience_s, self._look_s, self._now_s = patience_s, look_s, now_s

    def wait(self, file: Path, cancel: threading.Event, progress: Progress) -> None:
        """Return once the file is not expired, or is by a clock that is right.

        Raises:
            DownloadCancelled: `cancel` was set.
        """
        if not self._clock.doubt() or (expiry := self._expiry_of(file)) is None:
            return
        since_s = self._now_s()
        while (now := self._clock.now()) >= expiry.at and (doubt := self._clock.doubt()):
            is_unknown = self._clock.is_right() is None
            if is_unknown and self._now_s() - since_s > self._patience_s:
                return
            progress(
                100.0,
                f"waiting for the clock: {expiry.of} expired on {expiry.at:%Y-%m-%d %H:%M} UTC, "
                f"here it is {now:%Y-%m-%d %H:%M}, and {doubt}. Set it (NTP).",
            )
            if cancel.wait(self._look_s):
                raise DownloadCancelled("cancelled while it waited for the clock")
