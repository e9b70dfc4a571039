"""A data set of small textured tiles in the MVTec layout: the product fills the frame."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_app.records import U8Array

HW = (80, 96)
BLOT = (slice(52, 70), slice(30, 60))


def tile(seed: int, is_blotted: bool = False) -> U8Array:
    """Return a textured tile with a bright bar, and a dark blot if wanted."""
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.normal(0, 30, (*HW, 3)), (0, 0), 2.0)
    pixels = 110 + 4 * noise
    pixels[30:50, 20:76] += 50
    if is_blotted:
        pixels[BLOT] = 10
    return pixels.clip(0, 255).astype(np.uint8)


def write_tiles(folder: Path, good: int, test_good: int, blotted: int) -> Path:
    """Write train/good, test/good, test/blot and ground_truth/blot; return the folder."""
    mask = np.zeros(HW, np.uint8)
    mask[BLOT] = 255
    seed = 0
    for name, count in (("train/good", good), ("test/good", test_good), ("test/blot", blotted)):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            cv2.imwrite(str(folder / name / f"{i:03d}.png"), tile(seed, name == "test/blot"))
            seed += 1
    (folder / "ground_truth" / "blot").mkdir(parents=True)
    for i in range(blotted):
        cv2.imwrite(str(folder / "ground_truth" / "blot" / f"{i:03d}_mask.png"), mask)
    return folder
