"""Parts of the simulated line, judged in every precision of a bundle, block by block.

The crops are cut once, with the fp32 detector, and every variant's inspector scores the same
crops: that shows what the inspectors' rounding does, over many parts. In the first blocks every
variant also goes its whole way, with its own detector: that shows what the boxes do.

Everything is kept on disk under the digest of the graphs it came from: a variant made anew is
judged on the crops that are there (17 MB a block), and only it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from calibration.thresholds.recalibrate import REFERENCE
from edge_app.bundle.archive import Bundle
from edge_app.errors import DataError
from edge_app.imaging.oriented_box import rotated_iou
from edge_app.model.loaded_model import LoadedModel, load_model
from edge_app.model.looks import look_at, whole_products
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
    keys = [_key(bundle, name, product, seed) for name in names]
    folder.mkdir(parents=True, exist_ok=True)
    line = SimulatedLine(SimulatorConfig(product, seed, DEFECT_RATE))
    found = []
    for start in range(0, parts, BLOCK):
        numbers = range(start + 1, start + 1 + BLOCK)
        cut = partial(_cut, models[0], line, numbers)
        crops = _kept(folder / f"{keys[0]}-{start:06d}-crops.npz", cut)
        scores = [
            _kept(folder / f"{key}-{start:06d}-scores.npz", partial(_scored, model, crops))
            for key, model in zip(keys, models, strict=True)
        ]
        ways = [
            _kept(
                folder / f"{key}-{start:06d}-whole.npz",
                partial(_whole, models[0], model, line, numbers),
            )
            for key, model in zip(keys, models, strict=True)
            if start < scenes
        ]
        found.append(_block(crops, scores, ways))
    return names, _joined(found)


def _key(bundle: Bundle, name: str, product: str, seed: int) -> str:
    """Return what tells a variant's scores apart: its graphs, those of fp32, and the parts."""
    digest = hashlib.sha256(f"{product} {seed} {BLOCK} {DEFECT_RATE}".encode())
    for variant in (bundle.variant(REFERENCE), bundle.variant(name)):
        for file in (variant.detector, variant.inspector):
            digest.update(bundle.files[file] if file else b"none")
    return digest.hexdigest()[:12]


Arrays = dict[str, np.ndarray]


def _kept(file: Path, make: Callable[[], Arrays]) -> Arrays:
    """Return what a file holds, making it first where it is missing; whole or not at all."""
    if not file.exists():
        draft = file.with_suffix(".part")
        with draft.open("wb") as out:
            np.savez(out, **dict[str, Any](make()))
        draft.replace(file)
    with np.load(file) as kept:
        return dict(kept)


def _cut(model: LoadedModel, line: SimulatedLine, numbers: range) -> Arrays:
    """Return the parts' crops, black where none was found, and what is true of them."""
    pictures = [line.single(number) for number in numbers]
    crops = [_crop(model, pixels) for pixels, _ in pictures]
    nothing = np.zeros((*model.spec.crop_hw, 3), np.uint8)
    return {
        "is_bad": np.array([truth.parts[0].defect is not None for _, truth in pictures]),
        "is_found": np.array([crop is not None for crop in crops]),
        "crops": np.stack([nothing if crop is None else crop for crop in crops]),
    }


def _scored(model: LoadedModel, crops: Arrays) -> Arrays:
    scores = np.full(len(crops["crops"]), np.nan)
    there = np.flatnonzero(crops["is_found"])
    for start in range(0, len(there), BATCH):
        some = there[start : start + BATCH]
        looked = model.inspector.score(list(crops["crops"][some]))
        scores[some] = [anomaly.score for anomaly in looked]
    return {"scores": scores}


def _whole(
    reference: LoadedModel, model: LoadedModel, line: SimulatedLine, numbers: range
) -> Arrays:
    scores, ious = np.full(len(numbers), np.nan), np.zeros(len(numbers))
    for i, number in enumerate(numbers):
        pixels, _ = line.single(number)
        looks = look_at(model, pixels)
        if looks:
            scores[i] = max(look.anomaly.score for look in looks)
        ious[i] = _overlap(reference, model, pixels)
    return {"scores": scores, "ious": ious}


def _block(crops: Arrays, scores: Sequence[Arrays], ways: Sequence[Arrays]) -> Judged:
    nothing = np.zeros((len(scores), 0))
    return Judged(
        crops["is_bad"],
        np.stack([s["scores"] for s in scores]),
        np.stack([w["scores"] for w in ways]) if ways else nothing,
        np.stack([w["ious"] for w in ways]) if ways else nothing,
    )


def _crop(model: LoadedModel, pixels_hwc: U8Array) -> U8Array | None:
    """Return the crop of the picture's one part, None where it is not found."""
    products = whole_products(model, pixels_hwc)
    return products[0][1] if products else None


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
