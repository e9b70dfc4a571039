"""One test picture judged as the device judges it, and its pixels counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from edge_app.cameras.pictures import read_picture, read_values
from edge_app.errors import CameraError, ModelError
from edge_app.inspection.judge import find_defects, judge_score
from edge_app.inspection.station import MISSING
from edge_app.model.loaded_model import LoadedModel
from edge_app.model.looks import Look, look_at
from edge_app.records import Defect, U8Array, VerdictState
from export.data.masks import marked_pixels
from export.evaluation.data import TestPicture
from export.evaluation.pixel_metrics import BoolArray, PixelCounts, frame_map, regions_met


@dataclass(frozen=True, slots=True)
class Judged:
    """What the bundle said of one picture.

    Attributes:
        score: the largest over the picture's parts; None when none could be judged.
        reason: why not; "" otherwise.
        boxes: predicted defect boxes; only NG pictures have any.
        met: (regions of the mask, regions met by a box, boxes on a region); None without a mask.
        times_ms: reading the file, judging it; None when it was not judged.
    """

    picture: TestPicture
    score: float | None
    reason: str
    is_ng: bool = False
    boxes: int = 0
    met: tuple[int, int, int] | None = None
    times_ms: tuple[float, float] | None = None

    @property
    def verdict(self) -> VerdictState:
        if self.is_ng:  # a missing product has no score
            return VerdictState.NG
        return VerdictState.NOT_INSPECTED if self.score is None else VerdictState.OK

    @property
    def rank_score(self) -> float:
        """The score to rank by: what could not be judged ranks above every number."""
        return math.inf if self.score is None else self.score


def judge_picture(
    model: LoadedModel, picture: TestPicture, pixels: PixelCounts
) -> tuple[Judged, str | None]:
    """Return one picture's result, and a sentence where its mask cannot be used."""
    started = perf_counter()
    try:
        frame = read_picture(picture.path)
    except CameraError as error:
        return Judged(picture, None, "corrupt_picture"), str(error)
    read = perf_counter()
    looks, reason = inspected_parts(model, frame)
    done = perf_counter()
    scores = [k.anomaly.score for k in looks if math.isfinite(k.anomaly.score)]
    score = max(scores) if scores else None
    defects = defects_of(model, looks)
    mask, warning = read_mask(picture, frame)
    met = _count_pixels(model, picture, looks, frame, mask, pixels, defects)
    if not looks and is_missing(model, frame):
        reason = MISSING
    is_ng = reason == MISSING or any(_is_ng(model, k) for k in looks)
    times_ms = ((read - started) * 1e3, (done - read) * 1e3)
    why = reason if score is None else ""
    return Judged(picture, score, why, is_ng, len(defects), met, times_ms), warning


def is_missing(model: LoadedModel, frame: U8Array) -> bool:
    """Return whether a picture in which no whole part was found shows that the product is missing.

    As a device judges a triggered station's picture: sound, and nothing found at all.
    """
    station = model.station
    return station is not None and not model.finder.find(frame) and station.is_sound(frame)


def inspected_parts(model: LoadedModel, frame: U8Array) -> tuple[list[Look], str]:
    """Return the products with their scores, and the reason should none have a usable score."""
    try:
        looks = look_at(model, frame)
    except ModelError:
        return [], "model_error"
    return looks, "not_finite" if looks else "no_whole_product"


def _is_ng(model: LoadedModel, look: Look) -> bool:
    return judge_score(look.anomaly.score, model.limits)[0] is VerdictState.NG


def defects_of(model: LoadedModel, looks: Sequence[Look]) -> list[Defect]:
    """Return the outlines that the device would publish: those of NG parts."""
    return [
        defect
        for look in looks
        if _is_ng(model, look)
        for defect in find_defects(look.anomaly, look.box_cxcywhr, model.spec, model.limits)
    ]


def read_mask(picture: TestPicture, frame: U8Array) -> tuple[BoolArray | None, str | None]:
    """Return a picture's mask, bool (h, w), or None; and what is wrong with the file, if anything.

    Args:
        frame: the picture itself, uint8 (h, w, 3).
    """
    if picture.mask is None:
        return None, None
    try:
        values = read_values(picture.mask)
    except CameraError as error:
        return None, str(error)
    if values.shape[:2] != frame.shape[:2]:
        (h, w), (mh, mw) = frame.shape[:2], values.shape[:2]
        return None, f"mask of {picture.name} is {mw}×{mh}, its picture {w}×{h}: not used"
    mask = marked_pixels(values)
    if not mask.any():
        return None, f"mask of {picture.name} marks nothing: not used"
    return mask, None


def _count_pixels(
    model: LoadedModel,
    picture: TestPicture,
    looks: Sequence[Look],
    frame: U8Array,
    mask: BoolArray | None,
    pixels: PixelCounts,
    defects: Sequence[Defect],
) -> tuple[int, int, int] | None:
    """Count a picture's pixels; return regions, regions met, boxes on defects where masked."""
    if mask is None and not picture.is_good:
        return None
    h, w = frame.shape[:2]
    map_hw = frame_map(looks, model.spec, (h, w))
    if mask is None:
        pixels.add_good(map_hw)
        return None
    pixels.add_bad(picture.kind, map_hw, mask)
    return regions_met(mask, defects)
