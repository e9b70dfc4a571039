"""`watch:`: a folder another system drops pictures into; each picture is one numbered part."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_app.cameras.pictures import PICTURE_ENDINGS, NotesTold, load_picture, read_picture
from edge_app.cameras.protocol import CameraInfo
from edge_app.cameras.source_url import parse_source_url
from edge_app.cameras.watch_journal import FileVersion, WatchJournal
from edge_app.errors import CameraUnavailable, ConfigError, FrameCorrupt, FrameTimeout
from edge_app.records import Frame, U8Array

OPTIONS = ("settle_s", "give_up_s")

POLL_S = 0.1
"""Between two looks into the folder. inotify would be quicker, but sees nothing that another
machine writes into a network share."""

LOOK_SHARE = 0.1
"""Scanning may take this share of the time: a folder of thousands is scanned less often."""


@dataclass(slots=True)
class Arriving:
    """A file that is not shown yet: how it looked last, and since when it has looked so."""

    version: FileVersion
    size: int
    since_s: float


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
        self._arriving: dict[str, Arriving] = {}
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
        self._journal = WatchJournal(self._folder, resume_after or 0)
        self._arriving, self._frame_id, self._next_look_s = {}, 0, self._monotonic()

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
        for item in sorted(self._arriving.values(), key=lambda i: i.version.age_key()):
            still_s = now_s - item.since_s
            if still_s < self._settle_s:
                continue
            name = item.version.name
            try:
                loaded = load_picture(self._folder / name)
            except FrameCorrupt as error:
                if still_s < self._give_up_s:
                    continue
                number = journal.add(item.version)
                del self._arriving[name]
                raise FrameCorrupt(str(error), number, name) from error
            number = journal.add(item.version)
            del self._arriving[name]
            self._notes.tell(loaded.notes)
            return self._frame(number, name, loaded.pixels_hwc)
        return None

    def _look(self, journal: WatchJournal) -> None:
        """Bring `_arriving` up to date with the folder."""
        now_s, seen = self._monotonic(), set()
        try:
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
        for gone in set(self._arriving) - seen:
            del self._arriving[gone]

    def _note(self, entry: os.DirEntry[str], journal: WatchJournal, now_s: float) -> None:
        try:
            stat = entry.stat()
        except FileNotFoundError:  # renamed since the folder was listed
            return
        version = FileVersion(entry.name, stat.st_mtime_ns)
        if journal.has(version):
            return
        known = self._arriving.get(entry.name)
        if known is None or (known.version, known.size) != (version, stat.st_size):
            self._arriving[entry.name] = Arriving(version, stat.st_size, now_s)

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
