"""`watch:`: a folder another system drops pictures into; each picture is one numbered part."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from edge_app.cameras.pictures import PICTURE_ENDINGS, NotesTold, load_picture, read_picture
from edge_app.cameras.protocol import CameraInfo
from edge_app.cameras.source_url import parse_source_url
from edge_app.cameras.watch_journal import FileVersion, WatchJournal
from edge_app.errors import CameraUnavailable, ConfigError, FrameCorrupt, FrameTimeout
from edge_app.records import Frame, U8Array

OPTIONS = ("settle_s", "give_up_s")

log = logging.getLogger(__name__)

FSTAB = Path("/etc/fstab")

MAX_TOLD = 1000
"""Names that are said to be left out; further ones are left out without a word."""

POLL_S = 0.1
"""Between two looks into the folder. inotify would be quicker, but sees nothing that another
machine writes into a network share."""

LOOK_SHARE = 0.1
"""Scanning may take this share of the time: a folder of thousands is scanned less often."""


YOUNG_S = 3.0
"""A file that has looked the same for less than this is read again at every look: on some file
systems two contents within two seconds have the same time."""

READ_AT_OPENING = 16
"""Of the newest files that the journal knows, the contents are compared when it is opened."""

Looks = tuple[int, int, int, int]
"""A file's time, size, inode and time of change: cheap to see, and enough for most rewritings."""


@dataclass(slots=True)
class Seen:
    """How a file looked last, and since when it has looked so.

    Attributes:
        is_shown: this content has its number already.
    """

    version: FileVersion
    looks: Looks
    since_s: float
    is_shown: bool = False


class WatchCamera:
    """Shows pictures as they are completed, oldest first. Implements `protocol.Camera`.

    A file is complete when its size and time have stood still for `settle_s` and it decodes; one
    that stands still for `give_up_s` without decoding is a part that nobody can inspect. A file
    written again under the same name is a new part. What was shown is kept in a journal in the
    folder, so that after a crash no picture is shown twice and none is left out.

    Args:
        folder: what is watched; sub-folders, hidden files and other endings are not.
        settle_s: how long a file has to stand still.
        give_up_s: when a file that cannot be read counts as damaged.
    """

    def __init__(
        self,
        folder: Path | str,
        name: str,
        *,
        settle_s: float = 0.3,
        give_up_s: float = 10.0,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._folder, self._name = Path(folder), name
        self._settle_s, self._give_up_s = settle_s, max(settle_s, give_up_s)
        self._wall_ns, self._monotonic, self._sleep = wall_ns, monotonic, sleep
        self._journal: WatchJournal | None = None
        self._files: dict[str, Seen] = {}
        self._told: set[str] = set()
        self._folder_id = (0, 0)
        self._was_mount = False
        self._notes = NotesTold(f"camera {name}")
        self._next_look_s = 0.0
        self._frame_id = 0

    def open(self, resume_after: int | None = None) -> None:
        self.close()
        if not self._folder.is_dir():
            raise CameraUnavailable(
                f"Camera {self._name}: the folder {self._folder} is not there. Make it, or mount "
                "the share it lies on."
            )
        self._refuse_unmounted()
        self._folder_id = self._id_of_folder()
        self._journal = WatchJournal(self._folder, resume_after or 0)
        self._files, self._frame_id, self._next_look_s = {}, 0, self._monotonic()

    def read(self, timeout_s: float) -> Frame:
        if self._journal is None:
            raise CameraUnavailable(f"Camera {self._name} is closed. Open it before reading.")
        until_s = self._monotonic() + timeout_s
        again = self._journal.next_unfinished()
        if again is not None:
            number, version = again
            return self._frame(number, version.name, self._pixels_again(number, version))
        while True:
            frame = self._next_complete(self._journal)
            if frame is not None:
                return frame
            left_s = until_s - self._monotonic()
            if left_s <= 0:
                raise FrameTimeout(f"Camera {self._name}: no new picture in {self._folder}.")
            self._sleep(min(POLL_S, left_s))

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def describe(self) -> CameraInfo:
        return CameraInfo(f"watch:{self._folder}", "file", None, True, True)

    def _next_complete(self, journal: WatchJournal) -> Frame | None:
        """Return the oldest new file that is complete, or None; a damaged one is raised."""
        now_s = self._monotonic()
        if now_s >= self._next_look_s:
            self._look(journal)
            took_s = self._monotonic() - now_s
            self._next_look_s = now_s + max(POLL_S, took_s / LOOK_SHARE)
        waiting = [seen for seen in self._files.values() if not seen.is_shown]
        for item in sorted(waiting, key=lambda i: i.version.age_key()):
            still_s = now_s - item.since_s
            if still_s < self._settle_s:
                continue
            name = item.version.name
            try:
                version = replace(item.version, digest=self._digest(name))
                if journal.has(version):  # touched, moved away and back: nothing new in it
                    item.is_shown, item.version = True, version
                    continue
                loaded = load_picture(self._folder / name)
            except (OSError, FrameCorrupt) as error:
                if still_s < self._give_up_s:
                    continue
                item.is_shown = True
                why = str(error) if isinstance(error, FrameCorrupt) else _why(name, error)
                raise FrameCorrupt(why, journal.add(item.version), name) from error
            number = journal.add(version)
            item.is_shown, item.version = True, version
            self._notes.tell(loaded.notes)
            return self._frame(number, name, loaded.pixels_hwc)
        return None

    def _look(self, journal: WatchJournal) -> None:
        """Bring `_files` up to date with the folder; what cannot be looked at is said once."""
        now_s, seen = self._monotonic(), set()
        try:
            if self._id_of_folder() != self._folder_id:
                raise CameraUnavailable(
                    f"Camera {self._name}: {self._folder} is another folder now: a share was "
                    "mounted over it or unmounted, or the folder was replaced."
                )
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    is_picture = entry.name.lower().endswith(PICTURE_ENDINGS)
                    if is_picture and not entry.name.startswith("."):
                        seen.add(entry.name)
                        self._note(entry, journal, now_s)
        except OSError as error:
            raise CameraUnavailable(
                f"Camera {self._name}: the folder {self._folder} cannot be read any more: "
                f"{error.strerror}. Mount it again."
            ) from error
        for gone in set(self._files) - seen:
            del self._files[gone]

    def _note(self, entry: os.DirEntry[str], journal: WatchJournal, now_s: float) -> None:
        try:
            found = entry.stat()
        except FileNotFoundError:  # renamed since the folder was listed
            return
        except OSError as error:  # a link in a circle, or into a place that nobody may read
            self._leave_out(entry.name, error.strerror or str(error))
            return
        if not stat.S_ISREG(found.st_mode):
            self._leave_out(entry.name, "it is no file but a folder, pipe, socket or device")
            return
        looks = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns)
        known = self._files.get(entry.name)
        if known is not None and known.looks == looks:
            if known.is_shown and now_s - known.since_s < YOUNG_S:
                self._compare(known, journal)
            return
        version = FileVersion(entry.name, found.st_mtime_ns, found.st_size)
        self._files[entry.name] = Seen(version, looks, now_s)
        if known is None and journal.has(version):  # of an earlier run
            self._files[entry.name].is_shown = not journal.is_new(version, READ_AT_OPENING)

    def _compare(self, known: Seen, journal: WatchJournal) -> None:
        """Read a file that looks as before again, while it may have been written just now."""
        try:
            version = replace(known.version, digest=self._digest(known.version.name))
        except OSError:  # gone meanwhile, as the next look will show
            return
        if version != known.version and not journal.has(version):
            known.is_shown = False

    def _digest(self, name: str) -> str:
        """Return the digest of a whole file, hexadecimal.

        Raises:
            OSError: it cannot be read.
        """
        digest = hashlib.blake2b(digest_size=16)
        with (self._folder / name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    def _leave_out(self, name: str, why: str) -> None:
        if name not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(name)
            log.warning("camera %s: %s", self._name, _why(name, why))

    def _id_of_folder(self) -> tuple[int, int]:
        found = self._folder.stat()
        return found.st_dev, found.st_ino

    def _refuse_unmounted(self) -> None:
        """Raise where a share should be and only its empty mount point is."""
        is_mount = os.path.ismount(self._folder)
        if not is_mount and (self._was_mount or _is_to_be_mounted(self._folder)):
            raise CameraUnavailable(
                f"Camera {self._name}: the share at {self._folder} is not mounted. Mount it."
            )
        self._was_mount = is_mount

    def _pixels_again(self, number: int, version: FileVersion) -> U8Array:
        """Return a picture that was shown before the crash and judged by nobody."""
        try:
            return read_picture(self._folder / version.name)
        except FrameCorrupt as error:
            raise FrameCorrupt(str(error), number, version.name) from error

    def _frame(self, number: int, source_name: str, pixels_hwc: U8Array) -> Frame:
        self._frame_id += 1
        return Frame(
            camera=self._name,
            frame_id=self._frame_id,
            pixels_hwc=pixels_hwc,
            captured_at_ns=self._wall_ns(),
            source_number=number,
            source_name=source_name,
        )


def _why(name: str, why: object) -> str:
    if isinstance(why, OSError):
        why = why.strerror or str(why)
    return f"Picture {name} cannot be used: {why}. Replace or remove it."


def _is_to_be_mounted(folder: Path, table: Path = FSTAB) -> bool:
    """Tell whether the system's table of mounts names this folder."""
    try:
        lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    fields = [line.split() for line in lines if not line.lstrip().startswith("#")]
    points = {f[1].replace("\\040", " ").rstrip("/") for f in fields if len(f) > 1}
    return str(folder.absolute()) in points


def from_url(url: str, *, name: str) -> WatchCamera:
    """Return the camera of `watch:PATH?settle_s=0.3&give_up_s=10`.

    Raises:
        ConfigError: no path, an unknown option or a wrong value.
    """
    parsed = parse_source_url(url).allow_options(OPTIONS)
    if not parsed.path:
        raise ConfigError(f"Camera {name}: {url!r} names no folder. Write 'watch:/srv/drop'.")
    settle_s, give_up_s = parsed.number("settle_s", 0.3), parsed.number("give_up_s", 10.0)
    return WatchCamera(Path(parsed.path), name, settle_s=settle_s, give_up_s=give_up_s)
