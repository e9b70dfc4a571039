"""Boxes become parts: the same object keeps one id in every frame that shows it.

Two ways, chosen by what the source says of itself:
`OnePartPerFrame` for numbered sources (a trigger, a file: one frame is one part) and
`BeltTracker` for a free-running camera over a belt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_app.imaging.oriented_box import axis_difference_rad, share_outside, touches_border
from edge_app.inspection.belt_speed import BeltSpeed
from edge_app.records import BoxCxcywhr, Detection, Frame, PartView

BORDER_MARGIN_PX = 4.0
"""A box nearer than this to the frame's border may be cut off: the view is not judged."""

MAX_OUTSIDE_SHARE = 0.01
"""A picture taken of one part (a trigger, a file) often shows it close to the border: its box may
reach over it with this share of its area, corners that hold background. 320 screws that fill their
pictures reach over with 0.8 % at most."""

LANE_SHARE = 0.15
LANE_TURN_RAD = math.radians(10)
ELONGATED = 1.2
"""A part off the pace is still the same if it left its lane by less than this share of its longer
side and, where it has an axis, turned by less."""

STILL_SHARE = 0.03
"""Moved by less than this share of its longer side, a part stands still."""

PACE_BACK, PACE_AHEAD = 0.15, 2.5
"""How far off the pace: from hardly moved back (a stopped belt) to two and a half times as far."""

MAX_MISSED_FRAMES = 2
"""A part unseen for more frames than this has left, even if it should still be in the picture."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one frame says about parts: who is in it and who has left."""

    views: tuple[PartView, ...]
    departed: tuple[str, ...]


class Tracker(Protocol):
    """Gives detections identities."""

    @property
    def border_margin_px(self) -> float:
        """How far from the frame's border a part must keep to be whole; 0: it may reach it."""

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
        whole_frame: the product fills the picture, so every view is whole.
    """

    border_margin_px = 0.0

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
            PartView(part_id, i, d, self._whole_frame or is_inside(d.box_cxcywhr, frame.hw))
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

    The speed (pixels per second, so skipped frames do not matter) is learnt by `BeltSpeed`. A
    detection belongs to the track whose predicted centre is nearest, within half the part's longer
    side; what is left may be off the pace, in its lane and at its angle. While no speed is known
    the nearest detection within half the frame counts.

    Args:
        prefix: starts every part id; unique per camera and session.
        speed_hint_px_per_s: (vx, vy) if the line's speed is known, right to within a half. Needed
            where parts lie evenly in line and move more than half their spacing per frame.
    """

    border_margin_px = BORDER_MARGIN_PX

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
        is_whole = [_is_whole(d, frame) for d in detections]
        whole = [d.box_cxcywhr for d, seen in zip(detections, is_whole, strict=True) if seen]
        self._belt.note(frame.steady_ns, whole)
        pairs = self._match(frame, detections)
        views = []
        for d_index, detection in enumerate(detections):
            track = pairs.get(d_index) or self._start(detection, frame)
            track.box_cxcywhr = detection.box_cxcywhr
            track.seen_at_ns, track.missed = frame.steady_ns, 0
            views.append(PartView(track.part_id, track.views, detection, is_whole[d_index]))
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
        track = _Track(self.part_id(frame), detection.box_cxcywhr, frame.steady_ns, 0)
        self._tracks.append(track)
        return track

    def _match(self, frame: Frame, detections: Sequence[Detection]) -> dict[int, _Track]:
        """Return detection index → track: where they are expected first, then off the pace."""
        pairs = self._nearest_pairs(frame, detections, self._misfit, {})
        if self._belt.px_per_s is None:
            return pairs
        return self._nearest_pairs(frame, detections, self._pace_misfit, pairs)

    def _nearest_pairs(
        self,
        frame: Frame,
        detections: Sequence[Detection],
        misfit: Callable[[_Track, BoxCxcywhr, Frame], float | None],
        pairs: dict[int, _Track],
    ) -> dict[int, _Track]:
        """Return `pairs` with the best-fitting pairs of those still single, each used once."""
        matched = {track.part_id for track in pairs.values()}
        fits = []
        for t_index, track in enumerate(self._tracks):
            for d_index, detection in enumerate(detections):
                if track.part_id in matched or d_index in pairs:
                    continue
                cost = misfit(track, detection.box_cxcywhr, frame)
                if cost is not None:
                    fits.append((cost, t_index, d_index))
        found = dict(pairs)
        for _, t_index, d_index in sorted(fits):
            track = self._tracks[t_index]
            if track.part_id not in matched and d_index not in found:
                found[d_index] = track
                matched.add(track.part_id)
        return found

    def _misfit(self, track: _Track, box: BoxCxcywhr, frame: Frame) -> float | None:
        """Return how far a box is from where a track should be, px; None outside the gate."""
        x, y = self._predicted(track, frame)
        distance = math.hypot(box[0] - x, box[1] - y)
        # A box cut off by the border is shorter than its part: the longer of the two counts.
        known_gate = max(*box[2:4], *track.box_cxcywhr[2:4]) / 2
        gate = known_gate if self._belt.px_per_s is not None else max(frame.hw) / 2
        return distance if distance <= gate else None

    def _pace_misfit(self, track: _Track, box: BoxCxcywhr, frame: Frame) -> float | None:
        """Return the misfit of a box that lies on a track's path, but too early or too late.

        A belt stops, starts and changes its speed; what lies on it keeps its lane and its angle.
        """
        x, y = self._predicted(track, frame)
        path = (x - track.box_cxcywhr[0], y - track.box_cxcywhr[1])
        length = math.hypot(*path)
        if length == 0:
            return None
        step = (box[0] - track.box_cxcywhr[0], box[1] - track.box_cxcywhr[1])
        along = (step[0] * path[0] + step[1] * path[1]) / length**2
        across = abs(step[0] * path[1] - step[1] * path[0]) / length
        turn = axis_difference_rad(box[4], track.box_cxcywhr[4])
        h, w = frame.hw
        stands_still = math.hypot(*step) <= STILL_SHARE * max(box[2], box[3])
        is_leaving = touches_border(box, frame.hw, BORDER_MARGIN_PX)
        if not (stands_still or is_leaving) and not (0 <= x < w and 0 <= y < h):
            return None  # the part has left; what lies here is another
        in_lane = across <= LANE_SHARE * max(box[2], box[3])
        is_turned = turn > LANE_TURN_RAD and box[2] > ELONGATED * box[3]
        if not in_lane or is_turned or not -PACE_BACK <= along <= PACE_AHEAD:
            return None
        return abs(along - 1) * length

    def _predicted(self, track: _Track, frame: Frame) -> tuple[float, float]:
        vx, vy = self._belt.px_per_s or (0.0, 0.0)
        dt_s = (frame.steady_ns - track.seen_at_ns) / 1e9
        return track.box_cxcywhr[0] + vx * dt_s, track.box_cxcywhr[1] + vy * dt_s

    def _drop_departed(self, frame: Frame) -> tuple[str, ...]:
        staying: list[_Track] = []
        departed: list[_Track] = []
        h, w = frame.hw
        for track in self._tracks:
            if track.seen_at_ns == frame.steady_ns:
                staying.append(track)
                continue
            track.missed += 1
            x, y = self._predicted(track, frame)
            has_left = not (0 <= x < w and 0 <= y < h) or track.missed > MAX_MISSED_FRAMES
            (departed if has_left else staying).append(track)
        self._tracks = staying
        return tuple(t.part_id for t in departed)


def is_inside(box_cxcywhr: BoxCxcywhr, frame_hw: tuple[int, int]) -> bool:
    """Return whether a picture taken of one part shows all of it (see MAX_OUTSIDE_SHARE)."""
    return share_outside(box_cxcywhr, frame_hw) <= MAX_OUTSIDE_SHARE


def _is_whole(detection: Detection, frame: Frame) -> bool:
    return not touches_border(detection.box_cxcywhr, frame.hw, BORDER_MARGIN_PX)
