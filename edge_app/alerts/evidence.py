"""Evidence pictures on the device's disk: written whole or not at all, oldest deleted first.

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
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import cv2

from edge_app.errors import ConfigError
from edge_app.records import Evidence, U8Array

LOG = logging.getLogger(__name__)

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
MAX_NAME_CHARS = 120
MAX_DELETIONS_PER_SAVE = 64
"""Enough to catch up after an idle night within minutes; bounds one save's time."""

_SAFE_PATH = re.compile(r"\d{4}-\d{2}-\d{2}/[A-Za-z0-9_][A-Za-z0-9._-]*\.jpg")


@dataclass(frozen=True, slots=True)
class EvidenceStats:
    """What the store holds and what it lost since it was opened.

    Attributes:
        count: pictures on disk.
        bytes: their size together.
        dropped: pictures that could not be kept; their alerts went out without one.
        expired: pictures deleted for age, size or want of disk space.
        problem: the latest failure in plain words, "" when the last save worked.
    """

    count: int
    bytes: int
    dropped: int
    expired: int
    problem: str


@dataclass(frozen=True, slots=True)
class _Kept:
    path: Path
    saved_at_s: float
    length: int  # bytes


Write = Callable[[Path, bytes], None]


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is either there completely or not at all.

    Raises:
        OSError: the disk is full, read-only or broken; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(data)
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
        clock_s: Callable[[], float] = time.time,
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
            clock_s: seconds since the epoch.
            write: how bytes reach the disk.

        Raises:
            ConfigError: a limit makes no sense, or the folder cannot be made or read.
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
        self._clock_s = clock_s
        self._write = write
        self._lock = threading.Lock()
        self._kept: deque[_Kept] = deque()
        self._bytes = self._dropped = self._expired = 0
        self._problem = ""
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

    def prune(self, at_most: int | None = None) -> int:
        """Delete what is over age or size now, the oldest first; return how many went."""
        return self._expire(0, len(self._kept) if at_most is None else at_most)

    def drop(self, problem: str) -> None:
        """Count a picture that is not kept, and say why: at first as a warning."""
        with self._lock:
            self._dropped += 1
            level = logging.DEBUG if self._problem else logging.WARNING
            self._problem = problem
        LOG.log(level, "Evidence not kept, the alert goes out without a picture: %s.", problem)

    def stats(self) -> EvidenceStats:
        """Return what the store holds and what it lost."""
        with self._lock:
            return EvidenceStats(
                len(self._kept), self._bytes, self._dropped, self._expired, self._problem
            )

    def path_of(self, url_path: str) -> Path | None:
        """Return the file behind "{date}/{name}.jpg", or None if that is no picture kept here.

        Only names that this store could have written are accepted, so no "..", absolute path,
        link or hidden file leads out of the folder.
        """
        if not _SAFE_PATH.fullmatch(url_path):
            return None
        path = self._folder / url_path
        if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
            return None
        return path

    def _open(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            kept = [_look_at(path) for path in self._folder.glob("*/*.jpg") if _is_ours(path)]
            for unfinished in self._folder.glob("*/.*.part"):
                unfinished.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigError(
                f"The evidence folder {self._folder} cannot be used: {error.strerror}. "
                "Make it writable for the service's user, or name another."
            ) from error
        self._kept.extend(sorted(kept, key=lambda k: (k.saved_at_s, k.path.name)))
        self._bytes = sum(k.length for k in kept)
        self._expire(0, limit=len(kept))

    def _store(self, name: str, data: bytes) -> Evidence | None:
        now_s = self._clock_s()
        self._expire(len(data), MAX_DELETIONS_PER_SAVE)
        try:
            path = self._free_path(name, now_s)
            self._write_making_room(path, data)
        except OSError as error:
            self.drop(f"the disk refused a picture ({error.strerror or error})")
            return None
        with suppress(OSError):
            os.utime(path, (now_s, now_s))
        with self._lock:
            self._kept.append(_Kept(path, now_s, len(data)))
            self._bytes += len(data)
        self._recover()
        url = f"{self._base_url}/evidence/{path.parent.name}/{path.name}"
        return Evidence(url, hashlib.sha256(data).hexdigest())

    def _free_path(self, name: str, now_s: float) -> Path:
        """Return an unused path in the day's folder, which is made if missing."""
        day = datetime.fromtimestamp(now_s, timezone.utc).strftime("%Y-%m-%d")
        stem = safe_name(name)
        path, copies = self._folder / day / f"{stem}.jpg", 1
        while path.exists():
            copies += 1
            path = path.with_name(f"{stem}-{copies}.jpg")
        return path

    def _write_making_room(self, path: Path, data: bytes) -> None:
        """Write; while the disk is full delete the oldest pictures and try again.

        Raises:
            OSError: another fault, or still full with nothing left to delete.
        """
        while True:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                return self._write(path, data)
            except OSError as error:
                if error.errno not in DISK_FULL or not self._kept:
                    raise
                self._free(len(data))

    def _free(self, wanted_bytes: int) -> None:
        freed = 0
        while self._kept and freed < wanted_bytes:
            freed += self._delete_oldest()

    def _expire(self, incoming_bytes: int, limit: int) -> int:
        oldest_s = self._clock_s() - self._max_age_s
        for deleted in range(limit):
            is_over = self._bytes + incoming_bytes > self._max_bytes
            if not self._kept or not (is_over or self._kept[0].saved_at_s < oldest_s):
                return deleted
            self._delete_oldest()
        return limit

    def _delete_oldest(self) -> int:
        """Forget the oldest picture, delete its file and its folder once empty."""
        with self._lock:  # never while the disk works
            oldest = self._kept.popleft()
            self._bytes -= oldest.length
            self._expired += 1
        try:
            oldest.path.unlink(missing_ok=True)
        except OSError as error:
            LOG.warning("Evidence %s cannot be deleted: %s", oldest.path.name, error.strerror)
        if not self._kept or self._kept[0].path.parent != oldest.path.parent:
            with suppress(OSError):
                oldest.path.parent.rmdir()
        return oldest.length

    def _recover(self) -> None:
        with self._lock:
            problem, self._problem = self._problem, ""
        if problem:
            LOG.info("Evidence is kept again; %d pictures were not.", self._dropped)


def _is_ours(path: Path) -> bool:
    """Return whether this store could have written it: nobody else's picture is ever deleted."""
    return _SAFE_PATH.fullmatch(f"{path.parent.name}/{path.name}") is not None


def _look_at(path: Path) -> _Kept:
    return _Kept(path, path.lstat().st_mtime, path.lstat().st_size)


def safe_name(name: str) -> str:
    """Return a file name stem made of letters, digits, '.', '_' and '-' only, never hidden."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:MAX_NAME_CHARS]
    return stem if stem[:1].isalnum() or stem[:1] == "_" else f"_{stem}"


def encode_jpeg(pixels_hwc: U8Array, quality: int) -> bytes | None:
    """Return a picture as JPEG bytes, or None if it is no picture JPEG can hold."""
    try:
        is_done, data = cv2.imencode(".jpg", pixels_hwc, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error:
        return None
    return data.tobytes() if is_done else None
