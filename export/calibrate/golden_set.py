"""The golden set: pictures whose outcome a device must reproduce before it trusts a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from calibration.thresholds.recalibrate import GOLDEN_MARGIN
from edge_app.bundle.manifest import GoldenPart, GoldenPicture
from edge_app.errors import DataError
from edge_app.model.loaded_model import LoadedModel
from edge_app.model.looks import look_at
from edge_app.records import U8Array
from export.augment.defect_like import synthetic_defect
from export.data.crops import paste_into_frame

GOLDEN_PICTURES = 20

CONSPICUOUS = ("foreign body", "missing piece", "pasted")
"""Synthetic defects that a model which is not deaf cannot miss: a golden set without an NG would
not notice one that is."""
JPEG_QUALITY = 92


class HardlyTellsError(DataError):
    """Hardly any picture keeps its distance from the threshold."""


@dataclass(frozen=True, slots=True, eq=False)
class GoldenFile:
    """One golden picture: its bytes and what must come out."""

    picture: GoldenPicture
    data: bytes


def make_golden_set(
    model: LoadedModel,
    readers: Sequence[Callable[[], U8Array]],
    mask: U8Array | None,
    seed: int,
    progress: Callable[[float], None],
) -> list[GoldenFile]:
    """Return golden pictures spread over the scores, about half of them with a synthetic defect.

    A good picture that this limit calls NG is left out: it is one of the limit's own false alarms,
    and would stand there as a defect that a later, better limit must go on to find.

    Args:
        readers: read hold-out good pictures.
        mask: the product's region in a crop.

    Raises:
        HardlyTellsError: there are too few pictures for a golden set.
    """
    rng = np.random.default_rng(seed)
    candidates: list[GoldenFile] = []
    for index, read in enumerate(readers[: 2 * GOLDEN_PICTURES]):
        pixels, has_defect = read(), bool(index % 2)
        if has_defect:
            pixels = _with_defect(model, pixels, mask, rng)
        golden = _golden(model, pixels, f"golden/{index:03d}.jpg")
        if golden is not None and (has_defect or not _is_ng(golden.picture)):
            candidates.append(golden)
        progress((index + 1) / min(len(readers), 2 * GOLDEN_PICTURES))
    chosen = _spread(candidates)
    if len(chosen) < 4:
        raise HardlyTellsError(
            f"Only {len(chosen)} of {len(readers)} hold-out pictures keep {GOLDEN_MARGIN:.0%} "
            "distance from the threshold: the model hardly tells good parts from bad. Take more "
            "pictures."
        )
    return chosen


def _is_ng(picture: GoldenPicture) -> bool:
    return any(part.verdict == "NG" for part in picture.parts)


def _with_defect(
    model: LoadedModel, pixels: U8Array, mask: U8Array | None, rng: np.random.Generator
) -> U8Array:
    looks = look_at(model, pixels)
    if not looks:
        return pixels
    look = looks[0]
    kind = CONSPICUOUS[int(rng.integers(len(CONSPICUOUS)))]
    changed = synthetic_defect(rng, look.crop, mask, kind, "large").pixels_hwc
    return paste_into_frame(pixels, look.crop, changed, look.box_cxcywhr, model.spec)


def _golden(model: LoadedModel, pixels: U8Array, file: str) -> GoldenFile | None:
    """Return the picture with its expectations, or None if a score is too near the threshold."""
    ok, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise DataError(f"OpenCV cannot encode {file}.")
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    looks = look_at(model, decoded)
    limit = model.limits.score_threshold
    if not looks or any(abs(k.anomaly.score - limit) < GOLDEN_MARGIN * abs(limit) for k in looks):
        return None
    parts = tuple(
        GoldenPart(
            box_cxcywhr=k.box_cxcywhr,
            score=k.anomaly.score,
            verdict="NG" if k.anomaly.score >= limit else "OK",
        )
        for k in looks
    )
    return GoldenFile(GoldenPicture(file=file, parts=parts), encoded.tobytes())


def _spread(candidates: list[GoldenFile]) -> list[GoldenFile]:
    """Return at most GOLDEN_PICTURES of them, evenly over the range of their largest scores."""
    ordered = sorted(candidates, key=lambda g: max(p.score for p in g.picture.parts))
    picks = np.linspace(0, len(ordered) - 1, min(GOLDEN_PICTURES, len(ordered)))
    return sorted((ordered[round(i)] for i in picks), key=lambda g: g.picture.file)
