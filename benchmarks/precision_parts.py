"""Parts of the simulated line, judged in every precision of a bundle, block by block.

The crops are cut once, with the fp32 detector, and every variant's inspector scores the same
crops: that shows what the inspectors' rounding does, over many parts. In the first blocks every
variant also goes its whole way, with its own detector: that shows what the boxes do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration.recalibrate import REFERENCE
from edge_app.bundle import Bundle
from edge_app.crop import upright_crop
from edge_app.errors import DataError
from edge_app.model import LoadedModel, load_model
from edge_app.obb import rotated_iou
from edge_app.offline import look_at, whole_products
from edge_app.records import F64Array, U8Array
from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.scene import SimulatedLine
from edge_app.simulator.truth import Product

BLOCK = 100
"""Parts between two files: what a stopped run loses at most."""

BATCH = 10
DEFECT_RATE = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """n parts as k variants see them, fp32 first; NaN where a product was not found.

    Attributes:
        is_bad: (n,) bool, the simulator's truth.
        scores: (k, n) float64, on the crops of the fp32 detector.
        whole: (k, m) float64, each variant its whole way; the first m parts.
        ious: (k, m) float64, each variant's product against fp32's, before registration; 0 where
            the number of products differs.
    """

    is_bad: np.ndarray
    scores: F64Array
    whole: F64Array
    ious: F64Array


def judged_parts(
    bundle: Bundle, product: Product, seed: int, parts: int, scenes: int, folder: Path, threads: int
) -> tuple[list[str], Judged]:
    """Return the variants' names and their scores, judging the blocks that are not on disk yet.

    Args:
        parts, scenes: how many are scored from crops, and of these how many the whole way; both
            are rounded up to whole blocks.

    Raises:
        DataError: the bundle has one precision only.
    """
    names = [REFERENCE, *(v.precision for v in bundle.manifest.variants if v.precision != "fp32")]
    if len(names) == 1:
        raise DataError(
            "The bundle has fp32 only, there is nothing to compare: add a variant with "
            "edge-calibrate fp16 or edge-calibrate int8."
        )
    models = [load_model(bundle, threads, name) for name in names]
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for start in range(0, parts, BLOCK):
        is_whole = start < scenes
        file = folder / f"{_key(bundle, names, product, seed, is_whole)}-{start:06d}.npz"
        if not file.exists():
            line = SimulatedLine(SimulatorConfig(product, seed, DEFECT_RATE))
            _write(file, _block(models, line, range(start + 1, start + 1 + BLOCK), is_whole))
        with np.load(file) as kept:
            found.append(Judged(kept["is_bad"], kept["scores"], kept["whole"], kept["ious"]))
    return names, _joined(found)


def _key(bundle: Bundle, names: Sequence[str], product: str, seed: int, is_whole: bool) -> str:
    told = f"{bundle.sha256} {names} {product} {seed} {is_whole} {BLOCK}"
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _write(file: Path, judged: Judged) -> None:
    """Write a block so that a stopped run leaves it whole or not at all."""
    draft = file.with_suffix(".part")
    with draft.open("wb") as out:
        np.savez(
            out,
            is_bad=judged.is_bad,
            scores=judged.scores,
            whole=judged.whole,
            ious=judged.ious,
        )
    draft.replace(file)


def _block(
    models: list[LoadedModel], line: SimulatedLine, numbers: range, is_whole: bool
) -> Judged:
    pictures = [line.single(number) for number in numbers]
    is_bad = np.array([truth.parts[0].defect is not None for _, truth in pictures])
    crops = [_crop(models[0], pixels) for pixels, _ in pictures]
    scores = np.stack([_scores(model, crops) for model in models])
    shape = (len(models), len(numbers) if is_whole else 0)
    whole, ious = np.full(shape, np.nan), np.zeros(shape)
    for n, (pixels, _) in enumerate(pictures if is_whole else []):
        for k, model in enumerate(models):
            looks = look_at(model, pixels)
            if looks:
                whole[k, n] = max(look.anomaly.score for look in looks)
            ious[k, n] = _overlap(models[0], model, pixels)
    return Judged(is_bad, scores, whole, ious)


def _crop(model: LoadedModel, pixels_hwc: U8Array) -> U8Array | None:
    """Return the crop of the picture's one part, None where it is not found."""
    boxes = whole_products(model.finder, model.pose, pixels_hwc, model.fills_frame)
    return upright_crop(pixels_hwc, boxes[0], model.spec) if boxes else None


def _scores(model: LoadedModel, crops: Sequence[U8Array | None]) -> F64Array:
    scores = np.full(len(crops), np.nan)
    there = [i for i, crop in enumerate(crops) if crop is not None]
    for start in range(0, len(there), BATCH):
        some = there[start : start + BATCH]
        batch = [crop for i in some if (crop := crops[i]) is not None]
        scores[some] = [anomaly.score for anomaly in model.inspector.score(batch)]
    return scores


def _overlap(reference: LoadedModel, model: LoadedModel, pixels_hwc: U8Array) -> float:
    mine, other = (m.finder.find(pixels_hwc) for m in (reference, model))
    if len(mine) != len(other):
        return 0.0
    pairs = zip(mine, other, strict=True)
    return min((rotated_iou(a.box_cxcywhr, b.box_cxcywhr) for a, b in pairs), default=1.0)


def _joined(blocks: Sequence[Judged]) -> Judged:
    return Judged(
        np.concatenate([b.is_bad for b in blocks]),
        np.concatenate([b.scores for b in blocks], axis=1),
        np.concatenate([b.whole for b in blocks], axis=1),
        np.concatenate([b.ious for b in blocks], axis=1),
    )
