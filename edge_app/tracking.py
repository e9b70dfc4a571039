"""Boxes become parts: the same object keeps one id in every frame that shows it.

Two ways, chosen by what the source says of itself:
`OnePartPerFrame` for numbered sources (a trigger, a file: one frame is one part) and
`BeltTracker` for a free-running camera over a belt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_app.belt_speed import BeltSpeed
from edge_app.obb import touches_border
from edge_app.records import BoxCxcywhr, Detection, Frame, PartView

BORDER_MARGIN_PX = 4.0
"""A box nearer than this to the frame's border may be cut off: the view is not judged."""

MAX_MISSED_FRAMES = 2
"""A part unseen for more frames than this has left, even if it should still be in the picture."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one frame says about parts: who is in it and who has left."""

    views: tuple[PartView, ...]
    departed: tuple[str, ...]


class Tracker(Protocol):
    """Gives detections identities."""

    def follow(self, frame: Frame, detections: Sequence[Detection]) -> Sighting:
        """Return the parts in this frame and the ids of those that left since the last one."""

    def finish(self) -> tuple[str, ...]:
        """Return the ids still in the picture when the source ends; they have left."""

    def part_id(self, frame: Frame) -> str:
        """Return the id of the part that a frame nobody could judge stands for."""


class OnePartPerFrame:
    """Every frame is one part; several boxes in it are several views of it, all judged.

    Args:
        prefix: starts every part id; unique per camera and session.
        whole_frame: the product fills the picture, so a border is nothing to fear.
    """

    def __init__(self, prefix: str, whole_frame: bool) -> None:
        self._prefix = prefix
        self._whole_frame = whole_frame

    def part_id(self, frame: Frame) -> str:
        """Return the id of the one part this frame stands for."""
        number = frame.source_number if frame.source_number is not None else frame.frame_id
        return f"{self._prefix}-{number:06d}"

    def follow(self, frame: Frame, detections: Sequence[Detection]) -> Sighting:
        part_id = self.part_id(frame)
        views = tuple(
            PartView(part_id, i, d, self._whole_frame or _is_whole(d, frame))
            for i, d in enumerate(detections)
        )
        return Sighting(views, (part_id,))

    def finish(self) -> tuple[str, ...]:
        return ()


@dataclass(slots=True)
class _Track:
    part_id: str
    box_cxcywhr: BoxCxcywhr
    seen_at_ns: int
    views: int
    missed: int = 0


class BeltTracker:
    """Follows parts that move with one common speed, as on a belt.

    The speed (pixels per second, so skipped frames do not matter) is learnt by `BeltSpeed`; until
    it is known it is the hint, or zero. A detection belongs to the track whose predicted centre
    is nearest, if it lies within the gate: half the part's longer side once the speed is known,
    half the frame's longer side before.

    Args:
        prefix: starts every part id; unique per camera and session.
        speed_hint_px_per_s: (vx, vy) if the line's speed is known; a wrong one is unlearnt.
    """

    def __init__(self, prefix: str, speed_hint_px_per_s: tuple[float, float] | None = None) -> None:
        self._prefix = prefix
        self._belt = BeltSpeed(speed_hint_px_per_s)
        self._tracks: list[_Track] = []
        self._next_number = 1

    @property
    def speed_px_per_s(self) -> tuple[float, float] | None:
        """The belt's speed as learnt so far; None while nothing is known."""
        return self._belt.px_per_s

    def follow(self, frame: Frame, detections: Sequence[Detection]) -> Sighting:
        whole = [d.box_cxcywhr for d in detections if _is_whole(d, frame)]
        self._belt.note(frame.captured_at_ns, whole)
        pairs = self._match(frame, detections)
        views = []
        for d_index, detection in enumerate(detections):
            track = pairs.get(d_index) or self._start(detection, frame)
            track.box_cxcywhr = detection.box_cxcywhr
            track.seen_at_ns, track.missed = frame.captured_at_ns, 0
            is_whole = _is_whole(detection, frame)
            views.append(PartView(track.part_id, track.views, detection, is_whole))
            track.views += 1
        return Sighting(tuple(views), self._drop_departed(frame))

    def finish(self) -> tuple[str, ...]:
        left = tuple(t.part_id for t in self._tracks)
        self._tracks.clear()
        return left

    def part_id(self, frame: Frame) -> str:  # noqa: ARG002
        """Return a fresh id: an unreadable frame of a belt may have shown any part."""
        self._next_number += 1
        return f"{self._prefix}-{self._next_number - 1:06d}"

    def _start(self, detection: Detection, frame: Frame) -> _Track:
        track = _Track(self.part_id(frame), detection.box_cxcywhr, frame.captured_at_ns, 0)
        self._tracks.append(track)
        return track

    def _match(self, frame: Frame, detections: Sequence[Detection]) -> dict[int, _Track]:
        """Return detection index → track: nearest pairs first, each used once."""
        is_known, start_gate_px = self._belt.px_per_s is not None, max(frame.hw) / 2
        distances = []
        for t_index, track in enumerate(self._tracks):
            x, y = self._predicted(track, frame)
            for d_index, detection in enumerate(detections):
                box = detection.box_cxcywhr
                distance = math.hypot(box[0] - x, box[1] - y)
                if distance <= (max(box[2], box[3]) / 2 if is_known else start_gate_px):
                    distances.append((distance, t_index, d_index))
        pairs: dict[int, _Track] = {}
        used: set[int] = set()
        for _, t_index, d_index in sorted(distances):
            if t_index not in used and d_index not in pairs:
                pairs[d_index] = self._tracks[t_index]
                used.add(t_index)
        return pairs

    def _predicted(self, track: _Track, frame: Frame) -> tuple[float, float]:
        vx, vy = self._belt.px_per_s or (0.0, 0.0)
        dt_s = (frame.captured_at_ns - track.seen_at_ns) / 1e9
        return track.box_cxcywhr[0] + vx * dt_s, track.box_cxcywhr[1] + vy * dt_s

    def _drop_departed(self, frame: Frame) -> tuple[str, ...]:
        staying: list[_Track] = []
        departed: list[_Track] = []
        h, w = frame.hw
        for track in self._tracks:
            if track.seen_at_ns == frame.captured_at_ns:
                staying.append(track)
                continue
            track.missed += 1
            x, y = self._predicted(track, frame)
            has_left = not (0 <= x < w and 0 <= y < h) or track.missed > MAX_MISSED_FRAMES
            (departed if has_left else staying).append(track)
        self._tracks = staying
        return tuple(t.part_id for t in departed)


def _is_whole(detection: Detection, frame: Frame) -> bool:
    return not touches_border(detection.box_cxcywhr, frame.hw, BORDER_MARGIN_PX)
