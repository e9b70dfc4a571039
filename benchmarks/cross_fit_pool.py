"""Simulated good parts for `benchmarks.cross_fit`: cut once, their frozen features computed once.

Every part is in the pool three times: as it is, with a small stain that a person would still call
good (its odd twin), and with synthetic defects of kinds and sizes in turn.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_app.bundle.archive import read_bundle
from edge_app.model.loaded_model import load_model
from edge_app.model.looks import look_at
from edge_app.records import U8Array
from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.scene import good_line
from export.augment.defect_like import DEFECTS, SIZES, synthetic_defect
from export.methods.ensemble.graph import FeatureExtractor
from export.methods.ensemble.method import extractor_for, features_of
from export.methods.ensemble.terms import CropFeatures

BUNDLE = Path(__file__).parents[1] / "edge_app" / "assets" / "demo-tapered.bundle"
SEED = 9000
"""Of the simulated line: no seed that training or tests use."""

DEFECTS_A_PART = 2


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """All parts, and their frozen features.

    Attributes:
        crops: uint8 (p, h, w, 3), good.
        good, odd: features of p crops: as they are, with a small stain.
        defects: features of DEFECTS_A_PART · p crops; those of part i begin at DEFECTS_A_PART · i.
        defect_crops: uint8, the crops of `defects`.
        labels: (kind, size) of each.
    """

    extractor: FeatureExtractor
    crops: U8Array
    good: CropFeatures
    odd: CropFeatures
    defects: CropFeatures
    defect_crops: U8Array
    labels: list[tuple[str, str]]


def good_crops(count: int, crop_hw: tuple[int, int], cache: Path) -> U8Array:
    """Return upright crops of good simulated parts, uint8 (n, h, w, 3), from the cache if there.

    Args:
        crop_hw: multiples of 32 px; the shipped bundle's crops are made that small.
    """
    bundle = read_bundle(BUNDLE)
    identity = f"{hashlib.sha256(BUNDLE.read_bytes()).hexdigest()} {SEED} {count} {crop_hw}"
    file = cache / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.npy"
    if file.is_file():
        return np.asarray(np.load(file, allow_pickle=False), np.uint8)
    model = load_model(bundle, 1)
    line = good_line(SimulatorConfig(product="tapered", seed=SEED))
    crops: list[U8Array] = []
    number = 0
    while len(crops) < count:
        number += 1
        for look in look_at(model, line.single(number)[0])[:1]:
            small = cv2.resize(look.crop, crop_hw[::-1], interpolation=cv2.INTER_AREA)
            crops.append(np.asarray(small, np.uint8))
        if number % 500 == 0:
            print(f"{len(crops)} of {count} good parts", file=sys.stderr, flush=True)
    cache.mkdir(parents=True, exist_ok=True)
    np.save(file, np.stack(crops))
    return np.stack(crops)


def make_pool(crops: U8Array) -> Pool:
    """Return the pool of these crops."""
    rng = np.random.default_rng([SEED, 1])
    odd = [synthetic_defect(rng, crop, None, "stain", "small").pixels_hwc for crop in crops]
    kinds = list(DEFECTS)
    drawn, labels = [], []
    for index in range(DEFECTS_A_PART * len(crops)):
        kind, size = kinds[index % len(kinds)], SIZES[index // len(kinds) % len(SIZES)]
        crop = crops[index // DEFECTS_A_PART]
        drawn.append(synthetic_defect(rng, crop, None, kind, size).pixels_hwc)
        labels.append((kind, str(size)))
    extractor = extractor_for(crops, None, "cpu")

    def features(pictures: U8Array) -> CropFeatures:
        return features_of(extractor, pictures, "cpu", "features", lambda _text, _share: None)

    return Pool(
        extractor, crops, features(crops), features(np.stack(odd)), features(np.stack(drawn)),
        np.stack(drawn), labels,
    )  # fmt: skip
