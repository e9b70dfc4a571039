"""`folder:`: a folder of picture files as a camera; each picture is one numbered part."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from edge_app.cameras.picture_listing import list_pictures
from edge_app.cameras.pictures import NotesTold, load_picture
from edge_app.cameras.protocol import CameraInfo
from edge_app.cameras.source_url import parse_source_url
from edge_app.errors import CameraUnavailable, ConfigError, EndOfStream, FrameCorrupt, FrameTimeout
from edge_app.records import Frame

OPTIONS = ("loop", "recursive", "interval_s")


class FolderCamera:
    """Shows a folder's pictures in natural order, numbered from 1.

    The list is made when the camera is opened: pictures added later are seen after the next open,
    and adding one in the middle moves the numbers behind it. `captured_at_ns` is the time of
    reading: a file's own time is that of its last copy. Implements `protocol.Camera`.
    """

    def __init__(
        self,
        folder: Path | str,
        name: str,
        *,
        loop: bool = False,
        recursive: bool = True,
        interval_s: float = 0.0,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            loop: begin again after the last picture; the numbers go on growing.
            recursive: look into sub-folders as well.
            interval_s: least time between two pictures, to play a line's pace; 0 for none.
        """
        self._folder = Path(folder)
        self._name = name
        self._loop, self._recursive, self._interval_s = loop, recursive, interval_s
        self._wall_ns, self._monotonic, self._sleep = wall_ns, monotonic, sleep
        self._pictures: list[Path] = []
        self._last_number = 0
        self._frame_id = 0
        self._due_s = 0.0
        self._notes = NotesTold(f"camera {name}")

    def open(self, resume_after: int | None = None) -> None:
        self._pictures = list_pictures(self._folder, self._recursive)
        self._last_number = max(0, resume_after or 0)
        self._frame_id = 0
        self._due_s = self._monotonic()

    def read(self, timeout_s: float) -> Frame:
        path = self._next_path()
        self._wait_until_due(timeout_s)
        number, source_name = self._last_number + 1, path.relative_to(self._folder).as_posix()
        try:
            loaded = load_picture(path)
        except FrameCorrupt as error:
            if not self._folder.is_dir():
                raise CameraUnavailable(f"Picture folder {self._folder} has gone.") from error
            self._last_number = number
            raise FrameCorrupt(str(error), number, source_name) from error
        self._notes.tell(loaded.notes)
        self._last_number = number
        self._frame_id += 1
        return Frame(
            camera=self._name,
            frame_id=self._frame_id,
            pixels_hwc=loaded.pixels_hwc,
            captured_at_ns=self._wall_ns(),
            source_number=number,
            source_name=source_name,
        )

    def close(self) -> None:
        self._pictures = []

    def describe(self) -> CameraInfo:
        return CameraInfo(
            url=f"folder:{self._folder}",
            mode="file",
            frame_hw=None,
            is_numbered=True,
            can_resume=True,
        )

    def _next_path(self) -> Path:
        """Return the picture after the last one read."""
        if not self._pictures:
            raise CameraUnavailable(f"Camera {self._name} is closed. Open it before reading.")
        if not self._loop and self._last_number >= len(self._pictures):
            raise EndOfStream(f"Folder {self._folder}: all {len(self._pictures)} pictures shown.")
        return self._pictures[self._last_number % len(self._pictures)]

    def _wait_until_due(self, timeout_s: float) -> None:
        """Keep the interval; a reader that comes late is not made to wait again."""
        wait_s = self._due_s - self._monotonic()
        if wait_s > timeout_s:
            self._sleep(timeout_s)
            raise FrameTimeout(f"Camera {self._name}: the next picture is due in {wait_s:.1f} s.")
        if wait_s > 0:
            self._sleep(wait_s)
        self._due_s = self._monotonic() + self._interval_s


def from_url(url: str, *, name: str) -> FolderCamera:
    """Return the camera of `folder:PATH?loop=0&recursive=1&interval_s=0`.

    Raises:
        ConfigError: no path, an unknown option or a wrong value.
    """
    parsed = parse_source_url(url).allow_options(OPTIONS)
    if not parsed.path:
        raise ConfigError(f"Camera {name}: {url!r} names no folder. Write 'folder:/srv/pictures'.")
    return FolderCamera(
        Path(parsed.path),
        name,
        loop=parsed.flag("loop", False),
        recursive=parsed.flag("recursive", True),
        interval_s=parsed.number("interval_s", 0.0),
    )
