"""Which evidence pictures are kept, oldest first, and which of them goes next.

No picture goes for its age while the clock is not synchronised, has jumped, or was just started: a
clock that is a year ahead for a moment would delete everything.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from edge_app.alerts.evidence_files import (
    KINDS,
    Kind,
    crop_of,
    frame_of,
    is_crop,
    kind_of,
    map_of,
    sidecar_of,
)
from edge_app.alerts.keep_limits import CROP_SHARE
from edge_app.host.age_clock import EPOCH_S, JUMP_S, AgeClock

LOG = logging.getLogger(__name__)

HOUR_S, DAY_S = 3600.0, 86_400.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A picture on the disk: a frame, or a crop whose frame has gone.

    Attributes:
        saved_at_s: by the wall clock of that time.
        length: bytes of the file.
        steady_s: when this process saved it; None for an earlier one's.
        crop_length: bytes of a frame's crop, 0 without one.
        sidecar_length: bytes of a frame's sidecar and map, 0 without them.
    """

    path: Path
    saved_at_s: float
    length: int
    steady_s: float | None = None
    crop_length: int = 0
    sidecar_length: int = 0

    @property
    def all_bytes(self) -> int:
        """Return the bytes of all its files."""
        return self.length + self.crop_length + self.sidecar_length


@dataclass(frozen=True, slots=True)
class IndexCounts:
    """What is kept and what has gone.

    Attributes:
        frames: pictures of each kind.
        crops: those whose frames have gone.
        bytes: the size of all files.
        deleted: frames that went since the index was made.
    """

    frames: dict[Kind, int]
    crops: int
    bytes: int
    deleted: int

    @property
    def files(self) -> int:
        """Return how many deletions there can be: a frame's, and then its crop's."""
        return 2 * sum(self.frames.values()) + self.crops


class EvidenceIndex:
    """Frames in a queue for each kind, and crops whose frames have gone in one of their own.

    One thread changes it; any may ask for `counts`, which never waits for the disk.

    Args:
        clock: for ages.
    """

    def __init__(self, clock: AgeClock) -> None:
        self._clock = clock
        self._opened_s = clock.steady_s()
        self._stamped_with_s = clock.wall_s() - clock.steady_s()
        self._frames: dict[Kind, deque[Kept]] = {kind: deque() for kind in KINDS}
        self._crops: deque[Kept] = deque()
        self._bytes: dict[Kind | Literal["crops"], int] = {"crops": 0, **dict.fromkeys(KINDS, 0)}
        self._deleted = 0
        self._lock = threading.Lock()

    @property
    def counts(self) -> IndexCounts:
        with self._lock:
            frames = {kind: len(queue) for kind, queue in self._frames.items()}
            total = sum(self._bytes.values())
            return IndexCounts(frames, len(self._crops), total, self._deleted)

    def bytes_of(self, kind: Kind) -> int:
        """Return the bytes of a kind's frames, with their crops and sidecars."""
        return self._bytes[kind]

    def has_had(self, kind: Kind, per_hour: int, per_day: int) -> bool:
        """Tell whether so many of a kind were kept within the last hour or day."""
        queue = self._frames[kind]
        for count, seconds in ((per_hour, HOUR_S), (per_day, DAY_S)):
            if count < 1 or (len(queue) >= count and self._age_s(queue[-count]) < seconds):
                return True
        return False

    def take_in_all(self, pictures: Iterable[Kept]) -> None:
        """Put an earlier process' pictures into the index, in the order of their time stamps."""
        for picture in sorted(pictures, key=lambda k: (_order(k.saved_at_s), k.path.name)):
            self.take_in(picture)

    def take_in(self, picture: Kept) -> None:
        """Put a picture into the index, as its name says."""
        with self._lock:
            if is_crop(picture.path):
                self._crops.append(picture)
                self._bytes["crops"] += picture.all_bytes
                return
            kind = kind_of(picture.path.name)
            self._frames[kind].append(picture)
            self._bytes[kind] += picture.all_bytes

    def free(self, wanted_bytes: int, kinds: Sequence[Kind | Literal["crops"]]) -> int:
        """Delete that many bytes, the first kind's pictures first; return how many went."""
        freed = 0
        for kind in kinds:
            queue = self._crops if kind == "crops" else self._frames[kind]
            while queue and freed < wanted_bytes:
                went = self._delete_crop() if kind == "crops" else self._delete_frame(kind, False)
                if not went:
                    break
                freed += went
        return freed

    def trim(self, kind: Kind, max_bytes: float) -> None:
        """Delete a kind's oldest frames until it takes no more than so many bytes."""
        while self._frames[kind] and self._bytes[kind] > max_bytes:
            if not self._delete_frame(kind):
                return

    def expire(self, incoming_bytes: int, max_bytes: int, max_age_s: float, limit: int,
               crop_max_age_s: float = 0.0) -> int:  # fmt: skip
        """Delete what is over age or size, the oldest first; return how many went.

        Of frames the surplus goes first. A frame leaves its crop, which has an age and a share of
        the size of its own.

        Args:
            incoming_bytes: to make room for.
            limit: of files deleted now.
        """
        may_expire = self._clock.may_expire()
        for deleted in range(limit):
            total = sum(self._bytes.values()) + incoming_bytes
            if self._is_crop_due(total > max_bytes, max_bytes, may_expire, crop_max_age_s):
                if not self._delete_crop():
                    return deleted
                continue
            kind = self._next_to_go(total > max_bytes)
            if kind is None:
                return deleted
            is_old = may_expire and self._age_s(self._frames[kind][0]) > max_age_s
            if not (total > max_bytes or is_old) or not self._delete_frame(kind):
                return deleted
        return limit

    def _is_crop_due(
        self, is_over: bool, max_bytes: int, may_expire: bool, max_age_s: float
    ) -> bool:
        if not self._crops:
            return False
        has_frames = any(self._frames.values())
        if self._bytes["crops"] > CROP_SHARE * max_bytes or (is_over and not has_frames):
            return True
        return may_expire and self._age_s(self._crops[0]) > max_age_s

    def _next_to_go(self, is_over: bool) -> Kind | None:
        """Return the kind whose oldest frame goes next."""
        if is_over and self._frames["surplus"]:
            return "surplus"
        filled = [kind for kind in KINDS if self._frames[kind]]
        return max(filled, key=lambda kind: self._age_s(self._frames[kind][0]), default=None)

    def stamp_anew(self) -> None:
        """Correct the time stamps of this process' pictures once the clock has been set."""
        offset_s = self._clock.wall_s() - self._clock.steady_s()
        if abs(offset_s - self._stamped_with_s) < JUMP_S or not self._clock.is_synchronised():
            return
        self._stamped_with_s = offset_s
        for queue in (*self._frames.values(), self._crops):
            for place, picture in enumerate(queue):
                if picture.steady_s is not None:
                    at_s = picture.steady_s + offset_s
                    queue[place] = replace(picture, saved_at_s=at_s)
                    with suppress(OSError):
                        os.utime(picture.path, (at_s, at_s))
                    with suppress(OSError):
                        if picture.crop_length:
                            os.utime(crop_of(picture.path), (at_s, at_s))

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

    def _delete_frame(self, kind: Kind, keeps_crop: bool = True) -> int:
        """Delete a kind's oldest frame, and its folder once empty; return how many bytes went.

        Its crop and its sidecar stay, if it has a crop; of the surplus nothing does, or a flood of
        bad parts would displace other parts' crops. 0 if the disk refuses: the picture stays in the
        index.
        """
        queue = self._frames[kind]
        oldest = queue[0]
        if not _is_gone(oldest.path):
            return 0
        crop = None
        if oldest.crop_length and keeps_crop and kind != "surplus":
            crop = replace(oldest, path=crop_of(oldest.path), length=oldest.crop_length,
                           crop_length=0)  # fmt: skip
        else:
            for rest in (crop_of(oldest.path), map_of(oldest.path), sidecar_of(oldest.path)):
                _is_gone(rest)
        with self._lock:  # never while the disk works
            queue.popleft()
            self._bytes[kind] -= oldest.all_bytes
            self._deleted += 1
            if crop is not None:
                self._bytes["crops"] += crop.all_bytes
                _put_in_order(self._crops, crop)
        self._remove_folder(oldest.path, crop is not None)
        return max(1, oldest.length if crop is not None else oldest.all_bytes)

    def _delete_crop(self) -> int:
        """Delete the oldest crop with its map and sidecar; as `_delete_frame`."""
        oldest = self._crops[0]
        if not _is_gone(oldest.path):
            return 0
        _is_gone(map_of(frame_of(oldest.path)))
        _is_gone(sidecar_of(frame_of(oldest.path)))
        with self._lock:
            self._crops.popleft()
            self._bytes["crops"] -= oldest.all_bytes
        self._remove_folder(oldest.path, False)
        return max(1, oldest.all_bytes)

    def _remove_folder(self, path: Path, has_more: bool) -> None:
        """Remove a day's folder once nothing is in it; not even asked where more must be."""
        queues = (*self._frames.values(), self._crops)
        if has_more or any(queue and queue[0].path.parent == path.parent for queue in queues):
            return
        with suppress(OSError):
            path.parent.rmdir()


def _is_gone(path: Path) -> bool:
    """Delete a file; tell whether it is gone."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        LOG.debug("Evidence %s cannot be deleted: %s", path.name, error.strerror)
        return False
    return True


def _put_in_order(queue: deque[Kept], picture: Kept) -> None:
    """Put a picture where its time stamp belongs, near the end as a rule."""
    at = len(queue)
    while at and _order(queue[at - 1].saved_at_s) > _order(picture.saved_at_s):
        at -= 1
    queue.insert(at, picture)


def _order(saved_at_s: float) -> float:
    """Return where a time stamp stands: one of a clock that was not set comes last."""
    return saved_at_s if saved_at_s >= EPOCH_S else float("inf")
