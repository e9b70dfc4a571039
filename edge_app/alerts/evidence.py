"""Evidence pictures on the device's disk: written whole or not at all, oldest deleted first.

Pictures of suspect parts lie among them, have no alert, and never take more than a share of the
size: nobody waits for them, and an alert's picture must not go for their sake.

Which picture goes next is `evidence_index.py`'s; size is always kept.

An alert never fails because of its picture: every failure here ends in `None`, a count in `stats()`
and one warning in the log. Pictures are renamed into place but not flushed to
the platter: after a power cut the last ones may be missing, and the alert's sha256 tells.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edge_app.alerts.evidence_files import SAFE_PATH, encode_jpeg, picture_at, safe_name
from edge_app.alerts.evidence_index import SUSPECT, EvidenceIndex, Kept
from edge_app.errors import ConfigError
from edge_app.host.age_clock import AgeClock
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
        self._index = EvidenceIndex(self._clock)
        self._write = write
        self._lock = threading.Lock()
        self._dropped = self._suspects_dropped = 0
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
        kept_bytes = self._index.counts.suspect_bytes
        excess = kept_bytes + len(data) - int(SUSPECT_SHARE * self._max_bytes)
        self._index.free(excess, (self._index.suspects,))
        return self._store(name, data, is_suspect=True)

    def prune(self, at_most: int | None = None) -> int:
        """Delete what is over age or size now, the oldest first; return how many went."""
        if not self._is_listed:
            self._open()
        self._index.stamp_anew()
        return self._expire(0, self._index.counts.count if at_most is None else at_most)

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
        found = self._index.counts
        with self._lock:
            return EvidenceStats(
                found.count,
                found.bytes,
                self._dropped,
                found.deleted,
                self._problem,
                found.suspects,
                self._suspects_dropped,
            )

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
        self._index.take_in_all(kept)
        self._expire(0, limit=len(kept))

    def _store(self, name: str, data: bytes, is_suspect: bool = False) -> Evidence | None:
        now_s = self._clock.wall_s()
        if not self._is_listed:
            self._open()
        self._expire(len(data), MAX_DELETIONS_PER_SAVE)
        try:
            path = self._free_path(safe_name(name) + (SUSPECT if is_suspect else ""), now_s)
            self._write_making_room(path, data, is_suspect)
        except OSError as error:
            drop = self.drop_suspect if is_suspect else self.drop
            drop(f"the disk refused a picture ({error.strerror or error})")
            return None
        with suppress(OSError):
            os.utime(path, (now_s, now_s))
        self._index.take_in(Kept(path, now_s, len(data), self._clock.steady_s()))
        self._recover()
        url = f"{self._base_url}/evidence/{path.parent.name}/{path.name}"
        return Evidence(url, hashlib.sha256(data).hexdigest())

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
        index = self._index
        queues = (index.suspects,) if is_suspect else (index.suspects, index.alerts)
        while True:
            try:
                _make_shared(path.parent)
                return self._write(path, data)
            except OSError as error:
                if error.errno not in DISK_FULL or not index.free(len(data), queues):
                    raise

    def _expire(self, incoming_bytes: int, limit: int) -> int:
        return self._index.expire(incoming_bytes, self._max_bytes, self._max_age_s, limit)

    def _recover(self) -> None:
        with self._lock:
            problem, self._problem = self._problem, ""
        if problem:
            LOG.info("Evidence is kept again; %d pictures were not.", self._dropped)


def _is_ours(path: Path) -> bool:
    """Return whether this store could have written it: nobody else's picture is ever deleted."""
    return SAFE_PATH.fullmatch(f"{path.parent.name}/{path.name}") is not None


def _make_shared(folder: Path) -> None:
    """Make a folder if it is missing, and let the readers' group in."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        share_with_readers(folder)


def _look_at(path: Path) -> Kept | None:
    """Return a picture; None for what is no file, has gone, or lies on a damaged place."""
    try:
        found = path.lstat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    share_with_readers(path)  # a picture of an earlier release
    return Kept(path, found.st_mtime, found.st_size)
