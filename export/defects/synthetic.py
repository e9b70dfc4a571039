"""Synthetic defects drawn on good pictures, and what of them a way to the crop lets through.

They are drawn into the picture, not into the crop, so that every way to the crop (the whole
picture, a detector and the upright crop) is judged on the same ones, and one that loses the part
because it is defective is charged for it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from edge_app.errors import DataError
from edge_app.records import U8Array
from export.augment.defect_like import ABSENT, DEFECTS, Size, defect_series, synthetic_defect
from export.data.crops import find_parts
from export.data.dataset import Picture
from export.labels.autolabel import segment
from export.labels.outline import outline_inside
from export.pose.step import Cutting, cut_all

ROUNDS = 8
"""Each kind in each size is drawn so often: 216 defects tell 60 % caught from 50."""


PATCH_BYTES = 512 << 20
"""Of what was drawn that is kept: 224 drawings of twelve megapixels take a third of it."""


class DrawnPatches:
    """What drawing changed of pictures, so that each is drawn once, however often it is read.

    Segmenting and drawing take a tenth of a second a megapixel, and a build reads every drawn
    picture twice for each way to the crop. Not thread-safe.

    Args:
        max_bytes: what does not fit is drawn anew each time.
    """

    def __init__(self, max_bytes: int = PATCH_BYTES) -> None:
        self._left = max_bytes
        self._kept: dict[Hashable, tuple[slice, slice, U8Array]] = {}

    def drawn(
        self, key: Hashable, pixels_hwc: U8Array, draw: Callable[[U8Array], U8Array]
    ) -> U8Array:
        """Return `draw(pixels_hwc)`, uint8 (h, w, 3), drawn at the first time only.

        Args:
            key: the same for the same picture and drawing, and for no other.
        """
        if key in self._kept:
            rows, columns, patch = self._kept[key]
            again: U8Array = pixels_hwc.copy()
            again[rows, columns] = patch
            return again
        found = draw(pixels_hwc)
        is_changed = (found != pixels_hwc).any(2)
        rows, columns = (_extent(is_changed.any(axis)) for axis in (1, 0))
        patch = found[rows, columns].copy()
        if patch.nbytes <= self._left:
            self._left -= patch.nbytes
            self._kept[key] = rows, columns, patch
        return found


def _extent(is_changed: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> slice:
    """Return the span of a line's changed places; empty where there is none."""
    at = np.flatnonzero(is_changed)
    return slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, 0)


@dataclass(frozen=True, slots=True)
class DrawnPicture(Picture):
    """A good picture with one synthetic defect, drawn when it is read.

    Attributes:
        kind, size: what is drawn.
        seed: of its random draws.
        has_mask: it is drawn on the segmented product, not anywhere in the picture.
        patches: where what is drawn is kept.
    """

    kind: str = ""
    size: Size = "large"
    seed: tuple[int, ...] = ()
    has_mask: bool = False
    patches: DrawnPatches = field(default_factory=DrawnPatches, compare=False, repr=False)

    def read(self) -> U8Array:
        """Return the pixels, uint8 (h, w, 3) BGR; the same ones every time."""
        pixels = Picture(self.path, self.name, self.sha256, self.hw, self.group).read()
        key = self.sha256, self.kind, self.size, self.seed, self.has_mask
        return self.patches.drawn(key, pixels, self._draw)

    def _draw(self, pixels: U8Array) -> U8Array:
        mask = product_mask(pixels) if self.has_mask else None
        kind = next(iter(DEFECTS)) if self.kind == ABSENT and mask is None else self.kind
        try:
            rng = np.random.default_rng(self.seed)
            return synthetic_defect(rng, pixels, mask, kind, self.size).pixels_hwc
        except DataError:  # a featureless picture shows a foreign body all the same
            rng = np.random.default_rng(self.seed)
            return synthetic_defect(rng, pixels, mask, "foreign body", "large").pixels_hwc


@dataclass(frozen=True, slots=True, eq=False)
class CutDefects:
    """What of the drawn pictures reached a crop.

    Attributes:
        crops: uint8 (m, h, w, 3).
        defect_of: (m,) int64, index of the drawn picture each crop was cut from.
    """

    crops: U8Array
    defect_of: np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def drawn_pictures(
    pictures: Sequence[Picture],
    has_mask: bool,
    seed: int,
    rounds: int = ROUNDS,
    patches: DrawnPatches | None = None,
) -> list[DrawnPicture]:
    """Return good pictures with one synthetic defect each, every kind in every size.

    Args:
        pictures: in the build's own order, so that names do not decide which carries what.
        has_mask: the product lies on a background and can be segmented.
        patches: shared by calls with the same pictures, so that the second draws nothing anew.
    """
    kept = DrawnPatches() if patches is None else patches
    order = np.random.default_rng([seed, 7]).permutation(len(pictures))
    return [
        DrawnPicture(
            p.path,
            p.name,
            p.sha256,
            p.hw,
            p.group,
            kind,
            size,
            (seed, 8, number),
            has_mask,
            kept,
        )
        for number, (kind, size) in enumerate(defect_series(rounds, has_mask))
        for p in (pictures[int(order[number % len(pictures)])],)
    ]


def product_mask(pixels_hwc: U8Array) -> U8Array | None:
    """Return uint8 (h, w), 255 on the largest object that lies wholly in the picture; or None."""
    found = segment(pixels_hwc)
    if not found.whole:
        return None
    mask = np.zeros(pixels_hwc.shape[:2], np.uint8)
    outline = np.rint(max(found.whole, key=lambda shape: shape.area_px).outline_xy)
    cv2.fillPoly(mask, [outline.astype(np.int32)], (255,))
    return mask


def cut_drawn(
    drawn: Sequence[DrawnPicture], cutting: Cutting, progress: Callable[[float], None]
) -> CutDefects:
    """Return the crops that a way to the crop makes of them; a picture may be in none."""
    found = find_parts(
        cutting.finder, drawn, cutting.fills_frame, lambda s: progress(s / 2), outline_inside
    )
    crops, _ = cut_all(cutting, drawn, found.parts, lambda s: progress(0.5 + s / 2))
    h, w = cutting.spec.crop_hw
    stacked = np.stack(crops) if crops else np.zeros((0, h, w, 3), np.uint8)
    return CutDefects(stacked, np.array([p.picture for p in found.parts], np.int64))
