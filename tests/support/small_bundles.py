"""Small real bundles for tests: a whole-frame product whose bright spots are its defects."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_app.bundle.archive import write_bundle
from edge_app.bundle.manifest import (
    CropModel,
    Manifest,
    Normalisation,
    OrientationSpec,
    Provenance,
    Thresholds,
    Variant,
)
from edge_app.records import U8Array

GRAPHS = Path(__file__).parents[1] / "fixtures" / "graphs"
CROP_HW = (32, 64)
SCORE_THRESHOLD = 150.0
"""Brightness of a 4×4 block; good pictures here are 100."""


def bright_manifest() -> Manifest:
    """Return the manifest of the brightness product."""
    thresholds = Thresholds(
        score_threshold=SCORE_THRESHOLD,
        map_threshold=140.0,
        threshold_id="calibrated-1",
        normalisation=Normalisation(low=100.0, high=200.0),
        false_alarm_rate=0.01,
        calibration_scores=(99.0, 100.0, 101.0),
        defects_from="pseudo-anomalies",
    )
    variant = Variant(
        precision="fp32",
        detector=None,
        inspector="inspector.onnx",
        thresholds=thresholds,
        golden=(),
    )
    return Manifest(
        product="bright",
        serial=1,
        detector=None,
        orientation=OrientationSpec(kind="fixed"),
        crop=CropModel(crop_hw=CROP_HW, margin=0.0, stretch=True),
        variants=(variant,),
        provenance=Provenance(method="test", data="none", seed=0),
    )


def bright_files(graph: str = "bright_inspector") -> dict[str, bytes]:
    """Return the members of the brightness bundle."""
    return {"inspector.onnx": (GRAPHS / f"{graph}.onnx").read_bytes()}


def write_bright_bundle(path: Path, graph: str = "bright_inspector") -> Path:
    """Write the bundle and return its path."""
    write_bundle(path, bright_manifest(), bright_files(graph))
    return path


def grey_picture(hw: tuple[int, int] = (64, 128), spot: bool = False) -> U8Array:
    """Return a picture of brightness 100, with a spot of 250 if it is to be defective."""
    pixels = np.full((*hw, 3), 100, np.uint8)
    if spot:
        y, x = hw[0] // 2, hw[1] // 4
        pixels[y : y + hw[0] // 4, x : x + hw[1] // 4] = 250
    return pixels


def textured_picture(
    seed: int, hw: tuple[int, int] = (64, 128), spot: bool = False, depth: float = 20.0
) -> U8Array:
    """Return a `grey_picture` whose surface is no other seed's: darker places, up to `depth`."""
    rng = np.random.default_rng(seed)
    dark = cv2.resize(rng.uniform(0, depth, (8, 16)).astype(np.float32), hw[::-1])
    pixels = grey_picture(hw, spot)
    return np.where(pixels == 100, pixels - dark[..., None], pixels).astype(np.uint8)


def write_pictures(folder: Path, count: int, bad: set[int]) -> Path:
    """Write `count` pictures 0001.png ..., those in `bad` with a spot; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        cv2.imwrite(str(folder / f"{number:04d}.png"), grey_picture(spot=number in bad))
    return folder
