"""Writes evidence pictures after their alerts, and deletes old ones: no frame waits for either.

One thread. It is not among the loops that the watchdog watches: a disk that hangs costs
pictures, which is counted and said, and a restart would cost the inspection as well.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Protocol

from edge_app.alerts.evidence import EvidenceStore, not_drawn
from edge_app.alerts.sidecar import PictureFacts
from edge_app.imaging.camera_calibration import Geometry
from edge_app.records import Evidence, FrameReport, KeepReason, PartVerdict, U8Array, UprightCrop

MAX_WAITING_BYTES = 128 << 20
"""Frames kept alive for their picture: 34 of 1280 × 1024, 8 of 5 megapixels. Encoding takes 5 to
50 ms each, so only bad parts in a long row, or a hanging disk, fill it."""

PRUNE_EVERY_S = 5.0
"""How often old pictures are looked for."""

PRUNE_STEP = 16
"""Deletions between two looks at the queue: a picture waits for so many at most, 2 to 3 ms on
ext4."""

MAX_OTHER_BYTES = MAX_WAITING_BYTES // 4
"""Beyond this much waiting, pictures without an alert are dropped: alerts' pictures go first."""

STOP_S = 3.0
"""For the pictures that still wait when the app ends; alerts go out before they do."""

_log = logging.getLogger(__name__)


OnDone = Callable[[Evidence | None, tuple[KeepReason, ...]], None]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture to be written.

    Attributes:
        name: of its part; see `EvidenceStore.save`.
        pixels_hwc: uint8 (h, w, 3) BGR, never written to.
        on_done: called once, with what was kept or None, and the reasons that counted; from another
            thread, must be quick.
        reason: why it is kept; only for "ng" an alert waits.
        facts: for its sidecar.
    """

    name: str
    pixels_hwc: U8Array
    on_done: OnDone
    reason: KeepReason = "ng"
    facts: PictureFacts | None = None

    @property
    def has_alert(self) -> bool:
        """Tell whether an alert waits for it."""
        return self.reason == "ng"


OnKept = Callable[[PartVerdict, tuple[KeepReason, ...], Evidence], None]
"""Gets a part whose picture was kept without an alert, why, and the picture."""


class PictureTaker(Protocol):
    """Takes pictures to be written some time soon."""

    def offer(self, picture: Picture) -> None:
        """Take a picture or drop it; returns at once."""


class EvidenceWorker:
    """Owns the store: nobody else saves or prunes.

    Args:
        store: where pictures go.
        max_waiting_bytes: further pictures are dropped, unless none waits.
        geometries: camera → its calibration, for defects in millimetres.
    """

    def __init__(
        self,
        store: EvidenceStore,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        geometries: Mapping[str, Geometry] = MappingProxyType({}),
    ) -> None:
        self._store = store
        self._geometries = geometries
        self._max_bytes = max_waiting_bytes
        self._max_other_bytes = min(max_waiting_bytes, MAX_OTHER_BYTES)
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
        limit = self._max_bytes if picture.has_alert else self._max_other_bytes
        with self._changed:
            cost = self._cost(picture)
            waiting = self._waiting_bytes + cost if self._waiting else 0
            if waiting <= limit and not self._is_stopping:
                if waiting > self._max_other_bytes:  # a good part's would not be taken
                    picture = _without_sample(picture)
                self._waiting.append((picture, cost))
                self._waiting_bytes += cost
                self._changed.notify()
                return
        self._drop(picture, "bad parts come faster than their pictures can be written")

    def offer_kept(self, report: FrameReport, on_kept: OnKept = lambda *_: None) -> None:
        """Take the pictures, without an alert, of parts that left with a frame.

        Args:
            on_kept: called for each that was written; from another thread, must be quick.
        """
        for part in report.kept:
            self.offer(
                Picture(
                    part.verdict.part_id,
                    part.frame.pixels_hwc,
                    partial(_tell, on_kept, part.verdict),
                    "random" if "random" in part.reasons else part.reasons[0],
                    PictureFacts(part.verdict, part.reasons, part.crop),
                )
            )

    def _cost(self, picture: Picture) -> int:
        """Return the memory a picture keeps: several parts of one frame share theirs."""
        last = self._waiting[-1][0] if self._waiting else None
        is_shared = last is not None and last.pixels_hwc is picture.pixels_hwc
        crop = None if picture.facts is None else picture.facts.crop
        cut = 0 if crop is None else crop.pixels_hwc.nbytes + _map_bytes(crop)
        return cut if is_shared else picture.pixels_hwc.nbytes + cut

    def _drop(self, picture: Picture, why: str) -> None:
        self._store.drop(why, picture.reason)
        picture.on_done(None, ())

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
        evidence, reasons = None, self._counted(picture)
        try:
            facts = self._measured(picture.facts)
            facts = replace(facts, reasons=reasons) if facts is not None and reasons else facts
            evidence = self._store.save(picture.name, picture.pixels_hwc, picture.reason, facts)
        except Exception as error:  # the pictures after this one must not be lost to it
            _log.exception("writing the picture of %s failed", picture.name)
            self._store.drop(str(error), picture.reason)
        try:
            picture.on_done(evidence, reasons)
        except Exception:
            _log.exception("the picture of %s did not reach its alert", picture.name)

    def _counted(self, picture: Picture) -> tuple[KeepReason, ...]:
        facts = picture.facts
        return self._store.counted((picture.reason,) if facts is None else facts.reasons)

    def _measured(self, facts: PictureFacts | None) -> PictureFacts | None:
        """Return what is known of a picture, with its camera's calibration."""
        geometry = None if facts is None else self._geometries.get(facts.verdict.camera)
        return facts if facts is None or geometry is None else replace(facts, geometry=geometry)


def _without_sample(picture: Picture) -> Picture:
    """Return a picture whose part is not in the sample."""
    facts = picture.facts
    if facts is None:
        return picture
    return replace(picture, facts=replace(facts, reasons=not_drawn(facts.reasons)))


def _map_bytes(crop: UprightCrop) -> int:
    return 0 if crop.map_hw is None else crop.map_hw.nbytes


def _tell(
    on_kept: OnKept,
    verdict: PartVerdict,
    evidence: Evidence | None,
    reasons: tuple[KeepReason, ...],
) -> None:
    if evidence is not None:
        on_kept(verdict, reasons, evidence)
