"""Writes evidence pictures after their alerts, and deletes old ones: no frame waits for either.

One thread. It is not among the loops that the watchdog watches: a disk that hangs costs
pictures, which is counted and said, and a restart would cost the inspection as well.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge_app.alerts.evidence import EvidenceStore
from edge_app.records import Evidence, FrameReport, U8Array

MAX_WAITING_BYTES = 128 << 20
"""Frames kept alive for their picture: 34 of 1280 × 1024, 8 of 5 megapixels. Encoding takes 5 to
50 ms each, so only bad parts in a long row, or a hanging disk, fill it."""

PRUNE_EVERY_S = 5.0
"""How often old pictures are looked for."""

PRUNE_STEP = 16
"""Deletions between two looks at the queue: a picture waits for so many at most, 2 to 3 ms on
ext4."""

MAX_SUSPECT_BYTES = MAX_WAITING_BYTES // 4
"""Beyond this much waiting, pictures of suspect parts are dropped: alerts' pictures go first."""

STOP_S = 3.0
"""For the pictures that still wait when the app ends; alerts go out before they do."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture to be written.

    Attributes:
        name: of its part; see `EvidenceStore.save`.
        pixels_hwc: uint8 (h, w, 3) BGR, never written to.
        on_done: called once, with what was kept or None; from another thread, must be quick.
        is_suspect: of a part that is OK but suspect: no alert waits for it.
    """

    name: str
    pixels_hwc: U8Array
    on_done: Callable[[Evidence | None], None]
    is_suspect: bool = False


class PictureTaker(Protocol):
    """Takes pictures to be written some time soon."""

    def offer(self, picture: Picture) -> None:
        """Take a picture or drop it; returns at once."""


class EvidenceWorker:
    """Owns the store: nobody else saves or prunes.

    Args:
        store: where pictures go.
        max_waiting_bytes: further pictures are dropped, unless none waits.
    """

    def __init__(self, store: EvidenceStore, max_waiting_bytes: int = MAX_WAITING_BYTES) -> None:
        self._store = store
        self._max_bytes = max_waiting_bytes
        self._max_suspect_bytes = min(max_waiting_bytes, MAX_SUSPECT_BYTES)
        self._waiting: deque[tuple[Picture, int]] = deque()
        self._waiting_bytes = 0
        self._is_busy = self._is_stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)

    def start(self) -> None:
        """Begin writing; pictures offered before wait."""
        self._thread.start()

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Write what waits, drop what takes longer, and end."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        while (picture := self._next()) is not None:
            self._drop(picture, "the app was stopped before the picture was written")

    @property
    def is_idle(self) -> bool:
        """No picture waits and none is being written."""
        with self._changed:
            return not self._waiting and not self._is_busy

    def offer(self, picture: Picture) -> None:
        """Take a picture; drop it where too many wait. Its alert is safe either way."""
        limit = self._max_suspect_bytes if picture.is_suspect else self._max_bytes
        with self._changed:
            cost = self._cost(picture)
            has_room = not self._waiting or self._waiting_bytes + cost <= limit
            if has_room and not self._is_stopping:
                self._waiting.append((picture, cost))
                self._waiting_bytes += cost
                self._changed.notify()
                return
        self._drop(picture, "bad parts come faster than their pictures can be written")

    def offer_suspects(self, report: FrameReport) -> None:
        """Take the pictures of the suspect parts that left with a frame."""
        for suspect in report.suspects:
            name, pixels = suspect.verdict.part_id, suspect.frame.pixels_hwc
            self.offer(Picture(name, pixels, lambda _: None, is_suspect=True))

    def _cost(self, picture: Picture) -> int:
        """Return the memory a picture keeps: several parts of one frame share theirs."""
        last = self._waiting[-1][0] if self._waiting else None
        is_shared = last is not None and last.pixels_hwc is picture.pixels_hwc
        return 0 if is_shared else picture.pixels_hwc.nbytes

    def _drop(self, picture: Picture, why: str) -> None:
        self._drop_of(picture)(why)
        picture.on_done(None)

    def _drop_of(self, picture: Picture) -> Callable[[str], None]:
        return self._store.drop_suspect if picture.is_suspect else self._store.drop

    def _next(self, wait_s: float = 0.0) -> Picture | None:
        """Take the oldest picture, or None if none came in time or it is time to stop."""
        with self._changed:
            self._is_busy = False
            self._changed.wait_for(lambda: bool(self._waiting) or self._is_stopping, wait_s)
            if not self._waiting:
                return None
            picture, cost = self._waiting.popleft()
            self._waiting_bytes -= cost
            self._is_busy = True
            return picture

    def _run(self) -> None:
        prune_at_s = 0.0
        while True:
            picture = self._next(max(0.0, prune_at_s - time.monotonic()))
            if picture is not None:
                self._write(picture)
            elif self._is_stopping:
                return
            elif self._store.prune(PRUNE_STEP) < PRUNE_STEP:
                prune_at_s = time.monotonic() + PRUNE_EVERY_S

    def _write(self, picture: Picture) -> None:
        evidence = None
        try:
            save = self._store.save_suspect if picture.is_suspect else self._store.save
            evidence = save(picture.name, picture.pixels_hwc)
        except Exception as error:  # the pictures after this one must not be lost to it
            _log.exception("writing the picture of %s failed", picture.name)
            self._drop_of(picture)(str(error))
        try:
            picture.on_done(evidence)
        except Exception:
            _log.exception("the picture of %s did not reach its alert", picture.name)
