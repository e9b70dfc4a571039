"""Evidence pictures on the device's disk: written whole or not at all, oldest deleted first.

Pictures without an alert (of suspect parts, near misses, parts that were not inspected, and a
random sample) lie among the alerts' and never take more than a share of the size: nobody waits for
them, and an alert's picture must not go for their sake. Each has a sidecar that says what it shows,
and the upright crop, which stays when the frame goes.

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
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from edge_app.alerts.evidence_files import (
    Kind,
    crop_of,
    encode_jpeg,
    encode_map,
    map_of,
    picture_at,
    reason_of,
    safe_name,
    sidecar_of,
    suffix_of,
)
from edge_app.alerts.evidence_index import EvidenceIndex, Kept
from edge_app.alerts.evidence_listing import kept_in
from edge_app.alerts.keep_limits import SHARES, KeepLimits
from edge_app.alerts.sidecar import PictureFacts, PictureFiles, size_of
from edge_app.errors import ConfigError
from edge_app.host.age_clock import AgeClock
from edge_app.host.file_ownership import share_with_readers
from edge_app.records import Evidence, KeepReason, U8Array
from edge_app.store.free_space import check_room

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

GO_FIRST: tuple[Kind | Literal["crops"], ...] = ("surplus", *SHARES, "crops")
"""On a full disk, before an alert's picture."""


@dataclass(frozen=True, slots=True)
class EvidenceStats:
    """What the store holds and what it lost since it was opened.

    Attributes:
        count: frames on disk.
        bytes: the size of all files together.
        dropped: pictures that could not be kept; their alerts went out without one.
        expired: frames deleted for age, size or want of disk space.
        problem: the latest failure in plain words, "" when the last save worked.
        suspects: those of suspect parts among them.
        suspects_dropped: pictures of suspect parts that were not kept.
        frames: by what they are kept for; `surplus`: of bad parts, beyond their number.
        crops: crops whose frames have gone.
        not_kept: pictures without an alert that were not kept, by reason.
    """

    count: int
    bytes: int
    dropped: int
    expired: int
    problem: str
    suspects: int = 0
    suspects_dropped: int = 0
    frames: dict[str, int] = field(default_factory=dict)
    crops: int = 0
    not_kept: dict[str, int] = field(default_factory=dict)


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
        limits: KeepLimits | None = None,
    ) -> None:
        """Open or create the store and delete what is already over its limits.

        Args:
            folder: made if missing; belongs to this store alone.
            max_age_h: frames older than this are deleted.
            max_bytes: all files together stay below this.
            jpeg_quality: 1..100.
            base_url: where the page is reached, e.g. "http://10.0.0.5:8080"; pictures are at
                {base_url}/evidence/{date}/{name}.jpg.
            clock: for time stamps and ages; None takes the machine's.
            write: how bytes reach the disk.
            limits: of each kind of picture, and of the crops.

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
        self._limits = limits or KeepLimits()
        self._lock = threading.Lock()
        self._dropped = 0
        self._not_kept: Counter[str] = Counter()
        self._problem = ""
        self._is_listed = False
        self._open()

    def save(
        self,
        name: str,
        pixels_hwc: U8Array,
        reason: KeepReason = "ng",
        facts: PictureFacts | None = None,
    ) -> Evidence | None:
        """Keep a picture and return where it can be fetched and what its bytes hash to.

        A picture without an alert is kept up to the number of its kind, in place of older ones of
        that kind if need be.

        Args:
            name: part or alarm id; anything but letters, digits, '.', '_' and '-' becomes '_'.
                The same name twice makes two pictures: an alert's hash stays true.
            pixels_hwc: uint8 (h, w, 3) BGR or (h, w) grey.
            reason: why; where enough of these were kept, the others in `facts` count.
            facts: for its sidecar, with the crop; None: it has neither.

        Returns:
            None when it was not kept; never raises.
        """
        reasons = (reason, *(() if facts is None else facts.reasons))
        kind = next((found for r in reasons if (found := self._kind_now(r))), None)
        if kind is None:
            self._count(reason)
            return None
        data = encode_jpeg(pixels_hwc, self._jpeg_quality)
        if data is None:
            self.drop(f"the picture of {name} could not be encoded as JPEG", reason)
            return None
        files = PictureFiles(
            data, size_of(pixels_hwc), facts, self._crop_data(facts), _map_data(facts)
        )
        reason = reason_of(kind)
        share = SHARES.get(reason, 1.0) * self._max_bytes
        if files.estimate > share:
            self.drop(
                f"a picture of {len(data)} bytes is larger than the whole store may be "
                f"({int(share)}); raise the evidence size limit",
                reason,
            )
            return None
        if reason != "ng":
            self._index.trim(kind, share - files.estimate)
        return self._store(name, kind, files)

    def counted(self, reasons: tuple[KeepReason, ...]) -> tuple[KeepReason, ...]:
        """Return the reasons that count for a picture that is saved now.

        A drawn part is in the sample only while every drawn part would be, whatever its verdict: a
        bad one's picture is kept for its alert when a good one's is not any more.
        """
        is_over = "random" in reasons and self._kind_now("random") is None
        return not_drawn(reasons) if is_over else reasons

    def _kind_now(self, reason: KeepReason) -> Kind | None:
        """Return what a picture counts as; None where enough of its kind were kept."""
        limits = self._limits
        is_full = self._index.has_had(reason, limits.per_hour[reason], limits.per_day[reason])
        if reason == "ng":
            return "surplus" if is_full else "ng"
        return None if is_full else reason

    def _crop_data(self, facts: PictureFacts | None) -> bytes | None:
        if facts is None or facts.crop is None:
            return None
        return encode_jpeg(facts.crop.pixels_hwc, self._jpeg_quality)

    def prune(self, at_most: int | None = None) -> int:
        """Delete what is over age or size now, the oldest first; return how many went."""
        if not self._is_listed:
            self._open()
        self._index.stamp_anew()
        return self._expire(0, self._index.counts.files if at_most is None else at_most)

    def drop(self, problem: str, reason: KeepReason = "ng") -> None:
        """Count a picture that is not kept; of an alert's say why, at first as a warning."""
        if reason != "ng":
            self._count(reason)
            LOG.debug("A picture without an alert (%s) is not kept: %s.", reason, problem)
            return
        with self._lock:
            self._dropped += 1
        self._note(f"the alert goes out without a picture: {problem}")

    def _count(self, reason: KeepReason) -> None:
        with self._lock:
            self._not_kept[reason] += 1

    def _note(self, problem: str) -> None:
        with self._lock:
            level = logging.DEBUG if self._problem else logging.WARNING
            self._problem = problem
        LOG.log(level, "Evidence not kept, %s.", problem)

    def stats(self) -> EvidenceStats:
        """Return what the store holds and what it lost."""
        found = self._index.counts
        with self._lock:
            return EvidenceStats(
                sum(found.frames.values()),
                found.bytes,
                self._dropped,
                found.deleted,
                self._problem,
                found.frames["suspect"],
                self._not_kept["suspect"],
                {str(kind): count for kind, count in found.frames.items()},
                found.crops,
                dict(self._not_kept),
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
            kept = kept_in(self._folder)
        except OSError as error:
            if error.errno in PASSING:
                self._note(f"the evidence folder cannot be used ({error.strerror})")
                return
            raise ConfigError(
                f"The evidence folder {self._folder} cannot be used: {error.strerror}. "
                "Make it writable for the service's user, or name another."
            ) from error
        self._is_listed = True
        self._index.take_in_all(kept)
        self._expire(0, limit=2 * len(kept))

    def _store(self, name: str, kind: Kind, files: PictureFiles) -> Evidence | None:
        now_s = self._clock.wall_s()
        if not self._is_listed:
            self._open()
        self._expire(files.estimate, MAX_DELETIONS_PER_SAVE)
        try:
            path = self._free_path(safe_name(name) + suffix_of(kind), now_s)
            kept = self._write_all(path, kind, files, now_s)
        except OSError as error:
            self.drop(f"the disk refused a picture ({error.strerror or error})", reason_of(kind))
            return None
        self._index.take_in(kept)
        self._recover()
        url = f"{self._base_url}/evidence/{path.parent.name}/{path.name}"
        return Evidence(url, hashlib.sha256(files.frame).hexdigest())

    def _write_all(self, path: Path, kind: Kind, files: PictureFiles, now_s: float) -> Kept:
        """Write sidecar, crop, map and frame: the frame last, it is never without its sidecar.

        Raises:
            OSError: one of them cannot be written; none is left.
        """
        named = files.named(path, self._limits.sample_share)
        try:
            for file, data in named.items():
                self._write_making_room(file, data, kind)
                with suppress(OSError):
                    os.utime(file, (now_s, now_s))
        except OSError:
            for file in named:
                with suppress(OSError):
                    file.unlink(missing_ok=True)
            raise
        crop, notes = (len(named.get(of(path), b"")) for of in (crop_of, sidecar_of))
        notes += len(named.get(map_of(path), b""))
        steady_s = self._clock.steady_s()
        return Kept(path, now_s, len(named[path]), steady_s, crop, notes)

    def _free_path(self, stem: str, now_s: float) -> Path:
        """Return an unused path in the day's folder, which is made if missing."""
        day = datetime.fromtimestamp(now_s, timezone.utc).strftime("%Y-%m-%d")
        path, copies = self._folder / day / f"{stem}.jpg", 1
        while path.exists() or crop_of(path).exists() or sidecar_of(path).exists():
            copies += 1
            path = path.with_name(f"{stem}-{copies}.jpg")
        return path

    def _write_making_room(self, path: Path, data: bytes, kind: Kind) -> None:
        """Write; while the disk is full delete the oldest pictures and try again: those without an
        alert first, and for one of those none but its own kind.

        Raises:
            OSError: another fault, or still full with nothing left to delete.
        """
        is_alert = reason_of(kind) == "ng"
        while True:
            try:
                _make_shared(path.parent)
                check_room(path.parent, len(data))
                return self._write(path, data)
            except OSError as error:
                room = (*GO_FIRST, "ng") if kind == "ng" else GO_FIRST if is_alert else (kind,)
                if error.errno not in DISK_FULL or not self._index.free(len(data), room):
                    raise

    def _expire(self, incoming_bytes: int, limit: int) -> int:
        return self._index.expire(
            incoming_bytes,
            self._max_bytes,
            self._max_age_s,
            limit,
            self._limits.crop_max_age_h * 3600,
        )

    def _recover(self) -> None:
        with self._lock:
            problem, self._problem = self._problem, ""
        if problem:
            LOG.info("Evidence is kept again; %d pictures were not.", self._dropped)


def not_drawn(reasons: tuple[KeepReason, ...]) -> tuple[KeepReason, ...]:
    """Return the reasons without that of the sample."""
    return tuple(reason for reason in reasons if reason != "random")


def _map_data(facts: PictureFacts | None) -> tuple[bytes, float] | None:
    if facts is None or facts.crop is None or facts.crop.map_hw is None:
        return None
    return encode_map(facts.crop.map_hw)


def _make_shared(folder: Path) -> None:
    """Make a folder if it is missing, and let the readers' group in."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        share_with_readers(folder)
