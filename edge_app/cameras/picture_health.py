"""Is this picture fit to be judged? Asked of every picture of a camera, before the line sees it.

repeated_picture  the very same bytes again: no sensor's noise repeats     not judged
black_picture     nothing brighter than the noise of a covered sensor      not judged
white_picture     nothing darker than saturation                           not judged
blurred           edges less steep than in the first good minutes          judged, and reported
moved             what is fixed in the picture is somewhere else           judged, and reported
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

import numpy as np

from edge_app.cameras.picture_figures import SPARSE_SIDE, grey_range, sparse_grey
from edge_app.cameras.scene_reference import SceneReference
from edge_app.records import U8Array

BLACK_BELOW = 10
WHITE_ABOVE = 245
"""Grey levels of 255. The faintest defects of the simulated line differ by 6 levels from what is
round them (docs/decisions/0004): ten levels hold no part and its defect."""


class PictureFault(str, Enum):
    """What can be wrong with a picture; the value is the reason in messages."""

    REPEATED = "repeated_picture"
    BLACK = "black_picture"
    WHITE = "white_picture"
    BLURRED = "blurred"
    MOVED = "moved"

    @property
    def is_usable(self) -> bool:
        """The picture is still judged."""
        return self in (PictureFault.BLURRED, PictureFault.MOVED)


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault and a sentence for people."""

    fault: PictureFault
    why: str


class PictureHealth:
    """Looks at one camera's pictures in order. Not thread-safe but for `learn_anew`.

    Args:
        watch_for: the faults to look for; a backlit scene may be white, and a compressed stream
            repeats pictures while the belt stands.
    """

    def __init__(self, watch_for: Collection[PictureFault] = tuple(PictureFault)) -> None:
        self._watch_for = frozenset(watch_for)
        self._last_hwc: U8Array | None = None
        self._scene = SceneReference()
        self._is_to_learn_anew = False

    def for_files(self) -> PictureHealth:
        """Return what looks at pictures in files: the same one may lie there twice, and their
        scene is whatever a person put there."""
        return PictureHealth(self._watch_for & {PictureFault.BLACK, PictureFault.WHITE})

    def learn_anew(self) -> None:
        """Take the next minutes for the first good ones: another product is made from now on."""
        self._is_to_learn_anew = True

    def look(self, pixels_hwc: U8Array, now_ns: int) -> Finding | None:
        """Return what is wrong with a picture, the worst first; None if nothing is.

        Args:
            pixels_hwc: uint8 (h, w, 3) BGR, not written to afterwards.
            now_ns: monotonic.
        """
        repeated = self._repeated(pixels_hwc)
        finding = repeated or self._extreme(pixels_hwc)
        if finding is not None:
            return finding
        if not self._watch_for & {PictureFault.BLURRED, PictureFault.MOVED}:
            return None
        if self._is_to_learn_anew:
            self._scene, self._is_to_learn_anew = SceneReference(), False
        self._scene.look(pixels_hwc, now_ns)
        for fault, why in (
            (PictureFault.MOVED, self._scene.moved),
            (PictureFault.BLURRED, self._scene.blurred),
        ):
            if why and fault in self._watch_for:
                return Finding(fault, why)
        return None

    def _repeated(self, pixels_hwc: U8Array) -> Finding | None:
        if PictureFault.REPEATED not in self._watch_for:
            return None
        before, self._last_hwc = self._last_hwc, pixels_hwc
        if before is None or before.shape != pixels_hwc.shape:
            return None
        step = max(1, pixels_hwc.shape[0] // SPARSE_SIDE)
        if not np.array_equal(before[::step], pixels_hwc[::step]):
            return None  # a few rows are enough to see that it is new
        if not np.array_equal(before, pixels_hwc):
            return None
        return Finding(
            PictureFault.REPEATED,
            "the very same picture came again, to the last bit: camera or driver repeats itself",
        )

    def _extreme(self, pixels_hwc: U8Array) -> Finding | None:
        darkest, brightest = grey_range(sparse_grey(pixels_hwc))
        if brightest < BLACK_BELOW and PictureFault.BLACK in self._watch_for:
            return Finding(
                PictureFault.BLACK,
                f"the picture is black: no grey level above {brightest} of 255; "
                "check the light, the lens cap and the exposure",
            )
        if darkest > WHITE_ABOVE and PictureFault.WHITE in self._watch_for:
            return Finding(
                PictureFault.WHITE,
                f"the picture is white: no grey level below {darkest} of 255; "
                "check the light and the exposure",
            )
        return None
