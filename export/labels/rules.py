"""Which segmented areas are parts: those that agree with what all pictures show.

One picture alone cannot tell a part from a stain. All pictures together can: the usual area and
elongation are medians over the data set, and what differs from them is named, not used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np

from export.labels.part_shape import PartShape, box_of, has_direction, kind_of
from export.labels.records import AutoLabel, Segmented, Usual
from export.labels.symmetry import symmetry_of

AREA_RATIO = 1.6
ELONGATION_RATIO = 1.35
"""A part's area and elongation may differ from the data set's medians by these factors."""

LEFTOVER_SHARE = 0.35
"""Another object of at least this share of the usual area makes a picture doubtful."""

CUT_AT_BORDER = "the part touches the picture's border"
"""Why a picture is left out whose only part is cut off."""

CUT_SHARE = 0.08
CUT_WIDTH_SHARE = 0.3
"""What touches the border and has at least this share of the usual area and width is a part cut
by the border; thinner things are rails."""


def usual_of(pictures: Sequence[Segmented]) -> Usual:
    """Return what the pictures agree on."""
    largest = [p.whole[0] for p in pictures if p.whole]
    if not largest:
        return Usual(0.0, 1.0, "compact")
    area_px = float(np.median([shape.area_px for shape in largest]))
    typical = [s for s in largest if _ratio(s.area_px, area_px) <= AREA_RATIO]
    if not typical:  # the median lies between two shapes of very different areas
        typical = [min(largest, key=lambda s: (_ratio(s.area_px, area_px), s.area_px))]
        area_px = typical[0].area_px
    kinds = Counter(kind_of(shape) for shape in typical)
    elongation = float(np.median([shape.elongation for shape in typical]))
    kind = max(kinds, key=lambda kind: kinds[kind])
    if kind == "compact" and not symmetry_of(typical).has_stable_axis:
        kind = "round"  # no smallest rectangle that is the same each time
    return Usual(area_px, elongation, kind)


def judged(segmented: Segmented, usual: Usual) -> AutoLabel:
    """Return the label of one picture, given what all of them agree on."""
    parts = tuple(s for s in segmented.whole if not _misfit(s, usual))
    cut = tuple(s for s in segmented.at_border if _is_cut_part(s, usual))
    return AutoLabel(
        frame_hw=segmented.frame_hw,
        boxes=tuple(box_of(shape, usual.kind) for shape in parts),
        has_direction=tuple(usual.kind == "elongated" and has_direction(s) for s in parts),
        shapes=parts,
        cut=cut,
        unsure=_doubts(segmented, parts, cut, usual),
    )


def _doubts(
    segmented: Segmented, parts: tuple[PartShape, ...], cut: tuple[PartShape, ...], usual: Usual
) -> tuple[str, ...]:
    reasons = []
    for shape in segmented.whole:
        misfit = _misfit(shape, usual)
        if misfit and shape.area_px >= LEFTOVER_SHARE * usual.area_px:
            reasons.append(misfit)
    if not parts and cut:
        reasons.append(CUT_AT_BORDER)
    elif not parts and not reasons:
        reasons.append("no part found")
    return tuple(reasons)


def _misfit(shape: PartShape, usual: Usual) -> str:
    """Return why an area is not one usual part; empty if it is."""
    if _ratio(shape.area_px, usual.area_px) > AREA_RATIO:
        return f"area is {shape.area_px / max(usual.area_px, 1.0):.2f} times the usual"
    if _ratio(shape.elongation, usual.elongation) > ELONGATION_RATIO:
        return f"elongation is {shape.elongation:.2f}, usually {usual.elongation:.2f}"
    return ""


def _is_cut_part(shape: PartShape, usual: Usual) -> bool:
    _, (a, b), _ = cv2.minAreaRect(shape.outline_xy)
    usual_width = np.sqrt(usual.area_px / usual.elongation)
    is_large = CUT_SHARE <= shape.area_px / max(usual.area_px, 1.0) <= AREA_RATIO
    return bool(is_large and min(a, b) >= CUT_WIDTH_SHARE * usual_width)


def _ratio(a: float, b: float) -> float:
    low, high = sorted((max(a, 1e-9), max(b, 1e-9)))
    return high / low
