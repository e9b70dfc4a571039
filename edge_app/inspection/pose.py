"""From a detected box to the product's pose: its direction and its exact place."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_app.imaging.oriented_box import wrap_turn
from edge_app.imaging.upright_crop import CropSpec, upright_crop
from edge_app.inspection.alignment import START_SHIFTS, Aligner
from edge_app.inspection.orientation import DirectionCue
from edge_app.records import BoxCxcywhr, U8Array

START_TURNS_RAD = tuple(math.radians(degrees) for degrees in (15, -15, 30, -30, 45))
"""Tried, nearest first, where a box cannot be registered as it was found: a detector's angle of a
square part may be off by up to half a quarter turn (5 % of simulated square parts on a full belt
by more than 9 degrees), further than registration reaches by itself."""


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

        Resolving the direction has usually cut that crop already: a third of a millisecond saved.
        """
        box, crop = self._found(pixels_hwc, box_cxcywhr)
        if crop is None or self.cue is None or self.cue.spec != spec:
            crop = upright_crop(pixels_hwc, box, spec)
        return box, crop

    def _found(self, pixels_hwc: U8Array, box: BoxCxcywhr) -> tuple[BoxCxcywhr, U8Array | None]:
        if self.aligner is None:
            return self._resolve_direction(pixels_hwc, box)
        found = self._registered(pixels_hwc, box, self.aligner)
        if found is None:
            return self._resolve_direction(pixels_hwc, box)
        # A cue is surer of itself once the part is in place (square parts: 298 of 300, then all).
        again, crop = self._resolve_direction(pixels_hwc, found)
        return (found, crop) if again == found else (self.aligner.aligned(pixels_hwc, again), None)

    def _resolve_direction(
        self, pixels_hwc: U8Array, box: BoxCxcywhr
    ) -> tuple[BoxCxcywhr, U8Array | None]:
        return (box, None) if self.cue is None else self.cue.resolve_direction(pixels_hwc, box)

    def _resolve_direction_coarse(self, pixels_hwc: U8Array, box: BoxCxcywhr) -> BoxCxcywhr:
        return box if self.cue is None else self.cue.resolve_direction_coarse(pixels_hwc, box)

    def _registered(
        self, pixels_hwc: U8Array, box: BoxCxcywhr, aligner: Aligner
    ) -> BoxCxcywhr | None:
        """Return the registered box, from other angles if not from its own; None if from none."""
        found = aligner.registered(pixels_hwc, self._resolve_direction_coarse(pixels_hwc, box))
        if found is not None or aligner.keeps_angle:
            return found
        x, y, w, h, angle = box
        for turn in START_TURNS_RAD:
            start = self._resolve_direction_coarse(
                pixels_hwc, (x, y, w, h, wrap_turn(angle + turn))
            )
            found = aligner.registered(pixels_hwc, start, START_SHIFTS[:1])
            if found is not None:
                return found
        return None
