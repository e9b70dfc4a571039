"""From a detected box to the product's pose: its direction and its exact place."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_app.imaging.oriented_box import wrap_turn
from edge_app.imaging.upright_crop import CropSpec, upright_crop
from edge_app.inspection.alignment import START_SHIFTS, Aligner, Start
from edge_app.inspection.orientation import SURE, TURNS, DirectionCue, turned
from edge_app.records import BoxCxcywhr, U8Array

START_TURNS_RAD = tuple(math.radians(degrees) for degrees in (15, -15, 30, -30, 45))
"""Tried, nearest first, where a box cannot be registered as it was found: a detector's angle of a
square part may be off by up to half a quarter turn (5 % of simulated square parts on a full belt
by more than 9 degrees), further than registration reaches by itself."""

SURE_SHIFT = 0.05
"""Of a part's longer side: a box that was off by more showed the cue elsewhere than it looks."""


@dataclass(frozen=True, slots=True, eq=False)
class PoseFinder:
    """Refines boxes; without cue and aligner a box stays as it is.

    Attributes:
        cue: tells the turns of a part apart; None where turning does not matter.
        aligner: registers the part to the mean good part; None where nothing was learnt.
    """

    cue: DirectionCue | None = None
    aligner: Aligner | None = None

    def find(self, pixels_hwc: U8Array, box_cxcywhr: BoxCxcywhr) -> BoxCxcywhr:
        """Return the product's box, its angle the product's own direction."""
        return self._found(pixels_hwc, box_cxcywhr)[0]

    def cut(
        self, pixels_hwc: U8Array, box_cxcywhr: BoxCxcywhr, spec: CropSpec
    ) -> tuple[BoxCxcywhr, U8Array]:
        """Return the box as `find` does and its upright crop, uint8 (crop_h, crop_w, 3).

        Where the direction was in doubt, resolving it has cut that crop already.
        """
        box, crop = self._found(pixels_hwc, box_cxcywhr)
        if crop is None or self.cue is None or self.cue.spec != spec:
            crop = upright_crop(pixels_hwc, box, spec)
        return box, crop

    def _found(self, pixels_hwc: U8Array, box: BoxCxcywhr) -> tuple[BoxCxcywhr, U8Array | None]:
        if self.aligner is None:
            return self._resolve_direction(pixels_hwc, box)
        found, margin = self._registered(pixels_hwc, box, self.aligner)
        if found is None:
            return self._resolve_direction(pixels_hwc, box)
        moved_px = math.hypot(found[0] - box[0], found[1] - box[1])
        if margin >= SURE and moved_px <= SURE_SHIFT * max(found[2:4]):
            return found, None
        # A cue is surer of itself once the part is in place (square parts: 298 of 300, then all).
        again, crop = self._resolve_direction(pixels_hwc, found)
        return (found, crop) if again == found else (self.aligner.aligned(pixels_hwc, again), None)

    def _resolve_direction(
        self, pixels_hwc: U8Array, box: BoxCxcywhr
    ) -> tuple[BoxCxcywhr, U8Array | None]:
        return (box, None) if self.cue is None else self.cue.resolve_direction(pixels_hwc, box)

    def _start(self, pixels_hwc: U8Array, box: BoxCxcywhr, aligner: Aligner) -> tuple[Start, float]:
        """Return where registration starts, in the direction that is likeliest at a glance, and
        the cue's margin.
        """
        starts = [aligner.start_at(pixels_hwc, box)]
        if self.cue is None:
            return starts[0], math.inf
        kind = self.cue.kind
        if TURNS[kind] == 4:
            starts.append(aligner.quarter_turned(starts[0], pixels_hwc, turned(box, kind, 1)))
        turn, margin = self.cue.glance([start.crop for start in starts])
        start = starts[turn % len(starts)]
        return (start if turn < len(starts) else start.half_turned()), margin

    def _registered(
        self, pixels_hwc: U8Array, box: BoxCxcywhr, aligner: Aligner
    ) -> tuple[BoxCxcywhr | None, float]:
        """Return the registered box and the cue's margin before; None if it cannot be registered
        from any angle.
        """
        start, margin = self._start(pixels_hwc, box, aligner)
        found = aligner.registered(start)
        if found is not None or aligner.keeps_angle:
            return found, margin
        x, y, w, h, angle = box
        for turn in START_TURNS_RAD:
            elsewhere: BoxCxcywhr = (x, y, w, h, wrap_turn(angle + turn))
            start, margin = self._start(pixels_hwc, elsewhere, aligner)
            found = aligner.registered(start, START_SHIFTS[:1])
            if found is not None:
                return found, margin
        return None, margin
