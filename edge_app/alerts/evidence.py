"""Evidence pictures on the device's disk: written whole or not at all, oldest deleted first.

Pictures of suspect parts lie among them, have no alert, and never take more than a share of the
size: nobody waits for them, and an alert's picture must not go for their sake.

No picture goes for its age while the clock is not synchronised, has jumped, or was just started: a
clock that is a year ahead for a moment would delete everything. Size is always kept.

An alert never fails because of its picture: every failure here ends in `None`, a count in `stats()`
and one warning in the log. Pictures are renamed into place but not flushed to
the platter: after a power cut the last ones may be missing, and the alert's sha256 tells.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import stat
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from edge_app.alerts.evidence_files import SAFE_PATH, encode_jpeg, picture_at, safe_name
from edge_app.errors import ConfigError
from edge_app.host.age_clock import EPOCH_S, JUMP_S, AgeClock
from edge_app.host.file_ownership import share_with_readers
from edge_app.records import Evidence, U8Array

__all__ = [
    "EvidenceStats",
    "EvidenceStore",
    "encode_jpeg",
    "safe_name",
    "write_whole",
]

LOG = logging.getLogger(__name__)

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
PASSING = (*DISK_FULL, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE)
"""What a disk, or the lack of descriptors, does to a folder that is as it should be."""
MAX_DELETIONS_PER_SAVE = 64
"""Enough to catch up after an idle night within minutes; bounds one save's time."""

SUSPECT_SHARE = 0.25
"""Of the store's size, for suspect parts: they are more than bad parts, and matter less."""

_SUSPECT = ".suspect"
"""Ends such a picture's name; a part's id ends with a number."""
_SUSPECT_NAME = re.compile(r"\.suspect(-\d+)?\.jpg$")


@dataclass(frozen=True, slots=True)
class EvidenceStats:
    """What the store holds and what it lost since it was opened.

    Attributes:
        count: pictures on disk.
        bytes: their size together.
        dropped: pictures that could not be kept; their alerts went out without one.
        expired: pictures deleted for age, size or want of disk space.
        problem: the latest failure in plain words, "" when the last save worked.
        suspects: those of suspect parts among them.
        suspects_dropped: pictures of suspect parts that were not kept.
    """

    count: int
    bytes: int
    dropped: int
    expired: int
    problem: str
    suspects: int = 0
    suspects_dropped: int = 0


@dataclass(frozen=True, slots=True)
class _Kept:
    path: Path
    saved_at_s: float  # by the wall clock of that time
    length: int  # bytes
    steady_s: float | None = None  # when this process saved it


Write = Callable[[Path, bytes], None]


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is either there completely or not at all.

    Raises:
        OSError: the disk is full, read-only or broken; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(data)
        share_with_readers(temporary)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


class EvidenceStore:
    """Keeps JPEG pictures under dated folders, within an age and a size.

    One thread saves and prunes; any thread may ask the rest, which never waits for the disk. The
    tree is listed once, when the store is opened; from then on an index in memory, oldest first,
    decides what goes.
    """

    def __init__(
        self,
        folder: Path,
        max_age_h: float,
        max_bytes: int,
        jpeg_quality: int,
        base_url: str,
        clock: AgeClock | None = None,
        write: Write = write_whole,
    ) -> None:
        """Open or create the store and delete what is already over its limits.

        Args:
            folder: made if missing; belongs to this store alone.
            max_age_h: pictures older than this are deleted.
            max_bytes: all pictures together stay below this.
            jpeg_quality: 1..100.
            base_url: where the page is reached, e.g. "http://10.0.0.5:8080"; pictures are at
                {base_url}/evidence/{date}/{name}.jpg.
            clock: for time stamps and ages; None takes the machine's.
            write: how bytes reach the disk.

        Raises:
            ConfigError: a limit makes no sense, or the folder cannot be made or read. A disk that
                takes nothing now is no error: it is tried again.
        """
        if not (max_age_h > 0 and max_bytes > 0 and 1 <= jpeg_quality <= 100):
            wanted = "max_age_h > 0, max_bytes > 0 and jpeg_quality 1..100"
            got = f"{max_age_h}, {max_bytes} and {jpeg_quality}"
            raise ConfigError(f"Evidence limits must be {wanted}, got {got}.")
        self._folder = folder
        self._max_age_s = max_age_h * 3600
        self._max_bytes = max_bytes
        self._jpeg_quality = jpeg_quality
        self._base_url = base_url.rstrip("/")
        self._clock = clock or AgeClock()
        self._opened_s = self._clock.steady_s()
        self._stamped_with_s = self._clock.wall_s() - self._opened_s  # wall clock - steady clock
        self._write = write
        self._lock = threading.Lock()
        self._kept: deque[_Kept] = deque()  # of alerts, oldest first
        self._suspects: deque[_Kept] = deque()  # of suspect parts, likewise
        self._bytes = self._dropped = self._expired = 0
        self._suspect_bytes = self._suspects_dropped = 0
        self._problem = ""
        self._is_listed = False
        self._open()

    def save(self, name: str, pixels_hwc: U8Array) -> Evidence | None:
        """Keep a picture and return where it can be fetched and what its bytes hash to.

        Args:
            name: part or alarm id; anything but letters, digits, '.', '_' and '-' becomes '_'.
                The same name twice makes two pictures: an alert's hash stays true.
            pixels_hwc: uint8 (h, w, 3) BGR or (h, w) grey.

        Returns:
            None when it could not be kept; never raises.
        """
        data = encode_jpeg(pixels_hwc, self._jpeg_quality)
        if data is None:
            self.drop(f"the picture of {name} could not be encoded as JPEG")
            return None
        if len(data) > self._max_bytes:
            self.drop(
                f"a picture of {len(data)} bytes is larger than the whole store may be "
                f"({self._max_bytes}); raise the evidence size limit"
            )
            return None
        return self._store(name, data)

    def save_suspect(self, name: str, pixels_hwc: U8Array) -> Evidence | None:
        """Keep the picture of a suspect part, in place of older ones of such parts if need be.

        Args, return value: as `save`.
        """
        data = encode_jpeg(pixels_hwc, self._jpeg_quality)
        if data is None or len(data) > SUSPECT_SHARE * self._max_bytes:
            self.drop_suspect(f"the picture of {name} is too large, or none that JPEG can hold")
            return None
        excess = self._suspect_bytes + len(data) - int(SUSPECT_SHARE * self._max_bytes)
        self._free(excess, (self._suspects,))
        return self._store(name, data, is_suspect=True)

    def prune(self, at_most: int | None = None) -> int:
        """Delete what is over age or size now, the oldest first; return how many went."""
        if not self._is_listed:
            self._open()
        self._stamp_anew()
        return self._expire(0, self._count if at_most is None else at_most)

    def drop(self, problem: str) -> None:
        """Count a picture that is not kept, and say why: at first as a warning."""
        with self._lock:
            self._dropped += 1
        self._note(f"the alert goes out without a picture: {problem}")

    def _note(self, problem: str) -> None:
        with self._lock:
            level = logging.DEBUG if self._problem else logging.WARNING
            self._problem = problem
        LOG.log(level, "Evidence not kept, %s.", problem)

    def drop_suspect(self, problem: str) -> None:
        """Count a suspect part's picture that is not kept; nobody waits for it."""
        with self._lock:
            self._suspects_dropped += 1
        LOG.debug("A suspect part's picture is not kept: %s.", problem)

    def stats(self) -> EvidenceStats:
        """Return what the store holds and what it lost."""
        with self._lock:
            return EvidenceStats(
                self._count,
                self._bytes,
                self._dropped,
                self._expired,
                self._problem,
                len(self._suspects),
                self._suspects_dropped,
            )

    @property
    def _count(self) -> int:
        return len(self._kept) + len(self._suspects)

    def path_of(self, url_path: str) -> Path | None:
        """Return the file behind "{date}/{name}.jpg", or None if that is no picture kept here.

        See `picture_at`.
        """
        return picture_at(self._folder, url_path)

    def _open(self) -> None:
        """List what is there; where the disk takes nothing now, the next call tries again."""
        try:
            _make_shared(self._folder)
            share_with_readers(self._folder)
            for day in self._folder.glob("*/"):
                share_with_readers(day)
            found = [_look_at(path) for path in self._folder.glob("*/*.jpg") if _is_ours(path)]
        except OSError as error:
            if error.errno in PASSING:
                self._note(f"the evidence folder cannot be used ({error.strerror})")
                return
            raise ConfigError(
                f"The evidence folder {self._folder} cannot be used: {error.strerror}. "
                "Make it writable for the service's user, or name another."
            ) from error
        self._is_listed = True
        with suppress(OSError):
            for unfinished in self._folder.glob("*/.*.part"):
                unfinished.unlink(missing_ok=True)
        kept = [picture for picture in found if picture is not None]
        for picture in sorted(kept, key=lambda k: (_order(k.saved_at_s), k.path.name)):
            self._take_in(picture)
        self._expire(0, limit=len(kept))

    def _store(self, name: str, data: bytes, is_suspect: bool = False) -> Evidence | None:
        now_s = self._clock.wall_s()
        if not self._is_listed:
            self._open()
        self._expire(len(data), MAX_DELETIONS_PER_SAVE)
        try:
            path = self._free_path(safe_name(name) + (_SUSPECT if is_suspect else ""), now_s)
            self._write_making_room(path, data, is_suspect)
        except OSError as error:
            drop = self.drop_suspect if is_suspect else self.drop
            drop(f"the disk refused a picture ({error.strerror or error})")
            return None
        with suppress(OSError):
            os.utime(path, (now_s, now_s))
        self._take_in(_Kept(path, now_s, len(data), self._clock.steady_s()))
        self._recover()
        url = f"{self._base_url}/evidence/{path.parent.name}/{path.name}"
        return Evidence(url, hashlib.sha256(data).hexdigest())

    def _take_in(self, picture: _Kept) -> None:
        """Put a picture into the index, as its name says."""
        is_suspect = _SUSPECT_NAME.search(picture.path.name) is not None
        with self._lock:
            (self._suspects if is_suspect else self._kept).append(picture)
            self._bytes += picture.length
            self._suspect_bytes += picture.length if is_suspect else 0

    def _free_path(self, stem: str, now_s: float) -> Path:
        """Return an unused path in the day's folder, which is made if missing."""
        day = datetime.fromtimestamp(now_s, timezone.utc).strftime("%Y-%m-%d")
        path, copies = self._folder / day / f"{stem}.jpg", 1
        while path.exists():
            copies += 1
            path = path.with_name(f"{stem}-{copies}.jpg")
        return path

    def _write_making_room(self, path: Path, data: bytes, is_suspect: bool) -> None:
        """Write; while the disk is full delete the oldest pictures and try again: those of suspect
        parts first, and for a suspect part no others.

        Raises:
            OSError: another fault, or still full with nothing left to delete.
        """
        queues = (self._suspects,) if is_suspect else (self._suspects, self._kept)
        while True:
            try:
                _make_shared(path.parent)
                return self._write(path, data)
            except OSError as error:
                if error.errno not in DISK_FULL or not self._free(len(data), queues):
                    raise

    def _free(self, wanted_bytes: int, queues: Sequence[deque[_Kept]]) -> int:
        """Delete that many bytes, the first queue's pictures first; return how many went."""
        freed = 0
        for queue in queues:
            while queue and freed < wanted_bytes:
                if not (went := self._delete_oldest(queue)):
                    break
                freed += went
        return freed

    def _expire(self, incoming_bytes: int, limit: int) -> int:
        may_expire = self._clock.may_expire()
        for deleted in range(limit):
            is_over = self._bytes + incoming_bytes > self._max_bytes
            filled = [queue for queue in (self._kept, self._suspects) if queue]
            oldest = max(filled, key=lambda queue: self._age_s(queue[0]), default=None)
            if oldest is None:
                return deleted
            is_old = may_expire and self._age_s(oldest[0]) > self._max_age_s
            if not (is_over or is_old) or not self._delete_oldest(oldest):
                return deleted
        return limit

    def _stamp_anew(self) -> None:
        """Correct the time stamps of this process' pictures once the clock has been set."""
        offset_s = self._clock.wall_s() - self._clock.steady_s()
        if abs(offset_s - self._stamped_with_s) < JUMP_S or not self._clock.is_synchronised():
            return
        self._stamped_with_s = offset_s
        for queue in (self._kept, self._suspects):
            for place, picture in enumerate(queue):
                if picture.steady_s is not None:
                    at_s = picture.steady_s + offset_s
                    queue[place] = replace(picture, saved_at_s=at_s)
                    with suppress(OSError):
                        os.utime(picture.path, (at_s, at_s))

    def _age_s(self, picture: _Kept) -> float:
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

    def _delete_oldest(self, queue: deque[_Kept]) -> int:
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
            self._suspect_bytes -= oldest.length if queue is self._suspects else 0
            self._expired += 1
        if not queue or queue[0].path.parent != oldest.path.parent:
            with suppress(OSError):
                oldest.path.parent.rmdir()
        return max(1, oldest.length)

    def _recover(self) -> None:
        with self._lock:
            problem, self._problem = self._problem, ""
        if problem:
            LOG.info("Evidence is kept again; %d pictures were not.", self._dropped)


def _is_ours(path: Path) -> bool:
    """Return whether this store could have written it: nobody else's picture is ever deleted."""
    return SAFE_PATH.fullmatch(f"{path.parent.name}/{path.name}") is not None


def _order(saved_at_s: float) -> float:
    """Return where a time stamp stands: one of a clock that was not set comes last."""
    return saved_at_s if saved_at_s >= EPOCH_S else float("inf")


def _make_shared(folder: Path) -> None:
    """Make a folder if it is missing, and let the readers' group in."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        share_with_readers(folder)


def _look_at(path: Path) -> _Kept | None:
    """Return a picture; None for what is no file, has gone, or lies on a damaged place."""
    try:
        found = path.lstat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    share_with_readers(path)  # a picture of an earlier release
    return _Kept(path, found.st_mtime, found.st_size)
