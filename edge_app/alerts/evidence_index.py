"""Which evidence pictures are kept, oldest first, and which of them goes next.

No picture goes for its age while the clock is not synchronised, has jumped, or was just started: a
clock that is a year ahead for a moment would delete everything.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from edge_app.host.age_clock import EPOCH_S, JUMP_S, AgeClock

LOG = logging.getLogger(__name__)

SUSPECT = ".suspect"
"""Ends the name of a suspect part's picture; a part's id ends with a number."""
_SUSPECT_NAME = re.compile(r"\.suspect(-\d+)?\.jpg$")


@dataclass(frozen=True, slots=True)
class Kept:
    """A picture on the disk.

    Attributes:
        saved_at_s: by the wall clock of that time.
        length: bytes.
        steady_s: when this process saved it; None for an earlier one's.
    """

    path: Path
    saved_at_s: float
    length: int
    steady_s: float | None = None


@dataclass(frozen=True, slots=True)
class IndexCounts:
    """What is kept and what has gone.

    Attributes:
        count: pictures; bytes: their size together.
        suspects: those of suspect parts among them; suspect_bytes: their size.
        deleted: pictures that went since the index was made.
    """

    count: int
    bytes: int
    suspects: int
    suspect_bytes: int
    deleted: int


class EvidenceIndex:
    """Alerts' pictures and those of suspect parts, in a queue each.

    One thread changes it; any may ask for `counts`, which never waits for the disk.

    Args:
        clock: for ages.
    """

    def __init__(self, clock: AgeClock) -> None:
        self._clock = clock
        self._opened_s = clock.steady_s()
        self._stamped_with_s = clock.wall_s() - self._opened_s  # wall clock - steady clock
        self._lock = threading.Lock()
        self.alerts: deque[Kept] = deque()
        self.suspects: deque[Kept] = deque()
        self._bytes = self._suspect_bytes = self._deleted = 0

    @property
    def counts(self) -> IndexCounts:
        with self._lock:
            return IndexCounts(
                len(self.alerts) + len(self.suspects),
                self._bytes,
                len(self.suspects),
                self._suspect_bytes,
                self._deleted,
            )

    def take_in_all(self, pictures: Iterable[Kept]) -> None:
        """Put an earlier process' pictures into the index, in the order of their time stamps."""
        for picture in sorted(pictures, key=lambda k: (_order(k.saved_at_s), k.path.name)):
            self.take_in(picture)

    def take_in(self, picture: Kept) -> None:
        """Put a picture into the index, as its name says."""
        is_suspect = _SUSPECT_NAME.search(picture.path.name) is not None
        with self._lock:
            (self.suspects if is_suspect else self.alerts).append(picture)
            self._bytes += picture.length
            self._suspect_bytes += picture.length if is_suspect else 0

    def free(self, wanted_bytes: int, queues: Sequence[deque[Kept]]) -> int:
        """Delete that many bytes, the first queue's pictures first; return how many went."""
        freed = 0
        for queue in queues:
            while queue and freed < wanted_bytes:
                if not (went := self._delete_oldest(queue)):
                    break
                freed += went
        return freed

    def expire(self, incoming_bytes: int, max_bytes: int, max_age_s: float, limit: int) -> int:
        """Delete what is over age or size, the oldest first; return how many went.

        Args:
            incoming_bytes: to make room for.
            limit: of pictures deleted now.
        """
        may_expire = self._clock.may_expire()
        for deleted in range(limit):
            is_over = self._bytes + incoming_bytes > max_bytes
            filled = [queue for queue in (self.alerts, self.suspects) if queue]
            oldest = max(filled, key=lambda queue: self._age_s(queue[0]), default=None)
            if oldest is None:
                return deleted
            is_old = may_expire and self._age_s(oldest[0]) > max_age_s
            if not (is_over or is_old) or not self._delete_oldest(oldest):
                return deleted
        return limit

    def stamp_anew(self) -> None:
        """Correct the time stamps of this process' pictures once the clock has been set."""
        offset_s = self._clock.wall_s() - self._clock.steady_s()
        if abs(offset_s - self._stamped_with_s) < JUMP_S or not self._clock.is_synchronised():
            return
        self._stamped_with_s = offset_s
        for queue in (self.alerts, self.suspects):
            for place, picture in enumerate(queue):
                if picture.steady_s is not None:
                    at_s = picture.steady_s + offset_s
                    queue[place] = replace(picture, saved_at_s=at_s)
                    with suppress(OSError):
                        os.utime(picture.path, (at_s, at_s))

    def _age_s(self, picture: Kept) -> float:
        """Return how old a picture is: by the steady clock where that can tell.

        A time stamp of a clock that was not set, or ahead, says nothing: then it is as old as this
        process.
        """
        if picture.steady_s is not None:
            return self._clock.steady_s() - picture.steady_s
        now_s = self._clock.wall_s()
        if EPOCH_S <= picture.saved_at_s <= now_s:
            return now_s - picture.saved_at_s
        return self._clock.steady_s() - self._opened_s

    def _delete_oldest(self, queue: deque[Kept]) -> int:
        """Delete a queue's oldest picture and its folder once empty; return how many bytes went.

        0 if the disk refuses: the picture stays in the index.
        """
        oldest = queue[0]
        try:
            oldest.path.unlink(missing_ok=True)
        except OSError as error:
            LOG.debug("Evidence %s cannot be deleted: %s", oldest.path.name, error.strerror)
            return 0
        with self._lock:  # never while the disk works
            queue.popleft()
            self._bytes -= oldest.length
            self._suspect_bytes -= oldest.length if queue is self.suspects else 0
            self._deleted += 1
        if not queue or queue[0].path.parent != oldest.path.parent:
            with suppress(OSError):
                oldest.path.parent.rmdir()
        return max(1, oldest.length)


def _order(saved_at_s: float) -> float:
    """Return where a time stamp stands: one of a clock that was not set comes last."""
    return saved_at_s if saved_at_s >= EPOCH_S else float("inf")
