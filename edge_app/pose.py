"""From a detected box to the product's pose: the right way round, exactly in place."""

from __future__ import annotations

from dataclasses import dataclass

from edge_app.alignment import Aligner
from edge_app.orientation import DirectionCue
from edge_app.records import BoxCxcywhr, U8Array


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
        box = box_cxcywhr
        if self.cue is not None:
            box = self.cue.directed(pixels_hwc, box)
        if self.aligner is not None:
            box = self.aligner.aligned(pixels_hwc, box)
        return box
